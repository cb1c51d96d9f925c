/* SPDX-License-Identifier: Apache-2.0 */
/* cancel - see cancel.h. */
#include "cancel.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Shared with the layer processes, which get no signal. */
static struct {
	volatile sig_atomic_t job, children;
} * requested;
static bool is_child;

static void on_signal(int signo)
{
	(void)signo;
	requested->job = 1;
}

void cancel_catch_signals(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction stop = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
	(void)sigaction(SIGPIPE, &ignore, NULL);
	/* A size limit reached is an error of write(2), not a death. */
	(void)sigaction(SIGXFSZ, &ignore, NULL);
	requested = mmap(NULL, sizeof(*requested), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (requested == MAP_FAILED) {
		requested = NULL; /* then a signal ends us, and `check` cleans up */
		return;
	}
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &stop, NULL);
}

bool cancel_requested(void)
{
	return requested && (requested->job || (is_child && requested->children));
}

void cancel_be_child(void)
{
	is_child = true;
}

void cancel_children(void)
{
	if (requested)
		requested->children = 1;
}

int cancel_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}
