/* SPDX-License-Identifier: Apache-2.0 */
/* vm_image - images in vmctl: `vmctl run IMAGE` is `ctrctl run --isolation vm IMAGE`. */
#pragma once

#include "cli.h"

extern const struct verb vm_image_verbs[];

/* Containers, all of them behind the VM wall. */
struct kind vm_image_kind(void);
