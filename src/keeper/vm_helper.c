/* SPDX-License-Identifier: Apache-2.0 */
/* vm_helper - programs of others that a worker's devices need: virtiofsd, passt. Each
 * is our child in the VM's cgroup, made for one worker, and ends with it. */
#include "vm.h"

#include "isola/fd.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define END_TRIES 1000 /* of a millisecond */

pid_t vm_helper_start(struct vm *vm, void (*run)(void *arg), void *arg, struct err *err)
{
	int pidfd = -1;
	if (vm->n_helpers >= VM_HELPERS_MAX)
		return err_set(err, EINVAL, "more than %d programs for one VM", VM_HELPERS_MAX);
	pid_t pid = vm_clone(vm, 0, &pidfd, run, arg, err);
	if (pid < 0)
		return pid;
	fd_close(&pidfd);
	vm->helpers[vm->n_helpers++] = pid;
	return pid;
}

void vm_helpers_end(struct vm *vm)
{
	/* Its worker is gone: what it had to write is written, or lost with the guest. */
	for (size_t i = 0; i < vm->n_helpers; i++)
		(void)kill(vm->helpers[i], SIGKILL);
	/* One that hangs in the kernel is left: the cgroup's end waits for it. */
	for (size_t i = 0; i < vm->n_helpers; i++)
		for (int k = 0; k < END_TRIES; k++) {
			if (waitpid(vm->helpers[i], NULL, WNOHANG | __WALL) != 0)
				break;
			(void)usleep(1000);
		}
	vm->n_helpers = 0;
}
