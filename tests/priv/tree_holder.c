/* SPDX-License-Identifier: Apache-2.0 */
/* tree_holder - what a keeper does so that a guest gets a container's root (vm_tree.h),
 * for test_vm_tree.py, which plays the guest:
 *
 *   tree_holder RUN-DIR CGROUP LOWER... UPPER WORK
 *
 * makes the container of RUN-DIR/config.json, starts virtiofsd for its root, ends the
 * holder once virtiofsd has its copy, sends the vhost-user socket over standard input
 * with a line "<pid of the helper> <pid whose root it is>", and cleans up when that is
 * closed. */
#include "isola/cgroup.h"
#include "isola/ctr.h"
#include "isola/fd.h"
#include "isola/json.h"

#include "keeper/vm_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define LINK_FD    STDIN_FILENO
#define LOWERS_MAX 16

static void give_up(const struct err *err)
{
	(void)fprintf(stderr, "tree_holder: %s\n", err->text);
	exit(1);
}

static int open_folder(const char *path)
{
	struct err err;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		(void)err_sys(&err, "cannot open %s", path);
		give_up(&err);
	}
	return fd;
}

static void hand_over(int fd, const char *text)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .space = { 0 } };
	struct iovec part = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
	struct msghdr msg = { .msg_iov = &part,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS,
					 .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	if (sendmsg(LINK_FD, &msg, 0) < 0)
		exit(1);
}

/* Up to ten seconds. */
static pid_t wait_root(pid_t helper)
{
	for (int i = 0; i < 10000; i++, (void)usleep(1000)) {
		pid_t pid = vm_tree_root_pid(helper);
		if (pid > 0)
			return pid;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	struct ctr_spec *spec = NULL;
	struct ctr *ctr = NULL;
	int lower[LOWERS_MAX];
	size_t n = 0;
	if (ctr_protect_self(argv, &err) < 0)
		give_up(&err);
	if (argc < 6 || argc > 5 + LOWERS_MAX)
		return 2;
	cleanup_fd int dir = open_folder(argv[1]);
	for (int i = 3; i < argc - 2; i++)
		lower[n++] = open_folder(argv[i]);
	if (json_read_file(dir, "config.json", 1 << 20, &doc, &err) < 0 ||
	    ctr_spec_parse(doc, &spec, &err) < 0)
		give_up(&err);
	const struct ctr_create_args args = {
		.id = "tree",
		.spec = spec,
		.root = { .lower_fds = lower,
			  .n_lower = n,
			  .upper_fd = open_folder(argv[argc - 2]),
			  .work_fd = open_folder(argv[argc - 1]) },
		.bundle_fd = dir,
		.bundle_path = argv[1],
		.cgroup = argv[2],
		.stdio = { -1, -1, -1 },
		.cache_fd = -1,
		.gate_fd = -1,
		.no_devices = true,
	};
	if (ctr_create(&args, &ctr, &err) < 0)
		give_up(&err);
	struct keeper k = { .run_dir_fd = dir };
	struct vm vm = { .k = &k, .cgroup = argv[2], .stdio = { -1, -1, STDERR_FILENO } };
	vm.cgroup_fd = cgroup_open(argv[2]);
	pid_t helper = 0;
	int sock = vm.cgroup_fd < 0 ? err_rc(&err, vm.cgroup_fd, "cannot open %s", argv[2])
				    : vm_tree_start(&vm, ctr, &helper, &err);
	if (sock < 0) {
		(void)ctr_delete(ctr, spec, NULL);
		give_up(&err);
	}
	char text[64], c;
	pid_t root = wait_root(helper);
	(void)kill(ctr->pid, SIGKILL);
	(void)waitpid(ctr->pid, NULL, __WALL);
	(void)snprintf(text, sizeof(text), "%d %d\n", (int)helper, (int)root);
	hand_over(sock, text);
	(void)close(sock);
	while (read(LINK_FD, &c, 1) < 0 && errno == EINTR)
		;
	vm_helpers_end(&vm);
	int rc = ctr_delete(ctr, spec, &err);
	ctr_free(ctr);
	ctr_spec_free(spec);
	if (rc < 0)
		give_up(&err);
	return 0;
}
