/* SPDX-License-Identifier: Apache-2.0 */
/* first_byte - the init of vm_boot's guest: one line to port 1024 of the host, by vsock.
 * It tells by the guest's own clock, which starts soon after its kernel does, when this
 * process began and when it sent: nanoseconds. Then it waits to be killed. Static. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define PORT 1024

static long long now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (long long)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int main(void)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
					  .svm_cid = VMADDR_CID_HOST,
					  .svm_port = PORT };
	char line[64];
	long long began = now_ns();
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0) {
		perror("first_byte: vsock");
	} else {
		int n = snprintf(line, sizeof(line), "%lld %lld\n", began, now_ns());
		if (write(fd, line, (size_t)n) != n)
			perror("first_byte: write");
	}
	for (;;)
		(void)pause();
}
