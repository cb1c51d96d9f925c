/* SPDX-License-Identifier: Apache-2.0 */
/* dns_load - asks a name server one question again and again, WINDOW of them at a time, for
 * MS milliseconds, and prints answers a second, the median and 99th percentile of their
 * time in microseconds, and how many were lost (no answer within a second) or wrong (another
 * response code than 0, or no answer).   dns_load ADDRESS PORT NAME WINDOW MS */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_MAX 1024
#define TIMES_MAX  4000000
#define LOST_US    1000000

static uint64_t now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* RFC 1035, 4.1: one question, type A. */
static size_t make_question(const char *name, uint8_t *out)
{
	size_t n = 12;
	memset(out, 0, 12);
	out[2] = 1; /* recursion is desired */
	out[5] = 1;
	while (*name) {
		size_t label = strcspn(name, ".");
		out[n++] = (uint8_t)label;
		memcpy(out + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	memcpy(out + n, "\0\0\1\0\1", 5);
	return n + 5;
}

static struct {
	int fd;
	uint8_t question[300];
	size_t size;
	uint64_t sent_us[WINDOW_MAX]; /* 0: free; by the low bits of the id */
	uint16_t id[WINDOW_MAX];
	uint32_t *times;
	size_t n_times, lost, wrong;
} load;

static void ask(unsigned int slot)
{
	load.id[slot] = (uint16_t)(load.id[slot] + WINDOW_MAX);
	load.question[0] = (uint8_t)(load.id[slot] >> 8);
	load.question[1] = (uint8_t)load.id[slot];
	load.sent_us[slot] = now_us();
	(void)!send(load.fd, load.question, load.size, 0);
}

static void take(const uint8_t *answer, ssize_t size)
{
	uint16_t id = (uint16_t)(answer[0] << 8 | answer[1]);
	unsigned int slot = id % WINDOW_MAX;
	if (size < 12 || !load.sent_us[slot] || load.id[slot] != id)
		return;
	if ((answer[3] & 15) || !(answer[6] | answer[7]))
		load.wrong++;
	if (load.n_times < TIMES_MAX)
		load.times[load.n_times++] = (uint32_t)(now_us() - load.sent_us[slot]);
	ask(slot);
}

static void take_all(void)
{
	uint8_t answer[2048];
	struct pollfd p = { .fd = load.fd, .events = POLLIN };
	if (poll(&p, 1, 10) <= 0)
		return;
	for (ssize_t n; (n = recv(load.fd, answer, sizeof(answer), MSG_DONTWAIT)) >= 2;)
		take(answer, n);
}

static void give_up_old(unsigned int window)
{
	uint64_t now = now_us();
	for (unsigned int i = 0; i < window; i++) {
		if (now - load.sent_us[i] < LOST_US)
			continue;
		load.lost++;
		ask(i);
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	if (argc != 6 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || strlen(argv[3]) > 250) {
		fputs("usage: dns_load ADDRESS PORT NAME WINDOW MS\n", stderr);
		return 2;
	}
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	unsigned int window = (unsigned int)atoi(argv[4]);
	window = window < 1 ? 1 : window > WINDOW_MAX ? WINDOW_MAX : window;
	load.size = make_question(argv[3], load.question);
	load.times = calloc(TIMES_MAX, sizeof(*load.times));
	load.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!load.times || load.fd < 0 ||
	    connect(load.fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("dns_load");
		return 1;
	}
	uint64_t begun = now_us(), end = begun + (uint64_t)atoi(argv[5]) * 1000;
	for (unsigned int i = 0; i < window; i++) {
		load.id[i] = (uint16_t)i;
		ask(i);
	}
	while (now_us() < end) {
		take_all();
		give_up_old(window);
	}
	double seconds = (double)(now_us() - begun) / 1e6;
	qsort(load.times, load.n_times, sizeof(*load.times), by_size);
	size_t n = load.n_times;
	printf("%.0f %u %u %zu %zu\n", (double)n / seconds, n ? load.times[n / 2] : 0,
	       n ? load.times[n - 1 - n / 100] : 0, load.lost, load.wrong);
	return n ? 0 : 1;
}
