/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_probe - what isola-vmm --probe found out about KVM, as findings. */
#pragma once

#include "doctor.h"

void doctor_probe(struct doctor *d);
