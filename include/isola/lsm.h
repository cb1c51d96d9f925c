/* SPDX-License-Identifier: Apache-2.0 */
/* lsm - which label-based security modules this host runs. */
#pragma once

#include <stdbool.h>

/* AppArmor is compiled in and enabled (/sys/module/apparmor). */
bool lsm_has_apparmor(void);

/* SELinux is enabled and its file system is mounted at /sys/fs/selinux. */
bool lsm_has_selinux(void);
