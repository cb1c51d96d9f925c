/* SPDX-License-Identifier: Apache-2.0 */
/* jsonesc - what any JSON parser reads back. */
#include "fixture.h"

#include "keeper/jsonesc.h"

#include "isola/json.h"
#include "isola/strbuf.h"

/* What @in must become: replaced bytes as U+FFFD. A plain second opinion. */
static void expect_text(struct strbuf *b, const unsigned char *in, size_t size)
{
	for (size_t i = 0; i < size;) {
		size_t len = 0;
		unsigned int u = 0;
		if (in[i] < 0x80)
			len = 1, u = in[i];
		else if (in[i] >> 5 == 6)
			len = 2, u = in[i] & 31;
		else if (in[i] >> 4 == 14)
			len = 3, u = in[i] & 15;
		else if (in[i] >> 3 == 30)
			len = 4, u = in[i] & 7;
		for (size_t k = 1; k < len; k++) {
			if (i + k >= size || in[i + k] >> 6 != 2)
				len = 0;
			else
				u = u << 6 | (in[i + k] & 63);
		}
		static const unsigned int least[] = { 0, 0, 0x80, 0x800, 0x10000 };
		if (len == 0 || u < least[len] || u > 0x10ffff || (u >= 0xd800 && u < 0xe000)) {
			strbuf_puts(b, "\xef\xbf\xbd");
			i++;
		} else {
			strbuf_add(b, in + i, len);
			i += len;
		}
	}
}

/* Escapes @in, has json-c read it, compares. */
static void round_trip(const char *in, size_t size)
{
	cleanup_strbuf struct strbuf doc = STRBUF_INIT, want = STRBUF_INIT;
	cleanup_free char *out = malloc(size * JSONESC_GROWTH + 8);
	size_t n = jsonesc(out, in, size);
	assert_true(n <= size * JSONESC_GROWTH);
	strbuf_putc(&doc, '"');
	strbuf_add(&doc, out, n);
	strbuf_putc(&doc, '"');
	cleanup_json json_object *o = NULL;
	struct err err = ERR_INIT;
	if (json_parse(doc.text, doc.len, "it", &o, &err) < 0)
		fail_msg("%s", err.text);
	expect_text(&want, (const unsigned char *)in, size);
	assert_int_equal(json_object_get_string_len(o), want.len);
	if (want.len)
		assert_memory_equal(json_object_get_string(o), want.text, want.len);
}

static void jsonesc__knows_each_byte(void **state)
{
	(void)state;
	char all[256];
	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	round_trip(all, sizeof(all));
	for (int i = 0; i < 256; i++)
		for (size_t at = 0; at < 20; at++) {
			char text[20];
			memset(text, 'x', sizeof(text));
			text[at] = (char)i;
			round_trip(text, sizeof(text));
		}
}

static void jsonesc__keeps_what_is_utf8(void **state)
{
	(void)state;
	static const char text[] = "gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80 "
				   "\xef\xbf\xbd \xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf";
	char out[sizeof(text) * JSONESC_GROWTH + 8];
	assert_int_equal(jsonesc(out, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_memory_equal(out, text, sizeof(text) - 1);
}

static void jsonesc__replaces_what_is_not(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"\x80",
		"\xc0\xaf",
		"\xc1\xbf",
		"\xe0\x80\xaf",
		"\xed\xa0\x80",
		"\xf0\x80\x80\xaf",
		"\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xc3",
		"\xe4\xbd",
		"\xf0\x9f\x98",
		"a\xc3z",
		"\xe4\xbd\"\xa0\n",
		"\xff\xfe",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		round_trip(bad[i], strlen(bad[i]));
}

static void jsonesc__survives_random_bytes(void **state)
{
	(void)state;
	unsigned int seed = 1;
	for (int i = 0; i < 3000; i++) {
		char text[100];
		size_t size = (size_t)rand_r(&seed) % sizeof(text);
		for (size_t k = 0; k < size; k++) {
			int r = rand_r(&seed);
			text[k] = (char)(r & 0x100 ? r : r & 0x200 ? r | 0x80 : 'a' + r % 26);
		}
		round_trip(text, size);
	}
}

static void jsonesc_cut__never_splits_a_character(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t size, cut;
	} rows[] = {
		{ "abc", 3, 3 },
		{ "ab\xc3\xbc", 4, 4 },
		{ "ab\xc3\xbc", 3, 2 },
		{ "a\xe4\xbd\xa0", 4, 4 },
		{ "a\xe4\xbd\xa0", 3, 1 },
		{ "a\xe4\xbd\xa0", 2, 1 },
		{ "\xf0\x9f\x98\x80", 4, 4 },
		{ "\xf0\x9f\x98\x80", 3, 0 },
		{ "\x80\x80\x80\x80", 4, 4 },
		{ "a\xff", 2, 2 },
		{ "", 0, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(jsonesc_cut(rows[i].text, rows[i].size), rows[i].cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jsonesc__knows_each_byte),
		cmocka_unit_test(jsonesc__keeps_what_is_utf8),
		cmocka_unit_test(jsonesc__replaces_what_is_not),
		cmocka_unit_test(jsonesc__survives_random_bytes),
		cmocka_unit_test(jsonesc_cut__never_splits_a_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
