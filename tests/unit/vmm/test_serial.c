/* SPDX-License-Identifier: Apache-2.0 */
/* test_serial - serial port 0 between the bus and real descriptors, on the rig: output
 * is bounded, slow and dead readers, input with and without room, rate. */
#include "vmm/serial.h"

#include "isola/fd.h"

#include "rig.h"
#include "vmm/machine.h"
#include "vmm/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATA, IER, IIR, LCR, MCR, LSR };

#define EMPTY 0x60
#define READY 0x01

struct fixture {
	struct rig rig;
	struct machine machine;
	struct serial *serial;
	int in[2], out[2]; /* pipes: the port reads in[0], writes out[1] */
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 0);
	f->rig.vm.machine = &f->machine;
	assert_int_equal(pipe2(f->in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(f->out, O_CLOEXEC), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	serial_free(f->serial);
	rig_fini(&f->rig);
	json_object_put(f->machine.doc);
	for (int i = 0; i < 2; i++) {
		fd_close(&f->in[i]);
		fd_close(&f->out[i]);
	}
	free(f);
	return 0;
}

static void start_with(struct fixture *f, int in_fd, int out_fd)
{
	assert_int_equal(serial_new(&f->rig.vm, &f->serial, &f->err), 0);
	assert_int_equal(serial_start(f->serial, in_fd, out_fd, &f->err), 0);
}

static void start(struct fixture *f)
{
	start_with(f, f->in[0], f->out[1]);
}

static uint8_t get(struct fixture *f, unsigned int reg)
{
	uint8_t value = 0;
	bus_read(f->rig.vm.bus, BUS_PIO, PLATFORM_SERIAL_PORT + reg, &value, 1);
	return value;
}

static void put(struct fixture *f, unsigned int reg, uint8_t value)
{
	bus_write(f->rig.vm.bus, BUS_PIO, PLATFORM_SERIAL_PORT + reg, &value, 1);
}

static void say(struct fixture *f, const char *text)
{
	for (; *text; text++)
		put(f, DATA, (uint8_t)*text);
}

/* Turns the loop for @ms. */
static void turn(struct fixture *f, unsigned int ms)
{
	for (unsigned int i = 0; i < ms; i++) {
		(void)uv_run(&f->rig.vm.loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
}

static size_t queued(int fd)
{
	int n = 0;
	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return (size_t)n;
}

static size_t drain(int fd)
{
	char buf[4096];
	size_t all = 0;
	while (queued(fd) > 0) {
		ssize_t n = read(fd, buf, sizeof(buf));
		assert_true(n > 0);
		all += (size_t)n;
	}
	return all;
}

static void output__comes_out_together(void **state)
{
	struct fixture *f = *state;
	char buf[16] = "";
	start(f);
	say(f, "hello\n");
	assert_int_equal(queued(f->out[0]), 0); /* the vCPU writes nothing itself */
	turn(f, 20);
	assert_int_equal(read(f->out[0], buf, sizeof(buf)), 6);
	assert_string_equal(buf, "hello\n");
}

static void output__last_words_are_written_at_the_end(void **state)
{
	struct fixture *f = *state;
	char buf[16] = "";
	start(f);
	say(f, "panic\n");
	serial_free(f->serial);
	f->serial = NULL;
	assert_int_equal(read(f->out[0], buf, sizeof(buf)), 6);
}

/* Sends until the transmitter is busy; at most @max bytes. */
static size_t fill(struct fixture *f, size_t max)
{
	size_t n = 0;
	while (n < max && (get(f, LSR) & EMPTY)) {
		put(f, DATA, 'x');
		if (++n % 1000 == 0)
			turn(f, 1);
	}
	return n;
}

static void slow_reader__holds_the_guest_back(void **state)
{
	struct fixture *f = *state;
	start(f);
	size_t n = fill(f, 1000000);
	assert_true(n > SERIAL_OUT_BYTES / 2 && n < 200000);
	turn(f, 5);
	assert_int_equal(get(f, LSR) & EMPTY, 0);
	size_t got = drain(f->out[0]);
	turn(f, 20);
	assert_int_equal(get(f, LSR) & EMPTY, EMPTY);
	for (int i = 0; i < 20; i++) {
		turn(f, 5);
		got += drain(f->out[0]);
	}
	assert_int_equal(got, n); /* nothing is lost */
	assert_int_equal(f->rig.n_warns, 0);
}

static void slow_reader__interrupts_when_it_goes_on(void **state)
{
	struct fixture *f = *state;
	start(f);
	put(f, IER, 0x02);
	(void)fill(f, 1000000);
	(void)rig_irqs(&f->rig, PLATFORM_SERIAL_GSI);
	(void)get(f, IIR);
	turn(f, 5);
	assert_int_equal(rig_irqs(&f->rig, PLATFORM_SERIAL_GSI), 0);
	(void)drain(f->out[0]);
	turn(f, 20);
	assert_true(rig_irqs(&f->rig, PLATFORM_SERIAL_GSI) > 0);
	assert_int_equal(get(f, IIR) & 0xf, 0x02);
}

static void dead_reader__loses_output_and_says_so(void **state)
{
	struct fixture *f = *state;
	start(f);
	(void)fill(f, 1000000);
	assert_int_equal(get(f, LSR) & EMPTY, 0);
	usleep((SERIAL_PATIENCE_MS + 50) * 1000);
	assert_int_equal(get(f, LSR) & EMPTY, EMPTY); /* the guest goes on */
	for (int i = 0; i < 100000; i++)
		put(f, DATA, 'y');
	turn(f, 5);
	for (int i = 0; i < 20; i++) {
		(void)drain(f->out[0]);
		turn(f, 5);
	}
	assert_true(f->rig.n_warns >= 1);
	assert_non_null(strstr(f->rig.warn, "lost"));
	say(f, "again");
	turn(f, 20);
	assert_int_equal(drain(f->out[0]), 5);
}

static void closed_reader__costs_nothing(void **state)
{
	struct fixture *f = *state;
	start(f);
	fd_close(&f->out[0]);
	(void)signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 200000; i++) {
		put(f, DATA, 'x');
		if (i % 10000 == 0)
			turn(f, 3);
	}
	turn(f, 5);
	assert_int_equal(get(f, LSR) & EMPTY, EMPTY);
}

static void input__interrupts_and_is_read(void **state)
{
	struct fixture *f = *state;
	start(f);
	put(f, IER, 0x01);
	assert_int_equal(write(f->in[1], "ab", 2), 2);
	turn(f, 5);
	assert_int_equal(rig_irqs(&f->rig, PLATFORM_SERIAL_GSI), 1);
	assert_int_equal(get(f, LSR), EMPTY | READY);
	assert_int_equal(get(f, DATA), 'a');
	assert_int_equal(get(f, DATA), 'b');
	assert_int_equal(get(f, LSR), EMPTY);
}

static void input__waits_until_there_is_room(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[1000];
	size_t n = 0;
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)i;
	start(f);
	assert_int_equal(write(f->in[1], buf, sizeof(buf)), sizeof(buf));
	turn(f, 5);
	assert_true(queued(f->in[0]) > 900);
	for (int i = 0; i < 5000 && n < sizeof(buf); i++) {
		if (get(f, LSR) & READY)
			assert_int_equal(get(f, DATA), (uint8_t)n++);
		else
			turn(f, 1);
	}
	assert_int_equal(n, sizeof(buf));
}

static void input__end_of_file_stops_it(void **state)
{
	struct fixture *f = *state;
	start(f);
	fd_close(&f->in[1]);
	turn(f, 10);
	assert_int_equal(get(f, LSR), EMPTY);
	say(f, "x");
	turn(f, 10);
	assert_int_equal(drain(f->out[0]), 1);
}

static void input__may_be_a_file(void **state)
{
	struct fixture *f = *state;
	char text[300];
	FILE *file = tmpfile();
	assert_non_null(file);
	memset(text, 'f', sizeof(text));
	assert_int_equal(write(fileno(file), text, sizeof(text)), sizeof(text));
	assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
	start_with(f, fileno(file), f->out[1]);
	size_t n = 0;
	for (int i = 0; i < 2000 && n < sizeof(text); i++) {
		if (get(f, LSR) & READY) {
			assert_int_equal(get(f, DATA), 'f');
			n++;
		} else {
			turn(f, 1);
		}
	}
	assert_int_equal(n, sizeof(text));
	(void)fclose(file);
}

static void output__may_be_a_socket_or_a_file(void **state)
{
	struct fixture *f = *state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	start_with(f, -1, pair[1]);
	say(f, "sock");
	turn(f, 20);
	assert_int_equal(queued(pair[0]), 4);
	serial_free(f->serial);
	f->serial = NULL;
	turn(f, 2);
	close(pair[0]);
	close(pair[1]);
}

static void terminal_flags__stay_with_the_others(void **state)
{
	struct fixture *f = *state;
	start(f);
	/* Non-blocking for us only: the pipe is shared with whoever gave it. */
	assert_int_equal(fcntl(f->in[0], F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(f->out[1], F_GETFL) & O_NONBLOCK, 0);
}

static void rate__slows_output_and_loses_none(void **state)
{
	struct fixture *f = *state;
	f->machine.doc = json_tokener_parse(
		"{\"serial\": {\"rate\": {\"bandwidth\": {\"size\": 1000, \"refill_ms\": 100}}}}");
	assert_non_null(f->machine.doc);
	assert_int_equal(serial_check(machine_part(&f->machine, "serial"), &f->err), 0);
	start(f);
	size_t n = 0, got = 0;
	for (; n < 3000; n++)
		put(f, DATA, 'r');
	turn(f, 10);
	put(f, DATA, 'r');
	n++;
	turn(f, 10);
	got = drain(f->out[0]);
	assert_true(got < n); /* the bucket held 1000 and went into debt */
	for (int i = 0; i < 100 && got < n; i++) {
		turn(f, 10);
		got += drain(f->out[0]);
	}
	assert_int_equal(got, n);
}

static void check__names_what_is_wrong(void **state)
{
	static const char *const bad[] = { "{\"inptu\": true}", "{\"input\": 1}", "[]",
					   "{\"rate\": {\"bandwidth\": {\"size\": -1}}}" };
	struct err err = ERR_INIT;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object *o = json_tokener_parse(bad[i]);
		assert_true(serial_check(o, &err) < 0);
		assert_memory_equal(err.text, "serial", 6);
		json_object_put(o);
	}
	assert_int_equal(serial_check(NULL, &err), 0);
}

/* Every register at every width, and beyond: nothing but answers. */
static void registers__take_every_width(void **state)
{
	struct fixture *f = *state;
	start(f);
	for (unsigned int size = 1; size <= 4; size *= 2)
		for (uint64_t at = 0; at < 12; at++) {
			uint64_t value = ~0ULL;
			bus_read(f->rig.vm.bus, BUS_PIO, PLATFORM_SERIAL_PORT + at, &value, size);
			bus_write(f->rig.vm.bus, BUS_PIO, PLATFORM_SERIAL_PORT + at, &value, size);
		}
	turn(f, 5);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(output__comes_out_together),
		TEST(output__last_words_are_written_at_the_end),
		TEST(slow_reader__holds_the_guest_back),
		TEST(slow_reader__interrupts_when_it_goes_on),
		TEST(dead_reader__loses_output_and_says_so),
		TEST(closed_reader__costs_nothing),
		TEST(input__interrupts_and_is_read),
		TEST(input__waits_until_there_is_room),
		TEST(input__end_of_file_stops_it),
		TEST(input__may_be_a_file),
		TEST(output__may_be_a_socket_or_a_file),
		TEST(terminal_flags__stay_with_the_others),
		TEST(rate__slows_output_and_loses_none),
		cmocka_unit_test(check__names_what_is_wrong),
		TEST(registers__take_every_width),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
