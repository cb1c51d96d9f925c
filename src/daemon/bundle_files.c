/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_files - /etc/hosts, /etc/hostname and /etc/resolv.conf of a container,
 * in the instance's run folder. In isolad, before each start: small files on
 * tmpfs. They belong to the container's root, who may change them. */
#include "bundle_priv.h"

#include "create_priv.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

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

static void make_hosts(struct strbuf *b, json_object *host)
{
	if (!strcmp(json_str_or(host, "NetworkMode", ""), "host"))
		add_host_file(b, "/etc/hosts");
	else
		strbuf_puts(b, localhost);
	json_object *extra = json_get(host, "ExtraHosts");
	for (size_t i = 0; i < json_len(extra); i++) {
		char name[256], address[64];
		if (create_split_host(json_item_str(extra, i), name, sizeof(name), address,
				      sizeof(address), NULL) == 0)
			strbuf_printf(b, "%s\t%s\n", address, name);
	}
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

/* The host's lines, but for the kinds that were given for this container. */
static void make_resolv(struct strbuf *b, json_object *host)
{
	json_object *dns = json_get(host, "Dns"), *search = json_get(host, "DnsSearch");
	json_object *options = json_get(host, "DnsOptions");
	cleanup_strbuf struct strbuf all = STRBUF_INIT;
	add_host_file(&all, "/etc/resolv.conf");
	for (char *line = all.text; line && *line;) {
		size_t n = strcspn(line, "\n");
		bool replaced =
			(json_len(dns) && begins(line, "nameserver")) ||
			(json_len(search) && (begins(line, "search") || begins(line, "domain"))) ||
			(json_len(options) && begins(line, "options"));
		if (!replaced)
			strbuf_add(b, line, n + 1);
		line += n + 1;
	}
	for (size_t i = 0; i < json_len(dns); i++)
		strbuf_printf(b, "nameserver %s\n", json_item_str(dns, i));
	/* "--dns-search ." is how one says "no search list". */
	if (!(json_len(search) == 1 && !strcmp(json_item_str(search, 0), ".")))
		add_line(b, "search", search);
	add_line(b, "options", options);
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

int bundle_files(const struct instance *inst, uint32_t owner, int run_dir_fd, struct err *err)
{
	cleanup_strbuf struct strbuf hosts = STRBUF_INIT, hostname = STRBUF_INIT,
				     resolv = STRBUF_INIT;
	make_hosts(&hosts, inst->host_config);
	strbuf_printf(&hostname, "%s\n", json_str_or(inst->config, "Hostname", ""));
	make_resolv(&resolv, inst->host_config);
	int rc = write_file(owner, run_dir_fd, "hosts", &hosts, err);
	if (rc >= 0)
		rc = write_file(owner, run_dir_fd, "hostname", &hostname, err);
	return rc < 0 ? rc : write_file(owner, run_dir_fd, "resolv.conf", &resolv, err);
}
