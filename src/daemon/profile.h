/* SPDX-License-Identifier: Apache-2.0 */
/* profile - a seccomp profile in Docker's format (--security-opt seccomp=FILE,
 * which the client sends inline) as an OCI linux.seccomp object. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdint.h>

/* Checks @text whole, without regard to what would apply here. -EINVAL names
 * the place ("seccomp: syscalls[3].action: unknown action 'X'"). */
int profile_check(const char *text, struct err *err);

/* Converts @text (checked before) for a process with the capabilities @caps (bit
 * n = capability n) on this machine and kernel. @ret is owned. */
int profile_convert(const char *text, uint64_t caps, json_object **ret, struct err *err);
