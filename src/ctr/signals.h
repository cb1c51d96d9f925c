/* SPDX-License-Identifier: Apache-2.0 */
/* signals - a fresh signal state for a program about to be executed. */
#pragma once

#include <signal.h>

/* All signals at their defaults and unblocked: our own programs block some for
 * a signalfd and ignore others, which an exec would pass on. */
static inline void signals_reset(void)
{
	sigset_t none;
	struct sigaction act = { .sa_handler = SIG_DFL };
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		(void)sigaction(signo, &act, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}
