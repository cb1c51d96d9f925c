/* SPDX-License-Identifier: Apache-2.0 */
/* oci_spec - the verbs spec and features. */
#include "oci_cli.h"

#include "isola/ctr.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct spec_opts {
	const char *bundle;
	bool rootless;
};

static const struct oci_opt spec_options[] = {
	{ "bundle", 'b', OCI_TEXT, offsetof(struct spec_opts, bundle), "DIR",
	  "where to write config.json (.)" },
	{ "rootless", 0, OCI_FLAG, offsetof(struct spec_opts, rootless), NULL,
	  "for a caller without root" },
	{ NULL },
};

static const char *pretty(json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
}

static int run_spec(struct oci *oci, void *opts, char **args, struct err *err)
{
	(void)oci;
	(void)args;
	const struct spec_opts *o = opts;
	const char *dir = o->bundle ? o->bundle : ".";
	cleanup_json json_object *spec = ctr_spec_default(o->rootless);
	const char *text = spec ? pretty(spec) : NULL;
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	cleanup_fd int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return err_sys(err, "cannot open the bundle %s", dir);
	cleanup_fd int fd =
		openat(dir_fd, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno == EEXIST
			       ? err_set(err, EEXIST, "config.json exists already: remove it first")
			       : err_sys(err, "cannot write config.json");
	int rc = fd_write_all(fd, text, strlen(text));
	return rc < 0 ? err_rc(err, rc, "cannot write config.json") : 0;
}

static int run_features(struct oci *oci, void *opts, char **args, struct err *err)
{
	(void)oci;
	(void)opts;
	(void)args;
	cleanup_json json_object *features = ctr_features();
	if (!features)
		return err_set(err, ENOMEM, "out of memory");
	printf("%s\n", pretty(features));
	return 0;
}

const struct oci_verb oci_verbs_spec[] = {
	{ .name = "spec",
	  .args = "",
	  .min_args = 0,
	  .max_args = 0,
	  .help = "write a config.json to start from",
	  .examples = "  mkdir -p demo/rootfs/bin && cp /bin/busybox demo/rootfs/bin/sh\n"
		      "  isola-oci spec -b demo && isola-oci run -b demo demo\n",
	  .opts = spec_options,
	  .opts_size = sizeof(struct spec_opts),
	  .run = run_spec },
	{ .name = "features",
	  .args = "",
	  .min_args = 0,
	  .max_args = 0,
	  .help = "print what this runtime supports, as JSON",
	  .run = run_features },
	{ NULL },
};
