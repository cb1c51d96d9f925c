/* SPDX-License-Identifier: Apache-2.0 */
/* num - numbers that people type: whole-string parses, never a silent wrap. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* Decimal integers; the whole string must be the number. 0, -EINVAL or
 * -ERANGE; outputs untouched on failure. */
int num_parse_i64(const char *text, int64_t *ret);
int num_parse_u64(const char *text, uint64_t *ret);
/* With an inclusive range. */
int num_parse_range(const char *text, int64_t min, int64_t max, int64_t *ret);

/* Docker's sizes, in bytes: "64", "64b", "64k", "64m", "64g", "64t", upper
 * or lower case, an optional "b" or "ib" behind, a fraction ("1.5g"). Powers
 * of 1024. "-1" is accepted only with @allow_unlimited (-> -1). */
int num_parse_size(const char *text, int allow_unlimited, int64_t *ret_bytes);

/* "1.5" CPUs -> 1500000000 billionths, at most 9 decimals. */
int num_parse_nano(const char *text, int64_t *ret_nano);

/* Go durations ("1h2m3.5s", "300ms") -> nanoseconds. */
int num_parse_duration(const char *text, int64_t *ret_ns);

/* Wall clock in nanoseconds since the epoch. */
int64_t num_now_ns(void);

/* RFC 3339 with nanoseconds and Z, as Docker's JSON wants it; @ns 0 gives
 * "0001-01-01T00:00:00Z". @buf of at least 40 bytes; returns @buf. */
char *num_format_time(int64_t ns, char *buf, size_t size);

/* RFC 3339 (any fraction, Z or +hh:mm), or seconds since the epoch with a
 * fraction ("1700000000.5"): what Docker's since/until take. */
int num_parse_time(const char *text, int64_t *ret_ns);

/* A span of time as people say it, without "ago": "Less than a second", "5
 * minutes", "About an hour", "3 weeks"; Docker's words and steps. */
void num_format_span(int64_t seconds, char *buf, size_t size);

/* 0 to 15 of a hexadecimal digit, large or small; -1 of anything else. */
int num_hex_digit(char c);
