/* SPDX-License-Identifier: Apache-2.0 */
/* format - see format.h. Runs in the CLIs. */
#include "format.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "template.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void scaled(int64_t bytes, double base, const char *const *units, int digits, char *buf,
		   size_t size)
{
	double v = (double)bytes;
	size_t i = 0;
	for (; v >= base && units[i + 1]; i++)
		v /= base;
	(void)snprintf(buf, size, "%.*g%s", digits, v, units[i]);
}

void format_size(int64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", NULL };
	scaled(bytes, 1000, units, 3, buf, size);
}

void format_size_binary(int64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", NULL };
	scaled(bytes, 1024, units, 4, buf, size);
}

void format_span(int64_t seconds, char *buf, size_t size)
{
	int64_t minutes = seconds / 60, hours = (seconds + 1800) / 3600;
	if (seconds < 1)
		(void)snprintf(buf, size, "Less than a second");
	else if (seconds == 1)
		(void)snprintf(buf, size, "1 second");
	else if (seconds < 60)
		(void)snprintf(buf, size, "%d seconds", (int)seconds);
	else if (minutes == 1)
		(void)snprintf(buf, size, "About a minute");
	else if (minutes < 60)
		(void)snprintf(buf, size, "%d minutes", (int)minutes);
	else if (hours == 1)
		(void)snprintf(buf, size, "About an hour");
	else if (hours < 48)
		(void)snprintf(buf, size, "%d hours", (int)hours);
	else if (hours < 24 * 7 * 2)
		(void)snprintf(buf, size, "%d days", (int)(hours / 24));
	else if (hours < 24 * 30 * 2)
		(void)snprintf(buf, size, "%d weeks", (int)(hours / 24 / 7));
	else if (hours < 24 * 365 * 2)
		(void)snprintf(buf, size, "%d months", (int)(hours / 24 / 30));
	else
		(void)snprintf(buf, size, "%d years", (int)(hours / 24 / 365));
}

/* ---- tables: cells separated by tabs, one line a row ---- */

#define COLUMNS_MAX 24
#define WIDTH_MIN   10
#define PADDING     3

/* Width on the terminal: UTF-8 continuation bytes take no place. */
static size_t text_width(const char *p, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)p[i] & 0xc0) != 0x80;
	return n;
}

static void print_table(const char *text)
{
	size_t widths[COLUMNS_MAX] = { 0 }, col = 0;
	for (const char *p = text; *p; p++) {
		size_t len = strcspn(p, "\t\n"), w = text_width(p, len);
		if (col < COLUMNS_MAX && w + PADDING > widths[col])
			widths[col] = w + PADDING;
		p += len;
		col = *p == '\t' ? col + 1 : 0;
		if (!*p)
			break;
	}
	col = 0;
	for (const char *p = text; *p; p++) {
		size_t len = strcspn(p, "\t\n"), w = text_width(p, len);
		(void)fwrite(p, 1, len, stdout);
		p += len;
		if (*p == '\t') {
			size_t to = col < COLUMNS_MAX ? widths[col] : 0;
			if (to < WIDTH_MIN)
				to = WIDTH_MIN;
			for (; w < to; w++)
				(void)fputc(' ', stdout);
			col++;
		} else {
			(void)fputc('\n', stdout);
			col = 0;
		}
		if (!*p)
			break;
	}
}

/* Control characters of foreign text must not reach the terminal from a table. */
static void add_cell(struct strbuf *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		strbuf_putc(out, *p < 0x20 || *p == 0x7f ? ' ' : (char)*p);
}

static int default_table(const struct column *columns, size_t n, json_object *rows)
{
	cleanup_strbuf struct strbuf out = STRBUF_INIT;
	for (size_t c = 0; c < n; c++)
		strbuf_printf(&out, "%s%s", c ? "\t" : "", columns[c].title);
	strbuf_putc(&out, '\n');
	for (size_t i = 0; i < json_len(rows); i++) {
		json_object *row = json_object_array_get_idx(rows, i);
		for (size_t c = 0; c < n; c++) {
			if (c)
				strbuf_putc(&out, '\t');
			add_cell(&out, json_str_or(row, columns[c].field, ""));
		}
		strbuf_putc(&out, '\n');
	}
	if (!strbuf_ok(&out))
		return 1;
	print_table(out.text);
	return 0;
}

struct titles {
	const struct column *columns;
	json_object *row;
};

static void add_title(void *arg, const char *name)
{
	struct titles *t = arg;
	for (const struct column *c = t->columns; c->title; c++)
		if (!strcmp(c->field, name))
			json_add_str(t->row, name, c->title);
}

/* "\t" and "\n" typed as two characters in --format are meant as one. */
static char *unescape(const char *text)
{
	struct strbuf b = STRBUF_INIT;
	for (const char *p = text; *p; p++) {
		if (*p == '\\' && (p[1] == 't' || p[1] == 'n'))
			strbuf_putc(&b, *++p == 't' ? '\t' : '\n');
		else
			strbuf_putc(&b, *p);
	}
	return strbuf_take(&b);
}

static int run_rows(const struct template *t, const struct column *columns, bool table,
		    json_object *rows, struct err *err)
{
	cleanup_strbuf struct strbuf out = STRBUF_INIT;
	int rc = 0;
	if (table) {
		cleanup_json json_object *head = json_object_new_object();
		struct titles titles = { columns, head };
		template_fields(t, add_title, &titles);
		rc = template_run(t, head, &out, err);
		strbuf_putc(&out, '\n');
	}
	for (size_t i = 0; i < json_len(rows) && rc == 0; i++) {
		rc = template_run(t, json_object_array_get_idx(rows, i), &out, err);
		strbuf_putc(&out, '\n');
	}
	if (rc < 0 || !out.text)
		return rc;
	if (table)
		print_table(out.text);
	else
		(void)fputs(out.text, stdout);
	return 0;
}

static int template_rows(struct cli *cli, const char *format, const struct column *columns,
			 bool table, json_object *rows)
{
	struct err err = ERR_INIT;
	struct template *t = NULL;
	cleanup_free char *text = unescape(format);
	int rc = text ? template_parse(text, &t, &err) : err_set(&err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = run_rows(t, columns, table, rows, &err);
	template_free(t);
	return rc < 0 ? cli_fail(cli, 1, &err) : 0;
}

int format_rows(struct cli *cli, const char *format, const struct column *columns, size_t n_default,
		json_object *rows)
{
	if (!format || !*format || !strcmp(format, "table"))
		return default_table(columns, n_default, rows);
	if (!strcmp(format, "json"))
		return template_rows(cli, "{{json .}}", columns, false, rows);
	if (!strncmp(format, "table ", 6))
		return template_rows(cli, format + 6, columns, true, rows);
	return template_rows(cli, format, columns, false, rows);
}

int format_document(struct cli *cli, const char *format, json_object *doc)
{
	cleanup_json json_object *rows = json_object_new_array();
	json_object_array_add(rows, json_object_get(doc));
	return template_rows(cli, !strcmp(format, "json") ? "{{json .}}" : format, NULL, false,
			     rows);
}

int format_documents(struct cli *cli, const char *format, json_object *docs)
{
	if (!format && json_len(docs) == 0) {
		puts("[]");
		return 0;
	}
	if (!format) {
		puts(json_object_to_json_string_ext(docs, JSON_C_TO_STRING_PRETTY |
								  JSON_C_TO_STRING_NOSLASHESCAPE));
		return 0;
	}
	int code = 0;
	for (size_t i = 0; i < json_len(docs) && code == 0; i++)
		code = format_document(cli, format, json_object_array_get_idx(docs, i));
	return code;
}
