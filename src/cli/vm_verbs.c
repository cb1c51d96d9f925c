/* SPDX-License-Identifier: Apache-2.0 */
/* vm_verbs - see vm_verbs.h: the buttons of a machine. Runs in vmctl. */
#include "vm_verbs.h"

#include "verbs.h"

#include <errno.h>

const struct flag flags_vm_run[] = {
	{ "detach", 'd', FLAG_BOOL, NULL, "run in the background and print the id" },
	{ "detach-keys", 0, FLAG_STR, "keys", "sequence that detaches (ctrl-p,ctrl-q)" },
	{ "sig-proxy", 0, FLAG_BOOL, NULL,
	  "a signal presses the power button, the next cuts the power (default true)" },
	{ .name = NULL },
};

const struct flag flags_vm_stop[] = {
	{ "time", 't', FLAG_INT, "seconds", "wait this long before power off; -1 = for ever" },
	{ "timeout", 0, FLAG_INT, "seconds", "same as --time" },
	{ .name = NULL },
};

const struct flag flags_vm_rm[] = {
	{ "force", 'f', FLAG_BOOL, NULL, "cut its power first when it runs" },
	{ .name = NULL },
};

const struct flag flags_console[] = {
	{ "no-stdin", 0, FLAG_BOOL, NULL, "only look" },
	{ "detach-keys", 0, FLAG_STR, "keys", "sequence that detaches (ctrl-p,ctrl-q)" },
	{ .name = NULL },
};

static int press(struct cli *cli, const char *ref, const char *button, struct err *err)
{
	if (cli->kind != cli->own)
		return err_set(err, EINVAL,
			       "%s runs an image, and has no such button; vmctl stop, kill and "
			       "restart are for its process",
			       ref);
	return cli_call(cli, "POST", ref, button, NULL, NULL, err);
}

static int kill_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	(void)args;
	return cli_call(cli, "POST", ref, "/kill", NULL, NULL, err);
}

int verb_vm_kill(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, kill_one, true);
}

static int reset_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	(void)args;
	return press(cli, ref, "/reset", err);
}

int verb_reset(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, reset_one, true);
}

static int powerdown_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	(void)args;
	return press(cli, ref, "/powerdown", err);
}

int verb_powerdown(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, powerdown_one, true);
}

static int nmi_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	(void)args;
	return press(cli, ref, "/nmi", err);
}

int verb_nmi(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, nmi_one, true);
}

int verb_vm_exec(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	const char *ref = args->argv[0];
	cli_choose(cli, ref);
	if (cli->kind != cli->own)
		return verb_exec(cli, args);
	if (cli_call(cli, "GET", ref, "/json", NULL, NULL, &err) >= 0)
		(void)err_set(&err, EINVAL,
			      "%s is a machine of disks, in which nobody listens for a command; "
			      "its serial port: vmctl console",
			      ref);
	return cli_fail(cli, 1, &err);
}
