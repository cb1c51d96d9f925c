/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio - the status machine, features, failures, pause and reset of any
 * virtio device, through its registers. */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACK    VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER VIRTIO_CONFIG_S_DRIVER
#define OK     VIRTIO_CONFIG_S_DRIVER_OK
#define FEAT   VIRTIO_CONFIG_S_FEATURES_OK
#define NEEDS  VIRTIO_CONFIG_S_NEEDS_RESET
#define FAILED VIRTIO_CONFIG_S_FAILED
#define READY  (ACK | DRIVER | FEAT | OK)

struct toy {
	struct virtio v;
	int activations, resets, kicks[2], fail_activation;
};

struct fixture {
	struct rig rig;
	struct toy toy;
	struct guestq g[2];
};

static int toy_activate(struct virtio *v, struct err *err)
{
	struct toy *toy = (struct toy *)v;
	toy->activations++;
	return toy->fail_activation ? err_set(err, EIO, "no such luck") : 0;
}

static void toy_reset(struct virtio *v)
{
	((struct toy *)v)->resets++;
}

static void toy_kick(struct virtio *v, unsigned int index)
{
	((struct toy *)v)->kicks[index]++;
}

static const struct virtio_type toy_type = {
	.id = 42, .activate = toy_activate, .reset = toy_reset, .kick = toy_kick
};

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 0);
	strcpy(f->toy.v.device.id, "toy0");
	assert_int_equal(
		virtio_init(&f->toy.v, &f->rig.vm, NULL, &toy_type, 2, 8, 1ULL << 5, 0, &err), 0);
	gpa_t at = guestq_init(&f->g[0], &f->rig, 0x10000, 8);
	(void)guestq_init(&f->g[1], &f->rig, at, 8);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	virtio_fini(&f->toy.v);
	rig_fini(&f->rig);
	free(f);
	return 0;
}

static uint32_t status(struct fixture *f)
{
	return rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS);
}

static void set_status(struct fixture *f, uint32_t value)
{
	rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, value);
}

static void set_features(struct fixture *f, uint64_t features)
{
	for (uint32_t i = 0; i < 2; i++) {
		rig_write(&f->rig, 0, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		rig_write(&f->rig, 0, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
	}
}

static void init__bounds_queues(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct toy big = { 0 };
	strcpy(big.v.device.id, "big");
	assert_int_equal(virtio_init(&big.v, &f->rig.vm, NULL, &toy_type, VIRTIO_QUEUES_MAX + 1, 8,
				     0, 0, &err),
			 -EINVAL);
	virtio_fini(&big.v); /* half-built is fine */
}

static void status__only_adds_bits(void **state)
{
	struct fixture *f = *state;
	set_status(f, ACK);
	set_status(f, DRIVER);
	assert_int_equal(status(f), ACK | DRIVER);
	set_status(f, 0x30 | NEEDS); /* no such bits for a driver */
	assert_int_equal(status(f), ACK | DRIVER);
	set_status(f, 0x100 | ACK); /* 8 bits wide */
	assert_int_equal(status(f), ACK | DRIVER);
	set_status(f, 0);
	assert_int_equal(status(f), 0);
}

static void features_ok__needs_driver_and_version_1(void **state)
{
	struct fixture *f = *state;
	set_features(f, 1ULL << VIRTIO_F_VERSION_1);
	set_status(f, FEAT);
	assert_int_equal(status(f), 0);
	set_status(f, ACK | DRIVER);
	set_features(f, 1ULL << 5);
	set_status(f, ACK | DRIVER | FEAT);
	assert_int_equal(status(f), ACK | DRIVER);
	set_features(f, 1ULL << VIRTIO_F_VERSION_1 | 1ULL << 6); /* not offered */
	set_status(f, ACK | DRIVER | FEAT);
	assert_int_equal(status(f), ACK | DRIVER);
	set_features(f, 1ULL << VIRTIO_F_VERSION_1 | 1ULL << 5);
	set_status(f, ACK | DRIVER | FEAT);
	assert_int_equal(status(f), ACK | DRIVER | FEAT);
}

static void features__freeze_at_features_ok(void **state)
{
	struct fixture *f = *state;
	set_status(f, ACK | DRIVER);
	set_features(f, 1ULL << VIRTIO_F_VERSION_1);
	set_status(f, ACK | DRIVER | FEAT);
	set_features(f, 1ULL << VIRTIO_F_VERSION_1 | 1ULL << 5);
	assert_false(virtio_has(&f->toy.v, 5));
	set_status(f, 0);
	assert_int_equal(f->toy.v.features, 0);
}

static void driver_ok__activates_once(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 1ULL << 5, f->g, 2), READY);
	assert_int_equal(f->toy.activations, 1);
	assert_true(virtio_has(&f->toy.v, 5));
	set_status(f, READY);
	assert_int_equal(f->toy.activations, 1);
	assert_int_equal(f->toy.kicks[0], 1); /* looked at once, from itself */
}

static void driver_ok__without_features_ok_needs_reset(void **state)
{
	struct fixture *f = *state;
	set_status(f, ACK | DRIVER | OK);
	assert_int_equal(status(f), ACK | DRIVER | NEEDS);
	assert_int_equal(f->toy.activations, 0);
	assert_int_equal(rig_irqs(&f->rig, 0), 0); /* nobody to tell before DRIVER_OK */
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY);
}

static void driver_ok__with_bad_queue_needs_reset(void **state)
{
	struct fixture *f = *state;
	struct guestq bad[2] = { f->g[0], f->g[1] };
	bad[1].size = 3;
	assert_int_equal(rig_start(&f->rig, 0, 0, bad, 2), READY | NEEDS);
	assert_non_null(strstr(f->rig.warn, "toy0"));
	assert_non_null(strstr(f->rig.warn, "queue 1"));
	assert_int_equal(f->toy.activations, 0);
	assert_int_equal(rig_irqs(&f->rig, 0), 1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_INTERRUPT_STATUS),
			 VIRTIO_MMIO_INT_CONFIG);
	rig_kick(&f->rig, 0, 0);
	assert_int_equal(f->toy.kicks[0], 0);
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY);
}

static void activation__that_fails_needs_reset(void **state)
{
	struct fixture *f = *state;
	f->toy.fail_activation = 1;
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY | NEEDS);
	set_status(f, 0);
	assert_int_equal(f->toy.resets, 0); /* it was never active */
	f->toy.fail_activation = 0;
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY);
}

static void fail__stops_kicks_until_reset(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY);
	virtio_fail(&f->toy.v, "the driver did %d things", 7);
	virtio_fail(&f->toy.v, "and another");
	assert_int_equal(f->rig.n_warns, 1);
	assert_non_null(strstr(f->rig.warn, "7 things"));
	assert_int_equal(status(f), READY | NEEDS);
	assert_int_equal(rig_irqs(&f->rig, 0), 1);
	rig_kick(&f->rig, 0, 0);
	assert_int_equal(f->toy.kicks[0], 1);
	set_status(f, 0);
	assert_int_equal(f->toy.resets, 1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void failed__by_the_driver_stops_service(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY);
	set_status(f, READY | FAILED);
	assert_int_equal(status(f), READY | FAILED);
	rig_kick(&f->rig, 0, 1);
	assert_int_equal(f->toy.kicks[1], 1);
}

static void queue__left_out_is_never_kicked(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 1), READY);
	rig_kick(&f->rig, 0, 1);
	assert_int_equal(f->toy.kicks[0], 1);
	assert_int_equal(f->toy.kicks[1], 0);
}

static void quiesce__keeps_kicks_for_resume(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY);
	virtio_quiesce(&f->toy.v);
	rig_kick(&f->rig, 0, 0);
	assert_int_equal(f->toy.kicks[0], 1);
	virtio_resume(&f->toy.v);
	assert_int_equal(f->toy.kicks[0], 2);
}

static void publish__interrupts_when_asked(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf buf = { 0x100000, 8 };
	struct iovec iov[8];
	struct virtq_chain chain;
	virtq_chain_init(&chain, iov, 8);
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY);
	guestq_add(&f->g[1], &buf, 1, 0);
	assert_int_equal(virtq_pop(&f->toy.v.queues[1], &chain), 1);
	virtq_push(&f->toy.v.queues[1], chain.head, 0);
	virtio_publish(&f->toy.v, 1);
	assert_int_equal(rig_irqs(&f->rig, 0), 1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	virtio_publish(&f->toy.v, 1);
	assert_int_equal(rig_irqs(&f->rig, 0), 0);
}

static void fini__resets_an_active_device(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(rig_start(&f->rig, 0, 0, f->g, 2), READY);
	virtio_fini(&f->toy.v);
	assert_int_equal(f->toy.resets, 1);
	virtio_fini(&f->toy.v);
	assert_int_equal(f->toy.resets, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(init__bounds_queues),
		T(status__only_adds_bits),
		T(features_ok__needs_driver_and_version_1),
		T(features__freeze_at_features_ok),
		T(driver_ok__activates_once),
		T(driver_ok__without_features_ok_needs_reset),
		T(driver_ok__with_bad_queue_needs_reset),
		T(activation__that_fails_needs_reset),
		T(fail__stops_kicks_until_reset),
		T(failed__by_the_driver_stops_service),
		T(queue__left_out_is_never_kicked),
		T(quiesce__keeps_kicks_for_resume),
		T(publish__interrupts_when_asked),
		T(fini__resets_an_active_device),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
