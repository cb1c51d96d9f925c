/* SPDX-License-Identifier: Apache-2.0 */
/* bars - what a pull shows of Docker's progress stream. On a terminal a row for each
 * layer, with a bar, drawn again in its place; elsewhere one plain line for each step
 * that is no mere amount.
 *
 *   {"status":"Downloading","id":"a3ed95caeb02","progressDetail":{"current":1,"total":9}}
 *   a3ed95caeb02: Downloading [==>                      ]  1.2MB/9.8MB
 *
 * A line without an id ends the rows: they stay as they are, and what comes stands
 * below. Rows that do not fit the terminal's height are counted instead of shown. All
 * texts are a stranger's: see plain.h. Pure: bytes come out, nothing is written here. */
#pragma once

#include "isola/strbuf.h"

#include <json-c/json.h>
#include <stdbool.h>

struct bars;

/* NULL = no memory. @terminal: redrawing, else plain lines. */
struct bars *bars_new(bool terminal);
void bars_free(struct bars *b);

static inline void bars_cleanup(struct bars **b)
{
	bars_free(*b);
	*b = NULL;
}
#define cleanup_bars __attribute__((cleanup(bars_cleanup)))

/* Takes one line of the stream (borrowed; errors are not for us). What has to be
 * written at once is appended to @out. @width and @height: the terminal's now. */
void bars_take(struct bars *b, json_object *line, int width, int height, struct strbuf *out);

/* Appends what brings the terminal up to date; nothing when it is, or without one. */
void bars_draw(struct bars *b, int width, int height, struct strbuf *out);

/* The same at the end: all rows, however many; the cursor is below them. */
void bars_end(struct bars *b, int width, int height, struct strbuf *out);
