/* SPDX-License-Identifier: Apache-2.0 */
/* oci - from argv to a verb. */
#include "oci_log.h"

#include "isola/ctr.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct oci, field)

static const struct oci_opt globals[] = {
	{ "root", 0, OCI_TEXT, AT(root), "DIR", "state of the containers (/run/isola-oci)" },
	{ "log", 0, OCI_TEXT, AT(log), "FILE", "append errors to FILE, too" },
	{ "log-format", 0, OCI_TEXT, AT(log_format), "FORMAT", "text or json" },
	{ "debug", 0, OCI_FLAG, AT(debug), NULL, "log what is done" },
	{ "systemd-cgroup", 0, OCI_FLAG, AT(systemd_cgroup), NULL,
	  "not supported: cgroups are made directly" },
	{ "rootless", 0, OCI_TEXT, AT(rootless), "true|false|auto",
	  "run without a cgroup where none may be made" },
	{ "help", 'h', OCI_FLAG, AT(help), NULL, "show this help, or a verb's" },
	{ "version", 'v', OCI_FLAG, AT(version), NULL, "show the version" },
	{ NULL },
};

static const struct oci_verb *const tables[] = {
	oci_verbs_create, oci_verbs_life,   oci_verbs_exec, oci_verbs_show,
	oci_verbs_update, oci_verbs_events, oci_verbs_spec,
};

static const struct oci_verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct oci_verb *v = tables[i]; v->name; v++)
			if (!strcmp(v->name, name))
				return v;
	return NULL;
}

static void print_help(void)
{
	printf("usage: isola-oci [global options] VERB [options] [arguments]\n\n"
	       "Runs OCI bundles (a folder with config.json and a root file system) as\n"
	       "containers, with runc's command line.\n\nverbs:\n");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		oci_help(tables[i], NULL);
	static const struct oci_verb none[] = { { NULL } };
	oci_help(none, globals);
	printf("\nexamples:\n"
	       "  isola-oci spec && isola-oci run -b . demo\n"
	       "  isola-oci exec -t demo sh\n"
	       "  podman --runtime isola-oci run --rm alpine true\n"
	       "\nisola-oci VERB --help tells more about a verb.\n");
}

static int check_globals(const struct oci *oci, struct err *err)
{
	const char *r = oci->rootless;
	if (oci->systemd_cgroup)
		return err_set(err, EINVAL,
			       "--systemd-cgroup is not supported: isola-oci makes cgroups itself; "
			       "use the cgroupfs manager (podman --cgroup-manager=cgroupfs)");
	if (r && strcmp(r, "true") && strcmp(r, "false") && strcmp(r, "auto"))
		return err_set(err, EINVAL, "--rootless is true, false or auto, not \"%s\"", r);
	return oci_log_check(oci, err);
}

static bool wants_help(char **args, bool in_order)
{
	for (; *args && strcmp(*args, "--") && !(in_order && **args != '-'); args++)
		if (!strcmp(*args, "--help") || !strcmp(*args, "-h"))
			return true;
	return false;
}

static int run_verb(struct oci *oci, const struct oci_verb *verb, char **args, struct err *err)
{
	if (wants_help(args, verb->in_order)) {
		oci_help_verb(verb);
		return 0;
	}
	void *opts = calloc(1, verb->opts_size + 1);
	if (!opts)
		return err_set(err, ENOMEM, "out of memory");
	int n = oci_parse(verb->opts, args, verb->in_order, opts, err);
	int rc = n;
	if (n >= 0 && (n < verb->min_args || (verb->max_args >= 0 && n > verb->max_args)))
		rc = err_set(err, EINVAL, "usage: isola-oci %s %s", verb->name, verb->args);
	if (rc >= 0)
		rc = verb->run(oci, opts, args, err);
	oci_opts_fini(verb->opts, opts);
	free(opts);
	return rc;
}

int oci_main(int argc, char **argv)
{
	struct oci oci = { .verb = NULL };
	struct err err = ERR_INIT;
	int rc = argc > 0 ? ctr_protect_self(argv, &err) : -EINVAL;
	(void)signal(SIGPIPE, SIG_IGN);
	char **words = argv + (argc > 0);
	if (rc == 0)
		rc = oci_parse(globals, words, true, &oci, &err);
	if (rc >= 0 && oci.version) {
		printf("isola-oci version %s\nspec: 1.2.0\n", ISOLA_VERSION);
		return 0;
	}
	if (rc >= 0 && (oci.help || rc == 0 || !strcmp(words[0], "help"))) {
		print_help();
		return 0;
	}
	if (rc >= 0)
		rc = check_globals(&oci, &err);
	const struct oci_verb *verb = rc < 0 ? NULL : find_verb(words[0]);
	if (rc >= 0 && !verb)
		rc = err_set(&err, EINVAL, "unknown verb \"%s\"; isola-oci --help lists them",
			     words[0]);
	if (verb) {
		oci.verb = verb->name;
		rc = run_verb(&oci, verb, words + 1, &err);
	}
	if (rc < 0)
		oci_log(&oci, "error", err.text);
	return rc < 0 ? verb && !strcmp(verb->name, "exec") ? 255 : 1 : rc;
}
