/* SPDX-License-Identifier: Apache-2.0 */
/* cp - files from and to a container, by Docker's rules for what a path means:
 *
 *   destination        source is a file           source is a folder
 *   a folder           goes into it               goes into it ("/.": its content does)
 *   a file             is replaced                error
 *   nothing, "x/"      error                      becomes the new folder
 *   nothing, "x"       becomes the new file       becomes the new folder
 *
 * Runs in ctrctl. */
#include "copy_local.h"
#include "verbs.h"

#include "isola/base64.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GO_DIR     (1LL << 31)
#define GO_SYMLINK (1LL << 27)
#define PIECE      ((size_t)512 * 1024)

const struct flag flags_cp[] = {
	{ "archive", 'a', FLAG_BOOL, NULL, "keep owners (default: root's inside, yours outside)" },
	{ "follow-link", 'L', FLAG_BOOL, NULL, "copy what SOURCE links to, not the link" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "say nothing when it worked" },
	{ .name = NULL },
};

/* "container:path" in two parts; a path of the host begins with "/" or ".". */
struct place_of {
	char container[256];
	const char *path; /* borrowed */
	bool remote;
};

static int split(const char *arg, struct place_of *ret, struct err *err)
{
	const char *colon = strchr(arg, ':');
	*ret = (struct place_of){ .path = arg };
	if (*arg == '/' || *arg == '.' || !colon)
		return 0;
	if (colon == arg || (size_t)(colon - arg) >= sizeof(ret->container))
		return err_set(err, EINVAL, "\"%.100s\" names no container", arg);
	(void)snprintf(ret->container, sizeof(ret->container), "%.*s", (int)(colon - arg), arg);
	ret->path = colon + 1;
	ret->remote = true;
	if (!*ret->path)
		return err_set(err, EINVAL, "\"%.100s\": a path is missing behind the colon", arg);
	return 0;
}

static void target_of(struct strbuf *target, const char *container, const char *path)
{
	client_target_path(target, "containers");
	client_target_path(target, container);
	client_target_path(target, "archive");
	client_target_query(target, "path", path);
}

/* ---- what a path in a container is ---- */

static json_object *parse_stat(const char *base64, struct err *err)
{
	json_object *o = NULL;
	size_t size = strlen(base64);
	cleanup_free char *text = malloc(size + 1);
	ssize_t n = text ? base64_decode(base64, text, size) : -ENOMEM;
	if (n < 0)
		(void)err_rc(err, (int)n, "isolad's answer");
	else
		(void)json_parse(text, (size_t)n, "isolad's answer", &o, err);
	return o;
}

/* 1 and *@ret (owned), 0 when there is nothing, -errno. */
static int remote_stat(struct cli *cli, const char *container, const char *path, json_object **ret,
		       struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	struct client *c = cli_client(cli);
	target_of(&target, container, path);
	int rc = client_send(c, "HEAD", target.text, NULL, err);
	if (rc == 0)
		rc = client_receive(c, err);
	if (rc < 0 || rc == 404)
		return rc < 0 ? rc : 0;
	if (rc != 200)
		return err_set(err, EIO, "isolad cannot look at %s:%s (status %d)", container, path,
			       rc);
	*ret = parse_stat(client_path_stat(c), err);
	return *ret ? 1 : -EPROTO;
}

static bool is_kind(json_object *stat, int64_t bit)
{
	return json_i64_or(stat, "mode", 0) & bit;
}

/* The path with a last link resolved: owned text, or NULL with @err. *@ret_stat
 * (owned) stays NULL when nothing is there. */
static char *remote_follow(struct cli *cli, const struct place_of *at, json_object **ret_stat,
			   struct err *err)
{
	cleanup_json json_object *stat = NULL;
	int rc = remote_stat(cli, at->container, at->path, &stat, err);
	if (rc < 0)
		return NULL;
	const char *link =
		rc > 0 && is_kind(stat, GO_SYMLINK) ? json_str_or(stat, "linkTarget", "") : "";
	if (!*link) {
		*ret_stat = take_ptr(stat);
		return strdup(at->path);
	}
	struct strbuf full = STRBUF_INIT;
	const char *slash = strrchr(at->path, '/');
	if (*link != '/' && slash)
		strbuf_printf(&full, "%.*s", (int)(slash + 1 - at->path), at->path);
	strbuf_puts(&full, link);
	char *path = strbuf_take(&full);
	if (!path || remote_stat(cli, at->container, path, ret_stat, err) < 0)
		free(take_ptr(path));
	return path;
}

/* ---- from a container ---- */

struct source {
	struct client *c;
	unsigned char *buf;
};

static ssize_t read_archive(void *arg, const unsigned char **ret, struct err *err)
{
	struct source *s = arg;
	*ret = s->buf;
	return client_read(s->c, s->buf, PIECE, err);
}

static int get_archive(struct cli *cli, const char *container, const char *path, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	struct client *c = cli_client(cli);
	target_of(&target, container, path);
	int rc = client_send(c, "GET", target.text, NULL, err);
	if (rc == 0)
		rc = client_receive(c, err);
	return rc >= 400 ? client_fail(c, err) : rc;
}

static int copy_out(struct source *s, struct err *err)
{
	ssize_t n;
	while ((n = client_read(s->c, s->buf, PIECE, err)) > 0)
		if (fd_write_all(STDOUT_FILENO, s->buf, (size_t)n) < 0)
			return err_sys(err, "cannot write to standard output");
	return (int)n;
}

/* By the table at the top; @name: the source's own. */
static int extract_to(struct source *s, const char *dst, bool src_is_dir, const char *name,
		      bool owners, struct err *err)
{
	struct local_path to;
	int rc = local_path_read(dst, &to, err);
	if (rc < 0)
		return rc;
	if (to.is_dir)
		return local_extract(read_archive, s, dst, name, owners, err);
	if (to.exists && src_is_dir)
		return err_set(err, EINVAL, "cannot copy directory to the file %s", dst);
	if (!to.exists && !src_is_dir && to.slash)
		return err_set(err, ENOENT, "no such directory: %s", dst);
	cleanup_free char *real = to.exists ? realpath(dst, NULL) : NULL;
	if (real && local_path_read(real, &to, err) < 0)
		return -EINVAL;
	return local_extract(read_archive, s, to.dir, to.base, owners, err);
}

static int copy_from(struct cli *cli, struct args *args, const struct place_of *src,
		     const char *dst, struct err *err)
{
	cleanup_json json_object *stat = NULL;
	bool follow = args_bool(args, "follow-link");
	cleanup_free char *path = follow ? remote_follow(cli, src, &stat, err) : strdup(src->path);
	cleanup_free unsigned char *buf = malloc(PIECE);
	if (!path || !buf)
		return err && err->code ? -err->code : err_set(err, ENOMEM, "out of memory");
	int rc = get_archive(cli, src->container, path, err);
	if (rc < 0)
		return rc;
	struct source s = { .c = cli_client(cli), .buf = buf };
	if (!strcmp(dst, "-"))
		return copy_out(&s, err);
	cleanup_json json_object *what = parse_stat(client_path_stat(s.c), err);
	if (!what)
		return -EPROTO;
	/* A link that was followed keeps its own name. */
	struct local_path named;
	bool renamed = strcmp(path, src->path) != 0 &&
		       local_path_read(src->path, &named, err) == 0 && !named.contents;
	return extract_to(&s, dst, is_kind(what, GO_DIR), renamed ? named.base : NULL,
			  args_bool(args, "archive"), err);
}

/* ---- to a container ---- */

static int put_archive(struct cli *cli, const char *container, const char *dir, int fd,
		       struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	struct client *c = cli_client(cli);
	target_of(&target, container, dir);
	client_target_query(&target, "noOverwriteDirNonDir", "true");
	int rc = client_send_fd(c, "PUT", target.text, "application/x-tar", fd, err);
	if (rc == 0)
		rc = client_receive(c, err);
	rc = rc >= 400 ? client_fail(c, err) : rc;
	client_free(cli->client); /* it borrows fd */
	cli->client = NULL;
	return rc < 0 ? rc : 0;
}

/* "/a/b" -> "/a" and "b". */
static void split_remote(const char *path, char *dir, char *base)
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	size_t from = n;
	while (from > 0 && path[from - 1] != '/')
		from--;
	(void)snprintf(base, NAME_MAX + 1, "%.*s", (int)(n - from), path + from);
	(void)snprintf(dir, PATH_MAX, "%.*s", from > 0 ? (int)from : 1, from > 0 ? path : "/");
}

static int send_packed(struct cli *cli, struct args *args, const char *src, const char *as,
		       const char *container, const char *dir, struct err *err)
{
	pid_t pid = 0;
	cleanup_fd int fd = local_pack(src, as, args_bool(args, "follow-link"),
				       args_bool(args, "archive"), &pid, err);
	if (fd < 0)
		return fd;
	int rc = put_archive(cli, container, dir, fd, err);
	fd_close(&fd);
	struct err packing = ERR_INIT;
	if (local_pack_end(pid, &packing) < 0 && rc == 0)
		rc = err_copy(err, &packing);
	return rc;
}

static int copy_to(struct cli *cli, struct args *args, const char *src, const struct place_of *dst,
		   struct err *err)
{
	cleanup_json json_object *stat = NULL;
	cleanup_free char *path = remote_follow(cli, dst, &stat, err);
	struct local_path from;
	struct stat st;
	if (!path)
		return -err->code;
	bool is_dir = stat && is_kind(stat, GO_DIR), exists = stat != NULL;
	if (!strcmp(src, "-"))
		return is_dir ? put_archive(cli, dst->container, path, STDIN_FILENO, err)
			      : err_set(err, EINVAL, "destination \"%s:%s\" must be a directory",
					dst->container, dst->path);
	int rc = local_path_read(src, &from, err);
	if (rc < 0)
		return rc;
	if (lstat(src, &st) < 0)
		return err_sys(err, "cannot copy %s", src);
	bool plain_link = S_ISLNK(st.st_mode) && !args_bool(args, "follow-link");
	bool src_is_dir = from.is_dir && !plain_link;
	const char *as = from.contents ? "." : from.base;
	if (from.slash && !from.is_dir)
		return err_set(err, ENOTDIR, "%s is not a directory", src);
	if (is_dir)
		return send_packed(cli, args, src, as, dst->container, path, err);
	if (exists && src_is_dir)
		return err_set(err, EINVAL, "cannot copy directory to the file %s:%s",
			       dst->container, dst->path);
	if (!exists && !src_is_dir && path[strlen(path) - 1] == '/')
		return err_set(err, ENOENT, "no such directory: %s:%s", dst->container, dst->path);
	char dir[PATH_MAX], base[NAME_MAX + 1];
	split_remote(path, dir, base);
	return send_packed(cli, args, src, base, dst->container, dir, err);
}

int verb_cp(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	struct place_of src, dst;
	int rc = split(args->argv[0], &src, &err);
	if (rc == 0)
		rc = split(args->argv[1], &dst, &err);
	if (rc == 0 && src.remote == dst.remote)
		rc = err_set(&err, EINVAL, "%s",
			     src.remote ? "copying between containers is not supported: copy by "
					  "way of the host, or pipe one cp into another"
					: "one of the two must be CONTAINER:PATH");
	if (rc == 0)
		rc = src.remote ? copy_from(cli, args, &src, dst.path, &err)
				: copy_to(cli, args, src.path, &dst, &err);
	if (rc < 0)
		return cli_fail(cli, 1, &err);
	if (!args_bool(args, "quiet") && isatty(STDERR_FILENO))
		(void)fprintf(stderr, "Successfully copied %s to %s\n", args->argv[0],
			      args->argv[1]);
	return 0;
}
