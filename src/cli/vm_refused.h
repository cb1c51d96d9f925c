/* SPDX-License-Identifier: Apache-2.0 */
/* vm_refused - what vmctl has not, with reasons (struct refused, args.h). */
#pragma once

#include "args.h"

extern const struct refused vm_refused[];
