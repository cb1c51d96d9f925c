/* SPDX-License-Identifier: Apache-2.0 */
/* isola-init - PID 1 of a guest that runs one container (isola/guest.h), in the initramfs
 * that isolad makes. Static and small: nothing of the host is in the guest but this.
 *
 *	isola-init                                   in a guest
 *	isola-init --test SOCKET PLACE [CGROUP]      as PID 1 of a pid namespace */
#include "init.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MODULES "/m"

int64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void guest_end(struct guest *g, int code, const char *why)
{
	if (why)
		(void)fprintf(stderr, "isola-init: %s\n", why);
	sync();
	if (g->test_socket)
		_exit(code);
	(void)reboot(RB_POWER_OFF);
	(void)reboot(RB_AUTOBOOT); /* no power to switch off */
	for (;;)
		(void)pause();
}

int source_watch(struct guest *g, struct source *src, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };
	if (src->events == events || src->fd < 0)
		return 0;
	int op = !events ? EPOLL_CTL_DEL : src->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	if (epoll_ctl(g->epoll_fd, op, src->fd, &ev) < 0)
		return -errno;
	src->events = events;
	return 0;
}

/* ---- the boot ---- */

static void mount_own(struct guest *g)
{
	static const struct {
		const char *type, *target;
	} rows[] = {
		{ "proc", "/proc" },
		{ "sysfs", "/sys" },
		{ "devtmpfs", "/dev" },
		{ "cgroup2", "/sys/fs/cgroup" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (mount(rows[i].type, rows[i].target, rows[i].type, MS_NOSUID, NULL) < 0 &&
		    errno != EBUSY) {
			(void)fprintf(stderr, "isola-init: cannot mount %s: %s\n", rows[i].target,
				      strerror(errno));
			if (i == 3)
				g->cgroup = NULL;
		}
}

static void load_module(const char *name)
{
	char path[128];
	(void)snprintf(path, sizeof(path), MODULES "/%s", name);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		(void)fprintf(stderr, "isola-init: cannot load %s: %s\n", path, strerror(errno));
}

/* Lines "WHEN FILE" in the order of their needs (guest/kernel/fetch): what is always
 * needed, and what a root is. A kernel that has all built in brings no list. */
void load_modules(const char *when)
{
	char line[160], w[32], file[96];
	FILE *f = fopen(MODULES "/list", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%31s %95s", w, file) == 2 && !strcmp(w, when))
			load_module(file);
	if (f)
		(void)fclose(f);
}

static void boot(struct guest *g)
{
	mount_own(g);
	/* The container's limit is its cgroup's: what is only reserved is not refused, as it
	 * is not on a host with much memory. */
	(void)fd_write_file(AT_FDCWD, "/proc/sys/vm/overcommit_memory", "1");
	load_modules("-");
	load_modules("virtiofs");
	/* Linux reports free blocks of 2 MiB, and none at all while less than 32 of them are
	 * free, so a small guest kept all that it ever touched. Blocks of 512 KiB: more goes
	 * back, and it takes 16 MiB. The balloon's driver has set it when it was there. */
	(void)fd_write_file(AT_FDCWD, "/sys/module/page_reporting/parameters/page_reporting_order",
			    "7");
	(void)mkdir(g->place, 0755);
}

static uint64_t uptime_us(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void say_ready(struct guest *g)
{
	struct utsname name;
	cleanup_tlv struct tlv_writer w = { 0 };
	(void)uname(&name);
	tlv_put_text(&w, GF_RELEASE, name.release);
	tlv_put_u64(&w, GF_BOOT_US, uptime_us());
	link_send(g, GUEST_READY, 0, &w);
}

/* ---- the loop ---- */

static void on_signals(struct guest *g, struct source *src, uint32_t events)
{
	struct signalfd_siginfo info;
	(void)events;
	while (read(src->fd, &info, sizeof(info)) > 0)
		continue;
	process_reap(g);
}

static void begin(struct guest *g)
{
	sigset_t all;
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	g->signals = (struct source){ .fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK),
				      .on_event = on_signals };
	g->own_pid_ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (g->own_pid_ns < 0 || source_watch(g, &g->signals, EPOLLIN) < 0)
		guest_end(g, END_TROUBLE, "cannot begin");
}

/* One event a turn: what it does may end the source of the next. */
static void turn(struct guest *g)
{
	struct epoll_event ev;
	int n = epoll_wait(g->epoll_fd, &ev, 1, process_next_ms(g));
	if (n < 0 && errno != EINTR)
		guest_end(g, END_TROUBLE, "epoll has failed");
	if (n > 0) {
		struct source *src = ev.data.ptr;
		src->on_event(g, src, ev.events);
	}
	process_settle(g);
}

int main(int argc, char **argv)
{
	struct guest g = { .place = "/new",
			   .cgroup = "/sys/fs/cgroup/container",
			   .control = { .fd = -1 },
			   .ns_fds = { -1, -1, -1, -1, -1 } };
	list_init(&g.processes);
	if (argc >= 4 && !strcmp(argv[1], "--test")) {
		g.test_socket = argv[2];
		g.place = argv[3];
		g.cgroup = argc > 4 ? argv[4] : NULL;
	} else if (getpid() != 1 || argc > 1) {
		(void)fprintf(stderr, "isola-init: only a guest's kernel starts this\n");
		return END_TROUBLE;
	} else {
		boot(&g);
	}
	begin(&g);
	link_begin(&g);
	say_ready(&g);
	for (;;)
		turn(&g);
}
