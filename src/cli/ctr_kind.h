/* SPDX-License-Identifier: Apache-2.0 */
/* ctr_kind - containers, as ctrctl and `vmctl run IMAGE` know them. */
#pragma once

#include "cli.h"

struct kind ctr_kind(void);
