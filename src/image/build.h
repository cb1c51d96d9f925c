/* SPDX-License-Identifier: Apache-2.0 */
/* build - an image from a Dockerfile and its context, step by step as Docker's classic
 * builder does it: each instruction makes an image from the last one.
 *
 * This job parses, copies, keeps the cache and writes images; what it cannot do behind
 * its walls it asks isolad for, which knows nothing of Dockerfiles:
 *
 *   isola-image, on standard output      isolad, on descriptor 3, a line each
 *                                        BUILD_SPEC, first
 *   {"ask":{"image":REF,"pull":bool}}    {"id":"sha256:..."}
 *   {"ask":{"run":{"image","cmd",        {"upper":"instances/ID/upper"} when it ended
 *          "env"}}}                        with 0, else {"status":N}
 *   {"ask":{"drop":bool}}                {} (the container of the last run is gone,
 *                                          or with false left to the user)
 *                                        {"error":TEXT} in place of any of them
 *
 * Anything else on standard output is for the client. BUILD_SPEC: { "dockerfile":
 * path in the context, "target"?, "args"?: {NAME: text or null}, "labels"?: {...},
 * "tags": [full names], "no_cache","pull","rm","force_rm","quiet": bool,
 * "platform"? }. The context is a tar on standard input. */
#pragma once

#include "image.h"

/* @talk_fd, @proc_fd: borrowed. *@ret_aux: {"ID","Refs"}. */
int job_build(const struct store *s, const struct limits *limits, int talk_fd, int proc_fd,
	      json_object **ret_aux, struct err *err);
