/* SPDX-License-Identifier: Apache-2.0 */
/* isola-dhcp - answers guests that ask for the address that isolad has leased to them.
 * It reads what guests send, so it is confined (confine.h) before the first byte; isolad
 * starts another when it dies. The protocol with isolad: isola/dhcp.h. */
#include "confine.h"
#include "port.h"

#include "isola/dhcp.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/wire.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64

struct dhcp {
	int epoll_fd;
	struct list ports; /* struct port */
};

static int64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void complain(const char *text)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "isola-dhcp: %s\n", text);
	/* dprintf(3) would make calls that are forbidden. */
	(void)!write(STDERR_FILENO, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void forget(struct dhcp *d, const char *name)
{
	list_for_each_safe (node, &d->ports) {
		struct port *p = container_of(node, struct port, node);
		if (!strcmp(p->name, name))
			port_free(p);
	}
}

static void add_port(struct dhcp *d, json_object *msg, int fd)
{
	struct err err = ERR_INIT;
	struct port *p = NULL;
	if (port_new(msg, fd, &p, &err) < 0) {
		complain(err.text);
		return;
	}
	forget(d, p->name);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };
	list_add_tail(&d->ports, &p->node);
	if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, p->fd, &ev) < 0) {
		complain(strerror(errno));
		port_free(p);
	}
}

/* False at the end of the connection. */
static bool on_control(struct dhcp *d)
{
	cleanup_json json_object *msg = NULL;
	struct err err = ERR_INIT;
	int fds[WIRE_FDS_MAX], rc;
	size_t n = 0;
	rc = wire_recv(DHCP_CONTROL_FD, &msg, fds, &n, &err);
	while (n > 1)
		fd_close(&fds[--n]);
	if (rc == 1 && n == 1)
		add_port(d, msg, fds[0]);
	else if (n == 1)
		fd_close(&fds[0]);
	return rc > 0 || rc == -EAGAIN;
}

static void run(struct dhcp *d)
{
	struct epoll_event events[EVENTS_MAX];
	for (;;) {
		int n = epoll_wait(d->epoll_fd, events, EVENTS_MAX, -1);
		if (n < 0 && errno != EINTR)
			return;
		/* Ports first: a message may free one. */
		bool told = false;
		for (int i = 0; i < n; i++) {
			struct port *p = events[i].data.ptr;
			if (!p)
				told = true;
			else if (port_serve(p, now_ms()) < 0)
				port_free(p);
		}
		if (told && !on_control(d))
			return;
	}
}

static int begin(struct dhcp *d, struct err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	list_init(&d->ports);
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int rc = d->epoll_fd < 0 ? -errno : fd_set_nonblock(DHCP_CONTROL_FD, true);
	if (rc == 0 && epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, DHCP_CONTROL_FD, &ev) < 0)
		rc = -errno;
	return rc < 0 ? err_rc(err, rc, "cannot watch the connection to isolad") : 0;
}

int main(int argc, char **argv)
{
	struct dhcp d;
	struct err err = ERR_INIT;
	if (argc > 1) {
		(void)fprintf(stderr, "Usage: %s 3<>CONNECTION\n", argv[0]);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	/* It was executed by a descriptor, whose number is its name else. */
	(void)prctl(PR_SET_NAME, "isola-dhcp");
	int rc = begin(&d, &err);
	if (rc == 0)
		rc = confine(&err);
	if (rc < 0) {
		complain(err.text);
		return 1;
	}
	run(&d);
	/* Nothing may run behind us: what looks for leaks needs calls that are gone. */
	_exit(0);
}
