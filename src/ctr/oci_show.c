/* SPDX-License-Identifier: Apache-2.0 */
/* oci_show - the verbs state, list and ps. */
#include "oci_state.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct show_opts {
	const char *format;
	bool quiet;
};

#define FORMAT_OPTION                                                                              \
	{                                                                                          \
		"format", 'f', OCI_TEXT, offsetof(struct show_opts, format), "FORMAT",             \
			"table (default) or json"                                                  \
	}

static const struct oci_opt list_options[] = {
	FORMAT_OPTION,
	{ "quiet", 'q', OCI_FLAG, offsetof(struct show_opts, quiet), NULL, "only the ids" },
	{ NULL },
};

static const struct oci_opt ps_options[] = { FORMAT_OPTION, { NULL } };

static int check_format(const struct show_opts *o, bool *ret_json, struct err *err)
{
	if (o->format && strcmp(o->format, "json") && strcmp(o->format, "table"))
		return err_set(err, EINVAL, "--format is table or json, not \"%s\"", o->format);
	*ret_json = o->format && !strcmp(o->format, "json");
	return 0;
}

static void print_json(json_object *o, int style)
{
	printf("%s\n", json_object_to_json_string_ext(o, style | JSON_C_TO_STRING_NOSLASHESCAPE));
}

static int run_state(struct oci *oci, void *opts, char **args, struct err *err)
{
	(void)opts;
	struct oci_box box = OCI_BOX_INIT;
	int rc = oci_box_open(oci, args[0], true, &box, err);
	if (rc == 0) {
		cleanup_json json_object *o = oci_box_document(&box);
		print_json(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
	}
	oci_box_fini(&box);
	return rc;
}

/* ---- list ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_ids(const char *root, char ***ret, size_t *ret_n, struct err *err)
{
	DIR *d = opendir(root);
	char **ids = NULL;
	size_t n = 0;
	struct dirent *e;
	*ret = NULL;
	*ret_n = 0;
	if (!d)
		return errno == ENOENT ? 0 : err_sys(err, "cannot read %s", root);
	while ((e = readdir(d))) {
		if (e->d_type != DT_DIR || !id_is_container_id(e->d_name))
			continue;
		char **more = realloc(ids, (n + 1) * sizeof(*ids));
		if (!more)
			break;
		ids = more;
		ids[n++] = strdup(e->d_name);
	}
	(void)closedir(d);
	if (n)
		qsort(ids, n, sizeof(*ids), by_name);
	*ret = ids;
	*ret_n = n;
	return 0;
}

/* Documents of all containers; one that goes away meanwhile is left out. */
static json_object *read_all(struct oci *oci, char **ids, size_t n)
{
	json_object *all = json_object_new_array();
	for (size_t i = 0; i < n; i++) {
		struct oci_box box = OCI_BOX_INIT;
		if (ids[i] && oci_box_open(oci, ids[i], false, &box, NULL) == 0) {
			(void)oci_box_parse(&box, NULL);
			(void)json_object_array_add(all, oci_box_document(&box));
		}
		oci_box_fini(&box);
	}
	return all;
}

static int column_width(json_object *all, const char *key, const char *title)
{
	size_t width = strlen(title);
	for (size_t i = 0; i < json_len(all); i++) {
		size_t n = strlen(json_str_or(json_object_array_get_idx(all, i), key, ""));
		width = n > width ? n : width;
	}
	return (int)width + 3;
}

static void print_table(json_object *all)
{
	int id = column_width(all, "id", "ID"), bundle = column_width(all, "bundle", "BUNDLE");
	int created = column_width(all, "created", "CREATED");
	printf("%-*s%-12s%-11s%-*s%-*s%s\n", id, "ID", "PID", "STATUS", bundle, "BUNDLE", created,
	       "CREATED", "OWNER");
	for (size_t i = 0; i < json_len(all); i++) {
		json_object *o = json_object_array_get_idx(all, i);
		printf("%-*s%-12lld%-11s%-*s%-*s%s\n", id, json_str_or(o, "id", ""),
		       (long long)json_i64_or(o, "pid", 0), json_str_or(o, "status", ""), bundle,
		       json_str_or(o, "bundle", ""), created, json_str_or(o, "created", ""),
		       json_str_or(o, "owner", ""));
	}
}

static int run_list(struct oci *oci, void *opts, char **args, struct err *err)
{
	(void)args;
	const struct show_opts *o = opts;
	bool json = false;
	char buf[PATH_MAX], **ids;
	size_t n;
	int rc = check_format(o, &json, err);
	if (rc == 0)
		rc = read_ids(oci_root(oci, buf, sizeof(buf)), &ids, &n, err);
	if (rc < 0)
		return rc;
	if (o->quiet) {
		for (size_t i = 0; i < n; i++)
			printf("%s\n", ids[i] ? ids[i] : "");
	} else {
		cleanup_json json_object *all = read_all(oci, ids, n);
		if (json)
			print_json(all, JSON_C_TO_STRING_PLAIN);
		else
			print_table(all);
	}
	for (size_t i = 0; i < n; i++)
		free(ids[i]);
	free(ids);
	return 0;
}

/* ---- ps ---- */

static int add_pid(pid_t pid, void *arg)
{
	return json_object_array_add(arg, json_object_new_int(pid)) < 0 ? -ENOMEM : 0;
}

static bool has_pid(json_object *pids, int64_t pid)
{
	for (size_t i = 0; i < json_len(pids); i++)
		if (json_object_get_int64(json_object_array_get_idx(pids, i)) == pid)
			return true;
	return false;
}

/* The column under "PID" of ps(1)'s header, or -1. */
static int pid_column(const char *header)
{
	for (int i = 0; *header && *header != '\n'; i++) {
		header += strspn(header, " \t");
		size_t n = strcspn(header, " \t\n");
		if (n == 3 && !strncmp(header, "PID", 3))
			return i;
		header += n;
	}
	return -1;
}

static int64_t pid_of_line(const char *line, int column)
{
	for (; column > 0; column--) {
		line += strspn(line, " \t");
		line += strcspn(line, " \t");
	}
	return strtoll(line, NULL, 10);
}

/* @ps_args has room for one word before it.
 * ps(1) of the host, cut down to the container's processes. */
static int print_ps(json_object *pids, char **ps_args, struct err *err)
{
	static char name[] = "ps", all[] = "-ef";
	char *usual[] = { name, all, NULL };
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	pid_t child = fork();
	if (child == 0) {
		ps_args[-1] = name;
		(void)dup2(ends[1], 1);
		(void)execvp("ps", ps_args[0] ? ps_args - 1 : usual);
		_exit(127);
	}
	(void)close(ends[1]);
	FILE *in = child < 0 ? NULL : fdopen(ends[0], "r");
	char *line = NULL;
	size_t size = 0;
	int column = -1, rc = 0;
	if (in && getline(&line, &size, in) > 0) {
		column = pid_column(line);
		printf("%s", line);
	}
	while (column >= 0 && getline(&line, &size, in) > 0)
		if (has_pid(pids, pid_of_line(line, column)))
			printf("%s", line);
	if (column < 0)
		rc = err_set(err, EINVAL, "ps(1) shows no PID column; use --format json");
	free(line);
	if (in)
		(void)fclose(in);
	else
		(void)close(ends[0]);
	return rc;
}

static int run_ps(struct oci *oci, void *opts, char **args, struct err *err)
{
	bool json = false;
	struct oci_box box = OCI_BOX_INIT;
	cleanup_json json_object *pids = json_object_new_array();
	int rc = check_format(opts, &json, err);
	if (rc == 0)
		rc = oci_box_open(oci, args[0], false, &box, err);
	cleanup_fd int fd = -1;
	if (rc == 0 && box.ctr.cgroup) {
		fd = cgroup_open(box.ctr.cgroup);
		rc = fd == -ENOENT ? 0 : fd;
		if (fd >= 0)
			rc = cgroup_pids(fd, add_pid, pids);
		if (rc < 0)
			(void)err_rc(err, rc, "cannot read cgroup %s", box.ctr.cgroup);
	} else if (rc == 0 && box.ctr.pidfd >= 0) {
		rc = add_pid(box.ctr.pid, pids);
	}
	if (rc == 0 && json)
		print_json(pids, JSON_C_TO_STRING_PLAIN);
	else if (rc == 0)
		rc = print_ps(pids, args + 1, err);
	oci_box_fini(&box);
	return rc;
}

const struct oci_verb oci_verbs_show[] = {
	{ .name = "state",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "print a container's state as JSON",
	  .run = run_state },
	{ .name = "list",
	  .args = "",
	  .min_args = 0,
	  .max_args = 0,
	  .help = "list the containers",
	  .examples = "  isola-oci list -q\n  isola-oci list --format json\n",
	  .opts = list_options,
	  .opts_size = sizeof(struct show_opts),
	  .run = run_list },
	{ .name = "ps",
	  .args = "ID [PS-OPTION...]",
	  .min_args = 1,
	  .max_args = -1,
	  .in_order = true,
	  .help = "list a container's processes",
	  .examples = "  isola-oci ps web\n  isola-oci ps web -o pid,args\n"
		      "  isola-oci ps --format json web\n",
	  .opts = ps_options,
	  .opts_size = sizeof(struct show_opts),
	  .run = run_ps },
	{ NULL },
};
