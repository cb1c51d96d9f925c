/* SPDX-License-Identifier: Apache-2.0 */
/* layer_unpack - one layer, two processes:
 *
 *   isola-image                         its child
 *   reads the blob, decompresses,  -->  parses the tar, makes the files,
 *   hashes, counts                      reports in one message
 *
 * so the work overlaps, and a bug in the part that judges names and headers of
 * a stranger's tar can spoil only this layer's folder: that is the child's root,
 * it has no other folder open, and no say in whether the layer's digest is
 * right. When it has ended, its parent settles the folders (unpack.h). A blob
 * whose bytes were compared when they were spooled is read by the child itself. */
#include "layer.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "cancel.h"
#include "compare.h"
#include "confine.h"
#include "progress.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PIPE_BYTES (1024 * 1024)

/* What the child says at its end; less than PIPE_BUF, so in one piece. */
struct report {
	int32_t code;
	char text[ERR_TEXT_BYTES];
	struct unpack_result result;
};

struct work {
	const struct job *job;
	const struct layer_input *input;
	struct layer *layer;
	int later_fd; /* an unlinked file */
	bool compare; /* the folder is there: does it hold what the tar says? */
	int data_fd;  /* write end of the pipe, -1 = the child reads the blob */
	int report_fd;
	pid_t child;
};

static int child_unpack(const struct work *w, int in_fd, int report_fd, struct unpack_result *ret,
			struct err *err)
{
	const struct stream_options options = { .what = w->input->what,
						.plain_only = true,
						.plain_max = w->input->bytes_max };
	cleanup_stream struct stream *stream = NULL;
	cleanup_tar struct tar *tar = NULL;
	(void)umask(0);
	const int keep[] = { in_fd, report_fd, w->later_fd, w->layer->fs_fd };
	int rc = confine_layer(w->layer->fs_fd, keep, sizeof(keep) / sizeof(keep[0]), err);
	if (rc == 0)
		rc = stream_new(in_fd, &options, &stream, err);
	if (rc == 0)
		rc = tar_new(stream_read, stream, &tar, err);
	if (rc < 0)
		return rc;
	const struct unpack_args args = {
		.tar = tar,
		.root_fd = w->layer->fs_fd,
		.later_fd = w->later_fd,
		.entries_max = w->input->entries_max,
	};
	rc = w->compare ? compare_layer(tar, w->layer->fs_fd, !w->layer->shape.unknown, err)
			: unpack_layer(&args, ret, err);
	if (rc == 0 && w->input->need_end_mark && !tar_has_end_mark(tar))
		rc = err_set(err, EINVAL, "the tar archive is cut off: it has no end mark");
	return rc;
}

static void __attribute__((noreturn)) child_main(const struct work *w, int in_fd, int report_fd)
{
	struct err err = ERR_INIT;
	struct report report = { .code = 0 };
	int rc = child_unpack(w, in_fd, report_fd, &report.result, &err);
	if (rc < 0) {
		report.code = -rc;
		memcpy(report.text, err.text, sizeof(report.text));
	}
	(void)fd_write_all(report_fd, &report, sizeof(report));
	_exit(0);
}

static int start_child(struct work *w, struct err *err)
{
	int data[2] = { -1, -1 }, report[2] = { -1, -1 };
	if (pipe2(report, O_CLOEXEC) < 0 || (!w->input->verified && pipe2(data, O_CLOEXEC) < 0)) {
		fd_close(&report[0]);
		fd_close(&report[1]);
		return err_sys(err, "cannot make a pipe");
	}
	if (data[1] >= 0)
		(void)fcntl(data[1], F_SETPIPE_SZ, PIPE_BYTES);
	pid_t parent = getpid();
	w->child = fork();
	if (w->child == 0) {
		fd_close(&data[1]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		child_main(w, w->input->verified ? w->input->fd : data[0], report[1]);
	}
	int rc = w->child < 0 ? err_sys(err, "cannot start a process") : 0;
	fd_close(&data[0]);
	fd_close(&report[1]);
	w->data_fd = data[1];
	w->report_fd = report[0];
	return rc;
}

static void show(const struct work *w, uint64_t at)
{
	if (w->input->id && !(w->input->silent && *w->input->silent))
		progress_status(w->input->status ? w->input->status : "Loading layer", w->input->id,
				at, w->input->size);
}

/* Gives the child the tar; sets the layer's diff id or compares it. */
static int feed(struct work *w, struct err *err)
{
	const struct stream_options options = { .what = w->input->what,
						.hash_plain = true,
						.plain_max = w->input->bytes_max,
						.read = w->input->read,
						.arg = w->input->arg };
	cleanup_stream struct stream *s = NULL;
	const unsigned char *data = NULL;
	char digest[DIGEST_SIZE] = "";
	ssize_t n = 0;
	int rc = stream_new(w->input->fd, &options, &s, err);
	while (rc == 0 && (n = stream_next(s, &data, err)) > 0) {
		rc = fd_write_all(w->data_fd, data, (size_t)n);
		show(w, stream_raw_bytes(s));
	}
	fd_close(&w->data_fd);
	if (rc == -EPIPE)
		return 0; /* the child knows why */
	if (rc < 0)
		return err_rc(err, rc, "cannot pass on %s", w->input->what);
	if (n < 0)
		return (int)n;
	if (stream_plain_digest(s, digest) < 0)
		return err_set(err, EIO, "SHA-256 failed");
	if (*w->layer->diff_id && strcmp(w->layer->diff_id, digest) != 0)
		return err_set(err, EINVAL,
			       "wrong digest: the content of %s is %s, the image says %s",
			       w->input->what, digest, w->layer->diff_id);
	strcpy(w->layer->diff_id, digest);
	return 0;
}

/* The child reads the blob through our description of it: its offset tells. */
static void watch(const struct work *w)
{
	struct pollfd p = { .fd = w->report_fd, .events = POLLIN };
	while (poll(&p, 1, 100) == 0 && !cancel_requested()) {
		off_t at = lseek(w->input->fd, 0, SEEK_CUR);
		if (at > 0 && (uint64_t)at < w->input->size)
			show(w, (uint64_t)at);
	}
}

/* Waits for the child's end and word. */
static int finish_child(struct work *w, struct unpack_result *ret, struct err *err)
{
	struct report report;
	int status = 0;
	ssize_t n = fd_read_all(w->report_fd, &report, sizeof(report));
	while (waitpid(w->child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return err_set(err, EIO, "%s: the unpacking process was killed by signal %d%s",
			       w->input->what, WTERMSIG(status),
			       WTERMSIG(status) == SIGSYS ? " (a system call it may not make)"
							  : "");
	if (n != (ssize_t)sizeof(report) || WEXITSTATUS(status) != 0)
		return err_set(err, EIO, "%s: the unpacking process failed", w->input->what);
	report.text[sizeof(report.text) - 1] = '\0';
	if (report.code != 0 && w->compare)
		return err_set(err, report.code > 0 ? report.code : EIO, "%.900s", report.text);
	if (report.code != 0)
		return err_set(err, report.code > 0 ? report.code : EIO, "%.60s: %.900s",
			       w->input->what, report.text);
	*ret = report.result;
	return 0;
}

static int run(struct work *w, struct unpack_result *ret, struct err *err)
{
	struct err feed_err = ERR_INIT;
	int rc = start_child(w, err);
	if (rc < 0)
		return rc;
	if (w->data_fd >= 0)
		rc = feed(w, &feed_err);
	else
		watch(w);
	/* Damage on our side shows to the child as a cut-off tar. */
	int child_rc = finish_child(w, ret, err);
	return rc < 0 ? err_copy(err, &feed_err) : child_rc;
}

int layer_write_facts(const struct layer *l, struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	json_add_i64(o, "version", 1);
	json_add_str(o, "diff_id", l->diff_id);
	json_add_i64(o, "size", (int64_t)l->bytes);
	if (!l->shape.unknown) {
		json_add_i64(o, "names", (int64_t)l->shape.names);
		json_add_i64(o, "file_bytes", (int64_t)l->shape.file_bytes);
	}
	return json_write_atomic(l->lock_fd, "layer.json", o, FD_SYNC_NO, err);
}

int layer_unpack(const struct job *job, const struct layer_input *input, struct layer *l,
		 struct err *err)
{
	char name[32];
	struct unpack_result result = { 0 };
	(void)snprintf(name, sizeof(name), "layer-%u", l->number);
	if (mkdirat(job->fd, name, 0700) < 0)
		return err_sys(err, "cannot make a folder in tmp/");
	l->fs_fd = openat(job->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (l->fs_fd < 0)
		return err_sys(err, "cannot open a folder in tmp/");
	cleanup_fd int later_fd = job_temp(job, err);
	if (later_fd < 0)
		return later_fd;
	struct work w = { .job = job,
			  .input = input,
			  .layer = l,
			  .later_fd = later_fd,
			  .data_fd = -1,
			  .report_fd = -1 };
	show(&w, 0);
	int rc = run(&w, &result, err);
	fd_close(&w.data_fd);
	fd_close(&w.report_fd);
	if (rc == 0)
		rc = unpack_settle(l->fs_fd, later_fd, input->lower_fds, input->n_lower, err);
	if (rc < 0)
		return rc;
	show(&w, input->size);
	l->bytes = result.bytes;
	l->shape = result.shape;
	l->opaque = unpack_is_opaque(l->fs_fd);
	return 0;
}

int layer_compare(const struct layer_input *input, struct layer *l, struct err *err)
{
	struct unpack_result unused = { 0 };
	struct work w = { .input = input,
			  .layer = l,
			  .compare = true,
			  .later_fd = -1,
			  .data_fd = -1,
			  .report_fd = -1 };
	int rc = run(&w, &unused, err);
	fd_close(&w.data_fd);
	fd_close(&w.report_fd);
	return rc;
}
