/* SPDX-License-Identifier: Apache-2.0 */
/* run - see run.h and vm.h. isola-vmm, all threads. */
#include "run.h"

#include "isola/fd.h"
#include "isola/list.h"

#include "vcpu.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WARN_BYTES 256

/* Lives on the stack of the vCPU that waits. */
struct call {
	struct list node;
	void (*fn)(void *arg);
	void *arg;
	bool taken; /* the loop has begun */
	bool done;
	pthread_cond_t cond;
};

struct run {
	pthread_mutex_t lock;
	pthread_cond_t resumed; /* or ending */
	uv_async_t wake;
	pthread_t loop_thread;
	struct list calls;
	unsigned int n_calls;
	unsigned int n_threads, n_resting;
	bool paused, ending;
	unsigned int called; /* atomic: paused or ending */
	void (*pause_done)(void *arg);
	void *pause_arg;
	struct vm_exit exit;
	struct {
		char texts[VM_WARNS_A_MINUTE][WARN_BYTES];
		unsigned int n_queued;
		unsigned int n_said; /* in this minute */
		unsigned int n_dropped;
		uint64_t minute_ns;
	} warns;
	uint64_t first_run_ns; /* 0: not yet, or told */
	uint64_t first_cpu_ns;
	struct run_watch watch;
};

/* Exit codes as in isola/vmm.h. */
static const struct {
	const char *name;
	int code;
} reasons[] = {
	[VM_POWEROFF] = { "poweroff", 0 },
	[VM_DEBUG_EXIT] = { "debug-exit", 0 },
	[VM_RESET] = { "reset", 0 },
	[VM_PANIC] = { "panic", 134 },
	[VM_TRIPLE_FAULT] = { "triple-fault", 135 },
	[VM_WATCHDOG] = { "watchdog", 136 },
	[VM_KVM_ERROR] = { "kvm-error", 137 },
	[VM_DEVICE_ERROR] = { "device-error", 138 },
	[VM_PROTOCOL_ERROR] = { "protocol-error", 140 },
	[VM_QUIT] = { "quit", 143 },
};

static uint64_t read_ns(clockid_t clock)
{
	struct timespec ts;
	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void lock(struct run *r)
{
	int rc = pthread_mutex_lock(&r->lock);
	assert(rc == 0);
	(void)rc;
}

static void unlock(struct run *r)
{
	(void)pthread_mutex_unlock(&r->lock);
}

static bool on_loop(const struct run *r)
{
	return pthread_equal(pthread_self(), r->loop_thread);
}

/* Under the lock. The store comes before the kicks: a vCPU that clears its
 * immediate_exit afterwards sees it. */
static void set_called(struct run *r)
{
	__atomic_store_n(&r->called, r->paused || r->ending, __ATOMIC_SEQ_CST);
}

static void kick_all(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		vcpu_kick(vm->vcpus[i]);
}

/* ---- calls ---- */

void vm_call(struct vm *vm, void (*fn)(void *arg), void *arg)
{
	struct run *r = vm->run;
	if (on_loop(r)) {
		fn(arg);
		return;
	}
	struct call c = { .fn = fn, .arg = arg, .cond = PTHREAD_COND_INITIALIZER };
	lock(r);
	if (!r->ending) {
		list_add_tail(&r->calls, &c.node);
		r->n_calls++;
		(void)uv_async_send(&r->wake);
		/* One that was begun is finished, whatever happens. */
		while (!c.done && (c.taken || !r->ending))
			(void)pthread_cond_wait(&c.cond, &r->lock);
		if (!c.taken) {
			list_del(&c.node);
			r->n_calls--;
		}
	}
	unlock(r);
	(void)pthread_cond_destroy(&c.cond);
}

/* What is there now, not what comes meanwhile: the loop has others to serve. */
static void serve_calls(struct run *r)
{
	lock(r);
	for (unsigned int n = r->n_calls; n > 0 && !list_is_empty(&r->calls); n--) {
		struct call *c = container_of(r->calls.next, struct call, node);
		list_del(&c->node);
		r->n_calls--;
		c->taken = true;
		unlock(r);
		c->fn(c->arg);
		lock(r);
		c->done = true;
		/* Under the lock: afterwards it may be gone. */
		(void)pthread_cond_signal(&c->cond);
	}
	if (!list_is_empty(&r->calls))
		(void)uv_async_send(&r->wake);
	unlock(r);
}

static void release_calls(struct run *r)
{
	list_for_each (pos, &r->calls)
		(void)pthread_cond_signal(&container_of(pos, struct call, node)->cond);
}

/* ---- pause ---- */

void vm_pause(struct vm *vm, void (*done)(void *arg), void *arg)
{
	struct run *r = vm->run;
	assert(on_loop(r) && !r->pause_done);
	lock(r);
	r->paused = true;
	r->pause_done = done;
	r->pause_arg = arg;
	set_called(r);
	unlock(r);
	kick_all(vm);
	(void)uv_async_send(&r->wake); /* all may rest already */
}

void vm_resume(struct vm *vm)
{
	struct run *r = vm->run;
	assert(on_loop(r) && !r->pause_done);
	lock(r);
	r->paused = false;
	set_called(r);
	(void)pthread_cond_broadcast(&r->resumed);
	unlock(r);
}

bool vm_is_paused(const struct vm *vm)
{
	struct run *r = vm->run;
	lock(r);
	bool paused = r->paused;
	unlock(r);
	return paused;
}

static void tell_paused(struct run *r)
{
	void (*done)(void *arg) = NULL;
	lock(r);
	/* Who is in a call does not rest: its call came first and will be served. */
	if (r->pause_done && (r->n_resting == r->n_threads || r->ending)) {
		done = r->pause_done;
		r->pause_done = NULL;
	}
	unlock(r);
	if (done)
		done(r->pause_arg);
}

void run_add_thread(struct vm *vm)
{
	lock(vm->run);
	vm->run->n_threads++;
	unlock(vm->run);
}

bool run_is_called(const struct vm *vm)
{
	return __atomic_load_n(&vm->run->called, __ATOMIC_SEQ_CST);
}

bool run_rest(struct vm *vm, bool *ret_paused)
{
	struct run *r = vm->run;
	lock(r);
	*ret_paused = r->paused;
	r->n_resting++;
	while (r->paused && !r->ending) {
		if (r->pause_done && r->n_resting == r->n_threads)
			(void)uv_async_send(&r->wake);
		(void)pthread_cond_wait(&r->resumed, &r->lock);
	}
	r->n_resting--;
	bool go_on = !r->ending;
	unlock(r);
	return go_on;
}

/* ---- the end ---- */

void vm_end(struct vm *vm, enum vm_reason reason, int code, const char *fmt, ...)
{
	struct run *r = vm->run;
	va_list ap;
	lock(r);
	bool first = !r->ending;
	if (first) {
		va_start(ap, fmt);
		(void)vsnprintf(r->exit.text, sizeof(r->exit.text), fmt, ap);
		va_end(ap);
		r->exit.reason = reasons[reason].name;
		r->exit.code = code < 0 ? reasons[reason].code : code & 0xff;
		r->ending = true;
		set_called(r);
		(void)pthread_cond_broadcast(&r->resumed);
		release_calls(r);
	}
	unlock(r);
	if (!first)
		return;
	kick_all(vm);
	(void)uv_async_send(&r->wake);
}

bool vm_exit_get(struct vm *vm, struct vm_exit *ret)
{
	struct run *r = vm->run;
	lock(r);
	bool ended = r->ending;
	if (ended)
		*ret = r->exit;
	unlock(r);
	return ended;
}

static bool is_ending(struct run *r)
{
	lock(r);
	bool ending = r->ending;
	unlock(r);
	return ending;
}

/* ---- what is said ---- */

/* Under the lock: whether one more line may be said now. */
static bool may_warn(struct run *r, uint64_t now)
{
	if (r->warns.n_said == 0 || now - r->warns.minute_ns >= 60000000000) {
		r->warns.minute_ns = now;
		r->warns.n_said = 0;
	}
	return r->warns.n_said < VM_WARNS_A_MINUTE && r->warns.n_queued < VM_WARNS_A_MINUTE;
}

void vm_warn(struct vm *vm, const char *fmt, ...)
{
	struct run *r = vm->run;
	va_list ap;
	lock(r);
	if (may_warn(r, read_ns(CLOCK_MONOTONIC))) {
		char *text = r->warns.texts[r->warns.n_queued++];
		size_t n = 0;
		if (r->warns.n_dropped)
			n = (size_t)snprintf(text, WARN_BYTES, "(%u messages were left out) ",
					     r->warns.n_dropped);
		va_start(ap, fmt);
		(void)vsnprintf(text + n, WARN_BYTES - n, fmt, ap);
		va_end(ap);
		r->warns.n_said++;
		r->warns.n_dropped = 0;
		(void)uv_async_send(&r->wake);
	} else {
		r->warns.n_dropped++;
	}
	unlock(r);
}

static void tell_warns(struct run *r)
{
	char text[WARN_BYTES];
	for (unsigned int i = 0;; i++) {
		lock(r);
		bool more = i < r->warns.n_queued;
		if (more)
			memcpy(text, r->warns.texts[i], sizeof(text));
		else
			r->warns.n_queued = 0;
		unlock(r);
		if (!more)
			return;
		if (r->watch.on_warn)
			r->watch.on_warn(r->watch.arg, text);
	}
}

void run_note_first(struct vm *vm)
{
	struct run *r = vm->run;
	lock(r);
	r->first_run_ns = read_ns(CLOCK_MONOTONIC);
	r->first_cpu_ns = read_ns(CLOCK_PROCESS_CPUTIME_ID);
	unlock(r);
	(void)uv_async_send(&r->wake);
}

static void tell_first(struct run *r)
{
	lock(r);
	uint64_t when = r->first_run_ns, cpu = r->first_cpu_ns;
	r->first_run_ns = 0;
	unlock(r);
	if (when && r->watch.on_first_run)
		r->watch.on_first_run(r->watch.arg, when, cpu);
}

void run_watch(struct vm *vm, const struct run_watch *watch)
{
	vm->run->watch = *watch;
}

/* ---- the loop's side ---- */

static void on_wake(uv_async_t *handle)
{
	struct vm *vm = handle->data;
	struct run *r = vm->run;
	serve_calls(r);
	tell_first(r);
	tell_paused(r);
	tell_warns(r);
	if (!is_ending(r))
		return;
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		vcpu_join(vm->vcpus[i]);
	tell_warns(r);
	uv_stop(&vm->loop);
}

int run_new(struct vm *vm, struct err *err)
{
	struct run *r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ENOMEM, "out of memory");
	int rc = uv_async_init(&vm->loop, &r->wake, on_wake);
	if (rc < 0) {
		free(r);
		return err_rc(err, rc, "cannot make the loop's wake-up");
	}
	r->wake.data = vm;
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->resumed, NULL);
	list_init(&r->calls);
	r->loop_thread = pthread_self();
	r->paused = true;
	set_called(r);
	vm->run = r;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct run *r = container_of((uv_async_t *)handle, struct run, wake);
	(void)pthread_cond_destroy(&r->resumed);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

void run_free(struct vm *vm)
{
	if (!vm->run)
		return;
	uv_close((uv_handle_t *)&vm->run->wake, on_closed);
	vm->run = NULL;
}
