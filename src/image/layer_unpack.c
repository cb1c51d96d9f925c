/* SPDX-License-Identifier: Apache-2.0 */
/* layer_unpack - one layer, three processes:
 *
 *   isola-image                    feed (layer_feed.h)            unpacker
 *   starts both, takes their  -->  reads the blob,          -->   parses the tar,
 *   words, settles                 decompresses, hashes           makes the files
 *
 * so the work overlaps, and that of several layers, too. A bug in the part that judges
 * names and headers of a stranger's tar can spoil only this layer's folder: that is the
 * unpacker's root, it has no other folder open, and no say in whether the layer's digest
 * is right. The feed, through whose decompressors a stranger's bytes go, can reach no
 * file. When both have ended, the folders are settled (unpack.h). A blob whose bytes were
 * compared when they were spooled is read by the unpacker itself. */
#include "layer.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "cancel.h"
#include "compare.h"
#include "confine.h"
#include "layer_feed.h"
#include "progress.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PIPE_BYTES (1024 * 1024)

/* What the unpacker says at its end; less than PIPE_BUF, so in one piece. */
struct report {
	int32_t code;
	char text[ERR_TEXT_BYTES];
	struct unpack_result result;
};

/* Either of the two. */
struct worker {
	pid_t pid;  /* 0 = none, or reaped */
	int fd;     /* read end of what it says, -1 = ended */
	bool told;  /* its last word came */
	int status; /* of waitpid() */
};

struct layer_work {
	const struct job *job;
	struct layer_input input;
	struct layer *layer;
	char what[80]; /* of the input */
	int later_fd;  /* an unlinked file */
	bool compare;  /* the folder is there: does it hold what the tar says? */
	struct worker feed, unpacker;
	struct feed_word word;
	struct report report;
};

/* ---- in the unpacker ---- */

static int child_unpack(const struct layer_work *w, int in_fd, int report_fd,
			struct unpack_result *ret, struct err *err)
{
	const struct stream_options options = { .what = w->input.what,
						.plain_only = true,
						.plain_max = w->input.bytes_max };
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
		.entries_max = w->input.entries_max,
	};
	rc = w->compare ? compare_layer(tar, w->layer->fs_fd, !w->layer->shape.unknown, err)
			: unpack_layer(&args, ret, err);
	if (rc == 0 && w->input.need_end_mark && !tar_has_end_mark(tar))
		rc = err_set(err, EINVAL, "the tar archive is cut off: it has no end mark");
	return rc;
}

static void __attribute__((noreturn))
child_main(const struct layer_work *w, int in_fd, int report_fd)
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

/* ---- starting them ---- */

/* Forks. The child (0) gets @ret_report to speak into, and dies with us. */
static pid_t start(struct worker *worker, int *ret_report, struct err *err)
{
	int report[2];
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	pid_t parent = getpid(), pid = fork();
	if (pid < 0) {
		int rc = err_sys(err, "cannot start a process");
		fd_close(&report[0]);
		fd_close(&report[1]);
		return rc;
	}
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		cancel_be_child();
		*ret_report = report[1];
		return 0;
	}
	fd_close(&report[1]);
	worker->pid = pid;
	worker->fd = report[0];
	return pid;
}

static int start_workers(struct layer_work *w, struct err *err)
{
	int data[2], report = -1;
	if (w->input.verified) {
		pid_t pid = start(&w->unpacker, &report, err);
		if (pid == 0)
			child_main(w, w->input.fd, report);
		return pid < 0 ? pid : 0;
	}
	if (pipe2(data, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int in = data[0], out = data[1];
	(void)fcntl(out, F_SETPIPE_SZ, PIPE_BYTES);
	pid_t pid = start(&w->unpacker, &report, err);
	if (pid == 0)
		child_main(w, in, report); /* closes what it has not named */
	if (pid > 0)
		pid = start(&w->feed, &report, err);
	if (pid == 0)
		feed_main(&w->input, w->layer->fs_fd, out, report);
	return pid < 0 ? pid : 0;
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

static void show(const struct layer_work *w, uint64_t at)
{
	if (w->input.id && !(w->input.silent && *w->input.silent))
		progress_status(w->input.status ? w->input.status : "Loading layer", w->input.id,
				at, w->input.size);
}

static int new_work(const struct layer_input *input, struct layer *l, struct layer_work **ret,
		    struct err *err)
{
	struct layer_work *w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(err, ENOMEM, "out of memory");
	*w = (struct layer_work){ .input = *input,
				  .layer = l,
				  .later_fd = -1,
				  .feed = { .fd = -1 },
				  .unpacker = { .fd = -1 } };
	(void)snprintf(w->what, sizeof(w->what), "%s", input->what);
	w->input.what = w->what;
	w->input.fd = fd_dup(input->fd);
	if (w->input.fd < 0) {
		int rc = err_rc(err, w->input.fd, "cannot read %s", w->what);
		free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

static int make_folder(const struct job *job, struct layer *l, struct err *err)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "layer-%u", l->number);
	if (mkdirat(job->fd, name, 0700) < 0)
		return err_sys(err, "cannot make a folder in tmp/");
	l->fs_fd = openat(job->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return l->fs_fd < 0 ? err_sys(err, "cannot open a folder in tmp/") : 0;
}

int layer_begin(const struct job *job, const struct layer_input *input, struct layer *l,
		struct layer_work **ret, struct err *err)
{
	struct layer_work *w = NULL;
	int rc = make_folder(job, l, err);
	if (rc == 0)
		rc = new_work(input, l, &w, err);
	if (rc == 0)
		rc = w->later_fd = job_temp(job, err);
	if (rc >= 0) {
		show(w, 0);
		rc = start_workers(w, err);
	}
	if (rc < 0) {
		layer_work_free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

/* ---- what they say ---- */

size_t layer_work_fds(const struct layer_work *w, struct pollfd ret[LAYER_FDS])
{
	size_t n = 0;
	if (w->feed.fd >= 0)
		ret[n++] = (struct pollfd){ .fd = w->feed.fd, .events = POLLIN };
	if (w->unpacker.fd >= 0)
		ret[n++] = (struct pollfd){ .fd = w->unpacker.fd, .events = POLLIN };
	return n;
}

static bool is_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return fd >= 0 && poll(&p, 1, 0) > 0;
}

static void reap(struct worker *worker)
{
	fd_close(&worker->fd);
	while (worker->pid > 0 && waitpid(worker->pid, &worker->status, 0) < 0 && errno == EINTR)
		;
	worker->pid = 0;
}

/* The next word into @word: true, unless there is none or it was the end. */
static bool hear(struct worker *worker, void *word, size_t size)
{
	if (!is_ready(worker->fd))
		return false;
	if (fd_read_all(worker->fd, word, size) == (ssize_t)size)
		return true;
	reap(worker);
	return false;
}

/* Of one who has ended. */
static int judge_end(const struct layer_work *w, const struct worker *worker, struct err *err)
{
	if (WIFSIGNALED(worker->status))
		return err_set(err, EIO, "%s: the unpacking process was killed by signal %d%s",
			       w->input.what, WTERMSIG(worker->status),
			       WTERMSIG(worker->status) == SIGSYS
				       ? " (a system call it may not make)"
				       : "");
	if (!worker->told || WEXITSTATUS(worker->status) != 0)
		return err_set(err, EIO, "%s: the unpacking process failed", w->input.what);
	return 0;
}

static int judge_report(struct layer_work *w, struct err *err)
{
	struct report *r = &w->report;
	int code = r->code > 0 && r->code < 4096 ? r->code : EIO;
	r->text[sizeof(r->text) - 1] = '\0';
	if (r->code == 0)
		return 0;
	return w->compare ? err_set(err, code, "%.900s", r->text)
			  : err_set(err, code, "%.60s: %.900s", w->input.what, r->text);
}

/* Both have ended. What is damaged in the blob shows to the unpacker as a cut-off tar. */
static int judge(struct layer_work *w, struct err *err)
{
	bool fed = !w->input.verified;
	int rc = fed ? judge_end(w, &w->feed, err) : 0;
	if (rc == 0 && fed)
		rc = feed_judge(&w->word, &w->input, w->layer, err);
	if (rc < 0 && rc != -EPIPE)
		return rc;
	bool cut = rc == -EPIPE;
	rc = judge_end(w, &w->unpacker, err);
	if (rc == 0)
		rc = judge_report(w, err);
	return rc == 0 && cut ? err_set(err, EIO, "%s: the unpacking process failed", w->input.what)
			      : rc;
}

/* The unpacker reads the blob through our description of it: its offset tells. */
static void show_offset(const struct layer_work *w)
{
	off_t at = lseek(w->input.fd, 0, SEEK_CUR);
	if (at > 0 && (uint64_t)at < w->input.size)
		show(w, (uint64_t)at);
}

static void hear_feed(struct layer_work *w)
{
	if (!hear(&w->feed, &w->word, sizeof(w->word)))
		return;
	w->feed.told |= w->word.last;
	show(w, w->word.at);
}

/* The unpacker has failed of itself: the feed, which may wait for more of the blob, has not
 * said before that it is damaged. */
static bool failed_early(struct layer_work *w)
{
	if (w->unpacker.fd >= 0 || (w->unpacker.told && w->report.code == 0))
		return false;
	while (!w->feed.told && is_ready(w->feed.fd))
		hear_feed(w);
	return !w->feed.told && w->feed.fd >= 0;
}

bool layer_is_running(const struct layer_work *w)
{
	return w->feed.fd >= 0 || w->unpacker.fd >= 0;
}

int layer_step(struct layer_work *w, struct err *err)
{
	hear_feed(w);
	if (hear(&w->unpacker, &w->report, sizeof(w->report)))
		w->unpacker.told = true;
	if (w->input.verified)
		show_offset(w);
	if (failed_early(w)) {
		int rc = judge_end(w, &w->unpacker, err);
		return rc < 0 ? rc : judge_report(w, err);
	}
	if (layer_is_running(w))
		return 0;
	int rc = judge(w, err);
	return rc < 0 ? rc : 1;
}

int layer_end(struct layer_work *w, const int *lower_fds, size_t n_lower, struct err *err)
{
	struct layer *l = w->layer;
	int rc = unpack_settle(l->fs_fd, w->later_fd, lower_fds, n_lower, err);
	if (rc < 0)
		return rc;
	show(w, w->input.size);
	l->bytes = w->report.result.bytes;
	l->shape = w->report.result.shape;
	l->opaque = unpack_is_opaque(l->fs_fd);
	return 0;
}

void layer_work_free(struct layer_work *w)
{
	if (!w)
		return;
	/* Who writes to nobody stops: the feed first, then the unpacker has an end, too. */
	reap(&w->feed);
	reap(&w->unpacker);
	fd_close(&w->later_fd);
	fd_close(&w->input.fd);
	free(w);
}

void layers_give_up(void)
{
	cancel_children();
}

/* ---- one alone ---- */

static int wait_for_end(struct layer_work *w, struct err *err)
{
	struct pollfd fds[LAYER_FDS];
	int rc;
	while ((rc = layer_step(w, err)) == 0)
		(void)poll(fds, layer_work_fds(w, fds), LAYER_WAIT_MS);
	return rc < 0 ? rc : 0;
}

int layer_unpack(const struct job *job, const struct layer_input *input, struct layer *l,
		 struct err *err)
{
	struct layer_work *w = NULL;
	int rc = layer_begin(job, input, l, &w, err);
	if (rc == 0)
		rc = wait_for_end(w, err);
	if (rc == 0)
		rc = layer_end(w, input->lower_fds, input->n_lower, err);
	layer_work_free(w);
	return rc;
}

int layer_compare(const struct layer_input *input, struct layer *l, struct err *err)
{
	struct layer_work *w = NULL;
	int rc = new_work(input, l, &w, err);
	if (rc < 0)
		return rc;
	w->compare = true;
	rc = start_workers(w, err);
	if (rc == 0)
		rc = wait_for_end(w, err);
	layer_work_free(w);
	return rc;
}
