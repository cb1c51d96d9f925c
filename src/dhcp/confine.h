/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "isola/err.h"

/* Nothing but the descriptors that isola-dhcp has and is given: before the first foreign
 * byte. */
int confine(struct err *err);
