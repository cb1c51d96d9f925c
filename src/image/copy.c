/* SPDX-License-Identifier: Apache-2.0 */
/* copy - see copy.h. Foreign trees, foreign archives: in isola-image's jail, with
 * the container's files as "/". */
#include "copy.h"

#include "isola/extract.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/pack.h"
#include "isola/path.h"
#include "body.h"
#include "copy_guest.h"
#include "out.h"
#include "owner.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define IDS_OF_CONTAINER 65536

/* What a path means. */
struct spot {
	int dir_fd;          /* O_PATH of the folder it is in, -1 before */
	char last[PATH_MAX]; /* its name there; "" = dir_fd itself */
	char base[PATH_MAX]; /* as Docker names it: "b", "." for "b/.", "/" */
	struct stat st;
};

static const char *name_of(const struct view *v)
{
	return json_str_or(v->spec, "name", json_str_or(v->spec, "id", ""));
}

/* Docker's base name: of "/a/b/" it is "b", of "/a/." ".", of "/" "/". */
static void base_of(const char *path, char ret[PATH_MAX])
{
	size_t end = strlen(path);
	while (end > 0 && path[end - 1] == '/')
		end--;
	size_t from = end;
	while (from > 0 && path[from - 1] != '/')
		from--;
	(void)snprintf(ret, PATH_MAX, "%.*s", end > from ? (int)(end - from) : 1,
		       end > from ? path + from : "/");
}

/* A last component that is a link is meant itself, unless a slash or "/." follows. */
static int find(const struct view *v, const char *path, struct spot *s, struct err *err)
{
	char clean[PATH_MAX], full[PATH_MAX];
	int n = snprintf(full, sizeof(full), "/%s", path);
	if (n >= (int)sizeof(full) || path_clean(full, clean, sizeof(clean)) < 0)
		return err_set(err, EINVAL, "the path is too long");
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t len = strlen(path);
	bool into =
		len == 0 || path[len - 1] == '/' ||
		(path[len - 1] == '.' && (len == 1 || path[len - 2] == '/')) ||
		(len >= 2 && !strcmp(path + len - 2, "..") && (len == 2 || path[len - 3] == '/'));
	char *slash = strrchr(clean, '/');
	base_of(len > 0 ? full : "/", s->base);
	if (!strcmp(s->base, ".."))
		base_of(clean, s->base);
	if (into || !slash[1]) {
		s->dir_fd = path_open_in_root(root, clean, O_PATH, 0);
		*s->last = '\0';
	} else {
		strcpy(s->last, slash + 1);
		*slash = '\0';
		s->dir_fd = path_open_in_root(root, *clean ? clean : "/", O_PATH | O_DIRECTORY, 0);
	}
	if (s->dir_fd < 0 && (s->dir_fd == -ENOENT || s->dir_fd == -ENOTDIR))
		return extract_missing(path, name_of(v), err);
	if (s->dir_fd < 0)
		return err_rc(err, s->dir_fd, "cannot open %.300s in the container", path);
	if (fstatat(s->dir_fd, s->last, &s->st,
		    AT_SYMLINK_NOFOLLOW | (*s->last ? 0 : AT_EMPTY_PATH)) < 0)
		return errno == ENOENT ? extract_missing(path, name_of(v), err)
				       : err_sys(err, "cannot look at %.300s", path);
	if (into && !S_ISDIR(s->st.st_mode) && len > 0)
		return err_set(err, EINVAL, "%.300s is not a directory", path);
	return 0;
}

/* ---- stat ---- */

static int64_t go_mode(mode_t mode)
{
	static const struct {
		mode_t kind;
		uint32_t bits;
	} kinds[] = {
		{ S_IFDIR, 1U << 31 }, { S_IFLNK, 1U << 27 },
		{ S_IFBLK, 1U << 26 }, { S_IFCHR, 1U << 26 | 1U << 21 },
		{ S_IFIFO, 1U << 25 }, { S_IFSOCK, 1U << 24 },
	};
	uint32_t v = mode & 0777;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((mode & S_IFMT) == kinds[i].kind)
			v |= kinds[i].bits;
	v |= mode & S_ISUID ? 1U << 23 : 0;
	v |= mode & S_ISGID ? 1U << 22 : 0;
	v |= mode & S_ISVTX ? 1U << 20 : 0;
	return v;
}

/* Where the link leads inside the container: an absolute path, as far as there is
 * one; what does not exist is given as the link has it. */
static void link_target(const struct view *v, const struct spot *s, char ret[PATH_MAX])
{
	char link[PATH_MAX];
	ssize_t n = readlinkat(s->dir_fd, s->last, link, sizeof(link) - 1);
	*ret = '\0';
	if (n < 0)
		return;
	link[n] = '\0';
	strcpy(ret, link);
	char number[16];
	cleanup_fd int at = openat(s->dir_fd, s->last, O_PATH | O_CLOEXEC);
	if (at < 0)
		return;
	(void)snprintf(number, sizeof(number), "%d", at);
	n = readlinkat(v->proc_fd, number, link, sizeof(link) - 1);
	if (n > 0 && link[0] == '/') {
		link[n] = '\0';
		strcpy(ret, link);
	}
}

static json_object *stat_json(const struct view *v, const struct spot *s)
{
	char target[PATH_MAX] = "", when[64];
	json_object *o = json_object_new_object();
	if (S_ISLNK(s->st.st_mode))
		link_target(v, s, target);
	num_format_time((int64_t)s->st.st_mtim.tv_sec * 1000000000 + s->st.st_mtim.tv_nsec, when,
			sizeof(when));
	json_add_text(o, "name", s->base);
	json_add_i64(o, "size", s->st.st_size);
	json_add_i64(o, "mode", go_mode(s->st.st_mode));
	json_add_str(o, "mtime", when);
	json_add_text(o, "linkTarget", target);
	return o;
}

int copy_stat(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err)
{
	struct spot s = { .dir_fd = -1 };
	int rc = find(v, o->path, &s, err);
	if (rc == 0)
		*ret_aux = stat_json(v, &s);
	fd_close(&s.dir_fd);
	return rc;
}

/* ---- get, export ---- */

static void say(const char *key, json_object *taken)
{
	cleanup_json json_object *line = json_object_new_object();
	json_add(line, key, taken);
	const char *text = json_object_to_json_string_ext(
		line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	(void)fd_write_all(STDOUT_FILENO, text, strlen(text));
	(void)fd_write_all(STDOUT_FILENO, "\n", 1);
}

/* @s NULL: all below "/". */
static int send_tree(const struct view *v, const struct spot *s, json_object *stat,
		     json_object **ret_aux, struct err *err)
{
	struct out out = { .fd = -1 };
	cleanup_tarw struct tarw *t = NULL;
	say("stat", stat);
	int rc = out_receive(&out, err);
	if (rc == 0)
		rc = tarw_new(out_write, &out, &t, err);
	if (rc < 0)
		return rc;
	const struct pack_options pack = { .out = t, .proc_fd = v->proc_fd };
	if (s) {
		rc = pack_tree(&pack, s->dir_fd, s->last, strcmp(s->base, "/") ? s->base : "", err);
	} else {
		cleanup_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = root < 0 ? err_sys(err, "cannot open the root") : pack_below(&pack, root, err);
	}
	if (rc == 0)
		rc = tarw_end(t, err);
	if (rc == 0)
		rc = out_end(&out, err);
	*ret_aux = rc == 0 ? json_object_new_object() : NULL;
	return rc;
}

int copy_get(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err)
{
	struct spot s = { .dir_fd = -1 };
	int rc = find(v, o->path, &s, err);
	if (rc == 0)
		rc = send_tree(v, &s, stat_json(v, &s), ret_aux, err);
	fd_close(&s.dir_fd);
	return rc;
}

int copy_export(struct view *v, const struct copy_options *o, json_object **ret_aux,
		struct err *err)
{
	(void)o;
	return send_tree(v, NULL, json_object_new_object(), ret_aux, err);
}

/* ---- put ---- */

static int put_from(struct stream *stream, struct extract_options *x, struct err *err)
{
	cleanup_tar struct tar *tar = NULL;
	int rc = tar_new(stream_read, stream, &tar, err);
	return rc < 0 ? rc : extract(tar, x, err);
}

int copy_put(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err)
{
	if (v->guest_fd >= 0)
		return copy_put_guest(v, o, ret_aux, err);
	struct body body = body_of(v->spec, v->head, v->head_size);
	const struct stream_options options = {
		.what = "the archive", .plain_max = o->bytes_max, .read = body_read, .arg = &body
	};
	cleanup_fd int to = -1;
	cleanup_stream struct stream *stream = NULL;
	struct extract_options x = { .keep_kinds = o->keep_kinds,
				     .lenient = true,
				     .entries_max = o->entries_max };
	int rc = extract_destination(o->path, name_of(v), &to, err);
	/* Beyond it, in a user namespace, there is nobody. */
	if (!v->mapped && json_bool_or(v->spec, "mapped", false))
		x.ids_end = IDS_OF_CONTAINER;
	if (rc == 0 && o->user) {
		rc = owner_find(o->user, &x.uid, &x.gid, err);
		x.owner = EXTRACT_OWNER_FIXED;
	}
	if (rc == 0)
		rc = stream_new(-1, &options, &stream, err);
	x.root_fd = to;
	if (rc == 0)
		rc = put_from(stream, &x, err);
	if (rc == 0)
		*ret_aux = json_object_new_object();
	return rc;
}
