/* SPDX-License-Identifier: Apache-2.0 */
/* isolad - the daemon as one object: main.c has it on its stack, everything
 * else reaches its part through struct instance.isolad. Only the loop thread
 * touches it; work in the thread pool gets copies. */
#pragma once

#include "child.h"
#include "config.h"
#include "dhcp.h"
#include "events.h"
#include "guests.h"
#include "isola/daemon.h"
#include "isolation_policy.h"
#include "kvm_broken.h"
#include "kvm_probe.h"
#include "later.h"
#include "network.h"
#include "notify.h"
#include "nursery.h"
#include "place.h"
#include "registry.h"
#include "resolver.h"
#include "roots.h"
#include "timer.h"
#include "uidrange.h"
#include "volumes.h"

#include <sys/resource.h>

struct images;

struct isolad {
	uv_loop_t loop;
	int argc;
	char **argv; /* borrowed: for a reload */
	struct config config;
	struct roots roots;
	struct place place;
	struct programs programs;
	struct guests guests;
	struct isolation_policy policy;
	struct kvm_probe kvm_probe;
	struct kvm_broken kvm_broken;
	struct nursery nursery;
	struct uidrange uidrange;
	struct registry registry;
	struct events events;
	struct later later;
	struct notify notify;
	int null_fd;              /* /dev/null */
	struct recover *recover;  /* while it lasts */
	struct list wrecks;       /* struct wreck, wreck.c */
	struct list root_makings; /* root_image.c */
	struct list measurings;   /* struct df, df.c */
	struct list children;     /* struct child, child.c */
	struct list taps;         /* struct tap, tap.c */
	struct list execs;        /* struct exec of all instances, exec.c */
	struct list copies;       /* struct copy, copy.c */
	struct list snapshotting; /* struct snapping, snapshot.c */
	struct list commits;      /* struct committing, images_save.c */
	struct images *images;    /* images.c */
	struct networks networks;
	struct dhcp dhcp;
	struct resolver resolver;
	struct volumes volumes;
	struct api_server *api;
	int listen_fd; /* systemd's, until it is served; else -1 */
	uv_signal_t on_term, on_int, on_hup;
	struct rlimit nofile; /* as we found it: children get it back */
	int64_t started_ns;
	struct timer *stop_timer;
	struct err failure;
	bool has_loop, own_socket, stopping, stop_late;
};

/* Everything up to serving: folders, locks, helpers, images, adoption, socket.
 * @config is taken. On failure isolad_fini() is still to be called. */
int isolad_init(struct isolad *d, int argc, char **argv, const struct config *config,
		struct err *err);
/* Serves until SIGTERM or SIGINT. */
int isolad_run(struct isolad *d, struct err *err);
/* Begins the end; isolad_run() returns soon after. */
void isolad_stop(struct isolad *d);
/* Half-built is fine. Payloads and keepers live on. */
void isolad_fini(struct isolad *d);
