/* SPDX-License-Identifier: Apache-2.0 */
/* jlog - records, splitting, rotation, and a disk that is full. */
#include "fixture.h"

#include "keeper/jlog.h"

#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static struct jlog *open_log(int64_t max_size, unsigned int max_files)
{
	const struct jlog_limits limits = { max_size, max_files };
	struct jlog *log = NULL;
	struct err err = ERR_INIT;
	if (jlog_open(in_folder("log"), &limits, NULL, &log, &err) < 0)
		fail_msg("%s", err.text);
	return log;
}

/* All records of a file as one array, owned; each line must be JSON. */
static json_object *records(const char *name)
{
	json_object *list = json_object_new_array();
	cleanup_free char *text = read_text(name);
	for (char *p = text; p && *p;) {
		char *nl = strchr(p, '\n');
		assert_non_null(nl);
		json_object *o = NULL;
		struct err err = ERR_INIT;
		if (json_parse(p, (size_t)(nl - p), name, &o, &err) < 0)
			fail_msg("%s", err.text);
		json_object_array_add(list, o);
		p = nl + 1;
	}
	return list;
}

static const char *text_of(json_object *list, size_t i)
{
	return json_str_or(json_object_array_get_idx(list, i), "log", "(none)");
}

static const char *stream_of(json_object *list, size_t i)
{
	return json_str_or(json_object_array_get_idx(list, i), "stream", "(none)");
}

static void puts_log(struct jlog *log, enum jlog_stream stream, const char *text)
{
	jlog_write(log, stream, text, strlen(text));
}

static void jlog_write__makes_a_record_a_line(void **state)
{
	(void)state;
	int64_t before = num_now_ns(), ns = 0;
	struct jlog *log = open_log(0, 1);
	puts_log(log, JLOG_STDOUT, "one\ntwo\n\nth");
	puts_log(log, JLOG_STDERR, "oops \"x\"\t\x01\r\n");
	puts_log(log, JLOG_STDOUT, "ree\nrest");
	jlog_close(log);
	cleanup_json json_object *list = records("log");
	assert_int_equal(json_len(list), 6);
	assert_string_equal(text_of(list, 0), "one\n");
	assert_string_equal(text_of(list, 1), "two\n");
	assert_string_equal(text_of(list, 2), "\n");
	assert_string_equal(text_of(list, 3), "oops \"x\"\t\x01\r\n");
	assert_string_equal(stream_of(list, 3), "stderr");
	assert_string_equal(text_of(list, 4), "three\n");
	assert_string_equal(stream_of(list, 4), "stdout");
	assert_string_equal(text_of(list, 5), "rest");
	const char *when = json_str_or(json_object_array_get_idx(list, 0), "time", "");
	assert_int_equal(strlen(when), 30);
	assert_int_equal(num_parse_time(when, &ns), 0);
	assert_in_range(ns, before, num_now_ns());
}

static void jlog_write__takes_it_byte_by_byte(void **state)
{
	(void)state;
	struct jlog *log = open_log(0, 1);
	static const char text[] = "a\n\xe4\xbd\xa0\n";
	for (size_t i = 0; text[i]; i++)
		jlog_write(log, JLOG_STDOUT, text + i, 1);
	jlog_close(log);
	cleanup_json json_object *list = records("log");
	assert_int_equal(json_len(list), 2);
	assert_string_equal(text_of(list, 1), "\xe4\xbd\xa0\n");
}

static void jlog_write__splits_long_lines(void **state)
{
	(void)state;
	struct jlog *log = open_log(0, 1);
	const size_t size = 2 * JLOG_LINE_MAX + 100;
	cleanup_free char *line = malloc(size + 1);
	memset(line, 'x', size);
	line[size] = '\n';
	jlog_write(log, JLOG_STDOUT, line, size + 1);
	/* The same in odd pieces. */
	for (size_t at = 0; at < size + 1; at += 1001)
		jlog_write(log, JLOG_STDERR, line + at,
			   size + 1 - at < 1001 ? size + 1 - at : 1001);
	jlog_close(log);
	cleanup_json json_object *list = records("log");
	assert_int_equal(json_len(list), 6);
	for (size_t i = 0; i < 6; i++) {
		json_object *o = json_object_array_get_idx(list, i);
		int len = json_object_get_string_len(json_get(o, "log"));
		assert_int_equal(len, i % 3 == 2 ? 101 : JLOG_LINE_MAX);
		/* One line, one time. */
		json_object *first = json_object_array_get_idx(list, i / 3 * 3);
		assert_string_equal(json_str_or(o, "time", ""), json_str_or(first, "time", "x"));
	}
}

static void jlog_write__splits_between_characters(void **state)
{
	(void)state;
	struct jlog *log = open_log(0, 1);
	cleanup_strbuf struct strbuf want = STRBUF_INIT;
	for (int i = 0; i < 9000; i++)
		strbuf_puts(&want, "\xe4\xbd\xa0");
	for (size_t at = 0; at < want.len; at += 777)
		jlog_write(log, JLOG_STDOUT, want.text + at,
			   want.len - at < 777 ? want.len - at : 777);
	jlog_close(log);
	cleanup_json json_object *list = records("log");
	cleanup_strbuf struct strbuf got = STRBUF_INIT;
	for (size_t i = 0; i < json_len(list); i++)
		strbuf_puts(&got, text_of(list, i));
	assert_string_equal(got.text, want.text);
	assert_int_equal(json_len(list), 2);
}

static void jlog_write__puts_attrs_into_each_record(void **state)
{
	(void)state;
	const struct jlog_limits limits = { 0, 1 };
	struct jlog *log = NULL;
	cleanup_json json_object *attrs = json_object_new_object();
	json_add_str(attrs, "k\"", "v/");
	assert_int_equal(jlog_open(in_folder("log"), &limits, attrs, &log, NULL), 0);
	puts_log(log, JLOG_STDOUT, "x\n");
	jlog_close(log);
	cleanup_json json_object *list = records("log");
	json_object *got = json_get(json_object_array_get_idx(list, 0), "attrs");
	assert_string_equal(json_str_or(got, "k\"", ""), "v/");
}

/* Numbered lines across rotation: each exactly once, in order, files bounded. */
static void jlog_rotate__keeps_order_and_size(void **state)
{
	(void)state;
	struct jlog *log = open_log(4000, 5);
	for (int i = 0; i < 150; i++) {
		char line[32];
		(void)snprintf(line, sizeof(line), "line %d\n", i);
		puts_log(log, JLOG_STDOUT, line);
	}
	jlog_close(log);
	int next = 0;
	for (int f = 4; f >= 0; f--) {
		char name[16];
		(void)snprintf(name, sizeof(name), f ? "log.%d" : "log", f);
		cleanup_free char *text = read_text(name);
		if (!text)
			continue;
		assert_true(strlen(text) <= 4000);
		cleanup_json json_object *list = records(name);
		for (size_t i = 0; i < json_len(list); i++) {
			char want[32];
			(void)snprintf(want, sizeof(want), "line %d\n", next++);
			assert_string_equal(text_of(list, i), want);
		}
	}
	assert_int_equal(next, 150);
	assert_null(read_text("log.5"));
}

static void jlog_rotate__drops_the_oldest(void **state)
{
	(void)state;
	struct jlog *log = open_log(1, 2); /* each record is a file */
	puts_log(log, JLOG_STDOUT, "a\nb\nc\n");
	jlog_close(log);
	cleanup_json json_object *now = records("log"), *before = records("log.1");
	assert_int_equal(json_len(now), 1);
	assert_string_equal(text_of(now, 0), "c\n");
	assert_string_equal(text_of(before, 0), "b\n");
	assert_null(read_text("log.2"));
}

static void jlog_rotate__works_with_one_file(void **state)
{
	(void)state;
	struct jlog *log = open_log(1, 1);
	int old = -1;
	puts_log(log, JLOG_STDOUT, "a\n");
	old = open(in_folder("log"), O_RDONLY | O_CLOEXEC);
	puts_log(log, JLOG_STDOUT, "b\n");
	jlog_close(log);
	char text[200] = "";
	assert_true(read(old, text, sizeof(text) - 1) > 0); /* a reader keeps it */
	assert_non_null(strstr(text, "\"a\\n\""));
	close(old);
	cleanup_json json_object *now = records("log");
	assert_string_equal(text_of(now, 0), "b\n");
	assert_null(read_text("log.1"));
}

static void jlog_limit__takes_effect_at_once(void **state)
{
	(void)state;
	struct jlog *log = open_log(1, 4);
	puts_log(log, JLOG_STDOUT, "a\nb\nc\nd\n");
	const struct jlog_limits two = { 1, 2 };
	jlog_limit(log, &two);
	assert_null(read_text("log.2"));
	assert_null(read_text("log.3"));
	puts_log(log, JLOG_STDOUT, "e\n");
	jlog_close(log);
	cleanup_json json_object *before = records("log.1");
	assert_string_equal(text_of(before, 0), "d\n");
}

static void jlog_open__mends_a_cut_off_record(void **state)
{
	(void)state;
	write_text("log", "{\"log\":\"whole\\n\"}\n{\"log\":\"ha");
	struct jlog *log = open_log(0, 1);
	puts_log(log, JLOG_STDOUT, "next\n");
	jlog_close(log);
	cleanup_free char *text = read_text("log");
	assert_non_null(strstr(text, "{\"log\":\"ha\n{\"log\":\"next\\n\""));
}

static void jlog_open__refuses_what_is_no_file(void **state)
{
	(void)state;
	const struct jlog_limits limits = { 0, 1 };
	struct jlog *log = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(jlog_open("relative", &limits, NULL, &log, &err), -EINVAL);
	assert_int_equal(jlog_open("/", &limits, NULL, &log, &err), -EINVAL);
	assert_int_equal(jlog_open(in_folder("no/log"), &limits, NULL, &log, &err), -ENOENT);
	assert_int_equal(symlink("/dev/null", in_folder("link")), 0);
	assert_int_equal(jlog_open(in_folder("link"), &limits, NULL, &log, &err), -ELOOP);
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	assert_int_equal(jlog_open(in_folder("fifo"), &limits, NULL, &log, &err), -EINVAL);
	assert_null(log);
}

/* A file size limit stands for a full disk: a short write, then an error. */
static void jlog_write__outlives_a_full_disk(void **state)
{
	(void)state;
	struct rlimit old, small;
	(void)signal(SIGXFSZ, SIG_IGN);
	struct jlog *log = open_log(0, 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 100; i++) {
		char line[32];
		(void)snprintf(line, sizeof(line), "line %d\nand more\n", i);
		puts_log(log, JLOG_STDOUT, line);
	}
	int code = 0;
	uint64_t dropped = jlog_dropped(log, &code);
	assert_int_equal(code, EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	puts_log(log, JLOG_STDOUT, "again\n");
	jlog_close(log);
	/* Whole records only, a notice, and what came after. */
	cleanup_json json_object *list = records("log");
	size_t n = json_len(list);
	assert_true(n >= 4);
	assert_int_equal(dropped + n, 200 + 2);
	assert_string_equal(text_of(list, 0), "line 0\n");
	assert_string_equal(text_of(list, n - 1), "again\n");
	char want[64];
	(void)snprintf(want, sizeof(want), "isola: %d lines of output could not be logged here",
		       (int)dropped);
	assert_non_null(strstr(text_of(list, n - 2), want));
	assert_string_equal(stream_of(list, n - 2), "stderr");
}

/* Not a judgement, as machines differ; the figure is printed. */
static void jlog_write__is_fast(void **state)
{
	(void)state;
	struct jlog *log = open_log(64 << 20, 2);
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	while (b.len < 60000)
		strbuf_puts(&b, "2026-01-01 12:00:00 INFO the quick brown fox jumps over the "
				"lazy dog and reads 17 files\n");
	int64_t begin = num_now_ns(), bytes = 0;
	while (bytes < (int64_t)200 << 20) {
		jlog_write(log, JLOG_STDOUT, b.text, b.len);
		bytes += (int64_t)b.len;
	}
	double s = (double)(num_now_ns() - begin) / 1e9;
	jlog_close(log);
	print_message("# %.0f MB/s of output\n", (double)bytes / 1e6 / s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
		T(jlog_write__makes_a_record_a_line),
		T(jlog_write__takes_it_byte_by_byte),
		T(jlog_write__splits_long_lines),
		T(jlog_write__splits_between_characters),
		T(jlog_write__puts_attrs_into_each_record),
		T(jlog_rotate__keeps_order_and_size),
		T(jlog_rotate__drops_the_oldest),
		T(jlog_rotate__works_with_one_file),
		T(jlog_limit__takes_effect_at_once),
		T(jlog_open__mends_a_cut_off_record),
		T(jlog_open__refuses_what_is_no_file),
		T(jlog_write__outlives_a_full_disk),
		T(jlog_write__is_fast),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
