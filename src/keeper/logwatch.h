/* SPDX-License-Identifier: Apache-2.0 */
/* logwatch - waits for more of a log, or for the end of its payload. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct logwatch {
	int inotify_fd; /* -1: none to be had; then we look every now and then */
	int run_wd;
	int log_dir_fd, run_dir_fd; /* log_dir_fd is borrowed; run_dir_fd -1: gone */
	bool ended;
};

/* @log_dir_fd: folder of the log, borrowed. */
void logwatch_init(struct logwatch *w, int log_dir_fd, const char *run_dir);
void logwatch_fini(struct logwatch *w);

/* Whether the payload has ended, so that the log is complete: exit.json is, or
 * was, in the run folder, or the run folder or the log's are removed. */
bool logwatch_ended(struct logwatch *w);

/* Waits until something may have changed, or @sock is writable (with
 * @to_write), or @until_ns of the wall clock (0 = never). Returns 0, or -EPIPE
 * when the client has closed. */
int logwatch_wait(struct logwatch *w, int sock, bool to_write, int64_t until_ns);
