/* SPDX-License-Identifier: Apache-2.0 */
/* oom - see oom.h. kernfs wakes pollers of memory.events with EPOLLPRI until
 * the file is read again from its begin. */
#include "oom.h"

#include "isola/cgroup.h"
#include "isola/fd.h"

#include <fcntl.h>

uint64_t oom_check(struct oom *oom)
{
	if (oom->src.fd < 0)
		return oom->kills;
	char text[512];
	/* For the poll's sake; the count itself is cgroup.c's to read. */
	(void)pread(oom->src.fd, text, sizeof(text), 0);
	uint64_t kills = cgroup_oom_kills(oom->cgroup_fd);
	if (kills > oom->kills) {
		oom->kills = kills;
		oom->on_kill(oom);
	}
	return oom->kills;
}

static void on_event(struct source *src, uint32_t events)
{
	(void)events;
	(void)oom_check(container_of(src, struct oom, src));
}

void oom_init(struct oom *oom, struct loop *loop, const char *cgroup,
	      void (*on_kill)(struct oom *oom))
{
	*oom = (struct oom){ .loop = loop,
			     .src = { .fd = -1, .on_event = on_event },
			     .cgroup_fd = cgroup ? cgroup_open(cgroup) : -1,
			     .on_kill = on_kill };
	if (oom->cgroup_fd < 0)
		return;
	oom->src.fd = openat(oom->cgroup_fd, "memory.events", O_RDONLY | O_CLOEXEC);
	if (oom->src.fd < 0) {
		fd_close(&oom->cgroup_fd);
		return;
	}
	(void)oom_check(oom);
	(void)loop_watch(loop, &oom->src, EPOLLPRI);
}

void oom_fini(struct oom *oom)
{
	if (!oom->loop)
		return;
	loop_unwatch(oom->loop, &oom->src);
	fd_close(&oom->src.fd);
	fd_close(&oom->cgroup_fd);
}
