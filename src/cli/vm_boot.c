/* SPDX-License-Identifier: Apache-2.0 */
/* vm_boot - see vm_boot.h. Without --kernel the first disk is asked for its own; a
 * disk without one gets the default kernel of the store, whose initial RAM disk (guest/
 * initrd) mounts the root and becomes its init, or runs a command in it. */
#include "vm_boot.h"

#include "body.h"
#include "disk_kernel.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "kernel.h"
#include "kernel_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* CONFIG_INIT_ENV_ARG_LIMIT is 32, of which one is the init's name. */
#define ARGS_MAX 31

/* What was chosen. */
struct choice {
	struct kernel k;
	bool ours;    /* its initial RAM disk is ours, and knows "-- COMMAND" and rw */
	bool by_file; /* --kernel named a file: nothing is added to the command line */
};

static json_object *first_disk(json_object *vm)
{
	json_object *disks = json_get(vm, "Disks");
	return json_len(disks) > 0 ? json_object_array_get_idx(disks, 0) : NULL;
}

static bool is_path(const char *text)
{
	return strchr(text, '/') || access(text, R_OK) == 0;
}

static int use_file(const char *path, struct choice *c, struct err *err)
{
	cleanup_free char *full = body_path(path);
	if (!full)
		return err_sys(err, "cannot find the current folder");
	if (access(full, F_OK) < 0)
		return err_sys(err, "--kernel %s", path);
	(void)snprintf(c->k.kernel, sizeof(c->k.kernel), "%s", full);
	c->by_file = true;
	return 0;
}

/* The disk's root, for a kernel of the store. */
static int find_root(const char *store, json_object *vm, struct choice *c, struct err *err)
{
	const char *path = json_str_or(first_disk(vm), "Path", NULL);
	return path ? disk_root(store, path, c->k.root, sizeof(c->k.root), err) : 0;
}

static int use_name(const char *store, const char *name, json_object *vm, struct choice *c,
		    struct err *err)
{
	int rc = kernel_find(store, name, &c->k, err);
	c->ours = rc == 0 && !*c->k.root;
	return c->ours ? find_root(store, vm, c, err) : rc;
}

static int use_disk(const char *store, json_object *vm, struct choice *c, struct err *err)
{
	char root[sizeof(c->k.root)] = "";
	const char *path = json_str_or(first_disk(vm), "Path", NULL);
	if (path) {
		int rc = disk_kernel(store, path, &c->k, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		(void)strcpy(root, c->k.root);
	}
	int rc = kernel_find(store, KERNEL_DEFAULT, &c->k, err);
	if (rc < 0)
		return path ? err_prefix(err, "%s holds no kernel, and", path) : rc;
	c->ours = !*c->k.root;
	if (c->ours)
		(void)strcpy(c->k.root, root);
	return 0;
}

static int choose(struct cli *cli, struct args *args, json_object *vm, struct choice *c,
		  struct err *err)
{
	char store[PATH_MAX];
	const char *kernel = args_str(args, "kernel", NULL),
		   *initrd = args_str(args, "initrd", NULL);
	*c = (struct choice){ .ours = false };
	int rc = kernel && is_path(kernel) ? use_file(kernel, c, err)
					   : kernel_store(cli, args, store, sizeof(store), err);
	if (rc == 0 && !c->by_file)
		rc = kernel ? use_name(store, kernel, vm, c, err) : use_disk(store, vm, c, err);
	if (rc < 0 || !initrd)
		return rc;
	cleanup_free char *full = body_path(initrd);
	if (!full || access(full, F_OK) < 0)
		return err_sys(err, "--initrd %s", initrd);
	(void)snprintf(c->k.initrd, sizeof(c->k.initrd), "%s", full);
	c->ours = false;
	return 0;
}

/* ---- the command line ---- */

static void add_word(struct strbuf *line, const char *text)
{
	if (*text)
		strbuf_printf(line, "%s%s", line->len ? " " : "", text);
}

/* The kernel takes quotes around a word, and none inside. */
static int add_plain(struct strbuf *line, const char *word, struct err *err)
{
	if (strchr(word, '"') || strchr(word, '\n'))
		return err_set(err, EINVAL,
			       "a kernel command line cannot hold the argument %s: it has a double "
			       "quote or a line end (a stored kernel's can: --kernel NAME)",
			       word);
	bool quote = !*word || strpbrk(word, " \t");
	strbuf_printf(line, quote ? " \"%s\"" : " %s", word);
	return 0;
}

/* Our own init takes %xx for any byte; %00 is the empty word. */
static void add_encoded(struct strbuf *line, const char *word)
{
	strbuf_puts(line, *word ? " " : " %00");
	for (const unsigned char *p = (const unsigned char *)word; *p; p++) {
		if (*p <= ' ' || *p == '"' || *p == '%' || *p >= 0x7f)
			strbuf_printf(line, "%%%02x", *p);
		else
			strbuf_putc(line, (char)*p);
	}
}

static int add_command(struct strbuf *line, struct args *args, bool ours, struct err *err)
{
	if (args->argc > 0)
		add_word(line, "--");
	if (args->argc > ARGS_MAX)
		return err_set(err, E2BIG,
			       "a kernel gives its init at most %d words, not %d: put them in a "
			       "script, or behind sh -c as one",
			       ARGS_MAX, args->argc);
	int rc = 0;
	for (int i = 0; i < args->argc && rc == 0; i++) {
		if (ours)
			add_encoded(line, args->argv[i]);
		else
			rc = add_plain(line, args->argv[i], err);
	}
	return rc;
}

static int command_line(struct args *args, json_object *vm, const struct choice *c,
			struct strbuf *line, struct err *err)
{
	const char *own = args_str(args, "cmdline", "");
	bool has_root = !strncmp(own, "root=", 5) || strstr(own, " root=");
	if (!has_root && !args_bool(args, "no-default-cmdline") && *c->k.root) {
		bool ro = json_bool_or(first_disk(vm), "ReadOnly", false);
		add_word(line, c->k.root);
		add_word(line, c->ours && !ro ? "rw" : "ro");
	}
	/* Each character of the serial port is an exit; warnings are still shown. */
	if (c->ours && !args_bool(args, "no-default-cmdline"))
		add_word(line, "quiet");
	add_word(line, own);
	return add_command(line, args, c->ours, err);
}

int vm_boot(struct cli *cli, struct args *args, json_object *vm, struct err *err)
{
	struct choice c;
	cleanup_strbuf struct strbuf line = STRBUF_INIT;
	if (args_given(args, "no-default-cmdline"))
		json_add_bool(vm, "CmdlineDefaults", !args_bool(args, "no-default-cmdline"));
	int rc = choose(cli, args, vm, &c, err);
	if (rc == 0)
		rc = command_line(args, vm, &c, &line, err);
	if (rc < 0)
		return rc;
	if (!strbuf_ok(&line))
		return err_set(err, ENOMEM, "out of memory");
	json_add_str(vm, "Kernel", c.k.kernel);
	if (*c.k.initrd)
		json_add_str(vm, "Initrd", c.k.initrd);
	if (line.len)
		json_add_str(vm, "Cmdline", line.text);
	/* How our init tells the command's exit code. */
	if (c.ours && args->argc > 0)
		json_add_bool(vm, "DebugExit", true);
	return 0;
}
