/* SPDX-License-Identifier: Apache-2.0 */
/* stdio_set - see stdio_set.h. */
#include "stdio_set.h"

#include "isola/fd.h"

#include <fcntl.h>

int stdio_set_pipes(struct stdio_set *set, const bool wanted[3], struct err *err)
{
	for (int i = 0; i < 3; i++) {
		int p[2];
		if (!wanted[i])
			continue;
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_sys(err, "cannot make a pipe");
		set->ours.fd[i] = i == 0 ? p[1] : p[0];
		set->theirs[i] = i == 0 ? p[0] : p[1];
	}
	return 0;
}

void stdio_set_close(struct stdio_set *set)
{
	for (int i = 0; i < 3; i++) {
		fd_close(&set->ours.fd[i]);
		fd_close(&set->theirs[i]);
	}
}
