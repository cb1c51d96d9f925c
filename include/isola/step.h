/* SPDX-License-Identifier: Apache-2.0 */
/* step - named moments of what a crash may cut short. For tests: a process that finds
 * ISOLA_DIE_AT=NAME in its environment kills itself there, so what it leaves behind is what
 * a kill at exactly that moment leaves. Otherwise a comparison with NULL. Any thread. */
#pragma once

/* What it is compared with is read once, by step_init(), before there are threads. */
void step_init(void);
void step_reached(const char *name);
