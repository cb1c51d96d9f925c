/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp - see include/isola/seccomp.h. The parent of a container loads, its
 * init installs. */
#include "isola/seccomp.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "seccomp_rules.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>

static int copy_text(json_object *profile, const char *key, char **ret, struct err *err)
{
	const char *text = NULL;
	int rc = json_get_str(profile, key, &text, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || !*text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* Flags and listener are no part of the filter's code. */
static int read_options(json_object *profile, struct seccomp_filter *f, struct err *err)
{
	int rc = seccomp_read_flags(profile, &f->flags, err);
	if (rc < 0 || (rc = copy_text(profile, "listenerPath", &f->listener_path, err)) < 0 ||
	    (rc = copy_text(profile, "listenerMetadata", &f->listener_metadata, err)) < 0)
		return rc;
	f->notify = seccomp_uses_notify(profile);
	if (f->listener_metadata && !f->listener_path)
		return err_set(err, EINVAL, "listenerMetadata: needs listenerPath");
	if (!f->notify && (f->flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV))
		return err_set(
			err, EINVAL,
			"flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs SCMP_ACT_NOTIFY");
	if (!f->notify)
		return 0;
	if (!f->listener_path)
		return err_set(err, EINVAL,
			       "listenerPath: is missing, but SCMP_ACT_NOTIFY is used");
	f->flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
	if (f->flags & SECCOMP_FILTER_FLAG_TSYNC) /* both return a number otherwise */
		f->flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
	return 0;
}

static int load_code(json_object *profile, int cache_fd, struct seccomp_filter *f, struct err *err)
{
	cleanup_strbuf struct strbuf key = STRBUF_INIT;
	if (cache_fd >= 0) {
		seccomp_key(profile, &key);
		if (!strbuf_ok(&key))
			return err_set(err, ENOMEM, "out of memory");
		f->cached = seccomp_cache_get(cache_fd, &key, &f->mem, &f->mem_size, &f->prog) > 0;
		if (f->cached)
			return 0;
	}
	struct sock_filter *code = NULL;
	size_t n = 0;
	int rc = seccomp_compile(profile, &code, &n, err);
	if (rc < 0)
		return rc;
	f->mem = code;
	f->mem_size = n * sizeof(*code);
	f->prog = (struct sock_fprog){ .len = (unsigned short)n, .filter = code };
	if (cache_fd >= 0)
		seccomp_cache_put(cache_fd, &key, &f->prog);
	return 0;
}

int seccomp_filter_load(json_object *profile, int cache_fd, struct seccomp_filter *ret,
			struct err *err)
{
	struct seccomp_filter f = SECCOMP_FILTER_INIT;
	if (!json_object_is_type(profile, json_type_object))
		return err_set(err, EINVAL, "must be an object");
	int rc = read_options(profile, &f, err);
	if (rc == 0)
		rc = load_code(profile, cache_fd, &f, err);
	if (rc < 0) {
		seccomp_filter_fini(&f);
		return rc;
	}
	*ret = f;
	return 0;
}

void seccomp_filter_fini(struct seccomp_filter *filter)
{
	free(filter->mem);
	free(filter->listener_path);
	free(filter->listener_metadata);
	*filter = (struct seccomp_filter)SECCOMP_FILTER_INIT;
}

int seccomp_filter_install(const struct seccomp_filter *filter)
{
	long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &filter->prog);
	return rc < 0 ? -errno : (int)rc;
}
