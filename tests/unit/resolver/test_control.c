/* SPDX-License-Identifier: Apache-2.0 */
/* What isolad says is obeyed, and queries are answered at the sockets it gave. */
#include "resolver/control.h"

#include "resolver/gateway.h"

#include "isola/json.h"
#include "isola/pid.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t ask_web[] = { 0, 7, 1,   0,   0,   1, 0, 0, 0, 0, 0,
				   0, 3, 'w', 'e', 'b', 0, 0, 1, 0, 1 };
static const uint8_t ask_xyz[] = { 0, 8, 1,   0,   0,   1, 0, 0, 0, 0, 0,
				   0, 3, 'x', 'y', 'z', 0, 0, 1, 0, 1 };

static int make(void **state)
{
	struct resolver *r = calloc(1, sizeof(*r));
	list_init(&r->clients);
	list_init(&r->gateways);
	r->names = names_new();
	if (loop_init(&r->loop) < 0)
		return -1;
	forwards_init(&r->forwards, &r->loop);
	*state = r;
	return 0;
}

static int unmake(void **state)
{
	struct resolver *r = *state;
	while (!list_is_empty(&r->clients))
		client_free(container_of(r->clients.next, struct client, node));
	gateways_keep(r, NULL);
	forwards_fini(&r->forwards);
	names_free(r->names);
	(void)close(r->loop.epoll_fd);
	free(r);
	return 0;
}

static int say(struct resolver *r, const char *text, int *fds, size_t n)
{
	cleanup_json json_object *msg = json_tokener_parse(text);
	struct err err = ERR_INIT;
	return control_message(r, msg, fds, n, &err);
}

static int open_at(int type, struct sockaddr_in *sa)
{
	socklen_t len = sizeof(*sa);
	*sa = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)sa, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)sa, &len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 4), 0);
	return fd;
}

#define SET_WEB                                                                                    \
	"{\"op\":\"set\",\"id\":\"a\",\"places\":[{\"network\":\"n\",\"name\":\"blue\","           \
	"\"addresses\":[\"10.0.0.5\"],\"names\":[\"web\"]}],\"forward\":false,\"servers\":\"\"}"

/* Turns until @fd has something to read, at most 5 s. */
static void turn_until(struct resolver *r, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	for (int i = 0; i < 500 && poll(&p, 1, 0) == 0; i++)
		loop_turn(&r->loop, 10);
	assert_int_equal(poll(&p, 1, 0), 1);
}

static struct sockaddr_in udp_at, tcp_at;

static void serve(struct resolver *r)
{
	int fds[] = { open_at(SOCK_DGRAM, &udp_at), open_at(SOCK_STREAM, &tcp_at),
		      pid_open(getpid()) };
	assert_int_equal(say(r, SET_WEB, fds, 3), 0);
}

static void control_message__answers_by_udp(void **state)
{
	struct resolver *r = *state;
	uint8_t buf[512];
	serve(r);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&udp_at, sizeof(udp_at)), 0);
	assert_true(send(fd, ask_web, sizeof(ask_web), 0) > 0);
	turn_until(r, fd);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), sizeof(ask_web) + 16);
	assert_int_equal(buf[sizeof(ask_web) + 15], 5);
	assert_true(send(fd, ask_xyz, sizeof(ask_xyz), 0) > 0);
	turn_until(r, fd);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), sizeof(ask_xyz));
	assert_int_equal(buf[3] & 15, DNS_NXDOMAIN);
	(void)close(fd);
}

static void control_message__answers_by_tcp_one_after_the_other(void **state)
{
	struct resolver *r = *state;
	uint8_t out[2 * (2 + sizeof(ask_web))], buf[512];
	serve(r);
	for (size_t i = 0; i < 2; i++) {
		uint8_t *p = out + i * (2 + sizeof(ask_web));
		p[0] = 0;
		p[1] = sizeof(ask_web);
		memcpy(p + 2, ask_web, sizeof(ask_web));
	}
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)), 0);
	/* Both at once, in pieces that do not fit them. */
	assert_true(send(fd, out, 5, 0) == 5);
	for (int i = 0; i < 3; i++)
		loop_turn(&r->loop, 10);
	assert_true(send(fd, out + 5, sizeof(out) - 5, 0) > 0);
	size_t n = 0, want = 2 * (2 + sizeof(ask_web) + 16);
	while (n < want) {
		turn_until(r, fd);
		ssize_t got = recv(fd, buf + n, sizeof(buf) - n, 0);
		assert_true(got > 0);
		n += (size_t)got;
	}
	assert_int_equal(n, want);
	assert_int_equal(r->streams, 1);
	/* One that claims too much is closed. */
	assert_true(send(fd, "\xff\xff", 2, 0) == 2);
	turn_until(r, fd);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 0);
	assert_int_equal(r->streams, 0);
	(void)close(fd);
}

/* The soft limit that leaves no descriptor. */
static rlim_t no_more_files(void)
{
	struct rlimit limit;
	int next = dup(0);
	assert_true(next > 0);
	(void)close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	rlim_t before = limit.rlim_cur;
	limit.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static void allow_files(rlim_t n)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void loop_accept__rests_while_there_are_no_descriptors(void **state)
{
	struct resolver *r = *state;
	uint8_t out[2 + sizeof(ask_web)] = { 0, sizeof(ask_web) };
	struct epoll_event e;
	serve(r);
	memcpy(out + 2, ask_web, sizeof(ask_web));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)), 0);
	assert_true(send(fd, out, sizeof(out), 0) == sizeof(out));
	rlim_t before = no_more_files();
	for (int i = 0; i < 500 && !r->loop.resting; i++)
		loop_turn(&r->loop, 10);
	int ready = epoll_wait(r->loop.epoll_fd, &e, 1, 0);
	allow_files(before);
	assert_non_null(r->loop.resting);
	assert_int_equal(ready, 0); /* else it would turn and turn */
	turn_until(r, fd);
	assert_int_equal(r->streams, 1);
	assert_null(r->loop.resting);
	(void)close(fd);
}

static void loop_accept__forgets_who_goes_while_it_rests(void **state)
{
	struct resolver *r = *state;
	serve(r);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)), 0);
	rlim_t before = no_more_files();
	for (int i = 0; i < 500 && !r->loop.resting; i++)
		loop_turn(&r->loop, 10);
	allow_files(before);
	assert_non_null(r->loop.resting);
	assert_int_equal(say(r, "{\"op\":\"gone\",\"id\":\"a\"}", NULL, 0), 0);
	assert_null(r->loop.resting);
	(void)close(fd);
}

static void control_message__forgets_a_member(void **state)
{
	struct resolver *r = *state;
	serve(r);
	assert_int_equal(say(r, "{\"op\":\"gone\",\"id\":\"b\"}", NULL, 0), 0);
	assert_false(list_is_empty(&r->clients));
	assert_int_equal(say(r, "{\"op\":\"gone\",\"id\":\"a\"}", NULL, 0), 0);
	assert_true(list_is_empty(&r->clients));
	assert_null(names_member(r->names, "a"));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)), -1);
	(void)close(fd);
}

static void control_message__refuses_what_it_does_not_know(void **state)
{
	struct resolver *r = *state;
	int fds[] = { dup(0), dup(0) };
	assert_int_equal(say(r, "{\"op\":\"x\"}", NULL, 0), -EINVAL);
	assert_int_equal(say(r, "[]", NULL, 0), -EINVAL);
	assert_int_equal(say(r, "{\"op\":\"set\"}", NULL, 0), -EINVAL);
	int fd = fds[0];
	assert_int_equal(say(r, SET_WEB, fds, 2), -EINVAL);
	assert_int_equal(close(fd), -1); /* it was taken */
	assert_true(list_is_empty(&r->clients));
	fds[0] = dup(0);
	assert_int_equal(say(r, "{\"op\":\"gateway\",\"network\":\"n\"}", fds, 1), -EINVAL);
	assert_int_equal(say(r, "{\"op\":\"gateway\",\"network\":\"n\"}", NULL, 0), -EINVAL);
	assert_true(list_is_empty(&r->gateways));
}

/* ---- gateways ---- */

/* Whoever asks from 127.0.0.1 in these tests. */
#define SET_VM                                                                                     \
	"{\"op\":\"set\",\"id\":\"v\",\"places\":[{\"network\":\"n\",\"name\":\"blue\","           \
	"\"addresses\":[\"127.0.0.1\"],\"names\":[\"vm\"]}],\"forward\":false,\"servers\":\"\"}"

static void open_gateway(struct resolver *r)
{
	int fds[] = { open_at(SOCK_DGRAM, &udp_at), open_at(SOCK_STREAM, &tcp_at) };
	int process[] = { pid_open(getpid()) };
	assert_int_equal(say(r, SET_WEB, NULL, 0), 0);
	assert_int_equal(say(r, SET_VM, process, 1), 0);
	assert_int_equal(say(r, "{\"op\":\"gateway\",\"network\":\"n\"}", fds, 2), 0);
	assert_int_equal(r->served, 1);
}

static int ask_from(const char *address, int type)
{
	const struct sockaddr_in *to = type == SOCK_STREAM ? &tcp_at : &udp_at;
	struct sockaddr_in from = { .sin_family = AF_INET };
	uint8_t query[2 + sizeof(ask_web)] = { 0, sizeof(ask_web) };
	size_t skip = type == SOCK_STREAM ? 0 : 2;
	memcpy(query + 2, ask_web, sizeof(ask_web));
	assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)to, sizeof(*to)), 0);
	assert_true(send(fd, query + skip, sizeof(query) - skip, 0) > 0);
	return fd;
}

static void gateway__answers_a_member_by_its_address(void **state)
{
	struct resolver *r = *state;
	uint8_t buf[512];
	open_gateway(r);
	int fd = ask_from("127.0.0.1", SOCK_DGRAM);
	turn_until(r, fd);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), sizeof(ask_web) + 16);
	assert_int_equal(buf[sizeof(ask_web) + 15], 5);
	(void)close(fd);
	fd = ask_from("127.0.0.1", SOCK_STREAM);
	turn_until(r, fd);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 2 + sizeof(ask_web) + 16);
	(void)close(fd);
}

static void gateway__has_no_answer_for_strangers(void **state)
{
	struct resolver *r = *state;
	uint8_t buf[512];
	open_gateway(r);
	int stranger = ask_from("127.0.0.2", SOCK_DGRAM);
	int tcp = ask_from("127.0.0.2", SOCK_STREAM);
	/* Once a member who asked later has his, theirs would be there. */
	int fd = ask_from("127.0.0.1", SOCK_DGRAM);
	turn_until(r, fd);
	turn_until(r, tcp);
	assert_true(recv(tcp, buf, sizeof(buf), 0) <= 0); /* closed */
	assert_int_equal(recv(stranger, buf, sizeof(buf), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	(void)close(fd);
	(void)close(tcp);
	(void)close(stranger);
}

static void gateway__goes_when_its_network_does(void **state)
{
	struct resolver *r = *state;
	open_gateway(r);
	assert_int_equal(say(r, "{\"op\":\"gateways\",\"networks\":[\"n\"]}", NULL, 0), 0);
	assert_false(list_is_empty(&r->gateways));
	assert_int_equal(say(r, "{\"op\":\"gateways\",\"networks\":[\"m\"]}", NULL, 0), 0);
	assert_true(list_is_empty(&r->gateways));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&tcp_at, sizeof(tcp_at)), -1);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(control_message__answers_by_udp, make, unmake),
		cmocka_unit_test_setup_teardown(control_message__answers_by_tcp_one_after_the_other,
						make, unmake),
		cmocka_unit_test_setup_teardown(loop_accept__rests_while_there_are_no_descriptors,
						make, unmake),
		cmocka_unit_test_setup_teardown(loop_accept__forgets_who_goes_while_it_rests, make,
						unmake),
		cmocka_unit_test_setup_teardown(control_message__forgets_a_member, make, unmake),
		cmocka_unit_test_setup_teardown(control_message__refuses_what_it_does_not_know,
						make, unmake),
		cmocka_unit_test_setup_teardown(gateway__answers_a_member_by_its_address, make,
						unmake),
		cmocka_unit_test_setup_teardown(gateway__has_no_answer_for_strangers, make, unmake),
		cmocka_unit_test_setup_teardown(gateway__goes_when_its_network_does, make, unmake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
