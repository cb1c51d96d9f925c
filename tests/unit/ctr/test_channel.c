/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between a parent and init, whatever the other side sends. */
#include "ctr/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
	static int socks[2];
	*state = socks;
	return chan_pair(socks);
}

static int teardown(void **state)
{
	int *socks = *state;
	(void)close(socks[0]);
	if (socks[1] >= 0)
		(void)close(socks[1]);
	return 0;
}

static void chan__carries_descriptors(void **state)
{
	const int *socks = *state;
	struct chan_msg msg;
	int in[2] = { open("/dev/null", O_RDONLY), open("/", O_PATH) }, out[2] = { -1, -1 };
	size_t n = 0;
	assert_int_equal(chan_send(socks[0], CHAN_TREES, 7, in, 2), 0);
	assert_int_equal(chan_recv(socks[1], &msg, out, 2, &n), 1);
	assert_int_equal(msg.type, CHAN_TREES);
	assert_int_equal(msg.value, 7);
	assert_int_equal(n, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fcntl(out[i], F_GETFD), FD_CLOEXEC);
		(void)close(in[i]);
		(void)close(out[i]);
	}
}

static void chan__carries_errors(void **state)
{
	const int *socks = *state;
	struct err sent = ERR_INIT, got = ERR_INIT;
	(void)err_set(&sent, ENOTDIR, "no folder");
	assert_int_equal(chan_send_error(socks[0], &sent), 0);
	assert_int_equal(chan_expect(socks[1], CHAN_READY, &got), -ENOTDIR);
	assert_string_equal(got.text, "no folder");
}

static void chan__bounds_the_text(void **state)
{
	const int *socks = *state;
	struct err sent = ERR_INIT, got = ERR_INIT;
	sent.code = EIO;
	memset(sent.text, 'x', sizeof(sent.text));
	assert_int_equal(chan_send_error(socks[0], &sent), 0);
	assert_int_equal(chan_expect(socks[1], CHAN_READY, &got), -EIO);
	assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
}

static void chan__refuses_what_it_did_not_ask_for(void **state)
{
	const int *socks = *state;
	struct chan_msg msg;
	struct err err = ERR_INIT;
	int fd = open("/dev/null", O_RDONLY);
	/* too short, too long, a descriptor nobody expects, another type */
	static const char big[sizeof(struct chan_msg) + 10];
	assert_int_equal(send(socks[0], "abc", 3, 0), 3);
	assert_int_equal(chan_recv(socks[1], &msg, NULL, 0, NULL), -EPROTO);
	assert_int_equal(send(socks[0], big, sizeof(big), 0), sizeof(big));
	assert_int_equal(chan_recv(socks[1], &msg, NULL, 0, NULL), -EPROTO);
	assert_int_equal(chan_send(socks[0], CHAN_TREES, 0, &fd, 1), 0);
	assert_int_equal(chan_recv(socks[1], &msg, NULL, 0, NULL), -EPROTO);
	assert_int_equal(chan_send(socks[0], CHAN_START, 0, NULL, 0), 0);
	assert_int_equal(chan_expect(socks[1], CHAN_READY, &err), -EPROTO);
	(void)close(fd);
	int next = open("/dev/null", O_RDONLY); /* none was left open */
	assert_int_equal(next, fd);
	(void)close(next);
}

static void chan__tells_the_end(void **state)
{
	int *socks = *state;
	struct chan_msg msg;
	struct err err = ERR_INIT;
	(void)close(socks[1]);
	socks[1] = -1;
	assert_int_equal(chan_recv(socks[0], &msg, NULL, 0, NULL), 0);
	assert_int_equal(chan_expect(socks[0], CHAN_READY, &err), -EPIPE);
	assert_int_equal(chan_send(socks[0], CHAN_START, 0, NULL, 0), -EPIPE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(chan__carries_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(chan__carries_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(chan__bounds_the_text, setup, teardown),
		cmocka_unit_test_setup_teardown(chan__refuses_what_it_did_not_ask_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(chan__tells_the_end, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
