/* SPDX-License-Identifier: Apache-2.0 */
/* loopback - lo in a new network namespace; lsm - the probes agree with themselves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/loopback.h"
#include "isola/lsm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int reach_ourselves(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t n = sendto(sock, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	int code = n == 1 ? 0 : errno;
	(void)close(sock);
	return code;
}

static void loopback__comes_up(void **state)
{
	(void)state;
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
			_exit(77);
		if (reach_ourselves() != ENETUNREACH)
			_exit(1);
		if (loopback_up() < 0 || loopback_up() < 0)
			_exit(2);
		_exit(reach_ourselves() == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status == 77 << 8) {
		print_message("may not make a network namespace\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void lsm__follows_the_host(void **state)
{
	(void)state;
	if (access("/sys/module/apparmor", F_OK) < 0)
		assert_false(lsm_has_apparmor());
	if (access("/sys/fs/selinux/enforce", F_OK) < 0)
		assert_false(lsm_has_selinux());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loopback__comes_up),
		cmocka_unit_test(lsm__follows_the_host),
	};
	return cmocka_run_group_tests_name("loopback", tests, NULL, NULL);
}
