/* SPDX-License-Identifier: Apache-2.0 */
/* copy - the jobs of isola-image that work on a container's files and not on the
 * store: stat, get, put, export, changes, fill, clone. Each runs behind view_enter() and
 * confine_view(). Paths are as Docker reads them: absolute, resolved inside the
 * container's root; the last component is not followed, but with a slash or "/."
 * behind it.
 *
 * What comes on standard output, a JSON object a line:
 *   stat     {"aux":{"name","size","mode","mtime","linkTarget"}}
 *   get      {"stat":{...}}, then the archive to the descriptor that standard
 *            input's other end sends; {"aux":{}}
 *   export   {"stat":{}}, the same
 *   put      reads the request's body from standard input; {"aux":{}}
 *   fill     copies the image's folder into a new volume; {"aux":{"Filled"}}
 *   clone    copies all of one volume's folder into another;
 *            {"aux":{"Bytes","SharedBytes"}}: of how many the blocks are shared
 *   changes  {"stat":{}}, then [{"Path","Kind"}] to that descriptor; {"aux":{}}
 * "mode" and "Kind" are Docker's: Go's file mode bits; 0 changed, 1 added, 2 gone.
 * Failed: {"error","errno"}. */
#pragma once

#include "isola/err.h"
#include "image.h"
#include "view.h"

#include <json-c/json.h>

struct copy_options {
	const char *path;
	bool keep_kinds;  /* --no-overwrite-dir-non-dir */
	const char *user; /* --owner: whose what is copied becomes; NULL = the archive's */
	uint64_t entries_max, bytes_max;
};

int copy_stat(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err);
int copy_get(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err);
int copy_put(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err);
int copy_export(struct view *v, const struct copy_options *o, json_object **ret_aux,
		struct err *err);
int copy_changes(struct view *v, const struct copy_options *o, json_object **ret_aux,
		 struct err *err);
/* fill.c; without devices. {"aux":{"Filled": bool}} */
int copy_fill(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err);
/* clone.c */
int copy_clone(struct view *v, const struct copy_options *o, json_object **ret_aux,
	       struct err *err);
