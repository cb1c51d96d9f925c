/* SPDX-License-Identifier: Apache-2.0 */
/* dhcp_socket - what isola-dhcp hears and says a guest by: packet(7). Frames are seen as
 * they come from the link, before its bridge has them, and what is sent goes out by this
 * link and no other; so neither needs an address or port of the host, and a DHCP server of
 * the host's own is not in the way. */
#include "isola/net.h"

#include "isola/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define RECEIVE_BYTES 32768 /* a flood is lost here */

/* IPv4, UDP, no later fragment, to port 67. */
static const struct sock_filter requests[] = {
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 8),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 4, 0),
	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
	BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 67, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 2048),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

/* Nothing is received before the filter is there: a protocol comes with bind(2) only. */
static int set_up(int fd, const char *name, struct err *err)
{
	const struct sock_fprog prog = { .len = sizeof(requests) / sizeof(requests[0]),
					 .filter = (struct sock_filter *)requests };
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int one = 1, size = RECEIVE_BYTES;
	to.sll_ifindex = (int)if_nametoindex(name);
	if (!to.sll_ifindex)
		return err_set(err, ENODEV, "there is no link %s", name);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return err_sys(err, "cannot listen for DHCP on %s", name);
	return 0;
}

int net_dhcp_socket(const char *name, int *ret_fd, struct err *err)
{
	cleanup_fd int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = fd < 0 ? err_sys(err, "cannot make a packet socket") : set_up(fd, name, err);
	if (rc == 0)
		*ret_fd = take_fd(&fd);
	return rc;
}
