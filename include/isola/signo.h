/* SPDX-License-Identifier: Apache-2.0 */
/* signo - signals by name, as Docker and people write them. */
#pragma once

/* "SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-1", upper or lower case ->
 * 1 .. SIGRTMAX, or -EINVAL. Pure. */
int signo_parse(const char *text);
