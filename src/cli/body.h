/* SPDX-License-Identifier: Apache-2.0 */
/* body - request bodies out of flags: what a container's and a VM's have alike.
 * Everything here is of the caller's side: files are read and paths made absolute
 * with the user's rights; the daemon checks values. */
#pragma once

#include "args.h"

#include <json-c/json.h>

/* A flag whose value goes into one field as it is; a table ends with a row without
 * a flag. @to chooses one of the objects that body_rows() is given. */
struct body_row {
	const char *flag;
	int to;
	const char *field;
};

/* Objects that are NULL are left out. */
void body_rows(struct args *args, const struct body_row *rows, json_object *const *to);

/* All values of a repeated flag, and "k=v" values as an object; owned. */
json_object *body_list(struct args *args, const char *flag);
json_object *body_map(struct args *args, const char *flag);

/* --label and --label-file as "Labels", --env and --env-file as "Env", --restart as
 * "RestartPolicy", --log-driver and --log-opt as "LogConfig", a number of CPUs such as
 * 1.5 as "NanoCpus". 0, or -errno with an error that names the flag. */
int body_labels(struct args *args, json_object *to, struct err *err);
int body_environment(struct args *args, json_object *to, struct err *err);
int body_restart(struct args *args, json_object *to, struct err *err);
void body_logging(struct args *args, json_object *to);
int body_cpus(struct args *args, const char *flag, json_object *to, struct err *err);

/* The text of a file of at most 4 MiB; owned, NULL with @err. */
char *body_read_text(const char *path, struct err *err);
/* @path as seen from the root; owned, NULL with errno. */
char *body_path(const char *path);
