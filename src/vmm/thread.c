/* SPDX-License-Identifier: Apache-2.0 */
/* thread - see thread.h. */
#include "thread.h"

#include <signal.h>

int thread_start(pthread_t *ret, size_t stack_bytes, const cpu_set_t *pinned,
		 void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc = pthread_attr_init(&attr);
	if (rc)
		return -rc;
	if (stack_bytes)
		(void)pthread_attr_setstacksize(&attr, stack_bytes);
	if (pinned)
		(void)pthread_attr_setaffinity_np(&attr, sizeof(*pinned), pinned);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(ret, &attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return -rc;
}
