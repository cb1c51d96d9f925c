/* SPDX-License-Identifier: Apache-2.0 */
/* registry - where the repository of a name is served, and how to go there: Docker's
 * rules and the registries file (docs/registries.md). Read before the jail; the file
 * is the administrator's, the credentials are a client's. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>

#define REGISTRY_BASES_MAX 8

struct registry {
	char host[256];                  /* as in the name: "docker.io" */
	char repo[512];                  /* "library/busybox" */
	char tag[160];                   /* or "" */
	char digest[72];                 /* or "": name@digest */
	char *bases[REGISTRY_BASES_MAX]; /* "https://host:port", mirrors first; owned */
	size_t n_bases;
	bool try_http;  /* of this machine: http where there is no TLS */
	bool wants_tls; /* the file says something about its certificate */
	bool skip_verify;
	bool wants_identity; /* asks the token server for one */
	char *ca;            /* PEM text in place of the system's, or NULL; owned */
	size_t ca_size;
	int stall_s;
	char *user, *password, *identity; /* or NULL; owned */
};

void registry_fini(struct registry *r);

/* @full: a normalized name. @path: the registries file, NULL = the default one, which
 * may be missing. */
int registry_init(struct registry *ret, const char *full, const char *path, struct err *err);

/* What a log-in names, "https://index.docker.io/v1/" or "host:port", as a name without
 * a repository for registry_init(): "host:port/". */
int registry_of_server(const char *server, char *ret, size_t size, struct err *err);

/* Leaves out the mirrors: for what writes, or logs in. */
void registry_drop_mirrors(struct registry *r);

/* Credentials from @fd up to its end: nothing, X-Registry-Auth's text, or
 * X-Registry-Config's, which has those of several registries. */
int registry_read_auth(struct registry *r, int fd, struct err *err);
