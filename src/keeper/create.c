/* SPDX-License-Identifier: Apache-2.0 */
/* create - see create.h. */
#include "create.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pid.h"
#include "isola/step.h"

#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define KEEPSPEC_BYTES_MAX ((size_t)1024 * 1024)

static int write_pid(struct keeper *k, struct err *err)
{
	uint64_t ticks = 0;
	int rc = pid_start_ticks(getpid(), &ticks, NULL);
	if (rc < 0)
		return err_rc(err, rc, "cannot read /proc/self/stat");
	cleanup_json json_object *o = json_object_new_object();
	if (!o)
		return err_set(err, ENOMEM, "out of memory");
	json_add_i64(o, "pid", getpid());
	json_add_i64(o, "start_ticks", (int64_t)ticks);
	return json_write_atomic(k->run_dir_fd, "keeper.pid", o, FD_SYNC_NO, err);
}

int create_open(struct keeper *k, struct err *err)
{
	k->run_dir_fd = open(k->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->run_dir_fd < 0)
		return err_sys(err, "cannot open %s", k->run_dir);
	int rc = control_listen(k, err);
	if (rc == 0)
		rc = write_pid(k, err);
	step_reached("keeper.open");
	return rc;
}

static const struct payload_type *const payloads[] = {
	[KEEP_CONTAINER] = &payload_container,
	[KEEP_VM] = &payload_vm,
	[KEEP_GUEST] = &payload_guest,
};

static int read_keepspec(struct keeper *k, struct err *err)
{
	json_object *doc = NULL;
	int rc = json_read_file(k->run_dir_fd, "keeper.json", KEEPSPEC_BYTES_MAX, &doc, err);
	if (rc == 0)
		rc = keepspec_parse(doc, &k->spec, err);
	if (rc == 0)
		k->payload = payloads[k->spec.kind];
	return rc;
}

int create_payload(struct keeper *k, struct err *err)
{
	int rc = read_keepspec(k, err);
	if (rc == 0 && k->spec.log_path)
		rc = jlog_open(k->spec.log_path, &k->spec.log_limits, k->spec.log_attrs, &k->log,
			       err);
	if (rc == 0)
		rc = k->payload->create(k, err);
	step_reached("keeper.created");
	keepspec_shrink(&k->spec);
	return rc;
}
