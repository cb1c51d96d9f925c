/* SPDX-License-Identifier: Apache-2.0 */
/* guest_times - see guest_times.h. */
#include "guest_times.h"

#include "isola/err.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <time.h>

static const char *const names[GUEST_TIMES] = {
	[GUEST_TIME_CREATE] = "create_ns", [GUEST_TIME_ROOT] = "root_ns",
	[GUEST_TIME_WORKER] = "worker_ns", [GUEST_TIME_START] = "start_ns",
	[GUEST_TIME_VCPU] = "vcpu_ns",     [GUEST_TIME_READY] = "ready_ns",
	[GUEST_TIME_SETUP] = "setup_ns",   [GUEST_TIME_RUN] = "run_ns",
};

void guest_times_mark(struct guest_times *t, enum guest_time which)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	t->at_ns[which] = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void guest_times_write(const struct guest_times *t, int run_dir_fd)
{
	struct err ignored;
	cleanup_json json_object *o = json_object_new_object();
	for (int i = 0; i < GUEST_TIMES; i++)
		json_add_i64(o, names[i], t->at_ns[i]);
	json_add_i64(o, "boot_us", (int64_t)t->boot_us);
	if (o)
		(void)json_write_atomic(run_dir_fd, "boot.json", o, FD_SYNC_NO, &ignored);
}
