/* SPDX-License-Identifier: Apache-2.0 */
/* build_context - see build_context.h. A Dockerfile outside of the context goes in
 * under a name of its own, as Docker's client has it. Runs in ctrctl. */
#include "build_context.h"

#include "isola/dockerfile.h"
#include "isola/fd.h"
#include "isola/id.h"
#include "isola/ignore.h"
#include "isola/pack.h"
#include "isola/strbuf.h"
#include "packer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define HEAD_BYTES       512
#define IGNORE_BYTES_MAX ((size_t)1024 * 1024)
#define OUTSIDE          ".dockerfile."

/* ---- what was asked for ---- */

static int read_text(int fd, const char *name, struct build_context *c, struct err *err)
{
	c->text = malloc(DOCKERFILE_BYTES_MAX + 1);
	if (!c->text)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t n = fd_read_all(fd, c->text, DOCKERFILE_BYTES_MAX + 1);
	if (n < 0)
		return err_rc(err, (int)n, "cannot read %s", name);
	if ((size_t)n > DOCKERFILE_BYTES_MAX)
		return err_set(err, EFBIG, "%s: a Dockerfile has at most %lu bytes", name,
			       DOCKERFILE_BYTES_MAX);
	c->text_size = (size_t)n;
	return 0;
}

static int outside(const char *file, struct build_context *c, struct err *err)
{
	char id[ID_SIZE];
	int rc = id_new(id);
	if (rc < 0)
		return err_rc(err, rc, "cannot make a name for the Dockerfile");
	(void)snprintf(c->dockerfile, sizeof(c->dockerfile), OUTSIDE "%.20s", id);
	if (!strcmp(file, "-"))
		return read_text(STDIN_FILENO, "standard input", c, err);
	cleanup_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open %s", file) : read_text(fd, file, c, err);
}

static int find_file(const char *file, struct build_context *c, struct err *err)
{
	cleanup_strbuf struct strbuf inside = STRBUF_INIT;
	if (!file) {
		strbuf_printf(&inside, "%s/Dockerfile", c->folder);
		if (!strbuf_ok(&inside))
			return err_set(err, ENOMEM, "out of memory");
		file = inside.text;
	} else if (!strcmp(file, "-")) {
		return outside(file, c, err);
	}
	cleanup_free char *root = realpath(c->folder, NULL), *real = realpath(file, NULL);
	if (!root)
		return err_sys(err, "cannot open the context %s", c->folder);
	if (!real)
		return err_sys(err, "cannot open the Dockerfile %s", file);
	size_t n = strlen(root);
	if (n > 1 && (strncmp(real, root, n) != 0 || real[n] != '/'))
		return outside(file, c, err);
	(void)snprintf(c->dockerfile, sizeof(c->dockerfile), "%s", real + n + (n > 1));
	return 0;
}

static bool is_url(const char *text)
{
	static const char *const heads[] = { "http://", "https://", "git://",
					     "git@",    "ssh://",   "github.com/" };
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (!strncmp(text, heads[i], strlen(heads[i])))
			return true;
	return false;
}

int build_context_read(const char *context, const char *file, struct build_context *ret,
		       struct err *err)
{
	struct stat st;
	if (is_url(context))
		return err_set(err, EOPNOTSUPP,
			       "%s: a context from a URL is not supported: fetch it, then name "
			       "the folder",
			       context);
	if (!strcmp(context, "-")) {
		if (file && !strcmp(file, "-"))
			return err_set(err, EINVAL,
				       "invalid argument: can't use stdin for both build context "
				       "and Dockerfile");
		(void)snprintf(ret->dockerfile, sizeof(ret->dockerfile), "%s",
			       file ? file : "Dockerfile");
		return 0;
	}
	if (stat(context, &st) < 0)
		return err_sys(err, "cannot open the context %s", context);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR, "the context %s must be a directory", context);
	ret->folder = context;
	return find_file(file, ret, err);
}

void build_context_fini(struct build_context *c)
{
	free(c->text);
	c->text = NULL;
}

/* ---- the child ---- */

/* What the walk may leave out; the child's own. */
static struct ignore *ignored;
static const char *kept;
static bool own_ignore_file;

static bool skip(const char *as, const struct stat *st, void *arg)
{
	(void)st;
	(void)arg;
	if (!strcmp(as, ".dockerignore"))
		return own_ignore_file;
	return strcmp(as, kept) != 0 && ignore_matches(ignored, as);
}

static int put_text(struct tarw *t, const char *path, const char *text, size_t size,
		    struct err *err)
{
	struct tar_entry e = { .kind = TAR_FILE,
			       .path = path,
			       .link = "",
			       .mode = 0644,
			       .mtime_s = time(NULL),
			       .size = size };
	int rc = tarw_entry(t, &e, err);
	return rc < 0 ? rc : tarw_data(t, text, size, err);
}

/* The Dockerfile that came from elsewhere is no part of what can be copied: the
 * .dockerignore says so, and hides itself when it was not there. */
static int put_outside(struct tarw *t, const struct build_context *c, const char *patterns,
		       struct err *err)
{
	cleanup_strbuf struct strbuf text = STRBUF_INIT;
	strbuf_printf(&text, "%s\n%s\n%s", patterns ? patterns : "", c->dockerfile,
		      patterns ? "" : ".dockerignore\n");
	if (!strbuf_ok(&text))
		return err_set(err, ENOMEM, "out of memory");
	int rc = put_text(t, ".dockerignore", text.text, text.len, err);
	return rc < 0 ? rc : put_text(t, c->dockerfile, c->text, c->text_size, err);
}

static int put_folder(struct tarw *t, const struct build_context *c, struct err *err)
{
	cleanup_fd int dir = open(c->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *patterns = NULL;
	size_t size = 0;
	if (dir < 0 || proc < 0)
		return err_sys(err, "cannot open %s", c->folder);
	int rc = fd_read_file(dir, ".dockerignore", IGNORE_BYTES_MAX, &patterns, &size, err);
	if (rc == 0)
		rc = ignore_parse(patterns, size, &ignored, err);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	kept = c->dockerfile;
	own_ignore_file = c->text != NULL;
	const struct pack_options pack = {
		.out = t, .proc_fd = proc, .root_owned = true, .skip = skip
	};
	rc = pack_below(&pack, dir, err);
	return rc == 0 && c->text ? put_outside(t, c, patterns, err) : rc;
}

static bool is_archive(const char *head, size_t n)
{
	static const struct {
		const char *bytes;
		size_t at, size;
	} rows[] = {
		{ "\x1f\x8b", 0, 2 },
		{ "\x28\xb5\x2f\xfd", 0, 4 },
		{ "BZh", 0, 3 },
		{ "\xfd"
		  "7zXZ",
		  0, 5 },
		{ "ustar", 257, 5 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (n >= rows[i].at + rows[i].size &&
		    !memcmp(head + rows[i].at, rows[i].bytes, rows[i].size))
			return true;
	return false;
}

static int pass_on(int out, const char *head, size_t n, struct err *err)
{
	static char buf[65536];
	int rc = fd_write_all(out, head, n);
	ssize_t got = 0;
	while (rc == 0 && (got = read(STDIN_FILENO, buf, sizeof(buf))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(err, "cannot read standard input");
		rc = fd_write_all(out, buf, (size_t)got);
	}
	return rc < 0 ? err_rc(err, rc, "cannot send the context") : 0;
}

static int put_stdin(int out, struct tarw *t, struct err *err)
{
	char head[HEAD_BYTES];
	ssize_t n = fd_read_all(STDIN_FILENO, head, sizeof(head));
	if (n < 0)
		return err_rc(err, (int)n, "cannot read standard input");
	if (is_archive(head, (size_t)n)) {
		int rc = pass_on(out, head, (size_t)n, err);
		return rc < 0 ? rc : 1;
	}
	cleanup_free char *text = malloc(DOCKERFILE_BYTES_MAX + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	memcpy(text, head, (size_t)n);
	ssize_t more = fd_read_all(STDIN_FILENO, text + n, DOCKERFILE_BYTES_MAX - (size_t)n);
	return more < 0 ? err_rc(err, (int)more, "cannot read standard input")
			: put_text(t, "Dockerfile", text, (size_t)(n + more), err);
}

static int put_context(int out, const void *arg, struct err *err)
{
	const struct build_context *c = arg;
	cleanup_tarw struct tarw *t = NULL;
	int rc = tarw_new(packer_write, &out, &t, err);
	if (rc == 0)
		rc = c->folder ? put_folder(t, c, err) : put_stdin(out, t, err);
	/* 1: an archive that was passed on has its own end. */
	return rc == 0 ? tarw_end(t, err) : rc > 0 ? 0 : rc;
}

int build_context_open(const struct build_context *c, pid_t *ret_pid, struct err *err)
{
	return packer_start(put_context, c, "the context", ret_pid, err);
}

int build_context_close(pid_t pid, struct err *err)
{
	return packer_end(pid, "the context could not be sent whole", err);
}
