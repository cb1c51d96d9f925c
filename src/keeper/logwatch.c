/* SPDX-License-Identifier: Apache-2.0 */
/* logwatch - see logwatch.h. inotify(7). */
#include "logwatch.h"

#include "isola/fd.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define EXIT_FILE "exit.json"
/* Users may have a few inotify instances only (fs.inotify.max_user_instances). */
#define LOOK_EVERY_MS 100

static int add_watch(int inotify_fd, int dir_fd, uint32_t events)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
	return inotify_add_watch(inotify_fd, path, events);
}

void logwatch_init(struct logwatch *w, int log_dir_fd, const char *run_dir)
{
	*w = (struct logwatch){ .inotify_fd = -1,
				.log_dir_fd = log_dir_fd,
				.run_dir_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC) };
	if (w->run_dir_fd < 0) {
		w->ended = true;
		return;
	}
	w->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->inotify_fd < 0)
		return;
	w->run_wd = add_watch(w->inotify_fd, w->run_dir_fd,
			      IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR);
	if (w->run_wd < 0 ||
	    add_watch(w->inotify_fd, log_dir_fd,
		      IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR) < 0)
		fd_close(&w->inotify_fd);
}

void logwatch_fini(struct logwatch *w)
{
	fd_close(&w->inotify_fd);
	fd_close(&w->run_dir_fd);
}

static bool is_removed(int dir_fd)
{
	struct stat st;
	return fstat(dir_fd, &st) < 0 || st.st_nlink == 0;
}

bool logwatch_ended(struct logwatch *w)
{
	struct stat st;
	if (!w->ended)
		w->ended = fstatat(w->run_dir_fd, EXIT_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
			   is_removed(w->run_dir_fd) || is_removed(w->log_dir_fd);
	return w->ended;
}

/* The exit record may be gone again when we look (a restart), not its event. */
static void read_events(struct logwatch *w)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;
	while ((n = read(w->inotify_fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(buf + at);
			if (e->wd == w->run_wd && e->len && !strcmp(e->name, EXIT_FILE))
				w->ended = true;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	}
}

static int timeout_ms(const struct logwatch *w, int64_t until_ns)
{
	int64_t ms = w->inotify_fd < 0 ? LOOK_EVERY_MS : INT_MAX;
	if (until_ns) {
		int64_t left = (until_ns - num_now_ns()) / 1000000 + 1;
		if (left < ms)
			ms = left < 0 ? 0 : left;
	}
	return ms == INT_MAX ? -1 : (int)ms;
}

int logwatch_wait(struct logwatch *w, int sock, bool to_write, int64_t until_ns)
{
	/* A client that stops sending (HTTP needs no more of it) is as good as
	 * one that closed, as in Docker, but gets what is ready for it first. */
	struct pollfd p[2] = {
		{ .fd = sock, .events = to_write ? POLLOUT : POLLIN | POLLRDHUP },
		{ .fd = w->inotify_fd, .events = POLLIN },
	};
	if (poll(p, 2, timeout_ms(w, until_ns)) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[0].revents & (POLLHUP | POLLERR | POLLRDHUP | POLLNVAL))
		return -EPIPE;
	char sink[512];
	if ((p[0].revents & POLLIN) && recv(sock, sink, sizeof(sink), MSG_DONTWAIT) == 0)
		return -EPIPE;
	if (p[1].revents)
		read_events(w);
	return 0;
}
