/* SPDX-License-Identifier: Apache-2.0 */
/* guest_change - a container in a VM while it runs: which processes it has and what they
 * use, as its guest tells, that it keeps no file to itself, and other limits for it. */
#include "guest.h"

#include "isola/json.h"

#include "control.h"
#include "guest_tell.h"
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Room for "limits": a file or two of the container's cgroup. */
#define LIMITS_MAX 16

int guest_need(const struct guest *g, struct err *err)
{
	if (g->k->state == STATE_PAUSED)
		return err_set(err, EBUSY, "the container is paused, and its guest with it");
	if (!g->ran || g->exited)
		return err_set(err, ESRCH, "the container is not running");
	return 0;
}

/* ---- what it tells ---- */

typedef int tell_fn(const uint8_t *body, size_t size, json_object **ret, struct err *err);

static const struct telling {
	enum guest_type type;
	const char *key; /* of the answer */
	tell_fn *tell;
} tellings[] = {
	{ GUEST_PS, "ps", guest_tell_ps },
	{ GUEST_STATS, "stats", guest_tell_stats },
};

struct asked {
	struct guest *g;
	struct asker asker;
	const struct telling *what;
};

static void on_told(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct asked *a = arg;
	struct err e = ERR_INIT;
	json_object *told = NULL, *o = NULL;
	if (!err && a->what->tell(body, size, &told, &e) < 0) {
		a->g->protocol_error = true;
		guest_end(a->g, "%s", e.text);
		err = &e;
	}
	if (!err) {
		o = json_object_new_object();
		json_add(o, a->what->key, told);
	}
	control_answer(a->g->k, &a->asker, o, err);
	free(a);
}

static int ask(struct guest *g, const struct telling *what, struct err *err)
{
	struct asked *a = malloc(sizeof(*a));
	if (!a)
		return err_set(err, ENOMEM, "out of memory");
	*a = (struct asked){ g, g->k->asker, what };
	int rc = guest_link_call(&g->link, what->type, NULL, GUEST_CALL_MS, on_told, a, err);
	if (rc < 0)
		free(a);
	return rc < 0 ? rc : -EINPROGRESS;
}

int guest_command(struct keeper *k, const struct request *r, struct err *err)
{
	if (r->op != OP_PS && r->op != OP_STATS)
		return guest_nic_command(k, r, err);
	int rc = guest_need(k->guest, err);
	return rc < 0 ? rc : ask(k->guest, &tellings[r->op == OP_STATS], err);
}

/* ---- its page cache ---- */

int guest_sync(struct keeper *k, struct err *err)
{
	struct guest *g = k->guest;
	cleanup_tlv struct tlv_writer w = { 0 };
	int rc = guest_need(g, err);
	if (rc < 0)
		return rc;
	tlv_put_u64(&w, GF_PROCESS, ++g->number);
	tlv_put_u64(&w, GF_STREAMS, 0);
	return guest_ask(g, GUEST_SYNC, &w, GUEST_SYNC_MS, err);
}

/* ---- other limits ---- */

/* The guest first, since it is the guest that may say no: its CPUs, its limits; then the
 * balloon, the cgroup. */
struct update {
	struct guest *g;
	struct asker asker;
	struct tlv_writer limits;
	json_object *resources; /* owned, or NULL */
	int64_t balloon;        /* bytes; -1: as it is */
	int64_t was_online;     /* CPUs */
};

static void update_free(struct update *u)
{
	tlv_writer_fini(&u->limits);
	json_object_put(u->resources);
	free(u);
}

/* ---- CPUs ---- */

static int ask_online(struct guest *g, int64_t cpus, guest_reply_fn *reply, void *arg,
		      struct err *err)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	tlv_put_u64(&w, GF_CPUS, (uint64_t)cpus);
	return guest_link_call(&g->link, GUEST_ONLINE, &w, GUEST_CALL_MS, reply, arg, err);
}

static void warn_of_cpus(struct guest *g, const struct err *err)
{
	char text[sizeof(err->text) + 64];
	(void)snprintf(text, sizeof(text), "its CPUs are not as they were: %s", err->text);
	vm_warn(g->k->vm, text);
}

static void on_back_online(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	(void)body;
	(void)size;
	if (err)
		warn_of_cpus(arg, err);
}

/* What came behind failed, or not all of them came or went. */
static void back_online(struct update *u)
{
	struct guest *g = u->g;
	struct err e = ERR_INIT;
	g->online = u->was_online;
	if (ask_online(g, g->online, on_back_online, g, &e) < 0)
		warn_of_cpus(g, &e);
}

static void update_failed(struct update *u, const struct err *err)
{
	if (u->was_online != u->g->online)
		back_online(u);
	control_answer(u->g->k, &u->asker, NULL, err);
	update_free(u);
}

/* ---- the rest ---- */

static int apply_on_host(struct update *u, struct err *err)
{
	struct keeper *k = u->g->k;
	int rc = u->resources ? payload_vm.update(k, u->resources, NULL, err) : 0;
	if (rc < 0 || u->balloon < 0)
		return rc;
	json_object *args = json_object_new_object();
	json_add_i64(args, "size", u->balloon);
	return vm_call(k->vm, "balloon", args, NULL, NULL, err);
}

static void on_limited(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct update *u = arg;
	struct err e = ERR_INIT;
	(void)body;
	(void)size;
	if (!err && apply_on_host(u, &e) < 0)
		err = &e;
	if (err) {
		update_failed(u, err);
		return;
	}
	control_answer(u->g->k, &u->asker, NULL, NULL);
	update_free(u);
}

static int ask_limits(struct update *u, struct err *err)
{
	return guest_link_call(&u->g->link, GUEST_LIMIT, &u->limits, GUEST_CALL_MS, on_limited, u,
			       err);
}

static void on_online(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct update *u = arg;
	struct err e = ERR_INIT;
	(void)body;
	(void)size;
	if (!err && ask_limits(u, &e) < 0)
		err = &e;
	if (err)
		update_failed(u, err);
}

static int put_limits(struct tlv_writer *w, json_object *limits, struct err *err)
{
	if (!limits)
		return 0;
	if (json_object_object_length(limits) > LIMITS_MAX)
		return err_set(err, EINVAL, "args.limits has too many members");
	json_object_object_foreach (limits, name, value) {
		size_t mark = tlv_open(w, GF_LIMIT);
		tlv_put_text(w, GF_NAME, name);
		tlv_put_text(w, GF_VALUE, json_object_get_string(value));
		tlv_close(w, mark);
	}
	return 0;
}

/* What the machine has is the most that its guest can have. */
static int check_sizes(const struct guest *g, json_object *args, int64_t *ret_balloon,
		       int64_t *ret_cpus, struct err *err)
{
	int64_t memory = 0, cpus = g->online;
	int rc = json_get_i64(args, "memory", &memory, err);
	if (rc >= 0)
		rc = json_get_i64(args, "cpus", &cpus, err);
	if (rc < 0)
		return rc;
	if (memory > g->memory)
		return err_set(err, EINVAL,
			       "Memory (--memory): its guest was booted with %lld MiB of RAM, and "
			       "needs %lld for this; it can have them from its next start on, so "
			       "stop it first",
			       (long long)g->memory >> 20, (long long)memory >> 20);
	if (cpus > g->cpus)
		return err_set(err, EINVAL,
			       "NanoCpus (--cpus): its guest's machine has %lld CPUs, and needs "
			       "%lld for this; it can have them from its next start on, so stop it "
			       "first",
			       (long long)g->cpus, (long long)cpus);
	if (cpus < 1)
		return err_set(err, EINVAL, "args.cpus must be 1 or more");
	*ret_balloon = memory > 0 ? g->memory - memory : -1;
	*ret_cpus = cpus;
	return 0;
}

int guest_update(struct keeper *k, json_object *resources, json_object *args, struct err *err)
{
	struct guest *g = k->guest;
	cleanup_tlv struct tlv_writer w = { 0 };
	int64_t balloon = -1, cpus = 0;
	int rc = guest_need(g, err);
	if (rc == 0)
		rc = check_sizes(g, args, &balloon, &cpus, err);
	if (rc == 0)
		rc = put_limits(&w, json_get(args, "limits"), err);
	if (rc < 0)
		return rc;
	struct update *u = malloc(sizeof(*u));
	if (!u)
		return err_set(err, ENOMEM, "out of memory");
	*u = (struct update){ .g = g,
			      .asker = k->asker,
			      .limits = w,
			      .resources = json_object_get(resources),
			      .balloon = balloon,
			      .was_online = g->online };
	w = (struct tlv_writer){ 0 };
	rc = cpus == g->online ? ask_limits(u, err) : ask_online(g, cpus, on_online, u, err);
	if (rc < 0) {
		update_free(u);
		return rc;
	}
	g->online = cpus;
	return -EINPROGRESS;
}
