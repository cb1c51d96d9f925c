/* SPDX-License-Identifier: Apache-2.0 */
/* notify - systemd's side: readiness, status, watchdog (sd_notify(3)) and the
 * socket it may have opened for us (sd_listen_fds(3)). Without systemd all of
 * it is quiet. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <uv.h>

struct notify {
	int fd;              /* connected to $NOTIFY_SOCKET, or -1 */
	uv_timer_t watchdog; /* runs only when $WATCHDOG_USEC asks for it */
	bool has_watchdog;
};

int notify_init(struct notify *n, uv_loop_t *loop, struct err *err);
void notify_fini(struct notify *n);

/* @text: "READY=1", "STATUS=...", lines separated by newlines. Best effort. */
void notify_send(struct notify *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first listening Unix stream socket of $LISTEN_FDS (owned), -ENOENT when
 * none was passed, -EINVAL when it is something else. Call once, early. */
int notify_listen_fd(struct err *err);
