/* SPDX-License-Identifier: Apache-2.0 */
/* inturn - runs several commands in turn (A B C A B C ...) and compares their
 * wall times, so that noise of the machine hits all of them alike.
 *
 *   inturn [-b] [-n RUNS] [-w WARMUP] [-o FILE.json] NAME=COMMAND...
 *
 * COMMAND is split at spaces, no shell. Standard streams are /dev/null. The
 * first one is the reference (us): each row shows "us / it". A failing command
 * is shown and ends the run with 1. posix_spawn and wait4 cost 0.2 ms or so and
 * are in every number. The last column is the processor time of the command and the
 * children it waited for (mean), not that of daemons it talked to.
 *
 * -b: the time to the first byte on standard output, after which the command is
 * killed; how it ends does not matter. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define COMMANDS_MAX  8
#define FIRST_BYTE_MS 30000
#define WORDS_MAX     64

struct command {
	char *name;
	char *argv[WORDS_MAX];
	double *ms;
	double cpu_ms; /* of all runs that count */
};

static double now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int parse_command(struct command *c, char *text)
{
	char *eq = strchr(text, '='), *save = NULL;
	size_t n = 0;
	if (!eq)
		return -1;
	*eq = '\0';
	c->name = text;
	for (char *w = strtok_r(eq + 1, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (n == WORDS_MAX - 1)
			return -1;
		c->argv[n++] = w;
	}
	return n ? 0 : -1;
}

static double tv_ms(const struct timeval *tv)
{
	return (double)tv->tv_sec * 1e3 + (double)tv->tv_usec / 1e3;
}

/* Waits for a byte of @c, which runs as @pid, and kills it. */
static bool first_byte(const struct command *c, int fd, pid_t pid)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char byte;
	if (poll(&pfd, 1, FIRST_BYTE_MS) == 1 && read(fd, &byte, 1) == 1)
		return true;
	(void)fprintf(stderr, "inturn: %s says nothing; INTURN_STDERR=1 shows why\n", c->name);
	(void)kill(pid, SIGKILL);
	return false;
}

/* One run; wall milliseconds, or -1. Adds to *@cpu_ms. */
static double run_once(const struct command *c, bool to_first_byte, double *cpu_ms)
{
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status, out[2] = { -1, -1 };
	struct rusage usage;
	if (to_first_byte && pipe2(out, O_CLOEXEC) < 0)
		return -1;
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (to_first_byte)
		(void)posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	else
		(void)posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	if (!getenv("INTURN_STDERR"))
		(void)posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	double t0 = now_ms();
	int rc = posix_spawnp(&pid, c->argv[0], &fa, NULL, c->argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	if (rc != 0) {
		(void)fprintf(stderr, "inturn: cannot run %s: %s\n", c->argv[0], strerror(rc));
		return -1;
	}
	if (to_first_byte)
		(void)close(out[1]);
	bool said = to_first_byte && first_byte(c, out[0], pid);
	double ms = now_ms() - t0;
	if (said)
		(void)kill(pid, SIGKILL);
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	if (to_first_byte) {
		(void)close(out[0]);
		if (!said)
			return -1;
	} else {
		ms = now_ms() - t0;
	}
	if (!to_first_byte && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
		(void)fprintf(stderr,
			      "inturn: %s failed (status 0x%x); INTURN_STDERR=1 shows why\n",
			      c->name, (unsigned int)status);
		return -1;
	}
	*cpu_ms += tv_ms(&usage.ru_utime) + tv_ms(&usage.ru_stime);
	return ms;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

struct summary {
	double mean, min, median, p99, max;
};

static struct summary summarize(double *ms, size_t n)
{
	struct summary s = { 0 };
	qsort(ms, n, sizeof(ms[0]), by_value);
	for (size_t i = 0; i < n; i++)
		s.mean += ms[i] / (double)n;
	s.min = ms[0];
	s.median = ms[n / 2];
	s.p99 = ms[n - 1 - n / 100];
	s.max = ms[n - 1];
	return s;
}

static void report(struct command *commands, size_t n_commands, size_t runs, const char *json)
{
	FILE *out = json ? fopen(json, "we") : NULL;
	struct summary first = { 0 };
	printf("%-24s %9s %9s %9s %9s %9s %14s %9s\n", "", "mean ms", "median", "min", "p99", "max",
	       "us/it (median)", "cpu ms");
	for (size_t i = 0; i < n_commands; i++) {
		struct summary s = summarize(commands[i].ms, runs);
		if (i == 0)
			first = s;
		printf("%-24s %9.2f %9.2f %9.2f %9.2f %9.2f %14.2f %9.2f\n", commands[i].name,
		       s.mean, s.median, s.min, s.p99, s.max, first.median / s.median,
		       commands[i].cpu_ms / (double)runs);
		if (out)
			(void)fprintf(out,
				      "{\"name\":\"%s\",\"runs\":%zu,\"mean_ms\":%.3f,"
				      "\"median_ms\":%.3f,\"min_ms\":%.3f,\"p99_ms\":%.3f}\n",
				      commands[i].name, runs, s.mean, s.median, s.min, s.p99);
	}
	if (out)
		(void)fclose(out);
}

int main(int argc, char **argv)
{
	struct command commands[COMMANDS_MAX] = { 0 };
	size_t runs = 100, warmup = 5, n = 0;
	const char *json = NULL;
	bool to_first_byte = false;
	int opt;
	while ((opt = getopt(argc, argv, "+bn:w:o:")) != -1) {
		if (opt == 'b')
			to_first_byte = true;
		else if (opt == 'n')
			runs = strtoul(optarg, NULL, 10);
		else if (opt == 'w')
			warmup = strtoul(optarg, NULL, 10);
		else if (opt == 'o')
			json = optarg;
		else
			return 2;
	}
	for (; optind < argc && n < COMMANDS_MAX; optind++, n++)
		if (parse_command(&commands[n], argv[optind]) < 0) {
			(void)fprintf(stderr, "inturn: want NAME=COMMAND, not \"%s\"\n",
				      argv[optind]);
			return 2;
		}
	if (n == 0 || optind < argc || runs == 0 || runs > 1000000)
		return 2;
	for (size_t c = 0; c < n; c++) {
		commands[c].ms = calloc(runs, sizeof(double));
		if (!commands[c].ms)
			return 1;
	}
	for (size_t i = 0; i < warmup + runs; i++) {
		for (size_t c = 0; c < n; c++) {
			double cpu = 0, ms = run_once(&commands[c], to_first_byte, &cpu);
			if (ms < 0)
				return 1;
			if (i < warmup)
				continue;
			commands[c].ms[i - warmup] = ms;
			commands[c].cpu_ms += cpu;
		}
	}
	report(commands, n, runs, json);
	return 0;
}
