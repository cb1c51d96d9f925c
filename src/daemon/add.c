/* SPDX-License-Identifier: Apache-2.0 */
/* add - instance_create(): what create.c found good gets a name, folders, a record
 * and a place in the registry. The name is taken from the first moment; ops that
 * come before the record is written wait behind it. isolad, loop thread. */
#include "isola/json.h"

#include "create.h"
#include "isolad.h"
#include "isolation.h"
#include "life.h"
#include "persist.h"
#include "secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_later(void *arg)
{
	instance_free(arg);
}

static void on_created(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct instance *inst = op->inst;
	json_object *result = op->body;
	op->body = NULL;
	if (!err) {
		op_finish(op, NULL, result);
		return;
	}
	volumes_release(inst, true);
	secrets_forget(inst);
	json_object_put(result);
	registry_remove(inst);
	op_finish(op, err, NULL);
	op_fail_all(inst, err);
	later_call(inst->isolad, free_later, inst);
}

static void on_cleared(void *arg, const struct err *err)
{
	struct op *op = arg;
	(void)err; /* logged; the next start sees to it */
	struct err e = { .code = op->signal };
	(void)snprintf(e.text, sizeof(e.text), "%s", op->name);
	on_created(op, &e);
}

static void on_volumes(void *arg, const struct err *err, json_object *result)
{
	struct op *op = arg;
	(void)result;
	if (!err) {
		on_created(op, NULL);
		return;
	}
	/* All that was made goes again. */
	struct wreck_args args = { .isolad = op->inst->isolad, .id = op->inst->id };
	op->signal = err->code;
	op->name = strdup(err->text);
	wreck_clear(&args, on_cleared, op);
}

/* The record first: whatever happens then, the volumes have a user, who makes them
 * at its start if need be. */
static void on_recorded(void *arg, const struct err *err)
{
	struct op *op = arg;
	if (err)
		on_created(op, err);
	else if (volumes_prepare(op->inst, true, on_volumes, op))
		on_created(op, NULL);
}

static void add_run(struct op *op)
{
	op->pinned = true;
	persist_create(op->inst, on_recorded, op);
}

static const struct op_type add_type = { .name = "create", .event = "create", .run = add_run };

typedef int check_fn(struct isolad *d, const char *name, json_object *body, struct instance **ret,
		     json_object *warnings, struct err *err);

static int add(struct isolad *d, check_fn *check, const char *name, json_object *body,
	       json_object *result, struct instance **ret, struct err *err)
{
	json_object *warnings = json_object_new_array();
	json_add(result, "Warnings", warnings);
	struct instance *inst = NULL;
	int rc = check(d, name, body, &inst, warnings, err);
	if (rc < 0)
		return rc;
	rc = inst->name ? 0 : registry_make_name(inst, err);
	if (rc == 0)
		rc = secrets_store(inst, body, err);
	if (rc == 0 && (rc = registry_add(d, inst, err)) < 0)
		secrets_forget(inst);
	if (rc < 0) {
		instance_free(inst);
		return rc;
	}
	json_add_str(result, "Id", inst->id);
	*ret = inst;
	return 0;
}

static void create_now(struct isolad *d, check_fn *check, const char *name, json_object *body,
		       bool building, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	struct instance *inst = NULL;
	json_object *result = json_object_new_object();
	int rc = result ? add(d, check, name, body, result, &inst, &e)
			: err_set(&e, ENOMEM, "out of memory");
	struct op *op = rc < 0 ? NULL : op_new(inst, &add_type, done, arg);
	if (!op) {
		if (rc < 0)
			later_done(d, done, arg, &e, NULL);
		json_object_put(result);
		return;
	}
	op->body = result;
	inst->building = building;
	if (building) {
		/* What RUN writes to a VOLUME belongs to its layer. */
		json_object_put(inst->mount_points);
		inst->mount_points = NULL;
	}
	op_queue(op);
}

/* ---- a request that may be for a microVM waits until it is known whether one can be ---- */

struct pending {
	struct isolad *isolad;
	char *name;
	json_object *body;
	bool building;
	op_done_fn *done;
	void *arg;
};

static void on_kvm_known(void *arg, bool ended)
{
	struct pending *p = arg;
	struct err e = ERR_INIT;
	if (ended) {
		(void)err_set(&e, ECANCELED, "isolad is shutting down");
		later_done(p->isolad, p->done, p->arg, &e, NULL);
	} else {
		create_now(p->isolad, create_check, p->name, p->body, p->building, p->done, p->arg);
	}
	json_object_put(p->body);
	free(p->name);
	free(p);
}

static void create(struct isolad *d, const char *name, json_object *body, bool building,
		   op_done_fn *done, void *arg)
{
	struct pending *p =
		isolation_may_be_vm(&d->config, &d->policy, body) ? calloc(1, sizeof(*p)) : NULL;
	char *copy = p && name ? strdup(name) : NULL;
	if (!p || (name && !copy)) {
		free(p);
		create_now(d, create_check, name, body, building, done, arg);
		return;
	}
	*p = (struct pending){ d, copy, json_object_get(body), building, done, arg };
	kvm_probe_ask(d, on_kvm_known, p);
}

void instance_create(struct isolad *d, const char *name, json_object *body, op_done_fn *done,
		     void *arg)
{
	create(d, name, body, false, done, arg);
}

void vm_create(struct isolad *d, const char *name, json_object *body, op_done_fn *done, void *arg)
{
	create_now(d, create_vm_check, name, body, false, done, arg);
}

void instance_create_building(struct isolad *d, json_object *body, op_done_fn *done, void *arg)
{
	create(d, NULL, body, true, done, arg);
}
