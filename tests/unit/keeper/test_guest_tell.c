/* SPDX-License-Identifier: Apache-2.0 */
/* guest_tell - what a guest tells of its processes and its use. */
#include "fixture.h"

#include "keeper/guest_tell.h"

#include "isola/fd.h"
#include "isola/guest.h"
#include "isola/json.h"
#include "isola/tlv.h"
#include "isola/wire.h"

static void put_row(struct tlv_writer *w, uint64_t pid, const char *name, const void *command,
		    size_t size, int numbers)
{
	size_t mark = tlv_open(w, GF_PS);
	tlv_put_u64(w, GF_PID, pid);
	tlv_put_u64(w, GF_UID, 5);
	tlv_put_u64(w, GF_GID, 6);
	tlv_put_u64(w, GF_STATE, 'S');
	tlv_put_text(w, GF_NAME, name);
	tlv_put(w, GF_COMMAND, command, size);
	for (int i = 0; i < numbers; i++)
		tlv_put_u64(w, GF_NUMBER, (uint64_t)i - 1);
	tlv_close(w, mark);
}

static void ps__is_rows(void **state)
{
	(void)state;
	cleanup_tlv struct tlv_writer w = { 0 };
	cleanup_json json_object *o = NULL;
	struct err err = ERR_INIT;
	tlv_put_u64(&w, GF_BOOT_US, 12345678);
	put_row(&w, 7, "s\033h", "sh\0-c\0\xc2\x9b\xffx\xc3\xa4\0", 12, GUEST_PS_NUMBERS);
	assert_int_equal(guest_tell_ps(w.data, w.size, &o, &err), 0);
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			    "{\"uptime_ticks\":1234,\"processes\":[[7,5,6,-1,0,1,2,3,4,5,6,7,\"S\","
			    "\"s?h\",\"sh -c ???x\xc3\xa4\"]]}");
}

static void ps__refuses_what_makes_no_sense(void **state)
{
	(void)state;
	static const struct {
		uint64_t pid;
		const char *name;
		int numbers;
	} rows[] = {
		{ UINT64_C(1) << 32, "a", GUEST_PS_NUMBERS },
		{ 1, "a", GUEST_PS_NUMBERS - 1 },
		{ 1, "a", GUEST_PS_NUMBERS + 1 },
		{ 1, NULL, GUEST_PS_NUMBERS },
		{ 1, "12345678901234567890123456789012345678901234567890123456789012345",
		  GUEST_PS_NUMBERS },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_tlv struct tlv_writer w = { 0 };
		json_object *o = NULL;
		struct err err = ERR_INIT;
		put_row(&w, rows[i].pid, rows[i].name, "c", 1, rows[i].numbers);
		assert_int_equal(guest_tell_ps(w.data, w.size, &o, &err), -EPROTO);
		assert_true(*err.text);
		assert_null(o);
	}
}

static void ps__fits_a_message(void **state)
{
	(void)state;
	cleanup_tlv struct tlv_writer w = { 0 };
	cleanup_json json_object *o = NULL;
	char command[GUEST_COMMAND_MAX];
	struct err err = ERR_INIT;
	memset(command, '"', sizeof(command)); /* twice as long in JSON */
	for (int i = 0; i < GUEST_PS_MAX; i++)
		put_row(&w, 7, "x", command, sizeof(command), GUEST_PS_NUMBERS);
	assert_false(w.failed);
	assert_int_equal(guest_tell_ps(w.data, w.size, &o, &err), 0);
	assert_true(strlen(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN)) <
		    WIRE_BYTES_MAX - 4096);
	assert_true(json_len(json_get(o, "processes")) > 80);
}

static void stats__are_known_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint64_t number;
		int rc;
	} rows[] = {
		{ "memory.current", 5, 0 },
		{ "memory.current", UINT64_MAX, -EPROTO },
		{ "other", 5, -EPROTO },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_tlv struct tlv_writer w = { 0 };
		cleanup_json json_object *o = NULL;
		struct err err = ERR_INIT;
		size_t mark = tlv_open(&w, GF_STAT);
		tlv_put_text(&w, GF_NAME, rows[i].name);
		tlv_put_u64(&w, GF_NUMBER, rows[i].number);
		tlv_close(&w, mark);
		assert_int_equal(guest_tell_stats(w.data, w.size, &o, &err), rows[i].rc);
		assert_int_equal(json_i64_or(o, rows[i].name, -1), rows[i].rc ? -1 : 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ps__is_rows),
		cmocka_unit_test(ps__refuses_what_makes_no_sense),
		cmocka_unit_test(ps__fits_a_message),
		cmocka_unit_test(stats__are_known_numbers),
	};
	return cmocka_run_group_tests_name("guest_tell", tests, NULL, NULL);
}
