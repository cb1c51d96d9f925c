/* SPDX-License-Identifier: Apache-2.0 */
/* network_tap - a command with a tap of a network: its descriptors are where the command
 * expects them, the rest is in its environment and, in braces, in its arguments. We become
 * the command, which has isolad's connection among its descriptors: so the tap is gone with
 * it, however it ends, and its exit code is ours. Runs in ctrctl. */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "verbs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUES_MAX 16 /* isolad's limit, too */
#define FD_MAX     200
#define NOT_FOUND  127 /* as a shell has it */
#define NOT_RUN    126

const struct flag flags_network_tap[] = {
	{ "fd", 0, FLAG_INT, "n", "descriptor of its first queue (3); the others follow" },
	{ "ip", 0, FLAG_STR, "ip", "its address (default: a free one)" },
	{ "ip6", 0, FLAG_STR, "ip", "its IPv6 address (default: a free one)" },
	{ "mac-address", 0, FLAG_STR, "mac", "its MAC address" },
	{ "name", 0, FLAG_STR, "name", "its name among the members (default: one made up)" },
	{ "queues", 0, FLAG_INT, "n", "queues, each with a descriptor (1)" },
	{ .name = NULL },
};

/* ---- what the command is told ---- */

enum form { FORM_TEXT, FORM_LIST, FORM_PREFIX };

/* TAP_MAC and {mac}; a prefix's length is beside its address. */
static const struct fact {
	const char *name, *key;
	enum form form;
	const char *len_key;
} facts[] = {
	{ "TAP_MAC", "MacAddress", FORM_TEXT, NULL },
	{ "TAP_ADDRESS", "IPAddress", FORM_PREFIX, "IPPrefixLen" },
	{ "TAP_GATEWAY", "Gateway", FORM_TEXT, NULL },
	{ "TAP_ADDRESS6", "GlobalIPv6Address", FORM_PREFIX, "GlobalIPv6PrefixLen" },
	{ "TAP_GATEWAY6", "IPv6Gateway", FORM_TEXT, NULL },
	{ "TAP_DNS", "Dns", FORM_LIST, NULL },
	{ "TAP_MTU", "Mtu", FORM_TEXT, NULL },
	{ "TAP_HEADER", "VnetHeader", FORM_TEXT, NULL },
	{ "TAP_NAME", "Name", FORM_TEXT, NULL },
	{ "TAP_DEVICE", "Device", FORM_TEXT, NULL },
};
#define N_FACTS (sizeof(facts) / sizeof(facts[0]))

static void tell(const char *name, const char *value)
{
	if (setenv(name, value, 1) < 0)
		abort(); /* no memory for a word */
}

static void tell_fact(const struct fact *f, json_object *doc)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	json_object *v = json_get(doc, f->key);
	if (f->form == FORM_LIST) {
		for (size_t i = 0; i < json_len(v); i++)
			strbuf_printf(&s, "%s%s", i ? "," : "", json_item_str(v, i));
	} else if (v) {
		strbuf_puts(&s, json_object_get_string(v));
	}
	if (f->form == FORM_PREFIX && s.len)
		strbuf_printf(&s, "/%lld", (long long)json_i64_or(doc, f->len_key, 0));
	tell(f->name, s.text ? s.text : "");
}

static void tell_all(json_object *doc, int first_fd, size_t n)
{
	cleanup_strbuf struct strbuf fds = STRBUF_INIT;
	char text[16];
	for (size_t i = 0; i < n; i++)
		strbuf_printf(&fds, "%s%d", i ? ":" : "", first_fd + (int)i);
	tell("TAP_FDS", fds.text ? fds.text : "");
	(void)snprintf(text, sizeof(text), "%d", first_fd);
	tell("TAP_FD", text);
	(void)snprintf(text, sizeof(text), "%zu", n);
	tell("TAP_QUEUES", text);
	for (size_t i = 0; i < N_FACTS; i++)
		tell_fact(&facts[i], doc);
}

/* "{mac}" at @text: the value and the length of the word, or NULL. */
static const char *word_at(const char *text, size_t *ret_len)
{
	char key[32] = "TAP_";
	size_t n = strcspn(text, "}");
	if (*text != '{' || text[n] != '}' || n + 4 >= sizeof(key))
		return NULL;
	for (size_t i = 1; i < n; i++)
		key[3 + i] = (char)(islower((unsigned char)text[i])   ? toupper(text[i])
				    : isdigit((unsigned char)text[i]) ? text[i]
								      : '?');
	*ret_len = n + 1;
	return getenv(key);
}

/* Braces with another word stay as they are. */
static char *fill_in(const char *arg)
{
	struct strbuf s = STRBUF_INIT;
	while (*arg) {
		size_t len = 1;
		const char *value = word_at(arg, &len);
		if (value)
			strbuf_puts(&s, value);
		else
			strbuf_add(&s, arg, len = 1);
		arg += len;
	}
	strbuf_puts(&s, "");
	return strbuf_take(&s);
}

/* ---- descriptors ---- */

/* @fds to @first and on, the connection behind them: all are the command's. */
static int place(int *fds, size_t n, int conn, int first, struct err *err)
{
	int above = first + (int)n;
	for (size_t i = 0; i < n; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, above);
		if (fd < 0)
			return err_sys(err, "cannot move a descriptor");
		fd_close(&fds[i]);
		fds[i] = fd;
	}
	if (fcntl(conn, F_DUPFD, above) < 0)
		return err_sys(err, "cannot keep the connection");
	for (size_t i = 0; i < n; i++)
		if (dup2(fds[i], first + (int)i) < 0)
			return err_sys(err, "cannot make it descriptor %d", first + (int)i);
	return 0;
}

static void make_target(struct strbuf *target, struct args *args)
{
	static const struct {
		const char *flag, *key;
	} rows[] = { { "name", "name" },
		     { "mac-address", "mac" },
		     { "ip", "ip" },
		     { "ip6", "ip6" },
		     { "queues", "queues" } };
	client_target_path(target, "networks");
	client_target_path(target, args->argv[0]);
	client_target_path(target, "tap");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (args_given(args, rows[i].flag))
			client_target_query(target, rows[i].key, args_str(args, rows[i].flag, ""));
}

static int become(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	size_t n = (size_t)args->argc - 1;
	char **argv = calloc(n + 1, sizeof(*argv));
	bool ok = argv != NULL;
	for (size_t i = 0; ok && i < n; i++)
		ok = (argv[i] = fill_in(args->argv[i + 1])) != NULL;
	if (ok)
		(void)execvp(argv[0], argv);
	int code = ok ? errno : ENOMEM;
	for (size_t i = 0; argv && i < n; i++)
		free(argv[i]);
	free(argv);
	errno = code;
	(void)err_sys(&err, "cannot run %s", args->argv[1]);
	return cli_fail(cli, code == ENOENT ? NOT_FOUND : NOT_RUN, &err);
}

int verb_network_tap(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *doc = NULL;
	cleanup_fd int conn = -1;
	int fds[QUEUES_MAX];
	size_t n = QUEUES_MAX;
	int64_t first = args_int(args, "fd", 3);
	if (first < 3 || first > FD_MAX) {
		(void)err_set(&err, EINVAL, "--fd: must be from 3 to %d", FD_MAX);
		return cli_fail(cli, 1, &err);
	}
	make_target(&target, args);
	if (client_take_fds(cli_client(cli), target.text, &doc, fds, &n, &conn, &err) < 0 ||
	    place(fds, n, conn, (int)first, &err) < 0)
		return cli_fail(cli, 1, &err);
	tell_all(doc, (int)first, n);
	return become(cli, args);
}
