/* SPDX-License-Identifier: Apache-2.0 */
/* owner - see owner.h. Foreign text: in isola-image's jail. */
#include "owner.h"

#include "isola/fd.h"
#include "isola/num.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX ((size_t)1024 * 1024)
#define ID_MAX         ((int64_t)UINT32_MAX - 1)

static int to_id(const char *text, size_t size, uint32_t *ret)
{
	char copy[16];
	int64_t v;
	if (size == 0 || size >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (num_parse_range(copy, 0, ID_MAX, &v) < 0)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

/* Field @n of the line, or NULL. */
static const char *field_of(const char *line, size_t size, unsigned int n, size_t *ret_size)
{
	const char *end = line + size, *p = line;
	for (;; n--) {
		const char *colon = memchr(p, ':', (size_t)(end - p));
		*ret_size = (size_t)((colon ? colon : end) - p);
		if (n == 0)
			return p;
		if (!colon)
			return NULL;
		p = colon + 1;
	}
}

int owner_field(const char *text, const char *name, uint32_t number, unsigned int n, uint32_t *ret)
{
	while (*text) {
		size_t size = strcspn(text, "\n"), len = 0;
		uint32_t id = 0;
		const char *f = field_of(text, size, name ? 0 : 2, &len);
		bool fits = f && (name ? strlen(name) == len && !memcmp(f, name, len)
				       : to_id(f, len, &id) == 0 && id == number);
		f = fits ? field_of(text, size, n, &len) : NULL;
		if (f && to_id(f, len, ret) == 0)
			return 0;
		text += size;
		text += *text == '\n';
	}
	return -ENOENT;
}

/* Only a regular file that is not too long; else as if it were empty. */
static char *read_text(const char *path)
{
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int at = path_open_in_root(root, path, O_PATH, 0);
	struct stat st;
	if (at < 0 || fstat(at, &st) < 0 || !S_ISREG(st.st_mode))
		return strdup("");
	cleanup_fd int fd = path_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	char *text = malloc(FILE_BYTES_MAX + 1);
	ssize_t n = fd < 0 || !text ? -1 : fd_read_all(fd, text, FILE_BYTES_MAX);
	if (text)
		text[n < 0 ? 0 : n] = '\0';
	return text;
}

int owner_find(const char *user, uid_t *ret_uid, gid_t *ret_gid, struct err *err)
{
	char name[128];
	const char *colon = strchr(user, ':'), *group = colon ? colon + 1 : NULL;
	size_t len = colon ? (size_t)(colon - user) : strlen(user);
	cleanup_free char *passwd = read_text("/etc/passwd"), *groups = read_text("/etc/group");
	uint32_t uid = 0, gid = 0;
	if (!passwd || !groups)
		return err_set(err, ENOMEM, "out of memory");
	(void)snprintf(name, sizeof(name), "%.*s", (int)len, user);
	bool number = to_id(name, strlen(name), &uid) == 0;
	if (!number && owner_field(passwd, name, 0, 2, &uid) < 0)
		return err_set(err, EINVAL,
			       "unable to find user %s: no matching entries in passwd "
			       "file",
			       name);
	(void)owner_field(passwd, number ? NULL : name, uid, 3, &gid);
	if (group && to_id(group, strlen(group), &gid) < 0 &&
	    owner_field(groups, group, 0, 2, &gid) < 0)
		return err_set(err, EINVAL,
			       "unable to find group %.128s: no matching entries in group file",
			       group);
	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}
