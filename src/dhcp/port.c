/* SPDX-License-Identifier: Apache-2.0 */
/* port - see port.h. A guest that floods gets no more than ANSWERS answers a second, and
 * what it sends is dropped as cheaply as can be: by its full socket. */
#include "port.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/mac.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWERS     20
#define FRAMES_MAX  32 /* of a turn */
#define HOST_PREFIX 32

static int addr_of(json_object *msg, const char *key, struct net_addr *ret, struct err *err)
{
	const char *text = json_str_or(msg, key, "");
	if (net_addr_parse(text, ret) < 0 || ret->family != AF_INET)
		return err_set(err, EINVAL, "%s: '%.48s' is no IPv4 address", key, text);
	return 0;
}

static int dns_of(json_object *msg, struct dhcp_lease *l, struct err *err)
{
	json_object *list = json_get(msg, "dns");
	for (size_t i = 0; i < json_len(list) && i < DHCP_DNS_MAX; i++) {
		struct net_addr *at = &l->dns[l->n_dns];
		if (net_addr_parse(json_item_str(list, i), at) < 0 || at->family != AF_INET)
			return err_set(err, EINVAL, "dns[%zu] is no IPv4 address", i);
		l->n_dns++;
	}
	return 0;
}

static int lease_of(json_object *msg, struct dhcp_lease *l, struct err *err)
{
	int64_t prefix = json_i64_or(msg, "prefix", -1), mtu = json_i64_or(msg, "mtu", 0);
	const char *hostname = json_str_or(msg, "hostname", "");
	if (mac_parse(json_str_or(msg, "mac", ""), l->mac) < 0)
		return err_set(err, EINVAL, "mac is missing");
	if (prefix < 1 || prefix > HOST_PREFIX || mtu < 0 || mtu > UINT16_MAX ||
	    strlen(hostname) >= sizeof(l->hostname))
		return err_set(err, EINVAL, "prefix, mtu or hostname is out of range");
	l->prefix = (uint8_t)prefix;
	l->mtu = (uint16_t)mtu;
	memcpy(l->hostname, hostname, strlen(hostname) + 1);
	int rc = addr_of(msg, "address", &l->address, err);
	if (rc == 0)
		rc = addr_of(msg, "server", &l->server, err);
	if (rc == 0 && *json_str_or(msg, "router", ""))
		rc = addr_of(msg, "router", &l->router, err);
	return rc < 0 ? rc : dns_of(msg, l, err);
}

int port_new(json_object *msg, int fd, struct port **ret, struct err *err)
{
	const char *name = json_str_or(msg, "port", "");
	struct port *p = calloc(1, sizeof(*p));
	int rc = p ? 0 : err_set(err, ENOMEM, "out of memory");
	if (rc == 0 && (!*name || strlen(name) >= sizeof(p->name)))
		rc = err_set(err, EINVAL, "port is no name of a link");
	if (rc == 0)
		rc = lease_of(msg, &p->lease, err);
	if (rc < 0) {
		(void)close(fd);
		free(p);
		return rc;
	}
	list_init(&p->node);
	memcpy(p->name, name, strlen(name) + 1);
	p->fd = fd;
	p->left = ANSWERS;
	*ret = p;
	return 0;
}

void port_free(struct port *p)
{
	list_del(&p->node);
	fd_close(&p->fd);
	free(p);
}

static bool may_answer(struct port *p, int64_t now_ms)
{
	if (now_ms - p->filled_ms >= 1000) {
		p->filled_ms = now_ms;
		p->left = ANSWERS;
	}
	if (!p->left)
		return false;
	p->left--;
	return true;
}

int port_serve(struct port *p, int64_t now_ms)
{
	uint8_t frame[2048], answer[DHCP_FRAME_MAX];
	for (int i = 0; i < FRAMES_MAX; i++) {
		ssize_t n = recv(p->fd, frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (n == 0 || (size_t)n > sizeof(frame) || !may_answer(p, now_ms))
			continue;
		size_t size = dhcp_answer(&p->lease, frame, (size_t)n, answer);
		/* A guest whose queue is full asks again. */
		if (size)
			(void)send(p->fd, answer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return 0;
}
