/* SPDX-License-Identifier: Apache-2.0 */
/* thread - a thread of the worker beside the loop's. Signals are the loop's: all are
 * blocked in it. isola-vmm. */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stddef.h>

/* @stack_bytes: 0 = the usual size. @pinned: the host's CPUs it may run on, or NULL.
 * 0 or -errno. */
int thread_start(pthread_t *ret, size_t stack_bytes, const cpu_set_t *pinned,
		 void *(*fn)(void *arg), void *arg);
