/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_keeper_log - a json-file log as a reader finds it after a crash: each line
 * taken apart, and the search for its last lines. Also output of a payload, which
 * must come back from a record as it was written. */
#include "keeper/jsonesc.h"
#include "keeper/logline.h"
#include "keeper/logtail.h"

#include "isola/fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* Exactly as long as it is, so that the sanitizer sees each byte too far. */
static char *copy_of(const void *data, size_t size)
{
	char *p = malloc(size ? size : 1);
	check(p != NULL);
	if (size)
		memcpy(p, data, size);
	return p;
}

static void parse_line(const uint8_t *data, size_t size)
{
	cleanup_free char *line = copy_of(data, size);
	struct logline l;
	if (logline_parse(line, size, &l) < 0)
		return;
	check(l.text >= line && l.text + l.size <= line + size);
	check(l.time >= line && l.time + l.time_size <= line + size);
	int64_t ns;
	char details[300];
	(void)logline_time(&l, &ns);
	check(logline_details(&l, details, sizeof(details)) <= sizeof(details));
}

static void find_tail(const uint8_t *data, size_t size)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	check(fd >= 0 && fd_write_all(fd, data, size) == 0);
	struct logset_file file = { .fd = fd };
	const struct logset set = { .files = &file, .n = 1 };
	for (int64_t want = 0; want < 5; want++) {
		struct logpos pos;
		check(logtail_find(&set, want, &pos) == 0);
		check(pos.offset >= 0 && (size_t)pos.offset <= size);
		int64_t lines = 0;
		for (size_t i = (size_t)pos.offset; i < size; i++)
			lines += data[i] == '\n';
		check(lines == want || (lines < want && pos.offset == 0));
	}
	(void)close(fd);
}

static void round_trip(const uint8_t *data, size_t size)
{
	static const char head[] = "{\"log\":\"",
			  tail[] = "\",\"stream\":\"stderr\",\"time\":\"t\"}";
	cleanup_free char *record = malloc(size * JSONESC_GROWTH + 8 + sizeof(head) + sizeof(tail));
	check(record != NULL);
	char *o = stpcpy(record, head);
	o += jsonesc(o, (const char *)data, size);
	o = stpcpy(o, tail);
	struct logline l;
	check(logline_parse(record, (size_t)(o - record), &l) == 0);
	/* What is UTF-8 now is not changed by a second way through. */
	cleanup_free char *once = copy_of(l.text, l.size), *again = NULL;
	size_t n = l.size;
	again = malloc(n * JSONESC_GROWTH + 8 + sizeof(head) + sizeof(tail));
	check(again != NULL);
	o = stpcpy(again, head);
	o += jsonesc(o, once, n);
	o = stpcpy(o, tail);
	check(logline_parse(again, (size_t)(o - again), &l) == 0);
	check(l.size == n && !memcmp(l.text, once, n));
	check(jsonesc_cut((const char *)data, size) <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 256 * 1024)
		return 0;
	for (size_t at = 0; at < size;) {
		const uint8_t *nl = memchr(data + at, '\n', size - at);
		size_t n = nl ? (size_t)(nl - (data + at)) : size - at;
		parse_line(data + at, n);
		at += n + 1;
	}
	find_tail(data, size);
	round_trip(data, size);
	return 0;
}
