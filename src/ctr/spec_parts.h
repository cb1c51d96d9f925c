/* SPDX-License-Identifier: Apache-2.0 */
/* spec_parts - the parsers of the sections of config.json, one file each.
 *
 * Each fills its part of the spec and returns 0 or -errno with the error set.
 * They look at their own section only; spec_check.c compares sections. */
#pragma once

#include "spec.h"
#include "spec_get.h"

/* spec_mounts.c: "mounts" of the document. */
int spec_parse_mounts(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec);

/* spec_process.c: a "process" object found at @at. @ret_process is in the arena. */
int spec_parse_process(struct spec_cx *cx, const struct at *at, json_object *o,
		       struct ctr_process **ret_process);

/* spec_sched.c: scheduler, ioPriority, execCPUAffinity of a process. */
int spec_parse_sched(struct spec_cx *cx, const struct at *at, json_object *o,
		     struct ctr_process *p);

/* spec_hooks.c: "hooks" of the document. */
int spec_parse_hooks(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec);

/* spec_ns.c: namespaces, mappings and time offsets of "linux". */
int spec_parse_ns(struct spec_cx *cx, const struct at *at, json_object *o, struct ctr_spec *spec);

/* An array of mappings, those of mounts too. */
int spec_parse_idmaps(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		      struct ctr_idmaps *ret);

/* spec_sysctl.c: linux.sysctl. */
int spec_parse_sysctl(struct spec_cx *cx, const struct at *at, json_object *o,
		      struct ctr_spec *spec);

/* spec_linux.c: the rest of "linux". */
int spec_parse_linux(struct spec_cx *cx, const struct at *at, json_object *o,
		     struct ctr_spec *spec);

/* spec_check.c: what only shows when sections are compared. */
int spec_check(struct spec_cx *cx, const struct ctr_spec *spec);

/* spec_sysctl.c: which namespace holds a sysctl ("net/core/x"), or CTR_NS_COUNT
 * when none does. */
enum ctr_ns spec_sysctl_ns(const char *path);

/* spec_mounts.c: all option words, NULL-terminated: for the features document. */
const char *const *spec_mount_options(void);
