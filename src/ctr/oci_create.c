/* SPDX-License-Identifier: Apache-2.0 */
/* oci_create - the verbs create, run and start. */
#include "oci_log.h"
#include "oci_payload.h"
#include "oci_state.h"

#include "spec.h"

#include "isola/cgroup.h"
#include "isola/console.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct create_opts {
	const char *bundle, *console_socket, *pid_file;
	bool no_pivot, no_new_keyring, detach, keep, no_subreaper;
	int preserve_fds;
};

#define AT(field) offsetof(struct create_opts, field)
#define CREATE_OPTIONS                                                                             \
	{ "bundle", 'b', OCI_TEXT, AT(bundle), "DIR", "folder of config.json (.)" },               \
		{ "console-socket",   0,        OCI_TEXT,                                          \
		  AT(console_socket), "SOCKET", "where to send the terminal's master" },           \
		{ "pid-file", 0, OCI_TEXT, AT(pid_file), "FILE", "write init's pid to FILE" },     \
		{ "no-pivot",   0,    OCI_FLAG,                                                    \
		  AT(no_pivot), NULL, "chroot instead of pivot_root (initramfs); weaker" },        \
		{ "no-new-keyring",   0,    OCI_FLAG,                                              \
		  AT(no_new_keyring), NULL, "keep the caller's session keyring" },                 \
	{                                                                                          \
		"preserve-fds", 0, OCI_COUNT, AT(preserve_fds), "N",                               \
			"pass N more descriptors, from 3 (+ LISTEN_FDS) on"                        \
	}

static const struct oci_opt create_options[] = { CREATE_OPTIONS, { NULL } };

static const struct oci_opt run_options[] = {
	CREATE_OPTIONS,
	{ "detach", 'd', OCI_FLAG, AT(detach), NULL, "return once the payload runs" },
	{ "keep", 0, OCI_FLAG, AT(keep), NULL, "do not delete the container when it has ended" },
	{ "no-subreaper", 0, OCI_FLAG, AT(no_subreaper), NULL,
	  "leave orphans of a container without pid namespace to init(1)" },
	{ NULL },
};

/* One create on its way. */
struct creating {
	const struct oci *oci;
	const struct create_opts *opts;
	const char *id;
	struct oci_box box;
	struct ctr *ctr;
	int bundle_fd, gate_fd, console_sock, cache_fd;
};

static char *absolute(const char *base, const char *path)
{
	char *out = NULL;
	if (*path == '/')
		return strdup(path);
	return asprintf(&out, "%s/%s", base, path) < 0 ? NULL : out;
}

static int open_bundle(struct creating *c, struct err *err)
{
	const char *path = c->opts->bundle ? c->opts->bundle : ".";
	c->bundle_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->bundle_fd < 0)
		return err_sys(err, "cannot open the bundle %s", path);
	c->box.bundle = realpath(path, NULL);
	return c->box.bundle ? 0 : err_sys(err, "cannot resolve the bundle %s", path);
}

static int read_config(struct creating *c, char **ret_text, size_t *ret_size, struct err *err)
{
	struct oci_box *box = &c->box;
	int rc = fd_read_file(c->bundle_fd, "config.json", OCI_CONFIG_MAX, ret_text, ret_size, err);
	if (rc == 0)
		rc = json_parse(*ret_text, *ret_size, "config.json", &box->config, err);
	if (rc == 0)
		rc = ctr_spec_parse(box->config, &box->spec, err);
	if (rc < 0)
		return err_prefix(err, "bundle %s", box->bundle);
	box->rootfs = absolute(box->bundle, box->spec->root_path);
	return 0;
}

/* Bound by way of the folder's descriptor: the path may be long. */
static int listen_at_gate(struct creating *c, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", c->box.dir_fd,
		       OCI_START_SOCK);
	cleanup_fd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0 || bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(sock, 4) < 0)
		return err_sys(err, "cannot make the start socket of %s", c->id);
	c->gate_fd = take_fd(&sock);
	return 0;
}

static void describe(struct oci_box *box)
{
	char now[40], owner[32];
	(void)num_format_time(num_now_ns(), now, sizeof(now));
	(void)snprintf(owner, sizeof(owner), "%u", geteuid());
	box->created = strdup(now);
	box->owner = strdup(geteuid() == 0 ? "root" : owner);
}

/* The pid is known: from here on a delete finds everything. */
static int save(const struct ctr *ctr, void *arg, struct err *err)
{
	struct creating *c = arg;
	struct oci_box box = c->box;
	box.ctr = *ctr;
	return oci_box_save(&box, err);
}

/* The first user namespace has this inode in every kernel (PROC_USER_INIT_INO). */
#define INIT_USER_NS 0xEFFFFFFDU

static bool cgroup_is_optional(const struct oci *oci)
{
	struct stat st;
	if (oci->rootless && strcmp(oci->rootless, "auto"))
		return !strcmp(oci->rootless, "true");
	return geteuid() != 0 ||
	       (stat("/proc/self/ns/user", &st) == 0 && st.st_ino != INIT_USER_NS);
}

static int make_container(struct creating *c, struct err *err)
{
	int listen_fds = oci_listen_fds();
	const struct ctr_create_args args = {
		.id = c->id,
		.spec = c->box.spec,
		.root = { .upper_fd = -1, .work_fd = -1 },
		.bundle_fd = c->bundle_fd,
		.bundle_path = c->box.bundle,
		.cgroup_optional = cgroup_is_optional(c->oci),
		.stdio = { 0, 1, 2 },
		.preserve_fds = listen_fds + c->opts->preserve_fds,
		.listen_fds = listen_fds,
		.cache_fd = c->cache_fd,
		.gate_fd = c->gate_fd,
		.no_new_keyring = c->opts->no_new_keyring,
		.no_pivot = c->opts->no_pivot,
		.on_cloned = save,
		.on_cloned_arg = c,
	};
	int rc = ctr_create(&args, &c->ctr, err);
	if (rc < 0)
		return rc;
	if (c->console_sock >= 0) {
		rc = console_send(c->console_sock, c->ctr->console_fd, "terminal");
		if (rc < 0)
			return err_rc(err, rc, "cannot send the terminal to --console-socket");
		fd_close(&c->ctr->console_fd);
	}
	return oci_write_pid_file(c->opts->pid_file, c->ctr->pid, err);
}

static int check_terminal(struct creating *c, bool detached, struct err *err)
{
	const struct ctr_process *p = ctr_spec_process(c->box.spec);
	const char *path = c->opts->console_socket;
	int rc = oci_check_console(p && ctr_process_terminal(p), detached, path, err);
	if (rc < 0 || !path)
		return rc;
	c->console_sock = oci_console_connect(path, err);
	return c->console_sock < 0 ? c->console_sock : 0;
}

/* Up to the gate. On failure everything made is gone again. */
static int prepare(struct creating *c, bool detached, bool gate, struct err *err)
{
	cleanup_free char *config = NULL;
	size_t size = 0;
	int rc = open_bundle(c, err);
	if (rc == 0)
		rc = read_config(c, &config, &size, err);
	if (rc == 0)
		rc = check_terminal(c, detached, err);
	if (rc < 0)
		return rc;
	describe(&c->box);
	rc = oci_box_new(c->oci, c->id, config, size, &c->box, err);
	if (rc == -EEXIST || !c->box.locked)
		return rc;
	if (rc == 0 && gate)
		rc = listen_at_gate(c, err);
	if (c->box.spec->seccomp)
		c->cache_fd = oci_box_cache(&c->box);
	if (rc == 0)
		rc = make_container(c, err);
	if (rc < 0) {
		if (c->ctr)
			(void)ctr_delete(c->ctr, c->box.spec, NULL);
		(void)oci_box_remove(&c->box, NULL);
	}
	return rc;
}

static void creating_fini(struct creating *c)
{
	ctr_free(c->ctr);
	fd_close(&c->bundle_fd);
	fd_close(&c->gate_fd);
	fd_close(&c->console_sock);
	fd_close(&c->cache_fd);
	oci_box_fini(&c->box);
}

#define CREATING_INIT(oci_, opts_, id_)                                                            \
	{                                                                                          \
		.oci = (oci_), .opts = (opts_), .id = (id_), .box = OCI_BOX_INIT, .bundle_fd = -1, \
		.gate_fd = -1, .console_sock = -1, .cache_fd = -1                                  \
	}

static int run_create(struct oci *oci, void *opts, char **args, struct err *err)
{
	struct creating c = CREATING_INIT(oci, opts, args[0]);
	int rc = prepare(&c, true, true, err);
	if (rc == 0) {
		rc = ctr_let_go(c.ctr, err);
		if (rc < 0) {
			(void)ctr_delete(c.ctr, c.box.spec, NULL);
			(void)oci_box_remove(&c.box, NULL);
		}
	}
	creating_fini(&c);
	return rc;
}

static int finish(struct creating *c, int status, struct err *err)
{
	struct err mine = ERR_INIT;
	int rc = ctr_delete(c->ctr, c->box.spec, &mine);
	if (rc == 0)
		rc = oci_box_remove(&c->box, &mine);
	if (rc < 0 && status >= 0)
		return err_copy(err, &mine);
	return status;
}

static int run_run(struct oci *oci, void *opts, char **args, struct err *err)
{
	const struct create_opts *o = opts;
	struct creating c = CREATING_INIT(oci, o, args[0]);
	if (!o->detach)
		oci_block_signals();
	int rc = prepare(&c, o->detach, false, err);
	if (rc < 0) {
		creating_fini(&c);
		return rc;
	}
	if (!o->detach && !o->no_subreaper && c.box.spec->ns[CTR_NS_PID].mode != CTR_NS_NEW)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	rc = ctr_start(c.ctr, c.box.spec, err);
	oci_box_unlock(&c.box);
	if (rc == 0 && !o->detach)
		rc = oci_wait(c.ctr->pid, c.ctr->pidfd, c.ctr->console_fd, err);
	if (rc < 0 || (!o->detach && !o->keep))
		rc = finish(&c, rc, err);
	creating_fini(&c);
	return rc;
}

static int connect_gate(const struct oci_box *box, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", box->dir_fd,
		       OCI_START_SOCK);
	cleanup_fd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return errno == ENOENT || errno == ECONNREFUSED
			       ? err_set(err, EINVAL, "cannot start container \"%s\": it is %s",
					 box->id, oci_status_names[oci_box_status(box)])
			       : err_sys(err, "cannot reach container \"%s\"", box->id);
	return take_fd(&sock);
}

static int run_start(struct oci *oci, void *opts, char **args, struct err *err)
{
	(void)opts;
	struct oci_box box = OCI_BOX_INIT;
	int rc = oci_box_open(oci, args[0], true, &box, err);
	if (rc == 0)
		rc = oci_box_lock(&box, err);
	if (rc == 0)
		rc = connect_gate(&box, err);
	if (rc >= 0)
		rc = ctr_gate_open(rc, &box.ctr, box.spec, box.bundle ? box.bundle : "", err);
	if (rc == 0)
		(void)unlinkat(box.dir_fd, OCI_START_SOCK, 0);
	oci_box_fini(&box);
	return rc;
}

const struct oci_verb oci_verbs_create[] = {
	{ .name = "create",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "make a container, up to the start of its process",
	  .examples = "  isola-oci create -b /bundles/web --pid-file /run/web.pid web\n",
	  .opts = create_options,
	  .opts_size = sizeof(struct create_opts),
	  .run = run_create },
	{ .name = "start",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "start the process of a created container",
	  .run = run_start },
	{ .name = "run",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "create and start a container, wait for it, delete it",
	  .examples = "  isola-oci run -b /bundles/web web\n"
		      "  isola-oci run --detach -b /bundles/web web\n",
	  .opts = run_options,
	  .opts_size = sizeof(struct create_opts),
	  .run = run_run },
	{ NULL },
};
