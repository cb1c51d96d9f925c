/* SPDX-License-Identifier: Apache-2.0 */
/* kvm_broken - see kvm_broken.h. isolad, loop thread. */
#include "kvm_broken.h"

#include "isolad.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <signal.h>
#include <stdlib.h>

#define DEVICE     "/dev/kvm"
#define ANSWER_MAX ((size_t)4096)
#define LIMIT_MS   10000

static void forget(struct kvm_broken *b)
{
	json_object_put(b->broken);
	json_object_put(b->of);
	b->broken = b->of = NULL;
}

bool kvm_broken_read(struct kvm_broken *b, const char *text, size_t size)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	forget(b);
	if (!size || json_parse(text, size, "its answer", &doc, &err) < 0)
		return false;
	json_object *list = json_get(doc, "broken"), *of = json_get(doc, "broken_kvm");
	if (!json_object_is_type(list, json_type_array) || !*json_str_or(doc, "broken_kvm", ""))
		return false;
	b->broken = json_object_get(list);
	b->of = json_object_get(of);
	return true;
}

static void on_ended(void *arg, int status)
{
	struct isolad *d = arg;
	struct kvm_broken *b = &d->kvm_broken;
	b->child = NULL;
	timer_stop(&b->limit);
	cleanup_free char *text = malloc(ANSWER_MAX);
	ssize_t n = text && status == 0 ? fd_read_all(b->out, text, ANSWER_MAX) : 0;
	fd_close(&b->out);
	(void)kvm_broken_read(b, text, n < 0 ? 0 : (size_t)n);
}

static void drop_child(struct kvm_broken *b)
{
	if (!b->child)
		return;
	(void)child_kill(b->child, SIGKILL);
	child_forget(b->child);
	b->child = NULL;
	fd_close(&b->out);
}

/* Workers go on to try for themselves. */
static void on_late(void *arg)
{
	struct isolad *d = arg;
	drop_child(&d->kvm_broken);
}

static void ask(struct isolad *d, const struct stat *node)
{
	struct kvm_broken *b = &d->kvm_broken;
	struct err err = ERR_INIT;
	forget(b);
	b->asked = *node;
	if (kvm_child_spawn(d, "--broken", on_ended, &b->child, &b->out, &err) == 0)
		b->limit = timer_start(d, LIMIT_MS, on_late, d);
	else
		log_warn(NULL, "what KVM here cannot do is not known: %s", err.text);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

void kvm_broken_init(struct kvm_broken *b)
{
	*b = (struct kvm_broken){ .out = -1 };
}

void kvm_broken_add(struct isolad *d, json_object *cpus)
{
	struct kvm_broken *b = &d->kvm_broken;
	struct stat node;
	if (stat(DEVICE, &node) < 0 || d->stopping)
		return;
	if (!b->child && !is_same(&b->asked, &node))
		ask(d, &node);
	if (!b->broken)
		return;
	json_add(cpus, "broken", json_object_get(b->broken));
	json_add(cpus, "broken_kvm", json_object_get(b->of));
}

void kvm_broken_stop(struct isolad *d)
{
	struct kvm_broken *b = &d->kvm_broken;
	drop_child(b);
	timer_stop(&b->limit);
	forget(b);
}
