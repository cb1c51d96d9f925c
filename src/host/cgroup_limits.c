/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_limits - checking and writing limits: all or none as far as can be
 * foreseen, and never a limit dropped in silence. See include/isola/cgroup.h. */
#include "cgroup_limits.h"

#include "isola/cgroup.h"
#include "isola/fd.h"

#include "cgroup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILES_MAX 256 /* open at a time */

/* Says whether the host has the controller at all, or only this cgroup has not. */
static int cannot_enforce(const struct limit *l, struct err *err)
{
	char all[512] = "";
	int root = cgroup_root(NULL);
	if (root >= 0)
		(void)cgroup_read(root, "cgroup.controllers", all, sizeof(all));
	if (cgroup_has_word(all, l->controller, strlen(l->controller)))
		return err_set(err, EOPNOTSUPP,
			       "cannot enforce %s: the %s controller is not delegated to this "
			       "cgroup (see docs/hosts.md)",
			       l->what, l->controller);
	return err_set(err, EOPNOTSUPP,
		       "cannot enforce %s: this host's cgroup v2 has no %s controller "
		       "(see docs/hosts.md)",
		       l->what, l->controller);
}

static bool has_controller(const char *have, const struct limit *l)
{
	return !*l->controller || cgroup_has_word(have, l->controller, strlen(l->controller));
}

static int check_controllers(const char *have, const struct limits *limits, struct err *err)
{
	for (size_t i = 0; i < limits->n; i++) {
		const struct limit *l = &limits->items[i];
		if (l->kind != LIMIT_NONE && !has_controller(have, l))
			return cannot_enforce(l, err);
	}
	return 0;
}

static int check_usage(int dir, const struct limits *limits, struct err *err)
{
	char text[32];
	if (!limits->check_usage || cgroup_read(dir, "memory.current", text, sizeof(text)) <= 0)
		return 0;
	uint64_t used = strtoull(text, NULL, 10);
	if (used <= (uint64_t)limits->check_usage)
		return 0;
	return err_set(err, EBUSY,
		       "cannot set memory limit %" PRId64 ": %" PRIu64 " bytes are in use",
		       limits->check_usage, used);
}

/* Opens the file of @l, or the one in its place; -1 in @ret_fd when it need not
 * be written. */
static int open_limit(int dir, const struct limit *l, const char **ret_value, int *ret_fd,
		      struct err *err)
{
	*ret_value = l->value;
	*ret_fd = openat(dir, l->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0 && errno == EACCES)
		*ret_fd = openat(dir, l->file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0 && errno == ENOENT && l->alt_file) {
		*ret_value = l->alt_value;
		*ret_fd = openat(dir, l->alt_file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	}
	if (*ret_fd >= 0 || (errno == ENOENT && (l->optional || l->kind == LIMIT_NONE)))
		return 0;
	if (errno == ENOENT)
		return err_set(err, EOPNOTSUPP,
			       "cannot enforce %s: this host's %s controller has no %s "
			       "(see docs/hosts.md)",
			       l->what, l->controller, l->alt_file ? l->alt_file : l->file);
	return err_sys(err, "cannot open %s", l->file);
}

/* Puts the quota that is in force in front of a new period. */
static int write_period(int fd, const char *period)
{
	char now[64], text[128];
	ssize_t n = pread(fd, now, sizeof(now) - 1, 0);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	now[n] = '\0';
	now[strcspn(now, " \n")] = '\0';
	(void)snprintf(text, sizeof(text), "%s %s", now, period);
	return pwrite(fd, text, strlen(text), 0) < 0 ? -errno : 0;
}

static int write_limit(int fd, const struct limit *l, const char *value)
{
	if (l->kind == LIMIT_PERIOD)
		return write_period(fd, value);
	return pwrite(fd, value, strlen(value), 0) < 0 ? -errno : 0;
}

static int write_all(const struct limits *limits, const char **values, const int *fds,
		     struct err *err)
{
	size_t again = limits->n; /* a burst that waits for its quota */
	for (size_t i = 0; i < limits->n; i++) {
		const struct limit *l = &limits->items[i];
		if (fds[i] < 0)
			continue;
		int rc = write_limit(fds[i], l, values[i]);
		if (rc == -EINVAL && l->kind == LIMIT_BURST && again == limits->n) {
			again = i;
			continue;
		}
		if (rc == 0 && again < limits->n && !strcmp(l->file, "cpu.max")) {
			l = &limits->items[again];
			rc = write_limit(fds[again], l, values[again]);
			again = limits->n;
		}
		if (rc < 0)
			return err_rc(err, rc, "cannot set %s (%s)", l->what, l->file);
	}
	if (again < limits->n)
		return err_set(err, EINVAL, "cannot set %s: it must not exceed the quota",
			       limits->items[again].what);
	return 0;
}

static int apply(int dir, const char *have, const struct limits *limits, struct err *err)
{
	const char *values[FILES_MAX];
	int fds[FILES_MAX], rc = 0;
	size_t n = 0;
	if (limits->n > FILES_MAX)
		return err_set(err, EINVAL, "resources: more than %d limits", FILES_MAX);
	for (; rc == 0 && n < limits->n; n++) {
		fds[n] = -1;
		if (has_controller(have, &limits->items[n]))
			rc = open_limit(dir, &limits->items[n], &values[n], &fds[n], err);
	}
	if (rc == 0)
		rc = write_all(limits, values, fds, err);
	while (n > 0)
		fd_close(&fds[--n]);
	return rc;
}

int cgroup_resources(int cgroup_fd, json_object *resources, bool apply_them, struct err *err)
{
	struct limits limits = LIMITS_INIT;
	char have[512];
	int rc = limits_parse(resources, &limits, err);
	if (rc == 0 && limits.n) {
		ssize_t n = cgroup_read(cgroup_fd, "cgroup.controllers", have, sizeof(have));
		rc = n < 0 ? err_rc(err, (int)n, "cannot read the cgroup's controllers")
			   : check_controllers(have, &limits, err);
		if (rc == 0)
			rc = check_usage(cgroup_fd, &limits, err);
		if (rc == 0 && apply_them)
			rc = apply(cgroup_fd, have, &limits, err);
	}
	limits_fini(&limits);
	return rc;
}
