/* SPDX-License-Identifier: Apache-2.0 */
/* request - see request.h. isola-vmm, loop; a keeper is foreign, too. */
#include "request.h"

#include "isola/json.h"

#include "machine.h"

#include <errno.h>
#include <string.h>

#define ALWAYS  (PHASE_BUILT | PHASE_RUNNING | PHASE_PAUSED)
#define STARTED (PHASE_RUNNING | PHASE_PAUSED)

static const struct {
	const char *name;
	unsigned int phases;
	const char *device_key;
	const char *keys[5]; /* beside op and seq */
} ops[] = {
	[REQUEST_RUN] = { "run", PHASE_BUILT },
	[REQUEST_PAUSE] = { "pause", PHASE_RUNNING },
	[REQUEST_RESUME] = { "resume", PHASE_PAUSED },
	[REQUEST_POWERDOWN] = { "powerdown", PHASE_RUNNING },
	[REQUEST_NMI] = { "nmi", STARTED },
	[REQUEST_STATS] = { "stats", ALWAYS },
	[REQUEST_BALLOON] = { "balloon", ALWAYS, "balloon", { "size" } },
	[REQUEST_DISK] = { "disk", ALWAYS, "disks", { "id", "rate", "resize" } },
	[REQUEST_NET] = { "net", ALWAYS, "nets", { "id", "rate_rx", "rate_tx" } },
	[REQUEST_PLUG] = { "plug", ALWAYS, "nets", { "id", "mac", "mtu" } },
	[REQUEST_UNPLUG] = { "unplug", ALWAYS, "nets", { "id" } },
	[REQUEST_PIN] = { "pin", ALWAYS, NULL, { "vcpu", "cpus" } },
	[REQUEST_CONSOLE] = { "console", ALWAYS, "consoles", { "id", "rows", "columns" } },
	[REQUEST_QUIT] = { "quit", ALWAYS },
};

#define N_OPS (sizeof(ops) / sizeof(ops[0]))

static int parse_answer(json_object *msg, struct request *r, struct err *err)
{
	static const char *const known[] = { "answer", "code", "error", NULL };
	int64_t code = 0;
	r->op = REQUEST_ANSWER;
	r->name = "answer";
	r->phases = ALWAYS;
	int rc = machine_only(msg, known, "", err);
	if (rc < 0 || (rc = machine_int(msg, "", "answer", 0, INT64_MAX, &r->seq, err)) < 0)
		return rc;
	rc = machine_int(msg, "", "code", 0, 4095, &code, err);
	r->code = (int)code;
	return rc < 0 ? rc : 0;
}

static int find_op(const char *name, struct request *r, struct err *err)
{
	for (size_t i = 0; i < N_OPS; i++) {
		if (strcmp(ops[i].name, name))
			continue;
		r->op = (enum request_op)i;
		r->name = ops[i].name;
		r->phases = ops[i].phases;
		r->device_key = ops[i].device_key;
		return 0;
	}
	return err_set(err, EINVAL, "op: \"%.40s\" is not known", name);
}

static bool takes(enum request_op op, const char *key)
{
	for (size_t i = 0; i < 5 && ops[op].keys[i]; i++)
		if (!strcmp(ops[op].keys[i], key))
			return true;
	return !strcmp(key, "op") || !strcmp(key, "seq");
}

static int check_keys(json_object *msg, const struct request *r, struct err *err)
{
	json_object_object_foreach (msg, key, value) {
		(void)value;
		if (!takes(r->op, key))
			return err_set(err, EINVAL, "%s: %.40s is not known", r->name, key);
	}
	return 0;
}

static int parse_pin(json_object *msg, struct request *r, struct err *err)
{
	int64_t vcpu = -1;
	int rc = machine_int(msg, "", "vcpu", 0, MACHINE_CPUS_MAX - 1, &vcpu, err);
	if (rc == 0)
		return err_set(err, EINVAL, "vcpu: is missing");
	if (rc < 0)
		return rc;
	r->vcpu = (unsigned int)vcpu;
	r->cpus = json_get(msg, "cpus");
	return machine_cpu_list(r->cpus, err) < 0 ? err_prefix(err, "cpus") : 0;
}

static int parse_request(json_object *msg, struct request *r, struct err *err)
{
	const char *op = NULL;
	int rc = json_get_str(msg, "op", &op, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, EINVAL, "op: is missing");
	if ((rc = find_op(op, r, err)) < 0 || (rc = check_keys(msg, r, err)) < 0)
		return rc;
	if (takes(r->op, "id")) {
		rc = json_get_str(msg, "id", &r->id, err);
		if (rc <= 0)
			return rc < 0 ? rc : err_set(err, EINVAL, "%s: id is missing", op);
	}
	return r->op == REQUEST_PIN ? parse_pin(msg, r, err) : 0;
}

int request_parse(json_object *msg, struct request *ret, struct err *err)
{
	*ret = (struct request){ .seq = -1 };
	if (!json_object_is_type(msg, json_type_object))
		return err_set(err, EINVAL, "a message must be an object");
	if (json_get(msg, "answer"))
		return parse_answer(msg, ret, err);
	int rc = machine_int(msg, "", "seq", 0, INT64_MAX, &ret->seq, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, EINVAL, "seq: is missing");
	return parse_request(msg, ret, err);
}
