/* SPDX-License-Identifier: Apache-2.0 */
/* kvm_probe - whether this host's KVM runs Linux guests: what a guest of a few
 * instructions found out (isola-vmm --probe), and not that there is a /dev/kvm.
 *
 * The probe is a child that isolad neither waits for nor leaves behind: it has
 * KVM_PROBE_MS, and is killed then, or when isolad ends. A probe that says nothing
 * leaves the question open, which forbids nothing. isolad, loop thread. */
#pragma once

#include "isola/list.h"

#include "child.h"

#include <stdbool.h>
#include <stdint.h>

#define KVM_PROBE_MS 20000

struct child;
struct isolad;
struct timer;

enum kvm_verdict {
	KVM_OPEN,   /* not asked, or no answer */
	KVM_WORKS,  /* Linux guests run */
	KVM_BROKEN, /* they do not */
};

struct kvm_probe {
	struct child *child; /* while it runs */
	int out;             /* what it prints; -1 */
	struct timer *limit;
	struct list waiters; /* struct waiter, kvm_probe.c */
	enum kvm_verdict verdict;
	uint64_t at_ms;  /* of the verdict, by the loop's clock */
	bool silent;     /* the last one gave no answer */
	char text[1024]; /* why it is KVM_BROKEN, and what would help; or why KVM_OPEN */
};

/* What isola-vmm --probe printed (@text, @size) as a verdict; @ret_text as above.
 * Pure. */
enum kvm_verdict kvm_probe_judge(const char *text, size_t size, char *ret_text, size_t text_size);

void kvm_probe_init(struct kvm_probe *p);
/* Begins one, unless one runs or there is no /dev/kvm to ask. */
void kvm_probe_begin(struct isolad *d);

/* Makes `isola-vmm @flag`, whose output is read from @ret_out once it has ended. */
int kvm_child_spawn(struct isolad *d, const char *flag, child_exit_fn *on_exit, struct child **ret,
		    int *ret_out, struct err *err);

/* Calls @fn, from this call or later, when the verdict is as good as it gets: a good one
 * stays, a bad one older than some seconds is looked into again, as hosts get mended.
 * @ended: isolad is ending; there is no verdict. */
typedef void kvm_probe_fn(void *arg, bool ended);
void kvm_probe_ask(struct isolad *d, kvm_probe_fn *fn, void *arg);

/* Kills one that runs; who waits hears that isolad is ending. */
void kvm_probe_stop(struct isolad *d);
