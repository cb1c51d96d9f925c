/* SPDX-License-Identifier: Apache-2.0 */
/* channel - see channel.h. Runs in the parent (isola-keeper, isola-oci) and in
 * the init it cloned. */
#include "channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(CHAN_FDS_MAX * sizeof(int))];
};

int chan_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

static int send_msg(int sock, const struct chan_msg *msg, const int *fds, size_t n_fds)
{
	union control control;
	size_t size = offsetof(struct chan_msg, text) + strlen(msg->text) + 1;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)msg, .iov_len = size };
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n_fds > CHAN_FDS_MAX)
		return -EINVAL;
	if (n_fds > 0) {
		memset(&control, 0, CMSG_SPACE(n_fds * sizeof(int)));
		head.msg_control = &control;
		head.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&head);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	ssize_t n;
	do
		n = sendmsg(sock, &head, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int chan_send(int sock, enum chan_type type, int value, const int *fds, size_t n_fds)
{
	struct chan_msg msg = { .type = (int32_t)type, .value = value };
	return send_msg(sock, &msg, fds, n_fds);
}

int chan_send_error(int sock, const struct err *err)
{
	struct chan_msg msg = { .type = CHAN_ERROR, .value = err->code };
	memcpy(msg.text, err->text, sizeof(msg.text));
	msg.text[sizeof(msg.text) - 1] = '\0';
	return send_msg(sock, &msg, NULL, 0);
}

/* Takes the descriptors out of @head; those beyond @max are closed. Returns how
 * many came. */
static size_t take_fds(struct msghdr *head, int *ret_fds, size_t max)
{
	size_t came = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++, came++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (came < max)
				ret_fds[came] = fd;
			else
				(void)close(fd);
		}
	}
	return came;
}

int chan_recv(int sock, struct chan_msg *ret, int *ret_fds, size_t max_fds, size_t *ret_n_fds)
{
	union control control;
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr head = { .msg_iov = &iov,
			       .msg_iovlen = 1,
			       .msg_control = &control,
			       .msg_controllen = sizeof(control) };
	ssize_t n;
	do
		n = recvmsg(sock, &head, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	size_t came = take_fds(&head, ret_fds, max_fds);
	if (n == 0)
		return 0;
	if ((size_t)n <= offsetof(struct chan_msg, text) || came > max_fds ||
	    head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (size_t i = 0; i < came && i < max_fds; i++)
			(void)close(ret_fds[i]);
		return -EPROTO;
	}
	((char *)ret)[n - 1] = '\0';
	if (ret_n_fds)
		*ret_n_fds = came;
	return 1;
}

int chan_expect(int sock, enum chan_type type, struct err *err)
{
	struct chan_msg msg;
	int rc = chan_recv(sock, &msg, NULL, 0, NULL);
	if (rc < 0)
		return err_rc(err, rc, "cannot receive from the other side");
	if (rc == 0)
		return err_set(err, EPIPE, "the other side is gone");
	if (msg.type == CHAN_ERROR)
		return err_set(err, msg.value, "%s", msg.text);
	if (msg.type != (int32_t)type)
		return err_set(err, EPROTO, "unexpected message %d", msg.type);
	return 0;
}
