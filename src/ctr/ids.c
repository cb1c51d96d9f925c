/* SPDX-License-Identifier: Apache-2.0 */
/* ids - see ids.h. */
#include "ids.h"

#include "isola/fd.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_proc(pid_t pid, const char *name, const char *text, size_t size)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, size) < 0 ? -errno : 0;
}

/* newuidmap PID CONTAINER HOST SIZE...: setuid root, checks /etc/subuid. */
static int run_map_helper(const char *program, pid_t pid, const struct ctr_idmaps *maps,
			  struct err *err)
{
	char **argv = calloc(3 * maps->n + 3, sizeof(*argv));
	cleanup_free char *numbers = malloc((3 * maps->n + 1) * 12);
	if (!argv || !numbers) {
		free(argv);
		return err_set(err, ENOMEM, "out of memory");
	}
	size_t n = 0;
	char *p = numbers;
	argv[n++] = (char *)(uintptr_t)program;
	(void)snprintf(p, 12, "%d", pid);
	argv[n++] = p;
	for (size_t i = 0; i < maps->n; i++) {
		const uint32_t v[3] = { maps->items[i].container_id, maps->items[i].host_id,
					maps->items[i].size };
		for (int k = 0; k < 3; k++) {
			p += 12;
			(void)snprintf(p, 12, "%u", v[k]);
			argv[n++] = p;
		}
	}
	pid_t helper = fork();
	if (helper == 0) {
		(void)execvp(program, argv);
		_exit(127);
	}
	int status = 0;
	free(argv);
	if (helper < 0 || waitpid(helper, &status, 0) < 0)
		return err_sys(err, "cannot run %s", program);
	if (status == 0)
		return 0;
	return err_set(err, EPERM,
		       "%s refused the id mappings (is there a range for this user in /etc/subuid "
		       "and /etc/subgid?)",
		       program);
}

static int write_map(pid_t pid, const char *name, const char *helper, const struct ctr_idmaps *maps,
		     struct err *err)
{
	cleanup_strbuf struct strbuf text = STRBUF_INIT;
	for (size_t i = 0; i < maps->n; i++)
		strbuf_printf(&text, "%u %u %u\n", maps->items[i].container_id,
			      maps->items[i].host_id, maps->items[i].size);
	if (!strbuf_ok(&text) || !text.text)
		return err_set(err, EINVAL, "no id mappings");
	int rc = write_proc(pid, name, text.text, text.len);
	if (rc == -EPERM && geteuid() != 0)
		return run_map_helper(helper, pid, maps, err);
	return rc < 0 ? err_rc(err, rc, "cannot write %s (%s)", name, text.text) : 0;
}

int ids_write_maps(pid_t pid, const struct ctr_idmaps *uids, const struct ctr_idmaps *gids,
		   struct err *err)
{
	int rc = write_map(pid, "uid_map", "newuidmap", uids, err);
	/* One's own group may be mapped only where setgroups(2) is given up. */
	if (rc == 0 && geteuid() != 0 && gids->n == 1 && gids->items[0].size == 1)
		(void)write_proc(pid, "setgroups", "deny", 4);
	return rc < 0 ? rc : write_map(pid, "gid_map", "newgidmap", gids, err);
}

int ids_open_userns(pid_t pid, struct err *err)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open %s", path) : fd;
}

int ids_make_userns(const struct ctr_idmaps *uids, const struct ctr_idmaps *gids, struct err *err)
{
	int pidfd = -1;
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_PIDFD,
				   .pidfd = (uintptr_t)&pidfd };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	if (pid < 0)
		return err_sys(err, "cannot make a user namespace");
	int fd = ids_write_maps(pid, uids, gids, err);
	if (fd == 0)
		fd = ids_open_userns(pid, err);
	siginfo_t info;
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL);
	(void)close(pidfd);
	return fd;
}

static int root_in_map(pid_t pid, const char *name, uint32_t *ret)
{
	char path[64], *text = NULL;
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	int rc = fd_read_file(AT_FDCWD, path, 65536, &text, NULL, NULL);
	if (rc < 0)
		return rc;
	rc = -ENOENT;
	for (char *line = text; line && *line; line = strchr(line, '\n')) {
		unsigned int inside, host;
		line += *line == '\n';
		if (sscanf(line, "%u %u", &inside, &host) == 2 && inside == 0) {
			*ret = host;
			rc = 0;
			break;
		}
	}
	free(text);
	return rc;
}

int ids_root_of(pid_t pid, uid_t *ret_uid, gid_t *ret_gid, struct err *err)
{
	int rc = root_in_map(pid, "uid_map", ret_uid);
	if (rc == 0)
		rc = root_in_map(pid, "gid_map", ret_gid);
	return rc < 0 ? err_rc(err, rc, "cannot tell the host's id of the container's root") : 0;
}

void ids_give_stdio(pid_t pid, const int stdio[3])
{
	struct err ignored = ERR_INIT;
	uid_t uid;
	gid_t gid;
	if (ids_root_of(pid, &uid, &gid, &ignored) < 0 || uid == geteuid())
		return;
	for (int i = 0; i < 3; i++) {
		struct stat st;
		if (stdio[i] >= 0 && fstat(stdio[i], &st) == 0 && st.st_uid == geteuid() &&
		    (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
			(void)fchown(stdio[i], uid, gid);
	}
}

bool ids_has(const struct ctr_idmaps *maps, uint32_t id)
{
	for (size_t i = 0; i < maps->n; i++)
		if (id >= maps->items[i].container_id &&
		    id - maps->items[i].container_id < maps->items[i].size)
			return true;
	return false;
}
