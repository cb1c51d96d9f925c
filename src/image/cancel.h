/* SPDX-License-Identifier: Apache-2.0 */
/* cancel - SIGTERM, SIGINT and SIGHUP ask a job to stop and clean up; whoever
 * loops over input or waits for a lock asks whether they came. */
#pragma once

#include <stdbool.h>

/* System calls are interrupted by them (no SA_RESTART). SIGPIPE is ignored. */
void cancel_catch_signals(void);
bool cancel_requested(void);
