/* SPDX-License-Identifier: Apache-2.0 */
/* loopback - the "lo" interface of a new network namespace (netdevice(7)). */
#pragma once

/* Brings lo up in the caller's network namespace; the kernel adds 127.0.0.1/8
 * and ::1 by itself. Three system calls. 0 or -errno. */
int loopback_up(void);
