/* SPDX-License-Identifier: Apache-2.0 */
/* bars - what a pull's progress looks like, on a terminal of the test's own that
 * understands just the escapes which bars.c uses and fails at any other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/bars.h"
#include "isola/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS    60
#define COLUMNS 120

/* A screen that is never scrolled: @height is what bars is told. */
struct screen {
	char cell[ROWS][COLUMNS + 1];
	int row, column, width, height;
	struct bars *bars;
};

static void clear_from(struct screen *s, int row, int column)
{
	memset(s->cell[row] + column, 0, (size_t)(COLUMNS - column));
}

static const char *escape(struct screen *s, const char *p)
{
	char *end;
	assert_int_equal(*p++, '[');
	long n = strtol(p, &end, 10);
	if (*end == 'A') {
		s->row -= (int)n;
		assert_true(s->row >= 0);
	} else if (*end == 'K') {
		clear_from(s, s->row, s->column);
	} else if (*end == 'J') {
		clear_from(s, s->row, s->column);
		for (int r = s->row + 1; r < ROWS; r++)
			clear_from(s, r, 0);
	} else {
		fail_msg("an escape sequence [%s", p);
	}
	return end + 1;
}

static void feed(struct screen *s, const struct strbuf *out)
{
	for (const char *p = out->text ? out->text : ""; *p;) {
		char c = *p++;
		if (c == '\033') {
			p = escape(s, p);
		} else if (c == '\r') {
			s->column = 0;
		} else if (c == '\n') {
			s->column = 0;
			s->row++;
			assert_true(s->row < ROWS);
		} else {
			assert_true(c >= ' ' && c <= '~' && s->column < s->width);
			s->cell[s->row][s->column++] = c;
		}
	}
}

static void take(struct screen *s, const char *json)
{
	cleanup_strbuf struct strbuf out = STRBUF_INIT;
	cleanup_json json_object *line = NULL;
	assert_int_equal(json_parse(json, strlen(json), "line", &line, NULL), 0);
	bars_take(s->bars, line, s->width, s->height, &out);
	bars_draw(s->bars, s->width, s->height, &out);
	feed(s, &out);
}

static void take_step(struct screen *s, const char *id, const char *status, int current, int total)
{
	char text[256];
	(void)snprintf(text, sizeof(text),
		       "{\"status\":\"%s\",\"id\":\"%s\",\"progressDetail\":{\"current\":%d,"
		       "\"total\":%d}}",
		       status, id, current, total);
	take(s, text);
}

static int setup(void **state)
{
	struct screen *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->width = 80;
	s->height = 24;
	s->bars = bars_new(true);
	*state = s;
	return 0;
}

static int setup_plain(void **state)
{
	(void)setup(state);
	struct screen *s = *state;
	bars_free(s->bars);
	s->bars = bars_new(false);
	return 0;
}

static int teardown(void **state)
{
	struct screen *s = *state;
	bars_free(s->bars);
	free(s);
	return 0;
}

static void bars__redraw_rows_in_their_places(void **state)
{
	struct screen *s = *state;
	take_step(s, "1.36", "Pulling from library/busybox", 0, 0);
	take_step(s, "aaaaaaaaaaaa", "Pulling fs layer", 0, 0);
	take_step(s, "bbbbbbbbbbbb", "Pulling fs layer", 0, 0);
	take_step(s, "aaaaaaaaaaaa", "Downloading", 500000, 1000000);
	take_step(s, "bbbbbbbbbbbb", "Already exists", 0, 0);
	assert_string_equal(s->cell[0], "1.36: Pulling from library/busybox");
	assert_string_equal(s->cell[1], "aaaaaaaaaaaa: Downloading "
					"[===================>                  ]    500kB/1MB");
	assert_string_equal(s->cell[2], "bbbbbbbbbbbb: Already exists");
	assert_int_equal(s->row, 3);
	/* A shorter text leaves nothing of the longer one. */
	take_step(s, "aaaaaaaaaaaa", "Pull complete", 1000000, 1000000);
	assert_string_equal(s->cell[1], "aaaaaaaaaaaa: Pull complete");
	take(s, "{\"status\":\"Digest: sha256:abc\"}");
	assert_string_equal(s->cell[3], "Digest: sha256:abc");
	/* The rows above it are final: the same id is a new row. */
	take_step(s, "aaaaaaaaaaaa", "Pulling fs layer", 0, 0);
	assert_string_equal(s->cell[1], "aaaaaaaaaaaa: Pull complete");
	assert_string_equal(s->cell[4], "aaaaaaaaaaaa: Pulling fs layer");
}

static void bars__fit_the_width(void **state)
{
	struct screen *s = *state;
	for (s->width = 2; s->width < COLUMNS; s->width++) {
		take_step(s, "aaaaaaaaaaaa", "Extracting", 77, 100);
		take_step(s, "bbbbbbbbbbbb", "Downloading", 1, 0);
		assert_true(strlen(s->cell[0]) < (size_t)s->width);
		assert_int_equal(s->row, 2);
	}
	assert_non_null(strchr(s->cell[0], '>'));
	int long_lines = ((int)strlen(s->cell[0]) + 39) / 40;
	s->width = 40;
	s->row = long_lines + 1; /* where the terminal has broken them to */
	take_step(s, "aaaaaaaaaaaa", "Extracting", 78, 100);
	assert_string_equal(s->cell[0], "aaaaaaaaaaaa: Extracting      78B/100B");
}

/* A terminal that is made narrower breaks the lines that stand there. */
static void bars__find_the_first_row_behind_a_resize(void **state)
{
	struct screen *s = *state;
	s->width = 100;
	take_step(s, "aaaaaaaaaaaa", "Extracting", 50, 100);
	assert_true(strlen(s->cell[0]) > 60);
	int lines = ((int)strlen(s->cell[0]) + 29) / 30;
	s->width = 30;
	s->row = lines; /* where the terminal has the cursor now */
	take_step(s, "bbbbbbbbbbbb", "Pulling fs layer", 0, 0);
	assert_int_equal(s->row, 2);
	assert_string_equal(s->cell[0], "aaaaaaaaaaaa: Extracting");
	assert_string_equal(s->cell[1], "bbbbbbbbbbbb: Pulling fs laye");
	assert_string_equal(s->cell[2], "");
}

static void bars__count_what_does_not_fit_the_height(void **state)
{
	struct screen *s = *state;
	char id[16];
	s->height = 6;
	for (int i = 0; i < 40; i++) {
		(void)snprintf(id, sizeof(id), "layer%d", i);
		take_step(s, id, i < 30 ? "Pull complete" : "Pulling fs layer", 0, 0);
		assert_true(s->row <= 5);
	}
	assert_string_equal(s->cell[0], "layer30: Pulling fs layer");
	assert_string_equal(s->cell[3], "layer33: Pulling fs layer");
	assert_string_equal(s->cell[4], "30 of 40 done");
	/* All of them at the end, however long the list. */
	cleanup_strbuf struct strbuf out = STRBUF_INIT;
	bars_end(s->bars, s->width, s->height, &out);
	feed(s, &out);
	assert_int_equal(s->row, 40);
	assert_string_equal(s->cell[39], "layer39: Pulling fs layer");
}

static void bars__show_no_foreign_escape(void **state)
{
	struct screen *s = *state;
	take_step(s, "\\u001b[2J", "\\u001b]0;x\\u0007\\u009b5n", 0, 0);
	assert_string_equal(s->cell[0], "?[2J: ?]0;x???5n");
	take(s, "{\"status\":\"Status: \\u001b[31m\\n\\rfor x\"}");
	assert_string_equal(s->cell[1], "Status: ?[31m??for x");
	take(s, "{\"stream\":\"a\\u001b[A\\n\"}");
	assert_string_equal(s->cell[2], "a?[A");
	/* Nonsense of types and amounts. */
	take(s, "{\"status\":7,\"id\":[],\"progressDetail\":\"x\"}");
	take_step(s, "a", "Downloading", -5, -9);
	take_step(s, "b", "Downloading", 2000000000, 1);
	take(s, "{}");
}

static void bars__are_bounded(void **state)
{
	struct screen *s = *state;
	char id[16];
	s->height = 4;
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		take_step(s, id, "Pull complete", 0, 0);
	}
	assert_string_equal(s->cell[0], "1024 of 1024 done");
}

static void bars__are_lines_where_there_is_no_terminal(void **state)
{
	struct screen *s = *state;
	take_step(s, "1", "Pulling from a", 0, 0);
	take_step(s, "aaaa", "Downloading", 1, 10);
	take_step(s, "aaaa", "Download complete", 10, 10);
	take_step(s, "aaaa", "Extracting", 1, 10);
	take_step(s, "aaaa", "Pull complete", 0, 0);
	take(s, "{\"status\":\"Digest: x\"}");
	cleanup_strbuf struct strbuf out = STRBUF_INIT;
	bars_end(s->bars, s->width, s->height, &out);
	assert_int_equal(out.len, 0);
	assert_string_equal(s->cell[0], "1: Pulling from a");
	assert_string_equal(s->cell[1], "aaaa: Download complete");
	assert_string_equal(s->cell[2], "aaaa: Pull complete");
	assert_string_equal(s->cell[3], "Digest: x");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(bars__redraw_rows_in_their_places),
		CASE(bars__fit_the_width),
		CASE(bars__find_the_first_row_behind_a_resize),
		CASE(bars__count_what_does_not_fit_the_height),
		CASE(bars__show_no_foreign_escape),
		CASE(bars__are_bounded),
		cmocka_unit_test_setup_teardown(bars__are_lines_where_there_is_no_terminal,
						setup_plain, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
