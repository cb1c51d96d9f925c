/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vmm - stands in for isola-vmm to show a keeper what a good worker never does,
 * and what one does that a guest has taken over. It speaks isola/vmm.h without any VM;
 * what happens is the first word of the machine file's command line:
 *
 *   good         ends with "powerdown" or "quit"; says what it has on stdout
 *   mute         never says hello          die        ends before it, without a word
 *   wrong        says why it cannot begin  garbage    sends what is no message
 *   no-run       refuses to run            deaf       reads nothing once it runs
 *   hang         says exit, but stays      odd        exits with nonsense in its words
 *   flood        warns without end         asks       asks for connections, many of
 *   again        is reset at once                     them wrong, and prints the answers
 *   slow-reset   is reset after a while    babble     runs, then sends what is no message
 *
 * As --probe it writes its pid to $FAKE_PROBE.pid, prints what the file $FAKE_PROBE holds,
 * and does not end when that is "hang". */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/vmm.h"
#include "isola/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char mode[64];
static json_object *machine;

static bool is(const char *what)
{
	return !strcmp(mode, what);
}

/* Taken. False when the keeper does not read, or is gone. */
static bool tell(json_object *o)
{
	struct err ignored;
	int rc = wire_send(VMM_CONTROL_FD, o, NULL, 0, &ignored);
	json_object_put(o);
	return rc == 0;
}

static json_object *event(const char *name)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "event", name);
	return o;
}

static void end(const char *reason, int code, const char *text)
{
	json_object *o = event("exit");
	json_add_str(o, "reason", reason);
	json_add_i64(o, "code", code);
	json_add_str(o, "text", text);
	if (is("wrong"))
		json_add_i64(o, "errno", ENOEXEC);
	(void)tell(o);
	if (is("hang"))
		for (;;)
			(void)pause();
	_exit(0);
}

static void answer(json_object *request, const char *error)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "seq", json_i64_or(request, "seq", 0));
	if (error) {
		json_add_i64(o, "code", EBUSY);
		json_add_str(o, "error", error);
	} else {
		json_add_bool(o, "ok", true);
		json_add_str(o, "did", json_str_or(request, "op", ""));
	}
	(void)tell(o);
}

/* ---- what happens once it "runs" ---- */

static void say(const char *what)
{
	(void)!write(STDOUT_FILENO, what, strlen(what));
	(void)!write(STDOUT_FILENO, "\n", 1);
}

/* Which descriptors came, and what the machine file names. */
static void show(void)
{
	char line[256];
	for (int fd = 0; fd < 64; fd++) {
		char path[64], target[128];
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		(void)snprintf(line, sizeof(line), "fd %d %s", fd, target);
		say(line);
	}
	say(json_object_to_json_string_ext(machine, JSON_C_TO_STRING_PLAIN));
}

static void ask(int64_t seq, const char *what, int64_t port)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "ask", what);
	json_add_i64(o, "seq", seq);
	json_add_i64(o, "port", port);
	(void)tell(o);
}

static void ask_all(void)
{
	ask(1, "connect", 5000);
	ask(2, "connect", 5001);
	ask(3, "connect", -1);
	ask(4, "connect", 1ll << 40);
	ask(5, "unlink", 5000);
	ask(6, "connect", 5000);
}

static void on_answer(json_object *msg, int fd)
{
	char line[128];
	(void)snprintf(line, sizeof(line), "answer %lld code %lld fd %d",
		       (long long)json_i64_or(msg, "answer", 0),
		       (long long)json_i64_or(msg, "code", 0), fd >= 0);
	if (fd >= 0)
		(void)!write(fd, "from the guest\n", 15);
	say(line);
}

static void begin(void)
{
	if (is("good"))
		show();
	if (is("asks"))
		ask_all();
	if (is("again"))
		end("reset", 0, "it was reset");
	if (is("slow-reset")) {
		(void)usleep(300000);
		end("reset", 0, "it was reset");
	}
	if (is("hang"))
		end("poweroff", 0, "it powered off");
	if (is("odd"))
		end("a reason that is far longer than any there is, and no word at all\n", 99999,
		    "x");
	while (is("flood")) {
		json_object *o = event("warn");
		json_add_str(o, "text", "a guest can cause this line");
		if (!tell(o))
			_exit(0);
	}
	if (is("babble")) {
		(void)send(VMM_CONTROL_FD, "{]", 2, MSG_NOSIGNAL);
		end("poweroff", 0, "not to be believed");
	}
	while (is("deaf"))
		(void)pause();
}

static void on_request(json_object *msg)
{
	const char *op = json_str_or(msg, "op", "");
	if (!strcmp(op, "run") && is("no-run")) {
		answer(msg, "the fake worker was told not to run");
		return;
	}
	answer(msg, NULL);
	if (is("good") && strcmp(op, "run")) {
		(void)!write(STDOUT_FILENO, "did ", 4);
		say(op);
	}
	if (!strcmp(op, "run"))
		begin();
	if (!strcmp(op, "powerdown"))
		end("poweroff", 0, "it powered off");
	if (!strcmp(op, "quit"))
		end("quit", 143, "it was asked to end");
}

static void serve(void)
{
	for (;;) {
		json_object *msg = NULL;
		int fds[WIRE_FDS_MAX];
		size_t n = 0;
		struct err ignored;
		if (wire_recv(VMM_CONTROL_FD, &msg, fds, &n, &ignored) <= 0)
			_exit(0);
		if (json_get(msg, "answer"))
			on_answer(msg, n > 0 ? fds[0] : -1);
		else
			on_request(msg);
		while (n > 0)
			fd_close(&fds[--n]);
		json_object_put(msg);
	}
}

static int probe(char *text, size_t size)
{
	char name[4096];
	const char *file = getenv("FAKE_PROBE");
	if (!file)
		return 4;
	(void)snprintf(name, sizeof(name), "%s.pid", file);
	FILE *pid = fopen(name, "we");
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_all(fd, text, size - 1);
	if (n < 0 || !pid || fprintf(pid, "%d\n", (int)getpid()) < 0 || fclose(pid))
		return 5;
	text[n] = '\0';
	while (!strncmp(text, "hang", 4))
		(void)pause();
	return fputs(text, stdout) < 0;
}

int main(int argc, char **argv)
{
	static char text[VMM_MACHINE_BYTES_MAX];
	if (argc == 2 && !strcmp(argv[1], "--probe"))
		return probe(text, sizeof(text));
	if (argc != 2 || strcmp(argv[1], "--keeper"))
		return 2;
	ssize_t n = fd_read_all(VMM_MACHINE_FD, text, sizeof(text));
	if (n < 0 || json_parse(text, (size_t)n, "machine", &machine, NULL) < 0)
		return 3;
	(void)sscanf(json_str_or(json_get(machine, "boot"), "cmdline", ""), "%63s", mode);
	if (is("die"))
		return 7;
	if (is("wrong"))
		end("start-error", 125, "the fake worker was told to fail");
	if (is("garbage"))
		(void)send(VMM_CONTROL_FD, "{]", 2, MSG_NOSIGNAL);
	if (!is("mute") && !is("garbage")) {
		json_object *o = event("hello");
		json_add_i64(o, "version", VMM_VERSION);
		(void)tell(o);
	}
	serve();
}
