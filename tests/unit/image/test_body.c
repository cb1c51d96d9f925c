/* SPDX-License-Identifier: Apache-2.0 */
/* body - chunks and lengths, in whatever pieces they come; and users by name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/body.h"
#include "image/owner.h"
#include "isola/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Reads the body whose first @head bytes of @text were read before. */
static ssize_t read_body(const char *text, size_t head, bool chunked, uint64_t length, char *ret,
			 size_t size, char *ret_behind)
{
	int pair[2];
	struct err err = ERR_INIT;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cleanup_fd int in = pair[0], out = pair[1];
	assert_int_equal(fd_write_all(out, text + head, strlen(text) - head), 0);
	fd_close(&out);
	struct body b = { .fd = in, .chunked = chunked, .left = length, .head = text, head };
	b.head_size = head;
	size_t n = 0;
	ssize_t rc;
	while ((rc = body_read(&b, ret + n, size - n < 3 ? size - n : 3, &err)) > 0)
		n += (size_t)rc;
	*ret_behind = '\0';
	(void)read(in, ret_behind, 1);
	ret[n] = '\0';
	return rc < 0 ? rc : (ssize_t)n;
}

static void body_read__takes_chunks(void **state)
{
	static const char text[] = "3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nT: x\r\n\r\nN";
	(void)state;
	for (size_t head = 0; head < sizeof(text) - 1; head++) {
		char got[64], behind;
		assert_int_equal(read_body(text, head, true, 0, got, sizeof(got), &behind), 13);
		assert_string_equal(got, "abc0123456789");
		assert_int_equal(behind, 'N');
	}
}

static void body_read__takes_a_length(void **state)
{
	char got[64], behind;
	(void)state;
	assert_int_equal(read_body("abcdefN", 2, false, 6, got, sizeof(got), &behind), 6);
	assert_string_equal(got, "abcdef");
	assert_int_equal(behind, 'N');
	assert_int_equal(read_body("N", 0, false, 0, got, sizeof(got), &behind), 0);
	assert_int_equal(read_body("abc", 0, false, 6, got, sizeof(got), &behind), -ECONNRESET);
}

static void body_read__refuses(void **state)
{
	static const char *const rows[] = {
		"x\r\n", "\r\n", "-1\r\n", "3\r\nabcd\r\n", "3 4 5x\r\nab", "fffffffffffffffff\r\n"
	};
	char got[64], behind;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_in_range(-read_body(rows[i], 0, true, 0, got, sizeof(got), &behind), 1,
				4096);
}

static void owner_field__finds_lines(void **state)
{
	static const char text[] = "root:x:0:0:root\n\nbroken\nweb:x:33:34:::\nweb2:x:x:9";
	uint32_t id = 7;
	(void)state;
	assert_int_equal(owner_field(text, "web", 0, 2, &id), 0);
	assert_int_equal(id, 33);
	assert_int_equal(owner_field(text, NULL, 33, 3, &id), 0);
	assert_int_equal(id, 34);
	assert_int_equal(owner_field(text, "we", 0, 2, &id), -ENOENT);
	assert_int_equal(owner_field(text, "web2", 0, 2, &id), -ENOENT);
	assert_int_equal(owner_field(text, "broken", 0, 2, &id), -ENOENT);
	assert_int_equal(owner_field("", "x", 0, 2, &id), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_read__takes_chunks),
		cmocka_unit_test(body_read__takes_a_length),
		cmocka_unit_test(body_read__refuses),
		cmocka_unit_test(owner_field__finds_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
