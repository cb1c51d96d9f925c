/* SPDX-License-Identifier: Apache-2.0 */
/* place - see place.h. cgroup-v2.rst ("No Internal Process Constraint"),
 * systemd.resource-control(5) (Delegate=, DelegateSubgroup=). isolad, before the
 * loop runs. */
#include "place.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/log.h"
#include "isola/path.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define WANTED     "cpu cpuset io memory pids hugetlb rdma"
#define OWN_LEAF   "daemon"
#define OWN_PARENT "ctr"

/* systemd marks what it has delegated. */
static bool is_delegated(const char *mount, const char *path)
{
	cleanup_strbuf struct strbuf full = STRBUF_INIT;
	strbuf_printf(&full, "%s%s", mount, path);
	char value[2];
	return strbuf_ok(&full) && getxattr(full.text, "trusted.delegate", value, 2) == 1 &&
	       value[0] == '1';
}

/* The delegated cgroup in whose leaf we are, owned; NULL when we are not. */
static char *find_delegated(void)
{
	cleanup_free char *mount = NULL, *own = NULL;
	cleanup_fd int fd = cgroup_mount_open(&mount, NULL);
	if (fd < 0 || cgroup_self(&own, NULL) < 0)
		return NULL;
	char *slash = strrchr(own, '/');
	if (slash == own || strcmp(slash + 1, OWN_LEAF))
		return NULL;
	*slash = '\0';
	return is_delegated(mount, own) ? take_ptr(own) : NULL;
}

static int choose(const char *want, char ret[PATH_MAX], struct err *err)
{
	if (*want) {
		char abs[PATH_MAX];
		if (snprintf(abs, sizeof(abs), "/%s", want) >= (int)sizeof(abs) ||
		    path_clean(abs, ret, PATH_MAX) < 0 || !strcmp(ret, "/"))
			return err_set(err, EINVAL,
				       "cgroup \"%s\" is no place for instances: name a path "
				       "below the cgroup2 mount, such as /isola",
				       want);
		return 0;
	}
	cleanup_free char *own = find_delegated();
	if (snprintf(ret, PATH_MAX, "%s/%s", own ? own : "", own ? OWN_PARENT : "isola") >=
	    PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the path of isolad's cgroup is too long");
	return 0;
}

/* Makes the parent and lets it hand on every controller it has, once, so that
 * no start has to. Without cgroup2 isolad still serves; a start then says what
 * is missing. */
static void prepare(struct place *place)
{
	struct err e = ERR_INIT;
	char probe[PATH_MAX];
	(void)snprintf(probe, sizeof(probe), "%s/.probe", place->parent);
	cleanup_fd int fd = cgroup_make(probe, WANTED, &e);
	if (fd < 0) {
		log_warn(NULL, "no container can start here: %s", e.text);
		return;
	}
	char *controllers = NULL;
	if (cgroup_controllers(place->parent, &controllers, &e) == 0) {
		free(place->controllers);
		place->controllers = controllers;
	}
	(void)cgroup_destroy(probe, 0, NULL);
}

int place_init(struct place *place, const char *want, struct err *err)
{
	char path[PATH_MAX];
	*place = (struct place){ 0 };
	int rc = choose(want, path, err);
	if (rc < 0)
		return rc;
	place->parent = strdup(path);
	place->controllers = strdup("");
	if (!place->parent || !place->controllers)
		return err_set(err, ENOMEM, "out of memory");
	prepare(place);
	return 0;
}

/* The kernel refuses it while instances or another isolad use it. */
static void remove_if_empty(const char *path)
{
	cleanup_fd int root = cgroup_mount_open(NULL, NULL);
	if (root >= 0)
		(void)unlinkat(root, path + 1, AT_REMOVEDIR);
}

void place_fini(struct place *place)
{
	if (place->parent)
		remove_if_empty(place->parent);
	free(place->parent);
	free(place->controllers);
	*place = (struct place){ 0 };
}

bool place_has(const char *controllers, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = controllers; (p = strstr(p, name)); p += n) {
		if ((p == controllers || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' '))
			return true;
	}
	return false;
}
