/* SPDX-License-Identifier: Apache-2.0 */
/* isolad - the daemon as one object: main.c has it on its stack, everything
 * else reaches its part through struct instance.isolad. Only the loop thread
 * touches it; work in the thread pool gets copies. */
#pragma once

#include "child.h"
#include "config.h"
#include "events.h"
#include "isola/daemon.h"
#include "later.h"
#include "notify.h"
#include "place.h"
#include "registry.h"
#include "roots.h"
#include "uidrange.h"

struct images;

struct isolad {
	uv_loop_t loop;
	int argc;
	char **argv; /* borrowed: for a reload */
	struct config config;
	struct roots roots;
	struct place place;
	struct programs programs;
	struct uidrange uidrange;
	struct registry registry;
	struct events events;
	struct later later;
	struct notify notify;
	struct list execs;     /* struct exec of all instances, exec.c */
	struct images *images; /* images.c */
	struct api_server *api;
	uv_signal_t on_term, on_int, on_hup;
	int64_t started_ns;
	bool stopping;
};

/* Everything up to serving: folders, locks, helpers, images, adoption, socket. */
int isolad_init(struct isolad *d, int argc, char **argv, struct err *err);
/* Serves until SIGTERM or SIGINT. */
int isolad_run(struct isolad *d, struct err *err);
/* Half-built is fine. Payloads and keepers live on. */
void isolad_fini(struct isolad *d);
