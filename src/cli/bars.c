/* SPDX-License-Identifier: Apache-2.0 */
/* bars - see bars.h. Escapes of ECMA-48: CUU (up), EL (to the end of the line), ED (to
 * the end of the screen). Runs in ctrctl. */
#include "bars.h"

#include "format.h"
#include "isola/json.h"
#include "plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX    1024 /* more are dropped: an image has at most 500 layers */
#define BAR_MAX     50
#define BAR_MIN     8
#define WIDTH_MIN   2
#define WIDTH_ELSE  80 /* of a terminal that does not tell */
#define HEIGHT_ELSE 24

struct row {
	char id[80], status[160];
	int64_t current, total;
};

struct bars {
	bool terminal, changed;
	struct row *rows;
	size_t n, cap;
	/* Columns of each line that is on the screen, from the first row on: a
	 * terminal that was made narrower has broken the long ones. */
	int *drawn;
	size_t n_drawn;
};

struct bars *bars_new(bool terminal)
{
	struct bars *b = calloc(1, sizeof(*b));
	if (b)
		b->terminal = terminal;
	return b;
}

void bars_free(struct bars *b)
{
	if (!b)
		return;
	free(b->rows);
	free(b->drawn);
	free(b);
}

/* Statuses that come with amounts, and those after which nothing follows. */
static bool is_in(const char *const *list, const char *status)
{
	for (; *list; list++)
		if (!strncmp(*list, status, strlen(*list)))
			return true;
	return false;
}

static bool is_done(const char *status)
{
	static const char *const done[] = { "Pull complete",        "Already exists", "Pushed",
					    "Layer already exists", "Mounted from",   NULL };
	return is_in(done, status);
}

static bool is_amount(const char *status)
{
	static const char *const amounts[] = { "Downloading", "Extracting", "Pushing", NULL };
	return is_in(amounts, status);
}

/* ---- one row ---- */

static void add_bar(struct strbuf *line, const struct row *r, int columns)
{
	int64_t current = r->current < r->total ? r->current : r->total;
	int full = (int)((double)current / (double)r->total * columns);
	strbuf_puts(line, " [");
	for (int i = 0; i < columns; i++)
		strbuf_putc(line, i < full ? '=' : i == full ? '>' : ' ');
	strbuf_putc(line, ']');
}

static void row_text(const struct row *r, int width, struct strbuf *line)
{
	char a[32], b[32], amount[80] = "";
	strbuf_printf(line, "%s: %s", r->id, r->status);
	format_size(r->current, a, sizeof(a));
	format_size(r->total, b, sizeof(b));
	if (r->current > 0 && r->total > 0)
		(void)snprintf(amount, sizeof(amount), " %8s/%s", a, b);
	else if (r->current > 0)
		(void)snprintf(amount, sizeof(amount), " %8s", a);
	int room = width - (int)line->len - (int)strlen(amount) - 3;
	if (*amount && r->total > 0 && room >= BAR_MIN)
		add_bar(line, r, room < BAR_MAX ? room : BAR_MAX);
	/* Half a number would be another one. */
	if (room >= -3)
		strbuf_puts(line, amount);
	if (line->len > (size_t)width) {
		line->len = (size_t)width;
		line->text[width] = '\0';
	}
}

/* ---- the screen ---- */

static void put_line(struct bars *b, const struct strbuf *line, struct strbuf *out)
{
	int *drawn = realloc(b->drawn, (b->n_drawn + 1) * sizeof(int));
	if (!drawn)
		return;
	b->drawn = drawn;
	b->drawn[b->n_drawn++] = (int)line->len;
	strbuf_add(out, line->text, line->len);
	strbuf_puts(out, "\033[K\n");
}

static void go_up(struct bars *b, int width, struct strbuf *out)
{
	int lines = 0;
	for (size_t i = 0; i < b->n_drawn; i++)
		lines += b->drawn[i] > width ? (b->drawn[i] + width - 1) / width : 1;
	if (lines > 0)
		strbuf_printf(out, "\033[%dA\r", lines);
	b->n_drawn = 0;
}

static void draw_row(struct bars *b, const struct row *r, int width, struct strbuf *out)
{
	cleanup_strbuf struct strbuf line = STRBUF_INIT;
	/* Not the last column: terminals differ in what comes then. */
	row_text(r, width - 1, &line);
	if (strbuf_ok(&line))
		put_line(b, &line, out);
}

static void draw_count(struct bars *b, size_t done, int width, struct strbuf *out)
{
	cleanup_strbuf struct strbuf line = STRBUF_INIT;
	strbuf_printf(&line, "%zu of %zu done", done, b->n);
	if (strbuf_ok(&line) && line.len < (size_t)width)
		put_line(b, &line, out);
}

static void draw(struct bars *b, int width, size_t max, struct strbuf *out)
{
	size_t done = 0, shown = 0;
	bool all = b->n <= max;
	width = width >= WIDTH_MIN ? width : width > 0 ? WIDTH_MIN : WIDTH_ELSE;
	go_up(b, width, out);
	for (size_t i = 0; i < b->n; i++) {
		bool ended = is_done(b->rows[i].status);
		done += ended;
		if (!all && (ended || shown + 1 >= max))
			continue;
		draw_row(b, &b->rows[i], width, out);
		shown++;
	}
	if (!all)
		draw_count(b, done, width, out);
	strbuf_puts(out, "\033[J");
	b->changed = false;
}

void bars_draw(struct bars *b, int width, int height, struct strbuf *out)
{
	int rows = height > 0 ? height : HEIGHT_ELSE;
	if (b->terminal && b->changed)
		draw(b, width, rows > 2 ? (size_t)rows - 1 : 1, out);
}

void bars_end(struct bars *b, int width, int height, struct strbuf *out)
{
	(void)height;
	if (b->terminal && b->n > 0)
		draw(b, width, b->n, out);
	b->n = b->n_drawn = 0;
	b->changed = false;
}

/* ---- the stream ---- */

static struct row *find_row(struct bars *b, const char *id)
{
	for (size_t i = b->n; i-- > 0;)
		if (!strcmp(b->rows[i].id, id))
			return &b->rows[i];
	if (b->n == ROWS_MAX)
		return NULL;
	if (b->n == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 32;
		struct row *rows = realloc(b->rows, cap * sizeof(*rows));
		if (!rows)
			return NULL;
		b->rows = rows;
		b->cap = cap;
	}
	struct row *r = &b->rows[b->n++];
	*r = (struct row){ 0 };
	(void)snprintf(r->id, sizeof(r->id), "%s", id);
	return r;
}

static void take_row(struct bars *b, const char *id, const char *status, json_object *detail,
		     struct strbuf *out)
{
	int64_t current = json_i64_or(detail, "current", 0),
		total = json_i64_or(detail, "total", 0);
	if (!b->terminal) {
		if (!is_amount(status))
			strbuf_printf(out, "%s: %s\n", id, status);
		return;
	}
	struct row *r = find_row(b, id);
	if (!r)
		return;
	(void)snprintf(r->status, sizeof(r->status), "%s", status);
	/* An amount of what is over tells nobody anything. */
	r->current = is_amount(status) && current > 0 ? current : 0;
	r->total = total > 0 ? total : 0;
	b->changed = true;
}

void bars_take(struct bars *b, json_object *line, int width, int height, struct strbuf *out)
{
	char id[80], status[160];
	const char *text = json_str_or(line, "status", "");
	plain_ascii(id, sizeof(id), json_str_or(line, "id", ""));
	plain_ascii(status, sizeof(status), text);
	if (*id) {
		take_row(b, id, status, json_get(line, "progressDetail"), out);
		return;
	}
	bars_end(b, width, height, out);
	const char *stream = json_str_or(line, "stream", NULL);
	if (stream) {
		plain_text(out, stream, true);
	} else if (*text) {
		plain_text(out, text, false);
		strbuf_putc(out, '\n');
	}
}
