/* SPDX-License-Identifier: Apache-2.0 */
/* net - the process of a job that talks to a registry, and what the job says to it.
 *
 *   isola-image pull                      its network process
 *   has the store, no network,    --->    has the network, no store: speaks DNS, TLS
 *   judges every byte             <---    and HTTP, logs in, follows, tries again
 *
 * Requests are JSON in packets on a socket, answers are frames in a pipe. The job
 * trusts nothing of an answer: lengths are bounded, blobs are hashed by the job. */
#pragma once

#include "registry.h"

#include "isola/strbuf.h"

#include <stdint.h>
#include <sys/types.h>

/* SENT: how far into the file (uint64_t) the sending has come. */
enum net_frame { NET_HEAD, NET_DATA, NET_SENT, NET_END, NET_ERROR };

struct net_header {
	uint32_t id, type, size;
};

#define NET_PAYLOAD_MAX (64 * 1024)

/* One request of the job. @data and @end are called from net_pump(). */
struct net_get {
	const char *method, *path; /* "GET", "/v2/..." */
	const char *accept;        /* or NULL */
	const char *url;    /* NULL, or in place of path: an address that came in @location */
	const char *source; /* NULL, or a further repository that is read: of a mount */
	const char *range, *content_type; /* Content-Range, Content-Type; or NULL */
	/* A failure that passes is told (EAGAIN), not tried again. */
	bool once;
	int64_t delay_ms; /* before it begins */
	/* What is sent: @body_size bytes of a file from @body_from on; borrowed for the call. */
	bool has_body;
	int body_fd;
	uint64_t body_from, body_size;
	int (*data)(struct net_get *g, const void *data, size_t size, struct err *err);
	void (*sent)(struct net_get *g, uint64_t at); /* or NULL */
	void (*end)(struct net_get *g);               /* or NULL; @g may be sent again */
	void *arg;
	char *location; /* NULL, or NET_URL_MAX bytes for where the registry sends us */
	/* what came of it */
	char digest[72], type[128], written[64]; /* the last: its Range field */
	int status;
	int64_t length;     /* Content-Length, -1 = not told */
	char *ret_identity; /* NULL, or NET_URL_MAX bytes for the token that a log-in brought */
	bool ended;
	int code; /* errno of a failure, with its text */
	char text[600];
	uint32_t id;
};

#define NET_GETS_MAX 1024 /* at one time */
#define NET_URL_MAX  4096

struct net {
	int data_fd, ctl_fd;
	size_t have;
	uint32_t n;
	struct net_get *gets[NET_GETS_MAX];
	unsigned char buf[sizeof(struct net_header) + NET_PAYLOAD_MAX];
};

/* Forks the process; before confine_job(). Its descriptors are 3 and 4 then, of which
 * nothing else may be open. */
int net_start(struct net *n, const struct registry *r, const char *actions, struct err *err);
void net_stop(struct net *n);

/* @g is borrowed until its end. */
int net_send(struct net *n, struct net_get *g, struct err *err);

/* Waits for something and passes it on. < 0: the connection to the process broke, or a
 * callback failed. The failure of a request is its own. */
int net_pump(struct net *n, struct err *err);

/* Sends @g and pumps until it ends; its failure is the result. */
int net_do(struct net *n, struct net_get *g, struct err *err);

/* The network process's main (http.c). */
void __attribute__((noreturn))
net_main(const struct registry *r, const char *actions, int data_fd, int ctl_fd);
