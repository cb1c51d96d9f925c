/* SPDX-License-Identifier: Apache-2.0 */
/* reader - see reader.h. */
#include "reader.h"

#include "isola/fd.h"
#include "cancel.h"
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE_BYTES (1024 * 1024)

/* What it says at its end; less than PIPE_BUF, so in one piece. */
struct word {
	int32_t code; /* errno of a failure, with its text */
	char text[ERR_TEXT_BYTES];
};

static void __attribute__((noreturn))
reader_main(int root_fd, const int keep[4], reader_fn *run, const void *arg)
{
	struct word word = { .code = 0 };
	struct err err = ERR_INIT;
	cancel_be_child();
	int rc = confine_feed(root_fd, keep, 4, &err);
	if (rc == 0)
		rc = run(keep[0], keep[2], arg, &err);
	if (rc < 0) {
		word.code = -rc;
		memcpy(word.text, err.text, sizeof(word.text));
	}
	(void)fd_write_all(keep[3], &word, sizeof(word));
	_exit(0);
}

int reader_start(const struct job *job, int in_fd, reader_fn *run, const void *arg,
		 struct reader *ret, struct err *err)
{
	int data[2], words[2];
	if (pipe2(data, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int data_in = data[0], data_out = data[1];
	if (pipe2(words, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int word_in = words[0], word_out = words[1];
	/* Not the standard input: that number becomes another's (confine_feed()). */
	cleanup_fd int in = fd_dup(in_fd);
	if (in < 0)
		return err_rc(err, in, "cannot pass on the archive");
	(void)fcntl(data_out, F_SETPIPE_SZ, PIPE_BYTES);
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return err_sys(err, "cannot start a process");
	if (pid == 0) {
		const int keep[] = { in, job->fd, data_out, word_out };
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		reader_main(job->fd, keep, run, arg);
	}
	*ret = (struct reader){ .pid = pid,
				.data_fd = take_fd(&data_in),
				.word_fd = take_fd(&word_in) };
	return 0;
}

ssize_t reader_data(const struct reader *r, void *buf, size_t size, struct err *err)
{
	size_t have = 0;
	while (have < size) {
		struct pollfd p = { .fd = r->data_fd, .events = POLLIN };
		int ready = cancel_requested() ? 0 : poll(&p, 1, CANCEL_LOOK_MS);
		if (cancel_requested())
			return err_set(err, EINTR, "cancelled");
		ssize_t n = ready > 0 ? read(r->data_fd, (char *)buf + have, size - have) : -1;
		if (n == 0)
			break;
		if (n > 0)
			have += (size_t)n;
		else if (ready != 0 && errno != EINTR)
			return err_sys(err, "cannot hear the process that reads");
	}
	return (ssize_t)have;
}

bool reader_has_ended(const struct reader *r)
{
	struct pollfd p = { .fd = r->word_fd, .events = POLLIN };
	return poll(&p, 1, 0) > 0;
}

int reader_end(struct reader *r, const char *what, struct err *err)
{
	struct word word;
	int status = 0;
	/* Who writes to nobody stops. */
	fd_close(&r->data_fd);
	if (cancel_requested())
		return err_set(err, EINTR, "%s: cancelled", what);
	ssize_t n = fd_read_all(r->word_fd, &word, sizeof(word));
	while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		;
	r->pid = 0;
	if (WIFSIGNALED(status))
		return err_set(err, EIO, "the process that reads %s was killed by signal %d", what,
			       WTERMSIG(status));
	if (n != (ssize_t)sizeof(word) || WEXITSTATUS(status) != 0)
		return err_set(err, EIO, "the process that reads %s failed", what);
	word.text[sizeof(word.text) - 1] = '\0';
	if (word.code == EPIPE)
		return -EPIPE;
	if (word.code != 0)
		return err_set(err, word.code > 0 && word.code < 4096 ? word.code : EIO, "%s",
			       word.text);
	return 0;
}

void reader_fini(struct reader *r)
{
	fd_close(&r->data_fd);
	fd_close(&r->word_fd);
}
