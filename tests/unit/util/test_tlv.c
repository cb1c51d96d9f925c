/* SPDX-License-Identifier: Apache-2.0 */
#include "isola/tlv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void tlv__reads_what_it_wrote(void **state)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	struct tlv_field f, in;
	uint64_t n = 0;
	const char *text = NULL;
	(void)state;
	tlv_put_u64(&w, 7, UINT64_C(0x1122334455667788));
	size_t mark = tlv_open(&w, 9);
	tlv_put_text(&w, 3, "inner");
	tlv_put_text(&w, 4, NULL);
	tlv_close(&w, mark);
	tlv_put_text(&w, 3, "");
	assert_false(w.failed);
	struct tlv_reader r = tlv_read(w.data, w.size);
	assert_int_equal(tlv_next(&r, &f), 1);
	assert_int_equal(f.tag, 7);
	assert_int_equal(tlv_get_u64(&f, &n), 0);
	assert_true(n == UINT64_C(0x1122334455667788));
	assert_int_equal(tlv_next(&r, &f), 1);
	assert_int_equal(f.tag, 9);
	assert_int_equal(tlv_find(f.data, f.size, 3, &in), 1);
	assert_int_equal(tlv_get_text(&in, &text), 0);
	assert_string_equal(text, "inner");
	assert_int_equal(tlv_find(f.data, f.size, 4, &in), 0);
	assert_int_equal(tlv_next(&r, &f), 1);
	assert_int_equal(tlv_get_text(&f, &text), 0);
	assert_string_equal(text, "");
	assert_int_equal(tlv_next(&r, &f), 0);
	assert_string_equal(tlv_text_or(w.data, w.size, 3, "none"), "");
	assert_true(tlv_u64_or(w.data, w.size, 8, 5) == 5);
}

static void tlv__is_little_endian(void **state)
{
	static const uint8_t want[] = { 1, 2, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0x80 };
	cleanup_tlv struct tlv_writer w = { 0 };
	(void)state;
	tlv_put_u64(&w, 0x0201, UINT64_C(0x8000000000000003));
	assert_int_equal(w.size, sizeof(want));
	assert_memory_equal(w.data, want, sizeof(want));
}

static void tlv_next__refuses_what_is_no_field(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} rows[] = {
		{ "\1\0\0\0\0\0\0", 7 },            /* half a head */
		{ "\1\0\0\0\1\0\0\0", 8 },          /* a byte short */
		{ "\1\0\1\0\0\0\0\0", 8 },          /* the zero is none */
		{ "\1\0\0\0\xff\xff\xff\xff_", 9 }, /* longer than all there is */
		{ "\1\0\0\0\xf8\xff\xff\xff_", 9 }, /* and so that a sum would wrap */
		{ "\1\0\0\0\1\0\0\0__", 10 },       /* something behind it */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tlv_field f;
		assert_int_equal(tlv_find(rows[i].bytes, rows[i].size, 1, &f), -EPROTO);
	}
}

static void tlv_get__refuses_other_kinds(void **state)
{
	struct tlv_field f = { .tag = 1, .size = 7, .data = (const uint8_t *)"1234567" };
	const char *text = NULL;
	uint64_t n;
	(void)state;
	assert_int_equal(tlv_get_u64(&f, &n), -EPROTO);
	assert_int_equal(tlv_get_text(&f, &text), -EPROTO); /* no NUL */
	f.data = (const uint8_t *)"12\0"
				  "456";
	assert_int_equal(tlv_get_text(&f, &text), -EPROTO); /* two */
	f.size = 0;
	assert_int_equal(tlv_get_text(&f, &text), -EPROTO);
	assert_null(text);
}

static void tlv_put__fails_beyond_the_most(void **state)
{
	static char big[TLV_BYTES_MAX];
	cleanup_tlv struct tlv_writer w = { 0 };
	(void)state;
	tlv_put(&w, 1, big, sizeof(big) - TLV_HEAD_BYTES);
	assert_false(w.failed);
	assert_int_equal(w.size, TLV_BYTES_MAX);
	size_t mark = tlv_open(&w, 2);
	assert_true(w.failed);
	tlv_close(&w, mark);
	tlv_put(&w, 1, big, SIZE_MAX);
	assert_int_equal(w.size, TLV_BYTES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tlv__reads_what_it_wrote),
		cmocka_unit_test(tlv__is_little_endian),
		cmocka_unit_test(tlv_next__refuses_what_is_no_field),
		cmocka_unit_test(tlv_get__refuses_other_kinds),
		cmocka_unit_test(tlv_put__fails_beyond_the_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
