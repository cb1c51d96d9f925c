/* SPDX-License-Identifier: Apache-2.0 */
/* changes - diff and export: what a container's files are. Runs in ctrctl. */
#include "verbs.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)512 * 1024)

const struct flag flags_export[] = {
	{ "output", 'o', FLAG_STR, "file", "write to a file (default: stdout)" },
	{ .name = NULL },
};

int verb_diff(struct cli *cli, struct args *args)
{
	static const char letters[] = "CAD";
	struct err err = ERR_INIT;
	cleanup_json json_object *list = NULL;
	if (cli_call(cli, "GET", args->argv[0], "/changes", NULL, &list, &err) < 0)
		return cli_fail(cli, 1, &err);
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		int64_t kind = json_i64_or(o, "Kind", 0);
		printf("%c %s\n", kind >= 0 && kind < 3 ? letters[kind] : '?',
		       json_str_or(o, "Path", ""));
	}
	return 0;
}

/* Whole or not at all: a file half written has another name. */
static int write_body(struct client *c, int fd, struct err *err)
{
	cleanup_free char *buf = malloc(PIECE);
	ssize_t n = buf ? 0 : err_set(err, ENOMEM, "out of memory");
	while (n >= 0 && (n = client_read(c, buf, PIECE, err)) > 0) {
		int rc = fd_write_all(fd, buf, (size_t)n);
		if (rc < 0)
			return err_rc(err, rc, "cannot write the archive");
	}
	return (int)n;
}

int cli_save_body(struct cli *cli, const char *target, const char *output, struct err *err)
{
	cleanup_strbuf struct strbuf part = STRBUF_INIT;
	struct client *c = cli_client(cli);
	struct stat st;
	if (!output && isatty(STDOUT_FILENO))
		return err_set(err, EINVAL,
			       "an archive is not for a terminal: use -o FILE, or redirect");
	int rc = client_send(c, "GET", target, NULL, err);
	if (rc == 0)
		rc = client_receive(c, err);
	if (rc < 0 || rc >= 400)
		return rc < 0 ? rc : client_fail(c, err);
	if (!output)
		return write_body(c, STDOUT_FILENO, err);
	bool plain = stat(output, &st) < 0 || S_ISREG(st.st_mode);
	strbuf_printf(&part, plain ? "%s.part" : "%s", output);
	if (!strbuf_ok(&part))
		return err_set(err, ENOMEM, "out of memory");
	cleanup_fd int fd = open(part.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, "cannot make %s", part.text);
	rc = write_body(c, fd, err);
	if (rc == 0 && plain && rename(part.text, output) < 0)
		rc = err_sys(err, "cannot name the archive %s", output);
	if (rc < 0 && plain)
		(void)unlink(part.text);
	return rc;
}

int verb_export(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	client_target_path(&target, "containers");
	client_target_path(&target, args->argv[0]);
	strbuf_puts(&target, "/export");
	if (cli_save_body(cli, target.text, args_str(args, "output", NULL), &err) < 0)
		return cli_fail(cli, 1, &err);
	return 0;
}
