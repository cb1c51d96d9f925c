/* SPDX-License-Identifier: Apache-2.0 */
/* pull - see pull.h. The daemon does the work (POST /images/create); leaving cancels
 * it. Runs in ctrctl. */
#include "pull.h"

#include "bars.h"
#include "login.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "terminal.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DRAW_NS 100000000

const struct flag flags_pull[] = {
	{ "platform", 0, FLAG_STR, "os/arch", "of an image for several (default: this host's)" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "print the name alone" },
	{ .name = NULL },
};

const struct flag flags_create_pull[] = {
	{ "platform", 0, FLAG_STR, "os/arch", "the image's, which is pulled for it if need be" },
	{ "pull", 0, FLAG_STR, "when", "pull the image first: missing (default), always, never" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "do not show the progress of a pull" },
	{ .name = NULL },
};

/* ---- what is shown ---- */

static void write_out(FILE *to, struct strbuf *out)
{
	if (strbuf_ok(out) && out->len) {
		(void)fwrite(out->text, 1, out->len, to);
		(void)fflush(to);
	}
	strbuf_reset(out);
}

int pull_show(struct client *c, FILE *to, struct err *err)
{
	cleanup_strbuf struct strbuf out = STRBUF_INIT;
	cleanup_bars struct bars *bars = bars_new(to && isatty(fileno(to)));
	json_object *line = NULL;
	int64_t drawn_ns = 0;
	int rc, h = 0, w = 0;
	if (!bars)
		return err_set(err, ENOMEM, "out of memory");
	while ((rc = client_next_json(c, &line, err)) == 1) {
		const char *text = json_str_or(line, "error", NULL);
		if (text)
			rc = err_set(err, EIO, "%s", text);
		/* Each time: the window may have another size now. */
		if (to)
			(void)terminal_size(fileno(to), &h, &w);
		if (to && !text)
			bars_take(bars, line, w, h, &out);
		json_object_put(line);
		line = NULL;
		if (rc < 0)
			break;
		/* What has come already is taken before anything is drawn. */
		if (to && (!client_has_next(c) || num_now_ns() - drawn_ns > DRAW_NS)) {
			bars_draw(bars, w, h, &out);
			drawn_ns = num_now_ns();
		}
		if (to)
			write_out(to, &out);
	}
	bars_end(bars, w, h, &out);
	if (to)
		write_out(to, &out);
	return rc;
}

int pull_image(struct cli *cli, const char *name, const char *platform, FILE *to, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	struct client *c = cli_client(cli);
	strbuf_puts(&target, "/images/create");
	client_target_query(&target, "fromImage", name);
	if (platform)
		client_target_query(&target, "platform", platform);
	int rc = login_attach(cli, c, name, err);
	if (rc == 0)
		rc = client_send(c, "POST", target.text, NULL, err);
	if (rc == 0)
		rc = client_receive(c, err);
	if (rc >= 400)
		rc = client_fail(c, err);
	return rc < 0 ? rc : pull_show(c, to, err);
}

int verb_pull(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	bool quiet = args_bool(args, "quiet");
	int rc = pull_image(cli, args->argv[0], args_str(args, "platform", NULL),
			    quiet ? NULL : stdout, &err);
	if (rc < 0)
		return cli_fail(cli, 1, &err);
	if (quiet)
		puts(args->argv[0]);
	return 0;
}

/* ---- run and create ---- */

enum policy { MISSING, ALWAYS, NEVER };

static int policy_of(struct args *args, enum policy *ret, struct err *err)
{
	static const char *const names[] = {
		[MISSING] = "missing", [ALWAYS] = "always", [NEVER] = "never"
	};
	const char *text = args_str(args, "pull", "missing");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*ret = (enum policy)i;
			return 0;
		}
	}
	return err_set(err, EINVAL, "--pull takes missing, always or never, not \"%s\"", text);
}

/* "sha256:..." or all its digits: no registry is asked for that. */
static bool is_id(const char *image)
{
	return !strncmp(image, "sha256:", 7) ||
	       (strspn(image, "0123456789abcdef") == 64 && !image[64]);
}

/* The daemon's two answers for an image that a pull may bring. */
static bool lacks_image(int created, const struct err *err)
{
	return created == -ENOENT && (!strncmp(err->text, "No such image: ", 15) ||
				      !strncmp(err->text, "image with reference ", 21));
}

int pull_for_create(struct cli *cli, struct args *args, int created, struct err *err)
{
	const char *image = args->argv[0];
	FILE *to = args_bool(args, "quiet") ? NULL : stderr;
	enum policy policy = MISSING;
	int rc = policy_of(args, &policy, err);
	if (rc < 0)
		return rc;
	if (created == 0 ? policy != ALWAYS
			 : policy != MISSING || is_id(image) || !lacks_image(created, err))
		return 0;
	if (created < 0 && to)
		(void)fprintf(to, "%s\n", err->text);
	rc = pull_image(cli, image, args_str(args, "platform", NULL), to, err);
	return rc < 0 ? rc : 1;
}
