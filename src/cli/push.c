/* SPDX-License-Identifier: Apache-2.0 */
/* push - images of the daemon go to a registry. Runs in ctrctl. */
#include "login.h"
#include "pull.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct flag flags_push[] = {
	{ "all-tags", 'a', FLAG_BOOL, NULL, "all tags of the name" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "print the name alone" },
	{ .name = NULL },
};

/* "host:5000/app:1" in two parts; no tag means "latest", with --all-tags none. */
static int split(const char *name, bool all, char *repo, size_t size, const char **ret_tag,
		 struct err *err)
{
	const char *slash = strrchr(name, '/');
	const char *colon = strchr(slash ? slash : name, ':');
	if (strchr(name, '@'))
		return err_set(err, EINVAL, "cannot push a digest reference");
	if (all && colon)
		return err_set(err, EINVAL, "a tag cannot be used with --all-tags");
	if ((size_t)snprintf(repo, size, "%.*s", colon ? (int)(colon - name) : (int)strlen(name),
			     name) >= size)
		return err_set(err, EINVAL, "the name is too long");
	*ret_tag = all ? NULL : colon ? colon + 1 : "latest";
	return 0;
}

int verb_push(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	struct client *c = cli_client(cli);
	bool quiet = args_bool(args, "quiet");
	char repo[512];
	const char *tag = NULL;
	int rc = split(args->argv[0], args_bool(args, "all-tags"), repo, sizeof(repo), &tag, &err);
	if (rc == 0)
		rc = login_attach(cli, c, repo, &err);
	client_target_path(&target, "images");
	client_target_path(&target, repo);
	strbuf_puts(&target, "/push");
	if (tag)
		client_target_query(&target, "tag", tag);
	if (rc == 0)
		rc = client_send(c, "POST", target.text, NULL, &err);
	if (rc == 0)
		rc = client_receive(c, &err);
	if (rc >= 400)
		rc = client_fail(c, &err);
	if (rc >= 0)
		rc = pull_show(c, quiet ? NULL : stdout, &err);
	if (rc < 0)
		return cli_fail(cli, 1, &err);
	if (quiet)
		printf("%s%s%s\n", repo, tag ? ":" : "", tag ? tag : "");
	return 0;
}
