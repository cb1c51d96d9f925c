/* SPDX-License-Identifier: Apache-2.0 */
/* channel - see channel.h. Runs in the parent (isola-keeper, isola-oci) and in
 * the init it cloned. */
#include "channel.h"

#include "isola/fd_pass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int chan_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

static int send_msg(int sock, const struct chan_msg *msg, const int *fds, size_t n_fds)
{
	size_t size = offsetof(struct chan_msg, text) + strlen(msg->text) + 1;
	const struct iovec part = { (void *)(uintptr_t)msg, size };
	if (n_fds > CHAN_FDS_MAX)
		return -EINVAL;
	ssize_t n = fd_send(sock, &part, 1, fds, n_fds, 0);
	return n < 0 ? (int)n : 0;
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

int chan_recv(int sock, struct chan_msg *ret, int *ret_fds, size_t max_fds, size_t *ret_n_fds)
{
	size_t came = 0;
	ssize_t n;
	do
		n = fd_receive(sock, ret, sizeof(*ret), ret_fds, max_fds, &came, 0);
	while (n == -EINTR);
	if (n <= (ssize_t)offsetof(struct chan_msg, text)) {
		while (came > 0)
			(void)close(ret_fds[--came]);
		return n == -ECONNRESET ? 0 : n > 0 ? -EPROTO : (int)n;
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
