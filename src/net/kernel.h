/* SPDX-License-Identifier: Apache-2.0 */
/* kernel - what the parts that talk to the kernel share. Thread pool. */
#pragma once

#include "isola/net.h"

#include <netlink/netlink.h>

struct nft_ctx;

struct net {
	struct nl_sock *sock; /* NETLINK_ROUTE, in isolad's own namespace */
	struct nft_ctx *nft;
	int low_fd;     /* keeps a low number free for its socket (nft.c), or -1 */
	bool has_table; /* made by us, since isolad runs; and the guard's with it */
};

/* The connected socket of @n, made when it is first needed. */
int kernel_sock(struct net *n, struct nl_sock **ret, struct err *err);
/* A connected socket in the calling thread's network namespace; owned. */
int kernel_sock_new(struct nl_sock **ret, struct err *err);
/* A text from libnl's number; always negative. */
int kernel_err(struct err *err, int nl_code, const char *what, const char *name);

/* Index of the link, 0 when there is none, or -errno. */
int kernel_link_index(struct nl_sock *sock, const char *name, struct err *err);
int kernel_link_delete(struct nl_sock *sock, const char *name, struct err *err);
int kernel_addr_add(struct nl_sock *sock, int index, const struct net_addr *addr, unsigned int len,
		    struct err *err);

/* Lets the port send with its own addresses only, from before it is there (guard.c). */
int kernel_guard(struct net *n, const struct net_port *port, struct err *err);
void kernel_unguard(struct net *n, const struct net_port *port);

/* Writes a file of /proc/sys where it has another value. */
int kernel_sysctl(const char *path, const char *value, struct err *err);

/* The last step of a bridge's port @name: it has no IPv6 of its own, may have back what came
 * from it, and is up (bridge.c). */
int kernel_port_up(struct nl_sock *sock, const struct net_bridge *b, const char *name,
		   struct err *err);

/* Runs @run in the network namespace of the process @pid; -ESRCH when @parent is not its
 * parent. @ret_pidfd may be NULL. (inside.c) */
int kernel_inside(pid_t pid, pid_t parent, int (*run)(void *arg, struct err *err), void *arg,
		  int *ret_pidfd, struct err *err);

/* Another network namespace (inside_link.c). */
struct inside {
	int fd;
	struct nl_sock *sock;
};

int inside_open(struct inside *in, pid_t pid, pid_t parent, struct err *err);
/* @fd is borrowed; inside_fini() closes a copy. */
int inside_enter(struct inside *in, int fd, struct err *err);
void inside_fini(struct inside *in);
#define cleanup_inside __attribute__((cleanup(inside_fini)))
/* Gives the link port->name addresses and routes, and sets it up. */
int inside_set(const struct inside *in, const struct net_bridge *b, const struct net_port *port,
	       struct err *err);
int inside_add_default(const struct inside *in, const struct net_addr *gateway, struct err *err);

/* What is in @more, of the link @index. */
struct rtnl_link;
int kernel_link_change(struct nl_sock *sock, int index, struct rtnl_link *more, const char *name,
		       struct err *err);

/* parent.c: as net_bridge_up() and net_bridge_down(). */
int kernel_parent_up(struct net *n, const struct net_bridge *b, struct err *err);
int kernel_parent_down(struct net *n, const struct net_bridge *b, struct err *err);

/* Runs commands as one transaction; the first line of nft's complaint is the text. With
 * @ret_json its output is JSON and owned by the caller. */
int kernel_nft(struct net *n, const char *commands, char **ret_json, struct err *err);
/* For the end: the next context may get no number that is low enough. */
void kernel_nft_close(struct net *n);
/* While few files are open: keeps a number for that socket. */
void kernel_nft_keep_low(struct net *n);

/* In the calling thread's namespace: what is sent to port 53 of NET_RESOLVER arrives at
 * these ports of it (detour.c). */
int kernel_detour(uint16_t udp, uint16_t tcp, struct err *err);
