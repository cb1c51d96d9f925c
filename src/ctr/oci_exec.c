/* SPDX-License-Identifier: Apache-2.0 */
/* oci_exec - the verb exec: one more process in a running container. */
#include "oci_payload.h"
#include "oci_state.h"

#include "spec.h"

#include "isola/console.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exec_opts {
	const char *console_socket, *cwd, *user, *process, *pid_file, *process_label, *apparmor,
		*cgroup;
	bool tty, detach, no_new_privs, ignore_paused;
	int preserve_fds;
	struct oci_list env, additional_gids, caps;
};

#define AT(field) offsetof(struct exec_opts, field)

static const struct oci_opt exec_options[] = {
	{ "console-socket", 0, OCI_TEXT, AT(console_socket), "SOCKET",
	  "where to send the terminal's master" },
	{ "cwd", 0, OCI_TEXT, AT(cwd), "DIR", "folder to start in" },
	{ "env", 'e', OCI_LIST, AT(env), "NAME=VALUE", "add to the environment (repeatable)" },
	{ "tty", 't', OCI_FLAG, AT(tty), NULL, "give it a terminal" },
	{ "user", 'u', OCI_TEXT, AT(user), "UID[:GID]", "run as this user" },
	{ "additional-gids", 'g', OCI_LIST, AT(additional_gids), "GID",
	  "add a supplementary group (repeatable)" },
	{ "process", 'p', OCI_TEXT, AT(process), "FILE",
	  "read the whole process object from FILE" },
	{ "detach", 'd', OCI_FLAG, AT(detach), NULL, "return once it runs" },
	{ "pid-file", 0, OCI_TEXT, AT(pid_file), "FILE", "write its pid to FILE" },
	{ "process-label", 0, OCI_TEXT, AT(process_label), "LABEL", "SELinux label" },
	{ "apparmor", 0, OCI_TEXT, AT(apparmor), "PROFILE", "AppArmor profile" },
	{ "no-new-privs", 0, OCI_FLAG, AT(no_new_privs), NULL, "no privileges by setuid programs" },
	{ "cap", 'c', OCI_LIST, AT(caps), "CAP_NAME", "add a capability (repeatable)" },
	{ "preserve-fds", 0, OCI_COUNT, AT(preserve_fds), "N",
	  "pass N more descriptors, from 3 on" },
	{ "cgroup", 0, OCI_TEXT, AT(cgroup), "PATH", "run in this cgroup below the container's" },
	{ "ignore-paused", 0, OCI_FLAG, AT(ignore_paused), NULL,
	  "in a paused container, wait until it is resumed" },
	{ NULL },
};

static int add_caps(json_object *process, const struct oci_list *caps)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	json_object *all = json_get(process, "capabilities");
	if (!all) {
		all = json_object_new_object();
		json_add(process, "capabilities", all);
	}
	for (size_t s = 0; caps->n && s < sizeof(sets) / sizeof(sets[0]); s++) {
		json_object *list = json_get(all, sets[s]);
		if (!json_object_is_type(list, json_type_array)) {
			list = json_object_new_array();
			json_add(all, sets[s], list);
		}
		for (size_t i = 0; i < caps->n; i++)
			(void)json_object_array_add(list, json_object_new_string(caps->items[i]));
	}
	return 0;
}

static int set_user(json_object *process, const char *text, struct err *err)
{
	char uid_text[16] = "";
	const char *colon = strchr(text, ':');
	int64_t uid, gid = 0;
	size_t n = colon ? (size_t)(colon - text) : strlen(text);
	if (n < sizeof(uid_text))
		memcpy(uid_text, text, n);
	if (num_parse_range(uid_text, 0, UINT32_MAX - 1, &uid) < 0 ||
	    (colon && num_parse_range(colon + 1, 0, UINT32_MAX - 1, &gid) < 0))
		return err_set(err, EINVAL, "--user takes UID[:GID], numbers, not \"%s\"", text);
	json_object *user = json_object_new_object();
	json_add_i64(user, "uid", uid);
	/* As runc: without a group the one of config.json stays. */
	json_add_i64(user, "gid", colon ? gid : json_i64_or(json_get(process, "user"), "gid", 0));
	json_add(process, "user", user);
	return 0;
}

static int add_groups(json_object *process, const struct oci_list *gids, struct err *err)
{
	if (!gids->n)
		return 0;
	json_object *user = json_get(process, "user"), *list = json_object_new_array();
	for (size_t i = 0; i < gids->n; i++) {
		int64_t gid;
		if (num_parse_range(gids->items[i], 0, UINT32_MAX - 1, &gid) < 0) {
			json_object_put(list);
			return err_set(err, EINVAL, "--additional-gids takes numbers, not \"%s\"",
				       gids->items[i]);
		}
		(void)json_object_array_add(list, json_object_new_int64(gid));
	}
	if (!user) {
		user = json_object_new_object();
		json_add(process, "user", user);
	}
	json_add(user, "additionalGids", list);
	return 0;
}

static void add_env(json_object *process, const struct oci_list *env)
{
	json_object *list = json_get(process, "env");
	if (env->n && !json_object_is_type(list, json_type_array)) {
		list = json_object_new_array();
		json_add(process, "env", list);
	}
	for (size_t i = 0; i < env->n; i++)
		(void)json_object_array_add(list, json_object_new_string(env->items[i]));
}

/* The container's own process, changed by the options. */
static int adapt_process(json_object *process, const struct exec_opts *o, char **command,
			 struct err *err)
{
	json_object *args = json_object_new_array();
	for (; *command; command++)
		(void)json_object_array_add(args, json_object_new_string(*command));
	json_add(process, "args", args);
	json_add_bool(process, "terminal", o->tty);
	if (o->cwd)
		json_add_str(process, "cwd", o->cwd);
	if (o->process_label)
		json_add_str(process, "selinuxLabel", o->process_label);
	if (o->apparmor)
		json_add_str(process, "apparmorProfile", o->apparmor);
	if (o->no_new_privs)
		json_add_bool(process, "noNewPrivileges", true);
	add_env(process, &o->env);
	int rc = o->user ? set_user(process, o->user, err) : 0;
	if (rc == 0)
		rc = add_groups(process, &o->additional_gids, err);
	return rc < 0 ? rc : add_caps(process, &o->caps);
}

static int make_process(const struct oci_box *box, const struct exec_opts *o, char **command,
			struct ctr_process **ret, struct err *err)
{
	cleanup_json json_object *doc = NULL;
	int rc = 0;
	if (o->process) {
		if (*command)
			return err_set(err, EINVAL, "--process and a command exclude each other");
		rc = json_read_file(AT_FDCWD, o->process, OCI_CONFIG_MAX, &doc, err);
		if (rc == 0 && o->tty)
			json_add_bool(doc, "terminal", true);
	} else if (!*command) {
		return err_set(err, EINVAL, "exec needs a command, or --process");
	} else {
		doc = json_copy(json_get(box->config, "process"));
		if (!doc)
			doc = json_object_new_object();
		if (!json_get(doc, "cwd"))
			json_add_str(doc, "cwd", "/");
		rc = adapt_process(doc, o, command, err);
	}
	return rc < 0 ? rc : ctr_process_parse(doc, ret, err);
}

/* "--cgroup PATH" or, as runc has it, "controller:PATH"; with one hierarchy the
 * controller does not matter. */
static int choose_cgroup(const struct oci_box *box, const char *sub, char **ret, struct err *err)
{
	const char *own = box->ctr.cgroup;
	if (!own || !sub) {
		*ret = own ? strdup(own) : NULL;
		return sub && !own ? err_set(err, EINVAL, "--cgroup: the container has none") : 0;
	}
	const char *colon = strchr(sub, ':');
	sub = colon ? colon + 1 : sub;
	sub += strspn(sub, "/");
	for (const char *p = sub; *p; p += strcspn(p, "/"), p += strspn(p, "/"))
		if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/'))
			return err_set(err, EINVAL, "--cgroup must not hold \"..\"");
	return asprintf(ret, "%s/%s", own, sub) < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int finish(const struct exec_opts *o, struct ctr_child *child, int console_sock,
		  struct err *err)
{
	int rc = 0;
	if (console_sock >= 0) {
		rc = console_send(console_sock, child->console_fd, "terminal");
		if (rc < 0)
			(void)err_rc(err, rc, "cannot send the terminal to --console-socket");
		fd_close(&child->console_fd);
	}
	if (rc == 0)
		rc = oci_write_pid_file(o->pid_file, child->pid, err);
	if (rc == 0 && !o->detach)
		rc = oci_wait(child->pid, child->pidfd, child->console_fd, err);
	fd_close(&child->pidfd);
	fd_close(&child->console_fd);
	return rc;
}

static int exec_in(const struct oci_box *box, const struct exec_opts *o,
		   const struct ctr_process *process, const char *cgroup, struct err *err)
{
	int rc =
		oci_check_console(ctr_process_terminal(process), o->detach, o->console_socket, err);
	cleanup_fd int sock = -1, cache = -1;
	if (rc == 0 && o->console_socket)
		rc = sock = oci_console_connect(o->console_socket, err);
	if (rc < 0)
		return rc;
	cache = box->spec->seccomp ? oci_box_cache(box) : -1;
	struct ctr_exec_args args = {
		.id = box->id,
		.pid = box->ctr.pid,
		.pidfd = box->ctr.pidfd,
		.cgroup = cgroup,
		.spec = box->spec,
		.process = process,
		.stdio = { 0, 1, 2 },
		.preserve_fds = o->preserve_fds,
		.cache_fd = cache,
		.into_paused = o->ignore_paused,
	};
	struct ctr_child child;
	if (!o->detach)
		oci_block_signals();
	rc = ctr_exec(&args, &child, err);
	return rc < 0 ? err_prefix(err, "exec failed") : finish(o, &child, sock, err);
}

static int run_exec(struct oci *oci, void *opts, char **args, struct err *err)
{
	const struct exec_opts *o = opts;
	struct oci_box box = OCI_BOX_INIT;
	struct ctr_process *process = NULL;
	cleanup_free char *cgroup = NULL;
	int rc = oci_box_open(oci, args[0], true, &box, err);
	if (rc == 0 && box.ctr.pidfd < 0)
		rc = err_set(err, ESRCH, "cannot exec in a stopped container: \"%s\"", args[0]);
	if (rc == 0)
		rc = make_process(&box, o, args + 1, &process, err);
	if (rc == 0)
		rc = choose_cgroup(&box, o->cgroup, &cgroup, err);
	if (rc == 0)
		rc = exec_in(&box, o, process, cgroup, err);
	ctr_process_free(process);
	oci_box_fini(&box);
	return rc;
}

const struct oci_verb oci_verbs_exec[] = {
	{ .name = "exec",
	  .args = "ID COMMAND [ARG...]",
	  .min_args = 1,
	  .max_args = -1,
	  .in_order = true,
	  .help = "run one more process in a running container",
	  .examples = "  isola-oci exec -t web sh\n"
		      "  isola-oci exec -u 1000:1000 --cwd /srv web ls -l\n"
		      "  isola-oci exec --process process.json -d --pid-file /run/p.pid web\n",
	  .opts = exec_options,
	  .opts_size = sizeof(struct exec_opts),
	  .run = run_exec },
	{ NULL },
};
