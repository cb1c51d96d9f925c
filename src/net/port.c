/* SPDX-License-Identifier: Apache-2.0 */
/* port - ports as people and Docker's API write them. Pure; isolad and ctrctl. */
#include "isola/net.h"

#include "isola/num.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *net_proto_name(enum net_proto proto)
{
	return proto == NET_UDP ? "udp" : "tcp";
}

static int parse_port(const char *text, size_t len, uint16_t *ret)
{
	char buf[8];
	int64_t v;
	if (!len || len >= sizeof(buf) || strspn(text, "0123456789") < len)
		return -EINVAL;
	(void)snprintf(buf, sizeof(buf), "%.*s", (int)len, text);
	if (num_parse_range(buf, 1, 65535, &v) < 0)
		return -EINVAL;
	*ret = (uint16_t)v;
	return 0;
}

static int parse_ports(const char *text, size_t len, struct net_ports *ret)
{
	struct net_ports p;
	const char *dash = memchr(text, '-', len);
	size_t head = dash ? (size_t)(dash - text) : len;
	if (parse_port(text, head, &p.first) < 0)
		return -EINVAL;
	p.last = p.first;
	if (dash && (parse_port(dash + 1, len - head - 1, &p.last) < 0 || p.last < p.first))
		return -EINVAL;
	*ret = p;
	return 0;
}

int net_ports_parse(const char *text, struct net_ports *ret)
{
	return parse_ports(text, strlen(text), ret);
}

static int parse_proto(const char *text, enum net_proto *ret, struct err *err)
{
	if (!strcmp(text, "tcp"))
		*ret = NET_TCP;
	else if (!strcmp(text, "udp"))
		*ret = NET_UDP;
	else if (!strcmp(text, "sctp"))
		return err_set(err, EOPNOTSUPP, "sctp is not supported: only tcp and udp are");
	else
		return err_set(err, EINVAL, "unknown protocol '%.16s': only tcp and udp are known",
			       text);
	return 0;
}

int net_port_proto_parse(const char *text, struct net_ports *ret, enum net_proto *ret_proto,
			 struct err *err)
{
	size_t len = strcspn(text, "/");
	struct net_ports p;
	enum net_proto proto = NET_TCP;
	if (parse_ports(text, len, &p) < 0)
		return err_set(err, EINVAL, "'%.64s' is no port like 80/tcp", text);
	int rc = text[len] ? parse_proto(text + len + 1, &proto, err) : 0;
	if (rc < 0)
		return rc;
	*ret = p;
	*ret_proto = proto;
	return 0;
}

/* Cuts "[v6]" or what stands before the last two colons off the front. */
static int take_ip(const char **at, struct net_publish *p, struct err *err)
{
	const char *text = *at, *end;
	struct net_addr addr;
	size_t skip = 0;
	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end || end[1] != ':')
			return err_set(err, EINVAL, "'%.64s': no ']:' behind the address", *at);
		skip = 1;
	} else {
		const char *colon = strchr(text, ':');
		end = colon && strchr(colon + 1, ':') ? colon : NULL;
	}
	if (!end)
		return 0;
	size_t n = (size_t)(end - text);
	if (n >= sizeof(p->host_ip))
		return err_set(err, EINVAL, "'%.64s': no IP address", *at);
	(void)snprintf(p->host_ip, sizeof(p->host_ip), "%.*s", (int)n, text);
	if (net_addr_parse(p->host_ip, &addr) < 0)
		return err_set(err, EINVAL, "'%.48s' is no IP address", p->host_ip);
	*at = end + 1 + skip;
	return 0;
}

int net_publish_parse(const char *text, struct net_publish *ret, struct err *err)
{
	struct net_publish p = { 0 };
	const char *at = text;
	int rc = take_ip(&at, &p, err);
	if (rc < 0)
		return rc;
	const char *colon = strchr(at, ':');
	if (colon && colon != at && parse_ports(at, (size_t)(colon - at), &p.host) < 0)
		return err_set(err, EINVAL, "'%.64s': no port of the host before the colon", text);
	rc = net_port_proto_parse(colon ? colon + 1 : at, &p.inside, &p.proto, err);
	if (rc < 0)
		return rc;
	unsigned int n_host = p.host.first ? p.host.last - p.host.first + 1u : 0;
	unsigned int n_inside = p.inside.last - p.inside.first + 1u;
	if (n_host && n_inside != 1 && n_host != n_inside)
		return err_set(err, EINVAL, "'%.64s': two ranges of different size", text);
	*ret = p;
	return 0;
}
