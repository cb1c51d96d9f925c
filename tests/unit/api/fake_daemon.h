/* SPDX-License-Identifier: Apache-2.0 */
/* fake_daemon - a stand-in for isolad's core, so that the API layer is tested
 * and fuzzed without root, keepers or images. It implements every function of
 * include/isola/daemon.h that the API calls, and records what it was asked. */
#pragma once

#include "isola/daemon.h"

#define FAKE_ID                                                                                    \
	"a1b2c3d4e5f60718293a4b5c6d7e8f90"                                                         \
	"a1b2c3d4e5f60718293a4b5c6d7e8f90"

struct isolad {
	uv_loop_t *loop;
	struct list instances;
	struct instance web;  /* running, no terminal */
	struct instance term; /* exited, with a terminal */
	struct list later, waiters, subscriptions;
	uv_timer_t timer;

	/* The next operation fails with this. */
	int fail_code;
	const char *fail_text;

	/* What was asked. */
	char last[64]; /* name of the last operation */
	int signal, timeout_s, h, w;
	bool force, volumes;
	char text[256];
	json_object *body;            /* of the last create, update, exec; owned */
	struct stream_request stream; /* head copied */
	char head[256];
	struct logs_request logs;
	char stream_text[64]; /* what streams write before they close */
	int n_jobs, n_cancelled, n_waits_cancelled, n_subscribed;
	size_t job_bytes;
	size_t job_fails_after; /* bytes; 0 = never */
	bool job_stalls;        /* does not read */
	bool job_talks;         /* sends progress before it reads */
	struct image_job *job;
	int exec_runs; /* so many inspections show it running */
};

void fake_init(struct isolad *d, uv_loop_t *loop);
/* Runs the loop till the fake's handles are closed. */
void fake_fini(struct isolad *d);
/* Ends all waits. */
void fake_exit(struct isolad *d, int code);
void fake_emit(struct isolad *d, json_object *event);
/* Lets a stalled job read. */
void fake_unstall(struct isolad *d);
