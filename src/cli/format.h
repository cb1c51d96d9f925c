/* SPDX-License-Identifier: Apache-2.0 */
/* format - how Docker writes sizes and spans of time, tables, and --format. */
#pragma once

#include "cli.h"

#include <stddef.h>
#include <stdint.h>

/* "1.24MB" (powers of 1000, 3 digits) and "61.3MiB" (powers of 1024). */
void format_size(int64_t bytes, char *buf, size_t size);
void format_size_binary(int64_t bytes, char *buf, size_t size);
/* "About an hour", "3 days": without "ago". */
void format_span(int64_t seconds, char *buf, size_t size);

/* One column: heading and the field of a row object that fills it. */
struct column {
	const char *title;
	const char *field;
};

/* Prints @rows (array of objects of strings) as --format asks: NULL or "table" =
 * @columns; "json" = an object a line; "table TEMPLATE"; or a template a row.
 * @columns ends with a NULL title and names all fields of a row: those beyond
 * @n_default are for "table {{.Field}}" headings only. Returns an exit code. */
int format_rows(struct cli *cli, const char *format, const struct column *columns, size_t n_default,
		json_object *rows);

/* Prints one document by a template (or "json"); @format must not be NULL. */
int format_document(struct cli *cli, const char *format, json_object *doc);

/* Prints an array of documents as inspect does: pretty JSON, or @format each. */
int format_documents(struct cli *cli, const char *format, json_object *docs);
