/* SPDX-License-Identifier: Apache-2.0 */
/* init - see init.h. */
#include "init.h"

#include "channel.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void init_setup(struct init *in, const struct ctr_spec *spec, const struct ctr_process *process)
{
	*in = (struct init){
		.spec = spec,
		.process = process,
		.sock = -1,
		.gate_fd = -1,
		.stdio = { -1, -1, -1 },
		.place_fd = -1,
		.root_fd = -1,
		.proc_fd = -1,
		.devpts_fd = -1,
		.mask_fd = -1,
		.slave_fd = -1,
	};
}

void init_run(struct init *in, const struct stage *stages, volatile unsigned char *progress)
{
	struct err err = ERR_INIT;
	for (unsigned char i = 0; stages[i].name; i++) {
		char name[16];
		/* Who looks at a hanging start with ps(1) sees where it hangs. */
		(void)snprintf(name, sizeof(name), "init:%s", stages[i].name);
		(void)prctl(PR_SET_NAME, name);
		if (progress)
			*progress = i;
		int rc = stages[i].run(in, &err);
		if (rc < 0) {
			if (!err.code)
				(void)err_rc(&err, rc, "failed");
			(void)err_prefix(&err, "%s", stages[i].name);
			break;
		}
	}
	(void)chan_send_error(in->sock, &err);
	_exit(1);
}
