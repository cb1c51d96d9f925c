/* SPDX-License-Identifier: Apache-2.0 */
/* secrets - see secrets.h. isolad, loop thread: all files are small and in memory. */
#include "secrets.h"

#include "bundle_priv.h"
#include "isolad.h"
#include "mounts.h"

#include "isola/base64.h"
#include "isola/ctr.h"
#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define DIR_NAME     "secrets"
#define BYTES_MAX    (500 * 1024) /* Docker's */
#define NUMBER_MAX   64
#define ID_MAX       65535 /* of a user namespace */
#define MODE_DEFAULT 0444

static const struct {
	const char *field;
	char letter;
	const char *place; /* of those without a target */
} kinds[] = {
	{ "Secrets", 's', "/run/secrets/" },
	{ "Configs", 'c', "/" },
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* ---- the request ---- */

static const struct field item_rows[] = {
	{ "Name", "id", FIELD_STR, DEFAULT_EMPTY },
	{ "Target", "target", FIELD_STR, DEFAULT_EMPTY },
	{ "Uid", "uid", FIELD_INT, DEFAULT_0, .min = 0, .max = ID_MAX },
	{ "Gid", "gid", FIELD_INT, DEFAULT_0, .min = 0, .max = ID_MAX },
	{ "Mode", "mode", FIELD_INT, DEFAULT_ABSENT, .only_null = true, .min = 0, .max = 07777 },
	{ "Data", "src", FIELD_STR, DEFAULT_EMPTY },
};

/* Owned bytes, to be wiped. */
static ssize_t decode(const char *text, unsigned char **ret)
{
	size_t room = strlen(text) / 4 * 3 + 4;
	if (room > BYTES_MAX + 4)
		return -EFBIG;
	unsigned char *data = malloc(room);
	if (!data)
		return -ENOMEM;
	ssize_t n = base64_decode(text, data, room);
	if (n < 0 || n > BYTES_MAX) {
		explicit_bzero(data, room);
		free(data);
		return n < 0 ? n : -EFBIG;
	}
	*ret = data;
	return n;
}

static int check_data(json_object *item, struct err *err)
{
	unsigned char *data = NULL;
	ssize_t n = decode(json_str_or(item, "Data", ""), &data);
	if (n == -EFBIG)
		return err_set(err, EINVAL, "Data (src) is larger than %d bytes", BYTES_MAX);
	if (n < 0)
		return err_set(err, EINVAL, "Data (src) is no base64");
	explicit_bzero(data, (size_t)n);
	free(data);
	json_object_object_del(item, "Data");
	return 0;
}

static int complete(json_object *item, const char *place, struct err *err)
{
	const char *name = json_str_or(item, "Name", ""), *target = json_str_or(item, "Target", "");
	cleanup_free char *path = NULL, *clean = NULL;
	if (!id_is_name(name))
		return err_set(err, EINVAL,
			       "Name (id) \"%.64s\": only [a-zA-Z0-9][a-zA-Z0-9_.-] (two at least) "
			       "are allowed",
			       name);
	if (asprintf(&path, "%s%s", *target == '/' ? "" : place, *target ? target : name) < 0)
		return err_set(err, ENOMEM, "out of memory");
	int rc = mounts_clean_target(path, &clean, err);
	if (rc < 0)
		return rc;
	json_add_str(item, "Target", clean);
	if (!json_get(item, "Mode"))
		json_add_i64(item, "Mode", MODE_DEFAULT);
	return 0;
}

static bool has_target(json_object *list, const char *target)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (!strcmp(json_str_or(json_object_array_get_idx(list, i), "Target", ""), target))
			return true;
	return false;
}

int create_secrets(void *arg, const struct field *row, json_object *v, json_object **ret,
		   struct err *err)
{
	(void)arg;
	cleanup_json json_object *list = json_object_new_array();
	const char *place = strcmp(row->name, kinds[0].field) ? kinds[1].place : kinds[0].place;
	if (json_len(v) > NUMBER_MAX)
		return err_set(err, EINVAL, "has more than %d items", NUMBER_MAX);
	for (size_t i = 0; i < json_len(v); i++) {
		cleanup_json json_object *item = NULL;
		int rc = fields_check(item_rows, sizeof(item_rows) / sizeof(item_rows[0]), "",
				      json_object_array_get_idx(v, i), NULL, &item, err);
		if (rc >= 0)
			rc = check_data(item, err);
		if (rc >= 0)
			rc = complete(item, place, err);
		if (rc >= 0 && has_target(list, json_str_or(item, "Target", "")))
			rc = err_set(err, EINVAL, "two want the place %.128s",
				     json_str_or(item, "Target", ""));
		if (rc < 0)
			return err_prefix(err, "[%zu]", i);
		(void)json_object_array_add(list, take_ptr(item));
	}
	*ret = take_ptr(list);
	return 0;
}

/* ---- the files ---- */

static bool in_memory(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static int store_one(int dir, const char *file, json_object *item, struct err *err)
{
	unsigned char *data = NULL;
	ssize_t n = decode(json_str_or(item, "Data", ""), &data);
	if (n < 0)
		return err_set(err, EINVAL, "no base64");
	cleanup_fd int fd =
		openat(dir, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = fd < 0 ? -errno : fd_write_all(fd, data, (size_t)n);
	explicit_bzero(data, (size_t)n);
	free(data);
	return rc < 0 ? err_rc(err, rc, "cannot keep a secret in the run folder") : 0;
}

static int store_all(int dir, json_object *host, struct err *err)
{
	int rc = 0;
	for (size_t k = 0; k < N_KINDS; k++) {
		json_object *list = json_get(host, kinds[k].field);
		for (size_t i = 0; rc >= 0 && i < json_len(list); i++) {
			char file[24];
			(void)snprintf(file, sizeof(file), "%c%zu", kinds[k].letter, i);
			rc = store_one(dir, file, json_object_array_get_idx(list, i), err);
		}
	}
	return rc;
}

static bool has_any(const struct instance *inst)
{
	return json_len(json_get(inst->host_config, kinds[0].field)) +
		       json_len(json_get(inst->host_config, kinds[1].field)) >
	       0;
}

int secrets_store(const struct instance *inst, json_object *body, struct err *err)
{
	struct isolad *d = inst->isolad;
	char path[sizeof(DIR_NAME) + ID_SIZE + 1];
	if (inst->kind != INSTANCE_CONTAINER || !has_any(inst))
		return 0;
	if (!in_memory(d->roots.run_fd))
		return err_set(err, EOPNOTSUPP,
			       "HostConfig.Secrets, Configs (--secret, --config) need a run folder "
			       "in memory, and %s is not on a tmpfs",
			       d->roots.run);
	(void)snprintf(path, sizeof(path), DIR_NAME "/%s", inst->id);
	if ((mkdirat(d->roots.run_fd, DIR_NAME, 0700) < 0 && errno != EEXIST) ||
	    mkdirat(d->roots.run_fd, path, 0700) < 0)
		return err_sys(err, "cannot make %s/%s", d->roots.run, path);
	cleanup_fd int dir =
		openat(d->roots.run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int rc = dir < 0 ? err_sys(err, "cannot open %s/%s", d->roots.run, path)
			 : store_all(dir, json_get(body, "HostConfig"), err);
	if (rc < 0)
		secrets_forget(inst);
	return rc < 0 ? rc : 0;
}

static void drop(struct isolad *d, const char *id)
{
	struct err e = ERR_INIT;
	char path[sizeof(DIR_NAME) + NAME_MAX + 2];
	(void)snprintf(path, sizeof(path), DIR_NAME "/%s", id);
	if (fd_remove_tree(d->roots.run_fd, path, &e) < 0)
		log_error(NULL, "cannot remove %s/%s: %s", d->roots.run, path, e.text);
	/* The last one's. */
	(void)unlinkat(d->roots.run_fd, DIR_NAME, AT_REMOVEDIR);
}

void secrets_forget(const struct instance *inst)
{
	if (inst->kind == INSTANCE_CONTAINER && has_any(inst))
		drop(inst->isolad, inst->id);
}

void secrets_sweep(struct isolad *d)
{
	int fd = openat(d->roots.run_fd, DIR_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	cleanup_json json_object *gone = json_object_new_array();
	struct dirent *e;
	if (!dir) {
		fd_close(&fd);
		return;
	}
	while ((e = readdir(dir)))
		if (id_is_container_id(e->d_name) &&
		    !registry_find(d, INSTANCE_CONTAINER, e->d_name, NULL))
			(void)json_object_array_add(gone, json_object_new_string(e->d_name));
	(void)closedir(dir);
	for (size_t i = 0; i < json_len(gone); i++)
		drop(d, json_item_str(gone, i));
}

/* ---- the start ---- */

static int add_mount(uint32_t base, const char *source, json_object *item, json_object *mounts,
		     struct err *err)
{
	char options[96];
	if (access(source, F_OK) < 0)
		return err_set(err, ENODATA,
			       "'%.64s' was kept in memory only and went with the host's restart: "
			       "create the container anew",
			       json_str_or(item, "Name", ""));
	(void)snprintf(options, sizeof(options),
		       "bind,private,ro,nosuid,nodev,noexec," CTR_MEMORY "%lld:%lld:%llo",
		       (long long)(base + json_i64_or(item, "Uid", 0)),
		       (long long)(base + json_i64_or(item, "Gid", 0)),
		       (unsigned long long)json_i64_or(item, "Mode", 0));
	bundle_add_mount(mounts, json_str_or(item, "Target", ""), "none", source, options);
	return 0;
}

int secrets_mounts(const struct instance *inst, uint32_t base, json_object *mounts, struct err *err)
{
	int rc = 0;
	for (size_t k = 0; k < N_KINDS; k++) {
		json_object *list = json_get(inst->host_config, kinds[k].field);
		for (size_t i = 0; rc >= 0 && i < json_len(list); i++) {
			char source[PATH_MAX];
			(void)snprintf(source, sizeof(source), "%s/" DIR_NAME "/%s/%c%zu",
				       inst->isolad->roots.run, inst->id, kinds[k].letter, i);
			rc = add_mount(base, source, json_object_array_get_idx(list, i), mounts,
				       err);
		}
	}
	return rc < 0 ? rc : 0;
}
