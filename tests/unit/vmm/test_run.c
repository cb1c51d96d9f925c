/* SPDX-License-Identifier: Apache-2.0 */
/* test_run - where threads meet: calls, pause, end and warnings, with threads that do
 * what a vCPU does, but for KVM. Meant to be run under a thread sanitizer, too. */
#include "vmm/run.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define N_THREADS 4

struct rig {
	struct vm vm;
	pthread_t threads[N_THREADS];
	unsigned int n_threads;
	uint64_t n_calls;  /* the loop's, without a lock: that is the point */
	uint64_t n_rounds; /* atomic: "guest" work */
	bool paused_now;   /* the loop's */
	unsigned int n_pauses;
	unsigned int wanted_pauses;
	uint64_t rounds_at_pause;
	uv_timer_t timer;
	unsigned int n_warns;
	char last_warn[256];
};

static void on_call(void *arg)
{
	struct rig *r = arg;
	assert_false(r->paused_now); /* none comes during a pause */
	r->n_calls++;
}

static void *thread_main(void *arg)
{
	struct rig *r = arg;
	bool paused = false;
	for (unsigned int i = 0;; i++) {
		if (run_is_called(&r->vm)) {
			if (!run_rest(&r->vm, &paused))
				return NULL;
			continue;
		}
		__atomic_add_fetch(&r->n_rounds, 1, __ATOMIC_RELAXED);
		if (i % 4 == 0)
			vm_call(&r->vm, on_call, r);
		if (i % 64 == 0)
			sched_yield();
	}
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct err err = ERR_INIT;
	*state = r;
	return r ? vm_init(&r->vm, NULL, &err) : -1;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	vm_end(&r->vm, VM_QUIT, -1, "over");
	for (unsigned int i = 0; i < r->n_threads; i++)
		(void)pthread_join(r->threads[i], NULL);
	if (r->timer.data)
		uv_close((uv_handle_t *)&r->timer, NULL);
	vm_fini(&r->vm);
	free(r);
	return 0;
}

static void start_threads(struct rig *r)
{
	for (unsigned int i = 0; i < N_THREADS; i++) {
		run_add_thread(&r->vm);
		assert_int_equal(pthread_create(&r->threads[i], NULL, thread_main, r), 0);
		r->n_threads++;
	}
}

static uint64_t rounds(struct rig *r)
{
	return __atomic_load_n(&r->n_rounds, __ATOMIC_RELAXED);
}

static void pause_again(uv_timer_t *timer);

static void go_on(uv_timer_t *timer)
{
	struct rig *r = timer->data;
	/* nobody moved meanwhile */
	assert_int_equal(rounds(r), r->rounds_at_pause);
	r->paused_now = false;
	if (++r->n_pauses == r->wanted_pauses) {
		vm_end(&r->vm, VM_POWEROFF, -1, "enough");
		return;
	}
	vm_resume(&r->vm);
	(void)uv_timer_start(timer, pause_again, r->n_pauses % 2, 0);
}

static void on_paused(void *arg)
{
	struct rig *r = arg;
	assert_true(vm_is_paused(&r->vm));
	r->paused_now = true;
	r->rounds_at_pause = rounds(r);
	(void)uv_timer_start(&r->timer, go_on, 1, 0);
}

static void pause_again(uv_timer_t *timer)
{
	struct rig *r = timer->data;
	vm_pause(&r->vm, on_paused, r);
	assert_false(r->paused_now); /* never before it returns */
}

static void pause__stops_all_under_load(void **state)
{
	struct rig *r = *state;
	struct vm_exit exit;
	start_threads(r);
	r->wanted_pauses = 200;
	(void)uv_timer_init(&r->vm.loop, &r->timer);
	r->timer.data = r;
	(void)uv_timer_start(&r->timer, pause_again, 1, 0);
	assert_int_equal(rounds(r), 0); /* paused from the start */
	vm_resume(&r->vm);
	(void)uv_run(&r->vm.loop, UV_RUN_DEFAULT);
	assert_int_equal(r->n_pauses, 200);
	assert_true(r->n_calls > 200);
	assert_true(vm_exit_get(&r->vm, &exit));
	assert_string_equal(exit.reason, "poweroff");
	assert_int_equal(exit.code, 0);
	assert_string_equal(exit.text, "enough");
}

static void count_pause(void *arg)
{
	struct rig *r = arg;
	if (++r->n_pauses == 1) {
		vm_pause(&r->vm, count_pause, r); /* again, at once */
		return;
	}
	vm_end(&r->vm, VM_QUIT, -1, "done");
}

static void pause__is_complete_when_all_rest_already(void **state)
{
	struct rig *r = *state;
	start_threads(r);
	vm_pause(&r->vm, count_pause, r);
	(void)uv_run(&r->vm.loop, UV_RUN_DEFAULT);
	assert_int_equal(r->n_pauses, 2);
	assert_int_equal(rounds(r), 0);
}

static void end__the_first_reason_counts(void **state)
{
	struct rig *r = *state;
	struct vm_exit exit;
	assert_false(vm_exit_get(&r->vm, &exit));
	vm_end(&r->vm, VM_DEBUG_EXIT, 0x1ff, "value %d", 5);
	vm_end(&r->vm, VM_PANIC, -1, "too late");
	assert_true(vm_exit_get(&r->vm, &exit));
	assert_string_equal(exit.reason, "debug-exit");
	assert_int_equal(exit.code, 0xff);
	assert_string_equal(exit.text, "value 5");
}

static void end__codes_are_those_of_the_protocol(void **state)
{
	static const struct {
		enum vm_reason reason;
		const char *name;
		int code;
	} rows[] = {
		{ VM_POWEROFF, "poweroff", 0 },
		{ VM_DEBUG_EXIT, "debug-exit", 0 },
		{ VM_RESET, "reset", 0 },
		{ VM_PANIC, "panic", 134 },
		{ VM_TRIPLE_FAULT, "triple-fault", 135 },
		{ VM_WATCHDOG, "watchdog", 136 },
		{ VM_KVM_ERROR, "kvm-error", 137 },
		{ VM_DEVICE_ERROR, "device-error", 138 },
		{ VM_QUIT, "quit", 143 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vm vm;
		struct vm_exit exit;
		struct err err = ERR_INIT;
		assert_int_equal(vm_init(&vm, NULL, &err), 0);
		vm_end(&vm, rows[i].reason, -1, "%s", "x");
		assert_true(vm_exit_get(&vm, &exit));
		assert_string_equal(exit.reason, rows[i].name);
		assert_int_equal(exit.code, rows[i].code);
		vm_fini(&vm);
	}
}

static void end_from_call(void *arg)
{
	struct rig *r = arg;
	if (++r->n_calls == 100)
		vm_end(&r->vm, VM_RESET, -1, "from a call");
}

static void *caller_main(void *arg)
{
	struct rig *r = arg;
	bool paused = false;
	while (run_rest(&r->vm, &paused))
		vm_call(&r->vm, end_from_call, r);
	/* after the end it returns at once */
	vm_call(&r->vm, end_from_call, r);
	return NULL;
}

static void end__releases_who_waits_in_a_call(void **state)
{
	struct rig *r = *state;
	for (unsigned int i = 0; i < N_THREADS; i++) {
		run_add_thread(&r->vm);
		assert_int_equal(pthread_create(&r->threads[i], NULL, caller_main, r), 0);
		r->n_threads++;
	}
	vm_resume(&r->vm);
	(void)uv_run(&r->vm.loop, UV_RUN_DEFAULT);
	assert_true(r->n_calls >= 100 && r->n_calls < 100 + N_THREADS);
}

static void *ender_main(void *arg)
{
	struct rig *r = arg;
	bool paused = false;
	while (run_rest(&r->vm, &paused))
		vm_end(&r->vm, VM_TRIPLE_FAULT, -1, "many at once");
	return NULL;
}

static void end__by_many_threads_at_once(void **state)
{
	struct rig *r = *state;
	struct vm_exit exit;
	for (unsigned int i = 0; i < N_THREADS; i++) {
		run_add_thread(&r->vm);
		assert_int_equal(pthread_create(&r->threads[i], NULL, ender_main, r), 0);
		r->n_threads++;
	}
	vm_resume(&r->vm);
	(void)uv_run(&r->vm.loop, UV_RUN_DEFAULT);
	assert_true(vm_exit_get(&r->vm, &exit));
	assert_string_equal(exit.reason, "triple-fault");
}

static void call__on_the_loop_is_plain(void **state)
{
	struct rig *r = *state;
	vm_call(&r->vm, on_call, r);
	assert_int_equal(r->n_calls, 1);
}

static void on_warn(void *arg, const char *text)
{
	struct rig *r = arg;
	r->n_warns++;
	(void)snprintf(r->last_warn, sizeof(r->last_warn), "%s", text);
}

static void warn__is_limited(void **state)
{
	struct rig *r = *state;
	const struct run_watch watch = { NULL, on_warn, r };
	run_watch(&r->vm, &watch);
	for (int i = 0; i < 1000; i++) {
		vm_warn(&r->vm, "number %d %0300d", i, 0); /* longer than a line may be */
		(void)uv_run(&r->vm.loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(r->n_warns, VM_WARNS_A_MINUTE);
	assert_int_equal(strncmp(r->last_warn, "number 9 ", 9), 0);
}

static void warn__in_one_turn_is_limited_too(void **state)
{
	struct rig *r = *state;
	const struct run_watch watch = { NULL, on_warn, r };
	run_watch(&r->vm, &watch);
	for (int i = 0; i < 1000; i++)
		vm_warn(&r->vm, "number %d", i);
	(void)uv_run(&r->vm.loop, UV_RUN_NOWAIT);
	assert_int_equal(r->n_warns, VM_WARNS_A_MINUTE);
}

static void windows__skip_the_platforms_interrupt(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	uint64_t start = 0;
	uint32_t gsi = 0, last = 0;
	for (unsigned int i = 0; i < VM_DEVICES_MAX; i++) {
		assert_int_equal(vm_take_window(&r->vm, &start, &gsi, &err), 0);
		assert_int_equal(start, VM_MMIO_START + i * VM_MMIO_SIZE);
		assert_int_not_equal(gsi, 9);
		assert_true(gsi > last && gsi >= VM_GSI_FIRST && gsi <= VM_GSI_LAST);
		last = gsi;
	}
	assert_int_equal(last, VM_GSI_LAST);
	assert_int_equal(vm_take_window(&r->vm, &start, &gsi, &err), -28 /* ENOSPC */);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pause__stops_all_under_load),
		CASE(pause__is_complete_when_all_rest_already),
		CASE(end__the_first_reason_counts),
		CASE(end__codes_are_those_of_the_protocol),
		CASE(end__releases_who_waits_in_a_call),
		CASE(end__by_many_threads_at_once),
		CASE(call__on_the_loop_is_plain),
		CASE(warn__is_limited),
		CASE(warn__in_one_turn_is_limited_too),
		CASE(windows__skip_the_platforms_interrupt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
