/* SPDX-License-Identifier: Apache-2.0 */
/* vm_spawn - how a worker comes to be: everything it may ever use is opened here, as
 * root, and becomes a descriptor; then one clone3(2) straight into the cgroup, with
 * its own mount, network, ipc, uts and pid namespaces, and the exec of isola-vmm, which
 * jails itself (isola/vmm.h). The cgroup namespace it makes itself: made by the clone
 * its root would be our own cgroup. */
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/vmm.h"
#include "isola/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID)
/* Above every number that a child is given. */
#define HIGH_FD (VMM_FIRST_FD + VM_FDS_MAX)

pid_t vm_clone(struct vm *vm, uint64_t flags, int *ret_pidfd, void (*run)(void *arg), void *arg,
	       struct err *err)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD | CLONE_INTO_CGROUP,
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)vm->cgroup_fd,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return err_sys(err, "cannot clone a process into %s", vm->cgroup);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		run(arg);
		_exit(127);
	}
	*ret_pidfd = pidfd;
	return pid;
}

/* Two rounds, as a number in @to may be one in @from. All above is close-on-exec. */
void vm_give_fds(const int *from, const int *to, size_t n)
{
	int high[VM_FDS_MAX + 8];
	for (size_t i = 0; i < n; i++) {
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, HIGH_FD);
		if (high[i] < 0)
			_exit(126);
	}
	for (size_t i = 0; i < n; i++)
		if (dup2(high[i], to[i]) < 0)
			_exit(126);
}

struct worker {
	struct vm *vm;
	const struct vm_fds *fds;
	int control_fd, machine_fd;
};

/* In the child: says why over the control socket, as the worker would. */
static void give_up(const char *what)
{
	cleanup_json json_object *o = json_object_new_object();
	char text[256];
	struct err ignored;
	(void)snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	json_add_str(o, "event", "exit");
	json_add_str(o, "reason", "worker-crash");
	json_add_i64(o, "code", 139);
	json_add_str(o, "text", text);
	(void)wire_send(VMM_CONTROL_FD, o, NULL, 0, &ignored);
	_exit(127);
}

static void run_worker(void *arg)
{
	const struct worker *w = arg;
	int from[VM_FDS_MAX + 8], to[VM_FDS_MAX + 8];
	size_t n = 0;
	char *const argv[] = { (char *)"isola-vmm", (char *)"--keeper", NULL };
#ifdef __SANITIZE_ADDRESS__
	char *const *env = environ;
#else
	char *const none[] = { NULL }, *const *env = none;
#endif
	for (int i = 0; i < 3; i++, n++) {
		from[n] = w->vm->stdio[i];
		to[n] = i;
	}
	from[n] = w->control_fd;
	to[n++] = VMM_CONTROL_FD;
	from[n] = w->machine_fd;
	to[n++] = VMM_MACHINE_FD;
	for (size_t i = 0; i < w->fds->n; i++, n++) {
		from[n] = w->fds->fds[i];
		to[n] = VMM_FIRST_FD + (int)i;
	}
	(void)setsid();
	vm_give_fds(from, to, n);
	(void)execve(w->vm->program, argv, env);
	give_up("cannot execute isola-vmm");
}

/* The machine file as the worker reads it. */
static int make_memfd(json_object *machine, struct err *err)
{
	size_t size = 0;
	const char *text = json_object_to_json_string_length(
		machine, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	cleanup_fd int fd = memfd_create("machine", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (!text || size > VMM_MACHINE_BYTES_MAX)
		return err_set(err, EFBIG, "the machine file is too long");
	int rc = fd < 0 ? -errno : fd_write_all(fd, text, size);
	if (rc < 0)
		return err_rc(err, rc, "cannot write the machine file");
	(void)lseek(fd, 0, SEEK_SET);
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	return take_fd(&fd);
}

static int start_worker(struct vm *vm, const struct vm_fds *fds, int machine_fd, int socks[2],
			struct err *err)
{
	int pidfd = -1;
	struct worker w = {
		.vm = vm, .fds = fds, .control_fd = socks[1], .machine_fd = machine_fd
	};
	pid_t pid = vm_clone(vm, NAMESPACES, &pidfd, run_worker, &w, err);
	if (pid < 0)
		return pid;
	vm->k->init.fd = pidfd;
	vm->k->rec.pid = pid;
	int rc = vm_link_begin(vm, take_fd(&socks[0]), err);
	if (rc < 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, __WALL);
		fd_close(&vm->k->init.fd);
		return rc;
	}
	return 0;
}

int vm_spawn(struct vm *vm, struct err *err)
{
	struct vm_fds fds = { .n = 0 };
	cleanup_json json_object *machine = NULL;
	cleanup_fd int memfd = -1;
	int socks[2] = { -1, -1 };
	int rc = vm_machine_read(vm->k, &machine, err);
	if (rc == 0)
		vm_nics_read(vm, machine);
	if (rc == 0)
		rc = vm_sources_open(vm, machine, &fds, err);
	if (rc == 0 && (memfd = make_memfd(machine, err)) < 0)
		rc = memfd;
	if (rc == 0)
		rc = wire_pair(socks, err);
	if (rc == 0)
		rc = start_worker(vm, &fds, memfd, socks, err);
	vm_fds_close(&fds);
	fd_close(&socks[0]);
	fd_close(&socks[1]);
	if (rc < 0)
		vm_helpers_end(vm);
	return rc;
}
