/* SPDX-License-Identifier: Apache-2.0 */
/* signals - a fresh signal state for a program about to be executed. */
#pragma once

#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All signals at their defaults and unblocked: our own programs block some for
 * a signalfd and ignore others, which an exec would pass on. Past libc, which keeps two for
 * itself, but ignores them in what posix_spawn() starts: in every keeper. */
static inline void signals_reset(void)
{
	sigset_t none;
	/* The kernel's struct sigaction: handler, flags, restorer, mask; SIG_DFL is 0. */
	const uint64_t defaults[4] = { 0 };
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		(void)syscall(SYS_rt_sigaction, signo, defaults, NULL, sizeof(uint64_t));
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}
