/* SPDX-License-Identifier: Apache-2.0 */
/* guestkit - what the guests of the lab's tests do that busybox cannot: vsock, and
 * disks past all caches. A static program, inside the guest, for its shell.
 *
 *	guestkit vsock-echo PORT              serve, many connections at a time, for ever
 *	guestkit vsock-dial PORT COUNT BYTES SECONDS   COUNT connections to the host, all open
 *	                                      at once, each sends and wants back BYTES of its
 *	                                      own; status 3 after SECONDS, saying where it is
 *	guestkit vsock-send PORT MIB          that much of the pattern to the host
 *	guestkit tcp-send ADDRESS PORT MIB    the same by TCP
 *	guestkit tcp-recv ADDRESS PORT MIB    wants the same by TCP
 *	guestkit pattern MIB                  the same to its output
 *	guestkit write DISK OFFSET BYTES SEED    the pattern, O_DIRECT, then fsync
 *	guestkit verify DISK OFFSET BYTES SEED   status 1 at the first difference
 *	guestkit commit DISK BLOCK BYTES      blocks one after the other, each fsynced and
 *	                                      then told: "synced N"; for ever, round and round
 *	guestkit map FILE TEXT                the text into the file by mmap(2), says "mapped",
 *	                                      and keeps it mapped for ever
 *	guestkit hold MIB                     touches memory until its input ends
 *	guestkit out PORT VALUE               one byte to an I/O port */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* After <sys/socket.h>, which it leans on. */
#include <linux/vm_sockets.h>

#define CHUNK     (256 * 1024)
#define CONNECT_S 60 /* a loaded host takes longer than the kernel's 2 seconds */
#define CLIENTS   4096
#define ECHO_SIZE 16384

static void fail(const char *what) __attribute__((noreturn));
static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t number(const char *text)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 0);
	if (errno || *end || end == text) {
		(void)fprintf(stderr, "guestkit: '%s' is no number\n", text);
		exit(2);
	}
	return n;
}

/* 64-bit words by offset and seed: no word is at home in another's place. */
static void fill(void *buf, size_t bytes, uint64_t offset, uint64_t seed)
{
	uint64_t *w = buf;
	for (size_t i = 0; i < bytes / 8; i++) {
		uint64_t x =
			(offset / 8 + i) * 0x9e3779b97f4a7c15ull + seed * 0xd1342543de82ef95ull;
		w[i] = x ^ (x >> 29);
	}
}

static void *chunk_new(void)
{
	void *p = NULL;
	if (posix_memalign(&p, 4096, CHUNK))
		fail("memory");
	return p;
}

/* ---- vsock ---- */

static int vsock_dial(uint32_t port)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_HOST,
				  .svm_port = port };
	const struct timeval limit = { .tv_sec = CONNECT_S };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	if (fd < 0 ||
	    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD, &limit, sizeof(limit)) < 0)
		fail("vsock socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("vsock connect");
	return fd;
}

static void send_all(int fd, const void *buf, size_t n)
{
	for (const char *p = buf; n > 0;) {
		ssize_t k = write(fd, p, n);
		if (k <= 0)
			fail("write");
		p += k;
		n -= (size_t)k;
	}
}

static void recv_all(int fd, void *buf, size_t n)
{
	for (char *p = buf; n > 0;) {
		ssize_t k = read(fd, p, n);
		if (k <= 0)
			fail(k ? "read" : "read: the end came early");
		p += k;
		n -= (size_t)k;
	}
}

static void raise_files(void)
{
	struct rlimit r = { CLIENTS + 64, CLIENTS + 64 };
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		fail("setrlimit");
}

static int vsock_echo(char **arg)
{
	static struct pollfd fds[CLIENTS + 1];
	static char buf[ECHO_SIZE];
	struct sockaddr_vm at = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = (uint32_t)number(arg[0]) };
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);
	raise_files();
	if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(s, 1024) < 0)
		fail("vsock listen");
	(void)printf("listening\n");
	(void)fflush(stdout);
	fds[0] = (struct pollfd){ .fd = s, .events = POLLIN };
	for (nfds_t n = 1;;) {
		if (poll(fds, n, -1) < 0)
			fail("poll");
		if (fds[0].revents && n <= CLIENTS) {
			int fd = accept(s, NULL, NULL);
			if (fd < 0)
				fail("accept");
			fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
		for (nfds_t i = n - 1; i > 0; i--) {
			if (!fds[i].revents)
				continue;
			ssize_t k = read(fds[i].fd, buf, sizeof(buf));
			if (k > 0) {
				send_all(fds[i].fd, buf, (size_t)k);
				continue;
			}
			(void)close(fds[i].fd);
			fds[i] = fds[--n];
		}
	}
}

/* What a program that takes too long is at. */
static const char *volatile doing = "nothing";
static volatile size_t doing_at;

static void on_alarm(int signo)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "too long: %s, connection %zu\n", doing, doing_at);
	(void)signo;
	if (write(2, text, (size_t)n) < 0)
		_exit(4);
	_exit(3);
}

static int vsock_many(char **arg)
{
	uint32_t port = (uint32_t)number(arg[0]);
	size_t count = number(arg[1]), bytes = number(arg[2]);
	int *fd = calloc(count, sizeof(*fd));
	char *out = calloc(1, bytes + 8), *in = calloc(1, bytes + 8);
	if (!fd || !out || !in)
		fail("memory");
	raise_files();
	(void)signal(SIGALRM, on_alarm);
	(void)alarm((unsigned int)number(arg[3]));
	doing = "connect";
	for (size_t i = 0; i < count; i++) {
		doing_at = i;
		fd[i] = vsock_dial(port);
	}
	doing = "send";
	for (size_t i = 0; i < count; i++) {
		doing_at = i;
		fill(out, bytes, 0, i);
		send_all(fd[i], out, bytes);
	}
	doing = "receive";
	for (size_t i = 0; i < count; i++) {
		doing_at = i;
		fill(out, bytes, 0, i);
		recv_all(fd[i], in, bytes);
		if (memcmp(in, out, bytes)) {
			(void)printf("connection %zu: other bytes came back\n", i);
			return 1;
		}
	}
	(void)printf("%zu connections\n", count);
	return 0;
}

static void send_pattern(int fd, uint64_t mib)
{
	void *buf = chunk_new();
	uint64_t all = mib << 20;
	for (uint64_t at = 0; at < all; at += CHUNK) {
		fill(buf, CHUNK, at, 1);
		send_all(fd, buf, CHUNK);
	}
}

static int vsock_send(char **arg)
{
	int fd = vsock_dial((uint32_t)number(arg[0]));
	send_pattern(fd, number(arg[1]));
	return close(fd);
}

static int tcp_dial(char **arg)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)number(arg[1])) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || inet_pton(AF_INET, arg[0], &to.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	return fd;
}

static int tcp_send(char **arg)
{
	int fd = tcp_dial(arg);
	send_pattern(fd, number(arg[2]));
	return close(fd);
}

static int tcp_recv(char **arg)
{
	int fd = tcp_dial(arg);
	void *buf = chunk_new(), *want = chunk_new();
	uint64_t all = number(arg[2]) << 20;
	for (uint64_t at = 0; at < all; at += CHUNK) {
		fill(want, CHUNK, at, 1);
		recv_all(fd, buf, CHUNK);
		if (memcmp(buf, want, CHUNK)) {
			(void)printf("differs within %d bytes at %llu\n", CHUNK,
				     (unsigned long long)at);
			return 1;
		}
	}
	return close(fd);
}

static int print_pattern(char **arg)
{
	send_pattern(1, number(arg[0]));
	return 0;
}

/* ---- disks ---- */

static int disk_write(char **arg)
{
	int fd = open(arg[0], O_WRONLY | O_DIRECT);
	uint64_t at = number(arg[1]), left = number(arg[2]), seed = number(arg[3]);
	void *buf = chunk_new();
	if (fd < 0)
		fail(arg[0]);
	for (size_t n; left > 0; at += n, left -= n) {
		n = left < CHUNK ? (size_t)left : CHUNK;
		fill(buf, n, at, seed);
		if (pwrite(fd, buf, n, (off_t)at) != (ssize_t)n)
			fail("write");
	}
	if (fsync(fd) < 0)
		fail("fsync");
	return 0;
}

static int disk_verify(char **arg)
{
	int fd = open(arg[0], O_RDONLY | O_DIRECT);
	uint64_t at = number(arg[1]), left = number(arg[2]), seed = number(arg[3]);
	void *buf = chunk_new(), *want = chunk_new();
	if (fd < 0)
		fail(arg[0]);
	for (size_t n; left > 0; at += n, left -= n) {
		n = left < CHUNK ? (size_t)left : CHUNK;
		fill(want, n, at, seed);
		if (pread(fd, buf, n, (off_t)at) != (ssize_t)n)
			fail("read");
		if (memcmp(buf, want, n)) {
			(void)printf("differs within %zu bytes at %llu\n", n,
				     (unsigned long long)at);
			return 1;
		}
	}
	return 0;
}

/* Block N goes to place N modulo their number, and holds the pattern of seed N. */
static int disk_commit(char **arg)
{
	int fd = open(arg[0], O_WRONLY | O_DIRECT);
	size_t block = number(arg[1]);
	uint64_t places = number(arg[2]) / block;
	void *buf = chunk_new();
	if (fd < 0 || block > CHUNK || places == 0)
		fail(arg[0]);
	for (uint64_t i = 0;; i++) {
		fill(buf, block, i % places * block, i);
		if (pwrite(fd, buf, block, (off_t)(i % places * block)) != (ssize_t)block)
			fail("write");
		if (fsync(fd) < 0)
			fail("fsync");
		(void)printf("synced %llu\n", (unsigned long long)i);
		(void)fflush(stdout);
	}
}

/* ---- others ---- */

static int map(char **arg)
{
	int fd = open(arg[0], O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || ftruncate(fd, 4096) < 0)
		fail(arg[0]);
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		fail("mmap");
	(void)snprintf(p, 4096, "%s", arg[1]);
	(void)printf("mapped\n");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}

static int hold(char **arg)
{
	size_t bytes = number(arg[0]) << 20;
	char *p = malloc(bytes);
	char c;
	if (!p)
		fail("memory");
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = (char)(i >> 12 | 1);
	(void)printf("held\n");
	(void)fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	free(p);
	return 0;
}

static int out(char **arg)
{
	unsigned short port = (unsigned short)number(arg[0]);
	if (ioperm(port, 1, 1) < 0)
		fail("ioperm");
	outb((unsigned char)number(arg[1]), port);
	return 0;
}

static const struct verb {
	const char *name;
	int args;
	int (*run)(char **arg);
} verbs[] = {
	{ "vsock-echo", 1, vsock_echo },
	{ "vsock-dial", 4, vsock_many },
	{ "vsock-send", 2, vsock_send },
	{ "pattern", 1, print_pattern },
	{ "tcp-send", 3, tcp_send },
	{ "tcp-recv", 3, tcp_recv },
	{ "write", 4, disk_write },
	{ "verify", 4, disk_verify },
	{ "commit", 3, disk_commit },
	{ "map", 2, map },
	{ "hold", 1, hold },
	{ "out", 2, out },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[1], verbs[i].name) && argc == verbs[i].args + 2)
			return verbs[i].run(argv + 2);
	(void)fprintf(stderr, "guestkit: see its source for what it does\n");
	return 2;
}
