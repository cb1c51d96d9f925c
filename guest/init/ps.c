/* SPDX-License-Identifier: Apache-2.0 */
/* ps - the container's processes, as ps(1) shows them (isola/guest.h, GF_PS). */
#include "init.h"

#include "isola/fd.h"
#include "isola/proc_stat.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

/* What a row has at most, its command and names included. */
#define ROW_BYTES (GUEST_COMMAND_MAX + 512)

static ssize_t read_some(int dir, const char *name, char *buf, size_t size)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -1 : fd_read_all(fd, buf, size);
}

static void put_row(struct tlv_writer *w, long pid, const struct stat *who,
		    const struct proc_stat *p, const char *command, ssize_t n)
{
	const int64_t numbers[GUEST_PS_NUMBERS] = { p->ppid,        p->tty,     p->cpu_ticks,
						    p->priority,    p->nice,    p->threads,
						    p->start_ticks, p->vsz_kib, p->rss_kib };
	size_t mark = tlv_open(w, GF_PS);
	tlv_put_u64(w, GF_PID, (uint64_t)pid);
	tlv_put_u64(w, GF_UID, who->st_uid);
	tlv_put_u64(w, GF_GID, who->st_gid);
	tlv_put_u64(w, GF_STATE, (unsigned char)p->state);
	tlv_put_text(w, GF_NAME, p->comm);
	if (n > 0)
		tlv_put(w, GF_COMMAND, command, (size_t)n);
	for (size_t i = 0; i < GUEST_PS_NUMBERS; i++)
		tlv_put_u64(w, GF_NUMBER, (uint64_t)numbers[i]);
	tlv_close(w, mark);
}

/* Who owns the folder is who the process runs as. One that has ended meanwhile is left
 * out. */
static void put_process(struct tlv_writer *w, long pid)
{
	char path[32], text[1024], command[GUEST_COMMAND_MAX];
	struct stat who;
	struct proc_stat p;
	(void)snprintf(path, sizeof(path), "/proc/%ld", pid);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t n = dir < 0 || fstat(dir, &who) < 0
			    ? -1
			    : read_some(dir, "stat", text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (proc_stat_parse(text, &p) == 0)
		put_row(w, pid, &who, &p, command,
			read_some(dir, "cmdline", command, sizeof(command)));
}

int ps_list(const struct guest *g, struct tlv_writer *w, struct err *err)
{
	struct timespec up;
	cleanup_free char *text = cgroup_procs(g, err);
	if (!text)
		return -err->code;
	(void)clock_gettime(CLOCK_BOOTTIME, &up);
	tlv_put_u64(w, GF_BOOT_US, (uint64_t)up.tv_sec * 1000000 + (uint64_t)up.tv_nsec / 1000);
	char *end = text;
	for (int i = 0; i < GUEST_PS_MAX && w->size < GUEST_BODY_MAX - ROW_BYTES; i++) {
		long pid = strtol(end, &end, 10);
		if (pid <= 0)
			break;
		put_process(w, pid);
	}
	return 0;
}
