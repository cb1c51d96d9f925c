/* SPDX-License-Identifier: Apache-2.0 */
/* gateway - the sockets at which VMs ask for names: at their network's gateway, which is
 * an address of the host's. Bound to the bridge, they hear nobody else, and the bridge's
 * guard (guard.c) sees to it that who asks is who he says. Thread pool. */
#include "isola/net.h"

#include "isola/fd.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 64
#define PORT    53

/* Shared with an earlier isolad's, as in inside.c. */
static int open_socket(const struct net_bridge *b, int type, struct err *err)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	char text[NET_ADDR_TEXT];
	int on = 1;
	memcpy(&sa.sin_addr, b->gateway.bytes, sizeof(sa.sin_addr));
	cleanup_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, b->name, (socklen_t)(strlen(b->name) + 1)) <
		    0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
		return err_sys(err, "cannot listen at the gateway %s port %d of the bridge %s",
			       net_addr_format(&b->gateway, text, sizeof(text)), PORT, b->name);
	return take_fd(&fd);
}

int net_gateway_open(const struct net_bridge *b, int ret_fds[2], struct err *err)
{
	cleanup_fd int udp = open_socket(b, SOCK_DGRAM, err);
	int tcp = udp < 0 ? udp : open_socket(b, SOCK_STREAM, err);
	if (tcp < 0)
		return tcp;
	ret_fds[0] = take_fd(&udp);
	ret_fds[1] = tcp;
	return 0;
}
