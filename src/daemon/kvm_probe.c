/* SPDX-License-Identifier: Apache-2.0 */
/* kvm_probe - see kvm_probe.h. isolad, loop thread.
 *
 * What the child prints is a few KiB, less than a pipe holds, so it is read once, when
 * the child has ended. */
#include "kvm_probe.h"

#include "isolad.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE        "/dev/kvm"
#define ANSWER_MAX    ((size_t)60 * 1024)
#define LOOK_AGAIN_MS 5000

struct waiter {
	struct list node;
	kvm_probe_fn *fn;
	void *arg;
};

/* ---- the answer ---- */

static json_object *find_check(json_object *doc, const char *name)
{
	json_object *checks = json_get(doc, "checks");
	for (size_t i = 0; i < json_len(checks); i++) {
		json_object *c = json_object_array_get_idx(checks, i);
		if (!strcmp(json_str_or(c, "name", ""), name))
			return c;
	}
	return NULL;
}

enum kvm_verdict kvm_probe_judge(const char *text, size_t size, char *ret_text, size_t text_size)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	if (!size || json_parse(text, size, "its answer", &doc, &err) < 0) {
		(void)snprintf(ret_text, text_size, "%s",
			       size ? err.text : "isola-vmm --probe said nothing");
		return KVM_OPEN;
	}
	if (json_bool_or(doc, "linux", false)) {
		*ret_text = '\0';
		return KVM_WORKS;
	}
	json_object *check = find_check(doc, "linux-guests");
	(void)snprintf(ret_text, text_size, "%s (%s)",
		       json_str_or(check, "text", "KVM here runs no Linux guest."),
		       json_str_or(check, "fix", "vmctl doctor says more"));
	return KVM_BROKEN;
}

/* ---- the child ---- */

static void tell_all(struct isolad *d, bool ended)
{
	struct kvm_probe *p = &d->kvm_probe;
	while (!list_is_empty(&p->waiters)) {
		struct waiter *w = container_of(p->waiters.next, struct waiter, node);
		list_del(&w->node);
		w->fn(w->arg, ended);
		free(w);
	}
}

static void finish(struct isolad *d, enum kvm_verdict verdict)
{
	struct kvm_probe *p = &d->kvm_probe;
	timer_stop(&p->limit);
	fd_close(&p->out);
	p->verdict = verdict;
	p->silent = verdict == KVM_OPEN;
	p->at_ms = uv_now(&d->loop);
	if (verdict == KVM_WORKS)
		log_info(NULL, "KVM runs Linux guests: images can run in microVMs");
	else
		log_warn(NULL, "%s%s",
			 p->silent ? "whether KVM runs Linux guests is not known: " : "", p->text);
	tell_all(d, false);
}

static void on_ended(void *arg, int status)
{
	struct isolad *d = arg;
	struct kvm_probe *p = &d->kvm_probe;
	p->child = NULL;
	cleanup_free char *text = malloc(ANSWER_MAX);
	ssize_t n = text && status == 0 ? fd_read_all(p->out, text, ANSWER_MAX) : 0;
	finish(d, kvm_probe_judge(text, n < 0 ? 0 : (size_t)n, p->text, sizeof(p->text)));
}

static void drop_child(struct kvm_probe *p)
{
	if (!p->child)
		return;
	(void)child_kill(p->child, SIGKILL);
	child_forget(p->child);
	p->child = NULL;
}

static void on_late(void *arg)
{
	struct isolad *d = arg;
	drop_child(&d->kvm_probe);
	(void)snprintf(d->kvm_probe.text, sizeof(d->kvm_probe.text),
		       "isola-vmm --probe did not end within %d s", KVM_PROBE_MS / 1000);
	finish(d, KVM_OPEN);
}

int kvm_child_spawn(struct isolad *d, const char *flag, child_exit_fn *on_exit, struct child **ret,
		    int *ret_out, struct err *err)
{
	const char *const argv[] = { "isola-vmm", flag, NULL };
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	const struct child_args args = { .program = PROGRAM_VMM,
					 .argv = argv,
					 .stdin_fd = -1,
					 .stdout_fd = ends[1],
					 .fd3 = -1 };
	/* A child that left one behind with the pipe must not hold us up. */
	int rc = fd_set_nonblock(ends[0], true);
	if (rc == 0)
		rc = child_spawn(d, &args, on_exit, d, ret, err);
	fd_close(&ends[1]);
	if (rc < 0)
		fd_close(&ends[0]);
	else
		*ret_out = ends[0];
	return rc;
}

void kvm_probe_init(struct kvm_probe *p)
{
	*p = (struct kvm_probe){ .out = -1 };
	list_init(&p->waiters);
}

void kvm_probe_begin(struct isolad *d)
{
	struct kvm_probe *p = &d->kvm_probe;
	struct err err = ERR_INIT;
	if (p->child || d->stopping || access(DEVICE, R_OK | W_OK) < 0)
		return;
	if (kvm_child_spawn(d, "--probe", on_ended, &p->child, &p->out, &err) == 0) {
		p->limit = timer_start(d, KVM_PROBE_MS, on_late, d);
		return;
	}
	(void)snprintf(p->text, sizeof(p->text), "%s", err.text);
	finish(d, KVM_OPEN);
}

/* ---- who wants to know ---- */

void kvm_probe_ask(struct isolad *d, kvm_probe_fn *fn, void *arg)
{
	struct kvm_probe *p = &d->kvm_probe;
	bool stale = p->verdict != KVM_WORKS &&
		     (!p->at_ms || uv_now(&d->loop) - p->at_ms > LOOK_AGAIN_MS);
	if (stale)
		kvm_probe_begin(d);
	struct waiter *w = p->child ? calloc(1, sizeof(*w)) : NULL;
	if (!w) {
		fn(arg, d->stopping);
		return;
	}
	*w = (struct waiter){ .fn = fn, .arg = arg };
	list_add_tail(&p->waiters, &w->node);
}

void kvm_probe_stop(struct isolad *d)
{
	struct kvm_probe *p = &d->kvm_probe;
	drop_child(p);
	timer_stop(&p->limit);
	fd_close(&p->out);
	tell_all(d, true);
}
