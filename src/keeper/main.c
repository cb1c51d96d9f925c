/* SPDX-License-Identifier: Apache-2.0 */
/* main - isola-keeper: the parent of one container's payload or of a VM's worker, or a
 * reader of its log. isolad executes it; isola/keeper.h says how. */
#include "isola/ctr.h"
#include "isola/id.h"
#include "isola/keeper.h"
#include "isola/step.h"

#include "heap.h"
#include "life.h"
#include "logread.h"
#include "nursery.h"
#include "title.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
	"isola-keeper " ISOLA_VERSION " - keeps one container or VM for isolad\n"
	"\n"
	"This program is not run by hand: isolad starts one for each running container\n"
	"or VM, and one for each reader of a log. Use ctrctl or vmctl.\n"
	"\n"
	"  isola-keeper run RUN-DIR      be the parent of the payload in RUN-DIR; descriptor\n"
	"                                3 is isolad's socket\n"
	"  isola-keeper nursery NAME     make keepers on request; descriptor 3 is isolad's\n"
	"                                socket, NAME is for ps(1)\n"
	"  isola-keeper logs FLAG...     write a log to the socket of a client\n"
	"\n"
	"Flags of logs: --fd N --path FILE [--follow --run-dir DIR] [--since NS]\n"
	"  [--until NS] [--tail N|all] [--timestamps] [--details] [--stdout] [--stderr]\n"
	"  [--mux] [--chunked]\n";

static void on_ignored(int signo)
{
	(void)signo;
}

/* Handled, not ignored: what is ignored would stay so in the payload. */
static void ignore_signals(void)
{
	const struct sigaction sa = { .sa_handler = on_ignored, .sa_flags = SA_RESTART };
	(void)sigaction(SIGPIPE, &sa, NULL);
	(void)sigaction(SIGHUP, &sa, NULL);
}

/* A keeper outlives isolad: it has no terminal, and no file of isolad's open. */
static int detach_stdio(void)
{
	(void)setsid();
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (int i = 0; i < 3; i++)
		if (dup2(fd, i) < 0)
			return -1;
	if (fd > 2)
		(void)close(fd);
	return 0;
}

static int control_fd(void)
{
	struct stat st;
	return fstat(KEEPER_CONTROL_FD, &st) == 0 && S_ISSOCK(st.st_mode) ? KEEPER_CONTROL_FD : -1;
}

/* "isola-keeper 0123456789ab": run folders are named by the container's id. */
static void set_title(int argc, char **argv, const char *run_dir)
{
	char title[64];
	const char *slash = strrchr(run_dir, '/');
	(void)snprintf(title, sizeof(title), "isola-keeper %.*s", ID_SHORT_LEN,
		       slash ? slash + 1 : run_dir);
	title_set(argc, argv, title);
}

/* What every keeper has done before it reads anything of a container. */
static int prepare(char **argv)
{
	struct err err = ERR_INIT;
	/* Read by the malloc of the program we become: free blocks kept at hand,
	 * here and there on the heap, would pin 36 KiB of it for ever. */
	(void)setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 0);
	if (ctr_protect_self(argv, &err) < 0) {
		(void)fprintf(stderr, "isola-keeper: %s\n", err.text);
		return -1;
	}
	if (detach_stdio() < 0) {
		perror("isola-keeper");
		return -1;
	}
	/* Whatever else isolad had open is no business of a payload. */
	(void)close_range(KEEPER_CONTROL_FD + 1, UINT_MAX, 0);
	ignore_signals();
	step_init();
	heap_init();
	return 0;
}

/* Takes @run_dir, which no longer lies in argv: the title goes there. */
static int keep(int argc, char **argv, char *run_dir)
{
	int control = control_fd();
	set_title(argc, argv, run_dir);
	int rc = keeper_run(run_dir, control);
	free(run_dir);
	return rc;
}

static int main_run(int argc, char **argv)
{
	if (argc != 3 || argv[2][0] != '/') {
		(void)fprintf(stderr, "isola-keeper: run needs the absolute path of a run folder; "
				      "try --help\n");
		return 2;
	}
	if (prepare(argv) < 0)
		return 1;
	char *run_dir = strdup(argv[2]);
	return run_dir ? keep(argc, argv, run_dir) : 1;
}

static int main_nursery(int argc, char **argv)
{
	char *run_dir = NULL;
	if (argc != 3 || control_fd() < 0) {
		(void)fputs("isola-keeper: nursery is for isolad; try --help\n", stderr);
		return 2;
	}
	if (prepare(argv) < 0)
		return 1;
	if (nursery_serve(KEEPER_CONTROL_FD, &run_dir) == 0)
		return 0;
	(void)setsid(); /* each keeper has a session of its own */
	return keep(argc, argv, run_dir);
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "run"))
		return main_run(argc, argv);
	if (argc >= 2 && !strcmp(argv[1], "nursery"))
		return main_nursery(argc, argv);
	if (argc >= 2 && !strcmp(argv[1], "logs"))
		return logread_main(argc - 1, argv + 1);
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return fputs(usage, stdout) < 0;
	if (argc == 2 && !strcmp(argv[1], "--version"))
		return printf("isola-keeper %s\n", ISOLA_VERSION) < 0;
	(void)fputs(usage, stderr);
	return 2;
}
