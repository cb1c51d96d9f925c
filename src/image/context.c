/* SPDX-License-Identifier: Apache-2.0 */
/* context - see context.h. Foreign bytes, in isola-image's jail. */
#include "context.h"

#include "isola/extract.h"
#include "isola/fd.h"
#include "isola/ignore.h"
#include "isola/path.h"
#include "confine.h"
#include "reader.h"
#include "stack.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define BLOCK            512 /* of a tar */
#define FOLDER           "context"
#define IGNORE_BYTES_MAX ((size_t)1024 * 1024)

/* ---- unpacking ----
 *
 *   isola-image                 reader (reader.h)         unpacker (confine_layer())
 *   starts both           -->   decompresses        -->   parses the tar, makes the files
 */

/* What the child says at its end; less than PIPE_BUF, so in one piece. */
struct report {
	int32_t code;
	char text[ERR_TEXT_BYTES];
};

/* In the reader. Docker's client may end without the last block's padding and the end mark
 * (when its Dockerfile lies outside of the context): both are made up here and by tar.h. */
static int feed(int in_fd, int out_fd, const void *arg, struct err *err)
{
	static const unsigned char zeros[BLOCK];
	const struct limits *limits = arg;
	const struct stream_options options = { .what = "the build context",
						.quick = true,
						.plain_max = limits->bytes };
	cleanup_stream struct stream *stream = NULL;
	const unsigned char *data = NULL;
	ssize_t n = stream_new(in_fd, &options, &stream, err);
	int rc = (int)n;
	while (rc == 0 && (n = stream_next(stream, &data, err)) > 0)
		rc = fd_write_all(out_fd, data, (size_t)n);
	if (n < 0)
		return (int)n;
	size_t odd = rc == 0 ? (size_t)(stream_plain_bytes(stream) % BLOCK) : 0;
	if (odd)
		rc = fd_write_all(out_fd, zeros, BLOCK - odd);
	return rc < 0 ? err_rc(err, rc, "cannot pass on the build context") : 0;
}

static int unpack(int in_fd, int folder, const struct limits *limits, struct err *err)
{
	const struct stream_options options = { .what = "the build context",
						.plain_only = true,
						.plain_max = limits->bytes + BLOCK };
	cleanup_stream struct stream *stream = NULL;
	cleanup_tar struct tar *tar = NULL;
	const struct extract_options x = { .root_fd = folder,
					   .owner = EXTRACT_OWNER_NONE,
					   .no_devices = true,
					   .lenient = true,
					   .entries_max = limits->entries };
	int rc = stream_new(in_fd, &options, &stream, err);
	if (rc == 0)
		rc = tar_new(stream_read, stream, &tar, err);
	return rc < 0 ? rc : extract(tar, &x, err);
}

static void __attribute__((noreturn))
child_main(int in_fd, int folder, int report_fd, const struct limits *limits)
{
	struct err err = ERR_INIT;
	struct report report = { .code = 0 };
	const int keep[] = { in_fd, report_fd, folder };
	(void)umask(0);
	int rc = confine_layer(folder, keep, sizeof(keep) / sizeof(keep[0]), &err);
	if (rc == 0)
		rc = unpack(in_fd, folder, limits, &err);
	if (rc < 0) {
		report.code = -rc;
		memcpy(report.text, err.text, sizeof(report.text));
	}
	(void)fd_write_all(report_fd, &report, sizeof(report));
	_exit(0);
}

/* The end of its input ends it, too: it comes when whoever cancels closes that. */
static int finish(pid_t child, int report_fd, struct err *err)
{
	struct report report;
	int status = 0;
	ssize_t n = fd_read_all(report_fd, &report, sizeof(report));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(report) || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, EIO, "the process that unpacks the build context failed");
	report.text[sizeof(report.text) - 1] = '\0';
	if (report.code)
		return err_set(err, report.code > 0 ? report.code : EIO, "build context: %.1000s",
			       report.text);
	return 0;
}

static int unpack_by_child(int in_fd, int folder, const struct limits *limits, struct err *err)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int read_fd = pipe_fds[0], write_fd = pipe_fds[1];
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		fd_close(&read_fd);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		child_main(in_fd, folder, write_fd, limits);
	}
	if (child < 0)
		return err_sys(err, "cannot start a process");
	fd_close(&write_fd);
	return finish(child, read_fd, err);
}

/* Both at one time; what the reader has said is the cause of what the other has. Who sends
 * may stand still: a reader that only waits for more is not waited for. */
static int run_children(const struct job *job, int folder, const struct limits *limits,
			struct err *err)
{
	cleanup_reader struct reader reader = READER_INIT;
	struct err own = ERR_INIT, cause = ERR_INIT;
	int rc = reader_start(job, STDIN_FILENO, feed, limits, &reader, err);
	if (rc < 0)
		return rc;
	rc = unpack_by_child(reader.data_fd, folder, limits, &own);
	if (rc < 0 && !reader_has_ended(&reader))
		return err_copy(err, &own);
	int cause_rc = reader_end(&reader, "the build context", &cause);
	if (cause_rc < 0 && cause_rc != -EPIPE)
		return err_copy(err, &cause);
	return rc < 0 ? err_copy(err, &own) : 0;
}

int context_read(const struct job *job, const struct limits *limits, struct err *err)
{
	if (mkdirat(job->fd, FOLDER, 0755) < 0)
		return err_sys(err, "cannot make a folder in tmp/");
	cleanup_fd int folder =
		openat(job->fd, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return err_sys(err, "cannot open a folder in tmp/");
	int rc = run_children(job, folder, limits, err);
	return rc < 0 ? rc : take_fd(&folder);
}

/* ---- .dockerignore ---- */

struct removing {
	const struct ignore *ignore;
	int fd;
	bool again; /* a folder is left that may be empty now */
};

static int remove_ignored(void *arg, int dir_fd, const char *name, const char *path,
			  const struct stat *st, struct err *err)
{
	const struct removing *r = arg;
	if (!ignore_matches(r->ignore, path))
		return 0;
	if (!S_ISDIR(st->st_mode))
		return unlinkat(dir_fd, name, 0) < 0 ? err_sys(err, "cannot remove %.300s", path)
						     : 0;
	/* What a "!" takes back may lie in it. */
	if (ignore_takes_back(r->ignore))
		return 0;
	int rc = fd_remove_tree(dir_fd, name, err);
	return rc < 0 ? rc : 1;
}

/* A walk again, and deepest first: each folder is met after those above it, so one
 * pass takes the lowest only. They are few; an ignored folder in the way of nothing
 * stays at worst, empty. */
static int remove_empty(void *arg, int dir_fd, const char *name, const char *path,
			const struct stat *st, struct err *err)
{
	struct removing *r = arg;
	(void)err;
	if (S_ISDIR(st->st_mode) && ignore_matches(r->ignore, path) &&
	    unlinkat(dir_fd, name, AT_REMOVEDIR) == 0) {
		r->again = true;
		return 1;
	}
	return 0;
}

int context_ignore(int fd, const struct limits *limits, struct err *err)
{
	cleanup_ignore struct ignore *ignore = NULL;
	cleanup_free char *text = NULL;
	cleanup_stack struct stack s = STACK_INIT;
	size_t size = 0;
	int copy = fd_dup(fd);
	int rc = copy < 0 ? err_rc(err, copy, "cannot hold the build context")
			  : stack_of_folder(copy, &s, err);
	if (rc == 0)
		rc = stack_read(&s, ".dockerignore", IGNORE_BYTES_MAX, &text, &size, err);
	if (rc < 0)
		return err_prefix(err, ".dockerignore");
	if (!text)
		return 0;
	struct removing r = { .fd = fd };
	rc = ignore_parse(text, size, &ignore, err);
	r.ignore = ignore;
	if (rc == 0)
		rc = stack_walk(&s, "", limits->entries, remove_ignored, &r, err);
	for (r.again = ignore_takes_back(ignore); rc == 0 && r.again;) {
		r.again = false;
		rc = stack_walk(&s, "", limits->entries, remove_empty, &r, err);
	}
	return rc;
}
