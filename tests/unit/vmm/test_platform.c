/* SPDX-License-Identifier: Apache-2.0 */
/* test_platform - the PC's small devices on the rig: how each port ends the VM, the
 * event device, VMGenID, the watchdog. */
#include "vmm/platform.h"

#include "isola/fd.h"

#include "rig.h"
#include "vmm/acpi_tables.h"
#include "vmm/machine.h"
#include "vmm/vmgenid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
	struct rig rig;
	struct machine machine;
	struct platform *platform;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 0);
	f->rig.vm.machine = &f->machine;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	platform_free(f->platform);
	rig_fini(&f->rig);
	json_object_put(f->machine.doc);
	free(f);
	return 0;
}

static void start(struct fixture *f)
{
	if (platform_new(&f->rig.vm, &f->platform, &f->err) < 0)
		fail_msg("%s", f->err.text);
}

static void out(struct fixture *f, uint16_t port, uint32_t value, unsigned int size)
{
	bus_write(f->rig.vm.bus, BUS_PIO, port, &value, size);
}

static uint32_t in(struct fixture *f, uint16_t port, unsigned int size)
{
	uint32_t value = 0;
	bus_read(f->rig.vm.bus, BUS_PIO, port, &value, size);
	return value;
}

static void ends(struct fixture *f, enum vm_reason reason)
{
	assert_true(f->rig.ended);
	assert_int_equal(f->rig.reason, reason);
	f->rig.ended = false;
}

static void sleep__only_s5_powers_off(void **state)
{
	struct fixture *f = *state;
	start(f);
	out(f, ACPI_PORT_SLEEP, ACPI_SLEEP_S5 << 2, 1); /* without the enable bit */
	out(f, ACPI_PORT_SLEEP, 0x20 | 3 << 2, 1);      /* S3, which there is not */
	out(f, ACPI_PORT_SLEEP + 1, 0xff, 1);           /* status */
	assert_false(f->rig.ended);
	out(f, ACPI_PORT_SLEEP, 0x20 | ACPI_SLEEP_S5 << 2, 1);
	ends(f, VM_POWEROFF);
}

static void reset__by_acpi_and_keyboard(void **state)
{
	struct fixture *f = *state;
	start(f);
	out(f, ACPI_PORT_RESET, 0, 1);
	out(f, 0x60, 0xfe, 1);
	out(f, 0x64, 0xd1, 1);
	assert_false(f->rig.ended);
	assert_int_equal(in(f, 0x64, 1), 0); /* ready for a command */
	out(f, ACPI_PORT_RESET, ACPI_RESET_VALUE, 1);
	ends(f, VM_RESET);
	out(f, 0x64, 0xfe, 1);
	ends(f, VM_RESET);
}

static void restart__is_where_a_bios_has_it(void **state)
{
	struct fixture *f = *state;
	uint8_t code[6];
	start(f);
	rig_get(&f->rig, 0xffff0, code, sizeof(code));
	assert_int_equal(code[0], 0xba); /* mov dx, port; mov al, value; out dx, al */
	assert_int_equal(code[1] | code[2] << 8, ACPI_PORT_RESET);
	assert_int_equal(code[4], ACPI_RESET_VALUE);
	assert_int_equal(code[5], 0xee);
}

static void pvpanic__ends_or_warns(void **state)
{
	struct fixture *f = *state;
	start(f);
	assert_int_equal(in(f, PLATFORM_PVPANIC_PORT, 1), 3);
	out(f, PLATFORM_PVPANIC_PORT, 2, 1);
	assert_false(f->rig.ended);
	assert_int_equal(f->rig.n_warns, 1);
	out(f, PLATFORM_PVPANIC_PORT, 1, 1);
	ends(f, VM_PANIC);
}

static void debug_exit__is_there_only_when_asked_for(void **state)
{
	struct fixture *f = *state;
	start(f);
	out(f, PLATFORM_DEBUG_PORT, 7, 4);
	assert_false(f->rig.ended);
	assert_int_equal(in(f, PLATFORM_DEBUG_PORT, 4), 0xffffffff);
}

static void debug_exit__ends_with_the_value(void **state)
{
	struct fixture *f = *state;
	f->machine.debug_exit = true;
	start(f);
	out(f, PLATFORM_DEBUG_PORT, 7, 4);
	ends(f, VM_DEBUG_EXIT);
}

static void events__are_read_once(void **state)
{
	struct fixture *f = *state;
	start(f);
	assert_int_equal(in(f, ACPI_PORT_EVENTS, 4), 0);
	platform_powerdown(f->platform);
	assert_int_equal(rig_irqs(&f->rig, ACPI_GED_GSI), 1);
	assert_int_equal(in(f, ACPI_PORT_EVENTS, 1), 0); /* not by halves */
	assert_int_equal(in(f, ACPI_PORT_EVENTS + 2, 2), 0);
	assert_int_equal(in(f, ACPI_PORT_EVENTS, 4), ACPI_EVENT_POWER);
	assert_int_equal(in(f, ACPI_PORT_EVENTS, 4), 0);
}

static void vmgenid__has_a_guids_order(void **state)
{
	static const uint8_t expected[] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
					    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	struct fixture *f = *state;
	uint8_t id[16], other[16];
	f->machine.vmgenid = "00112233-4455-6677-8899-aabbCCDDeeff";
	start(f);
	rig_get(&f->rig, platform_vmgenid(f->platform), id, 16);
	assert_memory_equal(id, expected, 16);
	assert_int_equal(vmgenid_write(f->rig.vm.memory, NULL, &f->err), 0);
	rig_get(&f->rig, platform_vmgenid(f->platform), other, 16);
	assert_memory_not_equal(id, other, 16);
}

static void vmgenid__refuses_what_is_no_uuid(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"00112233-4455-6677-8899-aabbccddeef",
		"00112233-4455-6677-8899-aabbccddeeff0",
		"001122334455-6677-8899-aabbccddeeff00",
		"g0112233-4455-6677-8899-aabbccddeeff",
		"00112233-4455-6677-8899aabbccddeeff--",
	};
	uint8_t id[16];
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vmgenid_parse(bad[i], id), -EINVAL);
}

/* ---- watchdog ---- */

static void start_watchdog(struct fixture *f, const char *conf)
{
	f->machine.doc = json_tokener_parse(conf);
	assert_non_null(f->machine.doc);
	assert_int_equal(platform_check(NULL, machine_part(&f->machine, "watchdog"), &f->err), 0);
	start(f);
}

static void turn(struct fixture *f, unsigned int ms)
{
	for (unsigned int i = 0; i < ms / 10; i++) {
		(void)uv_run(&f->rig.vm.loop, UV_RUN_NOWAIT);
		usleep(10000);
	}
}

static void watchdog__fires_unless_fed(void **state)
{
	struct fixture *f = *state;
	start_watchdog(f, "{\"watchdog\": {\"action\": \"poweroff\"}}");
	assert_int_equal(in(f, ACPI_PORT_WATCHDOG + WATCHDOG_TIMEOUT, 2), 30);
	assert_int_equal(in(f, ACPI_PORT_WATCHDOG + WATCHDOG_RUNS, 1), 0);
	out(f, ACPI_PORT_WATCHDOG + WATCHDOG_TIMEOUT, 1, 2);
	turn(f, 1200);
	assert_false(f->rig.ended); /* it does not run yet */
	(void)uv_run(&f->rig.vm.loop, UV_RUN_NOWAIT);
	out(f, ACPI_PORT_WATCHDOG + WATCHDOG_RUNS, 1, 1);
	for (int i = 0; i < 4; i++) {
		turn(f, 500);
		out(f, ACPI_PORT_WATCHDOG + WATCHDOG_FEED, 1, 1);
	}
	assert_false(f->rig.ended);
	turn(f, 1500);
	ends(f, VM_WATCHDOG);
}

static void watchdog__can_be_stopped(void **state)
{
	struct fixture *f = *state;
	start_watchdog(f, "{\"watchdog\": {}}");
	out(f, ACPI_PORT_WATCHDOG + WATCHDOG_TIMEOUT, 0, 2); /* counts as 1 */
	out(f, ACPI_PORT_WATCHDOG + WATCHDOG_RUNS, 1, 1);
	out(f, ACPI_PORT_WATCHDOG + WATCHDOG_RUNS, 0, 1);
	turn(f, 1300);
	assert_false(f->rig.ended);
	out(f, ACPI_PORT_WATCHDOG + WATCHDOG_RUNS, 1, 1);
	turn(f, 1300);
	ends(f, VM_RESET);
}

static void watchdog__only_warns_when_told_so(void **state)
{
	struct fixture *f = *state;
	start_watchdog(f, "{\"watchdog\": {\"action\": \"none\"}}");
	out(f, ACPI_PORT_WATCHDOG + WATCHDOG_TIMEOUT, 1, 2);
	out(f, ACPI_PORT_WATCHDOG + WATCHDOG_RUNS, 1, 1);
	turn(f, 1300);
	assert_false(f->rig.ended);
	assert_int_equal(f->rig.n_warns, 1);
}

static void watchdog__takes_every_width(void **state)
{
	struct fixture *f = *state;
	start_watchdog(f, "{\"watchdog\": {}}");
	for (unsigned int size = 1; size <= 4; size *= 2)
		for (uint16_t at = 0; at < WATCHDOG_BYTES; at++) {
			(void)in(f, (uint16_t)(ACPI_PORT_WATCHDOG + at), size);
			out(f, (uint16_t)(ACPI_PORT_WATCHDOG + at), ~0U, size);
		}
	assert_false(f->rig.ended);
}

static void check__names_what_is_wrong(void **state)
{
	static const char *const bad[] = { "{\"action\": \"explode\"}", "{\"aktion\": 1}", "[]",
					   "{\"action\": 5}" };
	struct err err = ERR_INIT;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object *o = json_tokener_parse(bad[i]);
		assert_true(platform_check(NULL, o, &err) < 0);
		assert_memory_equal(err.text, "watchdog", 8);
		json_object_put(o);
	}
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(sleep__only_s5_powers_off),
		TEST(reset__by_acpi_and_keyboard),
		TEST(restart__is_where_a_bios_has_it),
		TEST(pvpanic__ends_or_warns),
		TEST(debug_exit__is_there_only_when_asked_for),
		TEST(debug_exit__ends_with_the_value),
		TEST(events__are_read_once),
		TEST(vmgenid__has_a_guids_order),
		TEST(vmgenid__refuses_what_is_no_uuid),
		TEST(watchdog__fires_unless_fed),
		TEST(watchdog__can_be_stopped),
		TEST(watchdog__only_warns_when_told_so),
		TEST(watchdog__takes_every_width),
		cmocka_unit_test(check__names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
