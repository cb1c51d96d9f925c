/* SPDX-License-Identifier: Apache-2.0 */
/* parse - from bytes to a request that a handler can take: libhttp-parser's
 * callbacks, limits, and the choice of the route. Foreign bytes; isolad, loop
 * thread. RFC 9112. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct conn;

/* Parses some bytes and does what they mean: may run a handler, answer, or
 * close the connection. Returns how many bytes were used; conn->state tells
 * whether more may be given. */
size_t parse_some(struct conn *conn, const char *data, size_t size);

/* Is the connection busy with something that may last for ever? */
bool parse_is_open_ended(const struct conn *conn);
