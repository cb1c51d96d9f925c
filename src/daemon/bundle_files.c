/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_files - /etc/hosts, /etc/hostname and /etc/resolv.conf of a container,
 * in the instance's run folder. In isolad, before each start: small files on
 * tmpfs. They belong to the container's root, who may change them. */
#include "bundle.h"
#include "bundle_priv.h"

#include "create_priv.h"
#include "endpoint.h"
#include "resolver.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HOST_FILE_MAX (64 * 1024)

/* hosts(5), as Docker writes them for a container without a network address. */
static const char localhost[] = "127.0.0.1\tlocalhost\n"
				"::1\tlocalhost ip6-localhost ip6-loopback\n"
				"fe00::0\tip6-localnet\n"
				"ff00::0\tip6-mcastprefix\n"
				"ff02::1\tip6-allnodes\n"
				"ff02::2\tip6-allrouters\n";

/* The host's own file; a missing or odd one counts as empty. */
static void add_host_file(struct strbuf *b, const char *path)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	if (fd_read_file(AT_FDCWD, path, HOST_FILE_MAX, &text, &size, NULL) >= 0)
		strbuf_add(b, text, size);
	if (b->len && b->text[b->len - 1] != '\n')
		strbuf_putc(b, '\n');
}

/* The container's own names, of each of its addresses. */
static void add_own(struct strbuf *b, const struct instance *inst)
{
	const char *name = json_str_or(inst->config, "Hostname", "");
	const char *domain = json_str_or(inst->config, "Domainname", "");
	char addr[NET_ADDR_TEXT];
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		const struct net_addr *all[] = { &e->addr, &e->addr6 };
		for (size_t i = 0; i < 2; i++) {
			if (!*net_addr_format(all[i], addr, sizeof(addr)))
				continue;
			if (*domain)
				strbuf_printf(b, "%s\t%s.%s %s\n", addr, name, domain, name);
			else
				strbuf_printf(b, "%s\t%s\n", addr, name);
		}
	}
}

/* The host as a container sees it; "" without a bridge of ours. */
static const char *host_gateway(const struct instance *inst, char *buf, size_t size)
{
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		if (e->network->kind == NET_KIND_BRIDGE)
			return net_addr_format(&e->network->v4.gateway, buf, size);
	}
	return "";
}

static void make_hosts(struct strbuf *b, const struct instance *inst)
{
	json_object *host = inst->host_config;
	char gateway[NET_ADDR_TEXT];
	if (!strcmp(json_str_or(host, "NetworkMode", ""), "host"))
		add_host_file(b, "/etc/hosts");
	else
		strbuf_puts(b, localhost);
	json_object *extra = json_get(host, "ExtraHosts");
	for (size_t i = 0; i < json_len(extra); i++) {
		char name[256], address[64];
		const char *a = address;
		if (create_split_host(json_item_str(extra, i), name, sizeof(name), address,
				      sizeof(address), NULL) < 0)
			continue;
		if (!strcmp(address, "host-gateway"))
			a = host_gateway(inst, gateway, sizeof(gateway));
		if (*a)
			strbuf_printf(b, "%s\t%s\n", a, name);
	}
	add_own(b, inst);
}

static void add_line(struct strbuf *b, const char *key, json_object *words)
{
	if (!json_len(words))
		return;
	strbuf_puts(b, key);
	for (size_t i = 0; i < json_len(words); i++)
		strbuf_printf(b, " %s", json_item_str(words, i));
	strbuf_putc(b, '\n');
}

static bool begins(const char *line, const char *key)
{
	size_t n = strlen(key);
	return !strncmp(line, key, n) && (line[n] == ' ' || line[n] == '\t');
}

/* systemd-resolved's stub on 127.0.0.53 does not answer from a container; this is its
 * list of the servers behind it. */
const char *bundle_host_resolv(void)
{
	static const char behind[] = "/run/systemd/resolve/resolv.conf";
	cleanup_free char *text = NULL;
	size_t size = 0;
	bool stub = fd_read_file(AT_FDCWD, "/etc/resolv.conf", HOST_FILE_MAX, &text, &size, NULL) >=
			    0 &&
		    strstr(text, "nameserver 127.0.0.53");
	return stub && faccessat(AT_FDCWD, behind, R_OK, 0) == 0 ? behind : "/etc/resolv.conf";
}

/* A server on the host's loopback is not on the container's. */
static bool is_loopback_server(const char *line)
{
	if (!begins(line, "nameserver"))
		return false;
	line += strcspn(line, " \t");
	line += strspn(line, " \t");
	return !strncmp(line, "127.", 4) || !strncmp(line, "::1", 3);
}

/* Where our resolver is asked: inside a container; by a guest, whose loopback is its own
 * kernel's, at the gateway of a network with names. */
static const char *names_server(const struct instance *inst, char *buf, size_t size)
{
	if (endpoint_link(inst) == NET_LINK_VETH)
		return NET_RESOLVER;
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		if (resolver_serves(e->network))
			return net_addr_format(&e->network->v4.gateway, buf, size);
	}
	return NET_RESOLVER;
}

/* The host's lines, but for the kinds that were given for this container. In a network
 * with names our resolver is asked, which asks the servers of --dns, or the host's, in
 * its turn; its names may be without a dot. */
static void make_resolv(struct strbuf *b, const struct instance *inst)
{
	json_object *host = inst->host_config;
	bool networked = !list_is_empty(&inst->endpoints), named = resolver_is_wanted(inst);
	json_object *dns = json_get(host, "Dns"), *search = json_get(host, "DnsSearch");
	json_object *options = json_get(host, "DnsOptions");
	cleanup_strbuf struct strbuf all = STRBUF_INIT;
	char server[NET_ADDR_TEXT];
	add_host_file(&all, networked ? bundle_host_resolv() : "/etc/resolv.conf");
	for (char *line = all.text; line && *line;) {
		size_t n = strcspn(line, "\n");
		bool replaced =
			((named || json_len(dns)) && begins(line, "nameserver")) ||
			(networked && is_loopback_server(line)) ||
			(json_len(search) && (begins(line, "search") || begins(line, "domain"))) ||
			(json_len(options) && begins(line, "options"));
		if (!replaced)
			strbuf_add(b, line, n + 1);
		line += n + 1;
	}
	for (size_t i = 0; !named && i < json_len(dns); i++)
		strbuf_printf(b, "nameserver %s\n", json_item_str(dns, i));
	if (named)
		strbuf_printf(b, "nameserver %s\n", names_server(inst, server, sizeof(server)));
	/* "--dns-search ." is how one says "no search list". */
	if (!(json_len(search) == 1 && !strcmp(json_item_str(search, 0), ".")))
		add_line(b, "search", search);
	add_line(b, "options", options);
	if (named && !(b->text && strstr(b->text, "ndots:")))
		strbuf_puts(b, "options ndots:0\n");
}

static int write_file(uint32_t owner, int dir, const char *name, const struct strbuf *b,
		      struct err *err)
{
	if (!strbuf_ok(b))
		return err_set(err, ENOMEM, "out of memory");
	cleanup_fd int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return err_sys(err, "cannot make %s for the container", name);
	int rc = fd_write_all(fd, b->text ? b->text : "", b->len);
	if (rc < 0)
		return err_rc(err, rc, "cannot write %s for the container", name);
	if (fchmod(fd, 0644) < 0 || (owner && fchown(fd, owner, owner) < 0))
		return err_sys(err, "cannot hand %s to the container", name);
	return 0;
}

/* ---- of a container that runs ---- */

/* Of those that change with the networks there is a copy, which the container cannot
 * reach: what it has written itself is not overwritten. */
static const struct {
	const char *name, *copy;
} changing[] = {
	{ "hosts", "hosts.made" },
	{ "resolv.conf", "resolv.conf.made" },
};

/* In place, as it is mounted, and never empty for who reads it meanwhile. */
static int overwrite(int dir, const char *name, const struct strbuf *b)
{
	cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	int rc = fd_write_all(fd, b->text ? b->text : "", b->len);
	if (rc >= 0 && ftruncate(fd, (off_t)b->len) < 0)
		rc = -errno;
	return rc < 0 ? rc : 0;
}

static bool is_untouched(int dir, const char *name, const char *copy)
{
	cleanup_free char *is = NULL, *was = NULL;
	size_t n_is = 0, n_was = 0;
	return fd_read_file(dir, name, HOST_FILE_MAX, &is, &n_is, NULL) >= 0 &&
	       fd_read_file(dir, copy, HOST_FILE_MAX, &was, &n_was, NULL) >= 0 && n_is == n_was &&
	       !memcmp(is, was, n_is);
}

void bundle_files_change(const struct instance *inst, int run_dir_fd)
{
	cleanup_strbuf struct strbuf hosts = STRBUF_INIT, resolv = STRBUF_INIT;
	const struct strbuf *now[] = { &hosts, &resolv };
	make_hosts(&hosts, inst);
	make_resolv(&resolv, inst);
	for (size_t i = 0; i < 2; i++) {
		if (!strbuf_ok(now[i]) ||
		    !is_untouched(run_dir_fd, changing[i].name, changing[i].copy))
			continue;
		int rc = overwrite(run_dir_fd, changing[i].name, now[i]);
		if (rc == 0)
			rc = overwrite(run_dir_fd, changing[i].copy, now[i]);
		if (rc < 0)
			log_warn(inst->id, "its /etc/%s cannot be changed: %s", changing[i].name,
				 strerror(-rc));
	}
}

/* ---- before a start ---- */

int bundle_files(const struct instance *inst, uint32_t owner, int run_dir_fd, struct err *err)
{
	cleanup_strbuf struct strbuf hosts = STRBUF_INIT, hostname = STRBUF_INIT,
				     resolv = STRBUF_INIT;
	make_hosts(&hosts, inst);
	strbuf_printf(&hostname, "%s\n", json_str_or(inst->config, "Hostname", ""));
	make_resolv(&resolv, inst);
	int rc = write_file(owner, run_dir_fd, "hosts", &hosts, err);
	if (rc >= 0)
		rc = write_file(owner, run_dir_fd, "hostname", &hostname, err);
	if (rc >= 0)
		rc = write_file(owner, run_dir_fd, "resolv.conf", &resolv, err);
	if (rc >= 0 && !list_is_empty(&inst->endpoints))
		rc = write_file(0, run_dir_fd, changing[0].copy, &hosts, err);
	if (rc >= 0 && !list_is_empty(&inst->endpoints))
		rc = write_file(0, run_dir_fd, changing[1].copy, &resolv, err);
	return rc < 0 ? rc : 0;
}
