/* SPDX-License-Identifier: Apache-2.0 */
/* docker_config - log-ins as Docker's client keeps them: $DOCKER_CONFIG/config.json or
 * ~/.docker/config.json, and the programs docker-credential-NAME it names. Runs in
 * ctrctl. What else is in the file stays as it is. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>

#define HUB_KEY "https://index.docker.io/v1/"

struct docker_config {
	char *path;        /* owned */
	json_object *root; /* owned */
};

void docker_config_fini(struct docker_config *c);
#define cleanup_docker_config __attribute__((cleanup(docker_config_fini)))

/* A missing file is an empty one. */
int docker_config_read(struct docker_config *ret, struct err *err);

/* Judges and takes the text of such a file; the parser alone. */
int docker_config_parse(const char *text, size_t size, json_object **ret, struct err *err);

/* What a log-in is kept under, of what a user or an image's name says:
 * "https://reg.lan:5000/v2/" -> "reg.lan:5000", all of Docker's own -> HUB_KEY. */
void docker_config_key(const char *server, char *ret, size_t size);

struct credentials {
	char *user, *password, *identity; /* owned; NULL = none */
};

void credentials_fini(struct credentials *c);
#define cleanup_credentials __attribute__((cleanup(credentials_fini)))

/* 1 and *@ret, or 0. */
int credentials_find(const struct docker_config *c, const char *key, struct credentials *ret,
		     struct err *err);
/* Keeps them; *@ret_plain (may be NULL): they are readable in the file. */
int credentials_keep(struct docker_config *c, const char *key, const struct credentials *what,
		     bool *ret_plain, struct err *err);
/* 1, or 0 when there were none. */
int credentials_forget(struct docker_config *c, const char *key, struct err *err);

/* X-Registry-Auth for them; owned, NULL = no memory. */
char *credentials_field(const struct credentials *c, const char *key);

/* X-Registry-Config: those of all registries, for a build, whose Dockerfile nobody has read
 * yet. Owned; NULL = there are none. What cannot be had is left out, and @err says why. */
#define REGISTRY_CONFIG_MAX (48 * 1024)
char *credentials_all(const struct docker_config *c, struct err *err);

/* docker-credential-@helper @verb ("get", "store", "erase") with @input: what it says,
 * owned. -ENOENT when it has none. */
int helper_run(const char *helper, const char *verb, const char *input, char **ret,
	       struct err *err);
