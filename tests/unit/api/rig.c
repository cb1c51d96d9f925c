/* SPDX-License-Identifier: Apache-2.0 */
/* rig - see rig.h. */
#include "rig.h"

#include "isola/fd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static struct sockaddr_un address(const struct rig *rig)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	memcpy(addr.sun_path, rig->path, strlen(rig->path));
	return addr;
}

int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct err err = ERR_INIT;
	const char *tmp = getenv("ISOLA_TMP");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(rig->dir, sizeof(rig->dir), "%s/api.XXXXXX",
		       tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	if (!mkdtemp(rig->dir))
		return -1;
	(void)snprintf(rig->path, sizeof(rig->path), "%s/s", rig->dir);
	struct sockaddr_un addr = address(rig);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 128) < 0)
		return -1;
	(void)uv_loop_init(&rig->loop);
	fake_init(&rig->daemon, &rig->loop);
	*state = rig;
	return api_server_start(&rig->daemon, fd, &rig->server, &err);
}

static void on_closed(void *arg)
{
	struct rig *rig = arg;
	rig->closed = true;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;
	api_server_stop(rig->server, on_closed, rig);
	for (int i = 0; i < 1000 && !rig->closed; i++)
		rig_turn(rig);
	bool closed = rig->closed;
	fake_fini(&rig->daemon);
	int rc = uv_loop_close(&rig->loop);
	(void)unlink(rig->path);
	(void)rmdir(rig->dir);
	free(rig);
	/* Nothing may be left open. */
	return closed && rc == 0 ? 0 : -1;
}

void rig_turn(struct rig *rig)
{
	for (int i = 0; i < 8; i++)
		(void)uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static uint64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void rig_turn_ms(struct rig *rig, int ms)
{
	for (uint64_t end = now_ms() + (uint64_t)ms; now_ms() < end;) {
		rig_turn(rig);
		(void)poll(NULL, 0, 2);
	}
}

int rig_connect(struct rig *rig)
{
	struct sockaddr_un addr = address(rig);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		abort();
	rig_turn(rig);
	return fd;
}

void rig_send(struct rig *rig, int fd, const char *data, size_t size)
{
	uint64_t end = now_ms() + 2000;
	while (size > 0 && now_ms() < end) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
		rig_turn(rig);
	}
}

void rig_puts(struct rig *rig, int fd, const char *text)
{
	rig_send(rig, fd, text, strlen(text));
}

int rig_read(struct rig *rig, int fd, const char *until)
{
	rig->answer_size = 0;
	for (uint64_t end = now_ms() + 2000; now_ms() < end;) {
		rig_turn(rig);
		ssize_t n = read(fd, rig->answer + rig->answer_size,
				 sizeof(rig->answer) - 1 - rig->answer_size);
		if (n > 0)
			rig->answer_size += (size_t)n;
		rig->answer[rig->answer_size] = '\0';
		if (until && memmem(rig->answer, rig->answer_size, until, strlen(until)))
			return 1;
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return until == NULL;
		if (n < 0)
			(void)poll(NULL, 0, 1);
	}
	return 0;
}

bool rig_is_closed(struct rig *rig, int fd)
{
	char c;
	rig_turn(rig);
	ssize_t n = recv(fd, &c, 1, MSG_PEEK);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

int rig_ask(struct rig *rig, const char *method, const char *target, const char *body)
{
	cleanup_fd int fd = rig_connect(rig);
	char head[4096];
	(void)snprintf(head, sizeof(head),
		       "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		       method, target, body ? strlen(body) : 0);
	rig_puts(rig, fd, head);
	if (body)
		rig_puts(rig, fd, body);
	if (!rig_read(rig, fd, NULL) || strncmp(rig->answer, "HTTP/1.1 ", 9) != 0)
		return -1;
	return atoi(rig->answer + 9);
}

const char *rig_body(struct rig *rig)
{
	const char *stop = strstr(rig->answer, "\r\n\r\n");
	return stop ? stop + 4 : "";
}
