/* SPDX-License-Identifier: Apache-2.0 */
/* explain - the real boundary of containers and VMs, as text for people or as JSON: the
 * document of GET /containers/{id}/explain. Runs in the CLIs. */
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

const struct flag flags_explain[] = {
	{ "format", 'f', FLAG_STR, "template", "json, or a Go template" },
	{ .name = NULL },
};

static void line(const char *title, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void line(const char *title, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("  %-14s ", title);
	(void)vprintf(fmt, ap);
	(void)putchar('\n');
	va_end(ap);
}

/* "a b c", "none" without items; owned. @strip: a beginning that goes without saying. */
static char *words(json_object *list, const char *strip)
{
	struct strbuf b = STRBUF_INIT;
	size_t n = strlen(strip);
	for (size_t i = 0; i < json_len(list); i++) {
		const char *word = json_item_str(list, i);
		strbuf_printf(&b, "%s%s", i ? " " : "", strncmp(word, strip, n) ? word : word + n);
	}
	if (!json_len(list))
		strbuf_puts(&b, "none");
	return strbuf_ok(&b) ? b.text : NULL;
}

static void line_words(const char *title, json_object *list, const char *strip)
{
	cleanup_free char *text = words(list, strip);
	line(title, "%s", text ? text : "");
}

/* ---- a process ---- */

static void print_maps(json_object *p)
{
	json_object *maps = json_get(p, "UidMap");
	for (size_t i = 0; i < json_len(maps); i++) {
		json_object *m = json_object_array_get_idx(maps, i);
		int64_t inside = json_i64_or(m, "Inside", 0),
			outside = json_i64_or(m, "Outside", 0);
		line(i ? "" : "user ids", "%lld inside is %lld on the host (%lld ids)%s",
		     (long long)inside, (long long)outside, (long long)json_i64_or(m, "Size", 0),
		     inside == 0 && outside == 0 ? ": root is root" : "");
	}
}

static void print_namespaces(json_object *p)
{
	json_object *all = json_get(p, "Namespaces");
	cleanup_strbuf struct strbuf own = STRBUF_INIT, host = STRBUF_INIT;
	for (size_t i = 0; i < json_len(all); i++) {
		json_object *ns = json_object_array_get_idx(all, i);
		const char *type = json_str_or(ns, "Type", ""), *of = json_str_or(ns, "Of", "");
		if (!strcmp(of, "own"))
			strbuf_printf(&own, "%s%s", own.len ? " " : "", type);
		else if (!strcmp(of, "host"))
			strbuf_printf(&host, "%s%s", host.len ? " " : "", type);
		else
			line("namespace", "%s %s", type, of);
	}
	line("namespaces", "own: %s; the host's: %s", own.len ? own.text : "none",
	     host.len ? host.text : "none");
}

static void print_boundary(json_object *p)
{
	json_object *caps = json_get(p, "Capabilities");
	const char *seccomp = json_str_or(p, "Seccomp", "");
	int64_t filters = json_i64_or(p, "SeccompFilters", 0);
	printf("%s (process %lld, %s)\n", json_str_or(p, "Role", ""),
	       (long long)json_i64_or(p, "Pid", 0), json_str_or(p, "Command", ""));
	line("runs as", "user %lld, group %lld of the host", (long long)json_i64_or(p, "Uid", -1),
	     (long long)json_i64_or(p, "Gid", -1));
	print_maps(p);
	print_namespaces(p);
	line_words("capabilities", json_get(caps, "Effective"), "CAP_");
	line_words("at most", json_get(caps, "Bounding"), "CAP_");
	if (!strcmp(seccomp, "filter"))
		line("seccomp", "filter (%lld)", (long long)filters);
	else
		line("seccomp", "%s", seccomp);
	line("new privileges", "%s",
	     json_bool_or(p, "NoNewPrivileges", false) ? "never" : "by set-user-id programs");
}

/* ---- the rest ---- */

static void print_kernel(json_object *doc)
{
	json_object *k = json_get(doc, "Kernel");
	const char *release = json_str_or(k, "Release", ""), *file = json_str_or(k, "File", "");
	if (json_bool_or(k, "Own", false))
		line("kernel", "its own: %s%s%s%s", *release ? release : "release unknown",
		     *file ? " (" : "", file, *file ? ")" : "");
	else
		line("kernel", "the host's: %s", release);
}

static void print_root(json_object *doc)
{
	json_object *root = json_get(doc, "Root");
	const char *file = json_str_or(root, "File", "");
	if (!root)
		return;
	if (!strcmp(json_str_or(root, "Type", ""), "erofs"))
		line("root", "EROFS, read-only, in its memory%s%s%s; what it writes: by virtio-fs",
		     *file ? " (" : "", file, *file ? ")" : "");
	else
		line("root", "by virtio-fs");
}

static void print_given(json_object *doc)
{
	json_object *g = json_get(doc, "Given");
	if (!g)
		return;
	bool guest = json_bool_or(g, "InGuest", false);
	puts(guest ? "in the guest, as the guest was told" : "the payload was given");
	if (guest) {
		line_words("capabilities", json_get(g, "Capabilities"), "CAP_");
		line("seccomp", "%s", json_bool_or(g, "Seccomp", false) ? "filter" : "none");
		line("new privileges", "%s",
		     json_bool_or(g, "NoNewPrivileges", false) ? "never"
							       : "by set-user-id programs");
	}
	line_words("devices", json_get(g, "Devices"), "/dev/");
	if (json_bool_or(g, "AnyDevice", false))
		line("", "and any other");
	line_words("masked", json_get(g, "MaskedPaths"), "");
	line_words("read-only", json_get(g, "ReadonlyPaths"), "");
}

static void print_mounts(json_object *doc)
{
	json_object *list = json_get(doc, "Mounts");
	if (!list)
		return;
	puts("mounts");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *m = json_object_array_get_idx(list, i);
		printf("  %s %-10s %s\n", json_bool_or(m, "ReadOnly", false) ? "ro" : "rw",
		       json_str_or(m, "Type", ""), json_str_or(m, "Target", ""));
	}
}

static void print_limits(json_object *doc)
{
	json_object *limits = json_get(doc, "Limits");
	if (!limits)
		return;
	printf("limits (cgroup %s)\n", json_str_or(doc, "Cgroup", ""));
	json_object_object_foreach (limits, key, v)
		if (*json_object_get_string(v))
			line(key, "%s", json_object_get_string(v));
}

static void print_tree(json_object *doc)
{
	json_object *list = json_get(doc, "Processes");
	if (!list)
		return;
	puts("processes on the host");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *p = json_object_array_get_idx(list, i);
		printf("  %-7lld parent %-7lld user %-8lld %-12s %s\n",
		       (long long)json_i64_or(p, "Pid", 0), (long long)json_i64_or(p, "Parent", 0),
		       (long long)json_i64_or(p, "Uid", -1), json_str_or(p, "Role", ""),
		       json_str_or(p, "Command", ""));
	}
}

static void print_reach(json_object *doc)
{
	json_object *r = json_get(doc, "Reach"), *api = json_get(r, "Api");
	json_object *nets = json_get(r, "Networks"), *ports = json_get(r, "Ports");
	puts("who reaches it");
	const char *mode = json_str_or(r, "NetworkMode", "");
	if (!json_len(nets))
		line("network", "%s", *mode ? mode : "none");
	for (size_t i = 0; i < json_len(nets); i++) {
		json_object *n = json_object_array_get_idx(nets, i);
		line("network", "%s, with %lld others", json_str_or(n, "Name", ""),
		     (long long)json_i64_or(n, "Others", 0));
	}
	for (size_t i = 0; i < json_len(ports); i++) {
		json_object *p = json_object_array_get_idx(ports, i);
		if (json_i64_or(p, "PublicPort", 0))
			line("port", "%s:%lld of the host leads to %lld/%s",
			     json_str_or(p, "IP", ""), (long long)json_i64_or(p, "PublicPort", 0),
			     (long long)json_i64_or(p, "PrivatePort", 0),
			     json_str_or(p, "Type", ""));
	}
	line("API", "%s, mode %s, user %lld, group %lld", json_str_or(api, "Socket", ""),
	     json_str_or(api, "Mode", ""), (long long)json_i64_or(api, "Uid", 0),
	     (long long)json_i64_or(api, "Gid", 0));
}

static void print_holes(json_object *doc)
{
	json_object *list = json_get(doc, "Holes");
	if (!list)
		return;
	puts(json_len(list) ? "what weakens the wall" : "nothing known weakens the wall");
	for (size_t i = 0; i < json_len(list); i++)
		printf("  %s\n", json_item_str(list, i));
}

static void print_all(json_object *doc)
{
	const char *name = json_str_or(doc, "Name", "");
	bool vm = !strcmp(json_str_or(doc, "Wall", ""), "vm");
	json_object *boundaries = json_get(doc, "Boundaries");
	printf("%s (%.12s), %s\n", *name == '/' ? name + 1 : name, json_str_or(doc, "Id", ""),
	       json_str_or(doc, "State", ""));
	line("wall", "%s",
	     strcmp(json_str_or(doc, "Kind", ""), "vm") == 0 ? "a VM of its own kernel and disks"
	     : vm                                            ? "a microVM around an image"
		  : "a container: namespaces of the host's kernel");
	print_kernel(doc);
	print_root(doc);
	if (!json_bool_or(doc, "Running", false))
		line("boundary", "none: it does not run");
	for (size_t i = 0; i < json_len(boundaries); i++)
		print_boundary(json_object_array_get_idx(boundaries, i));
	print_given(doc);
	print_mounts(doc);
	print_limits(doc);
	print_tree(doc);
	print_reach(doc);
	print_holes(doc);
}

int verb_explain(struct cli *cli, struct args *args)
{
	cleanup_json json_object *docs = json_object_new_array();
	const char *format = args_str(args, "format", NULL);
	int code = 0;
	for (int i = 0; i < args->argc; i++) {
		struct err err = ERR_INIT;
		json_object *doc = NULL;
		cli_choose(cli, args->argv[i]);
		if (cli_call(cli, "GET", args->argv[i], "/explain", NULL, &doc, &err) < 0) {
			code = cli_fail(cli, 1, &err);
			continue;
		}
		(void)json_object_array_add(docs, doc);
		if (format)
			continue;
		if (json_len(docs) > 1)
			(void)putchar('\n');
		print_all(doc);
	}
	int printed = format ? format_documents(cli, format, docs) : 0;
	return code ? code : printed;
}
