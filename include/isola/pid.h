/* SPDX-License-Identifier: Apache-2.0 */
/* pid - naming a process without mixing it up with a later one.
 *
 * A pid may be reused; a pidfd never is (pidfd_open(2)), and a pid together
 * with its start time (/proc/<pid>/stat, field 22) can be written to disk. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A close-on-exec pidfd, readable once the process has ended; -ESRCH. */
int pid_open(pid_t pid);

/* Start time in clock ticks after boot, and the state letter ('R', 'Z'...) if
 * @ret_state is not NULL. 0, -ESRCH. Reads /proc. */
int pid_start_ticks(pid_t pid, uint64_t *ret_ticks, char *ret_state);

/* Whether @pid is still the process that started at @ticks and has not ended
 * (a zombie has). */
bool pid_is_same(pid_t pid, uint64_t ticks);

/* The pidfd of that very process, without a race; -ESRCH when it is gone. */
int pid_open_same(pid_t pid, uint64_t ticks);

/* pidfd_send_signal(2); @signo 0 probes. 0 or -errno (-ESRCH). */
int pid_signal(int pidfd, int signo);

/* Waits for the end of the process behind @pidfd, at most @timeout_ms (-1 = for
 * ever). 1 when it has ended, 0 on time-out, -errno. Does not reap. */
int pid_wait_end(int pidfd, int timeout_ms);
