/* SPDX-License-Identifier: Apache-2.0 */
/* isola-image - one job on the image store: load, import, tag, untag, delete,
 * check, verify, root. isolad starts it, archives come on standard input, progress goes to
 * standard output (isola/image.h). Everything of the command line is judged,
 * then the process confines itself, then the first foreign byte is read. */
#include "isola/image.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/log.h"
#include "isola/num.h"
#include "isola/path.h"
#include "build.h"
#include "cancel.h"
#include "commit.h"
#include "confine.h"
#include "copy.h"
#include "image.h"
#include "login.h"
#include "mkfs.h"
#include "progress.h"
#include "pull.h"
#include "push.h"
#include "root.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BYTES_MAX_DEFAULT   (64ULL << 30)
#define ENTRIES_MAX_DEFAULT 4000000
#define CHANGES_MAX         256
#define TALK_FD             3

struct options {
	const char *state;
	struct limits limits;
	struct import_options import;
	char *changes[CHANGES_MAX];
	bool require_landlock, repair, deep, all_tags;
	uint64_t parent; /* 0 = nobody's end is ours */
	const char *registries, *server;
	struct registry registry;
	struct net *net;
	struct copy_options copy;
	struct view view; /* of verbs with a spec: only that */
	char *const *args;
	int n_args;
};

typedef int job_fn(const struct store *s, const struct options *o, json_object **ret_aux,
		   struct err *err);

static int run_load(const struct store *s, const struct options *o, json_object **ret_aux,
		    struct err *err)
{
	return job_load(s, &o->limits, ret_aux, err);
}

static int run_import(const struct store *s, const struct options *o, json_object **ret_aux,
		      struct err *err)
{
	return job_import(s, &o->limits, &o->import, ret_aux, err);
}

/* "sha256:<hex>" or the digits alone. */
static int full_id(const char *text, char ret[DIGEST_SIZE], struct err *err)
{
	char id[DIGEST_SIZE + 8];
	(void)snprintf(id, sizeof(id), "%s%.72s", strncmp(text, "sha256:", 7) ? "sha256:" : "",
		       text);
	if (!id_is_digest(id))
		return err_set(err, EINVAL, "\"%.100s\" is no image id (sha256:<64 hex digits>)",
			       text);
	strcpy(ret, id);
	return 0;
}

static int run_tag(const struct store *s, const struct options *o, json_object **ret_aux,
		   struct err *err)
{
	char id[DIGEST_SIZE];
	int rc = full_id(o->args[0], id, err);
	return rc < 0 ? rc : job_tag(s, id, o->args[1], ret_aux, err);
}

static int run_untag(const struct store *s, const struct options *o, json_object **ret_aux,
		     struct err *err)
{
	return job_untag(s, o->args[0], ret_aux, err);
}

static int run_delete(const struct store *s, const struct options *o, json_object **ret_aux,
		      struct err *err)
{
	char(*ids)[DIGEST_SIZE] = calloc((size_t)o->n_args, DIGEST_SIZE);
	int rc = ids ? 0 : err_set(err, ENOMEM, "out of memory");
	for (int i = 0; rc == 0 && i < o->n_args; i++)
		rc = full_id(o->args[i], ids[i], err);
	if (rc == 0)
		rc = job_delete(s, (const char(*)[DIGEST_SIZE])ids, (size_t)o->n_args, ret_aux,
				err);
	free(ids);
	return rc;
}

static int run_check(const struct store *s, const struct options *o, json_object **ret_aux,
		     struct err *err)
{
	(void)o;
	return job_check(s, ret_aux, err);
}

static int run_verify(const struct store *s, const struct options *o, json_object **ret_aux,
		      struct err *err)
{
	return job_verify(s, &o->limits, o->repair, o->deep, ret_aux, err);
}

static int run_commit(const struct store *s, const struct options *o, json_object **ret_aux,
		      struct err *err)
{
	return job_commit(s, &o->limits, o->view.spec, o->view.proc_fd, ret_aux, err);
}

static int run_save(const struct store *s, const struct options *o, json_object **ret_aux,
		    struct err *err)
{
	return job_save(s, o->view.spec, ret_aux, err);
}

static int run_pull(const struct store *s, const struct options *o, json_object **ret_aux,
		    struct err *err)
{
	const struct pull_options pull = { .ref = o->import.ref, .platform = o->import.platform };
	return job_pull(s, &o->limits, &o->registry, o->net, &pull, ret_aux, err);
}

static int run_build(const struct store *s, const struct options *o, json_object **ret_aux,
		     struct err *err)
{
	return job_build(s, &o->limits, TALK_FD, o->view.proc_fd, ret_aux, err);
}

static int run_push(const struct store *s, const struct options *o, json_object **ret_aux,
		    struct err *err)
{
	char full[IMAGE_REF_MAX];
	const struct push_options push = { .ref = full, .all_tags = o->all_tags };
	int rc = image_ref_normalize(o->import.ref, full, sizeof(full), err);
	return rc < 0 ? rc : job_push(s, &o->registry, o->net, &push, ret_aux, err);
}

static int run_login(const struct store *s, const struct options *o, json_object **ret_aux,
		     struct err *err)
{
	(void)s;
	return job_login(&o->registry, o->net, ret_aux, err);
}

static int run_root(const struct store *s, const struct options *o, json_object **ret_aux,
		    struct err *err)
{
	char id[DIGEST_SIZE];
	int rc = full_id(o->args[0], id, err);
	return rc < 0 ? rc : job_root(s, &o->limits, id, ret_aux, err);
}

struct verb {
	const char *name;
	job_fn *run;
	int n_args;
	bool foreign; /* reads an archive */
	const char *usage;
	/* On a container's files (copy.h), not on the store. */
	int (*copy)(struct view *v, const struct copy_options *o, json_object **ret_aux,
		    struct err *err);
	bool reads_marks;
	const char *actions; /* of a registry, for the verbs that go there; "" = to log in */
	bool spec;           /* a JSON text on descriptor 3 says what is to be done */
	bool many;           /* more arguments than n_args are fine */
	bool mkfs;           /* has mkfs.erofs at hand, by descriptor 3 */
	bool talks;          /* descriptor 3 stays open: isolad answers there */
};

static const struct verb verbs[] = {
	{ "load", run_load, 0, true, "load --state DIR < ARCHIVE" },
	{ "pull", run_pull, 0, true,
	  "pull --state DIR --ref REF [--platform OS/ARCH] [--registries FILE] < AUTH",
	  .actions = "pull" },
	{ "push", run_push, 0, false,
	  "push --state DIR --ref REF [--all-tags] [--registries FILE] < AUTH",
	  .actions = "pull,push" },
	{ "login", run_login, 0, false,
	  "login --state DIR --server HOST [--registries FILE] < AUTH", .actions = "" },
	{ "import", run_import, 0, true,
	  "import --state DIR [--ref REF] [--message TEXT] [--change INSTR]... [--platform "
	  "OS/ARCH] < ROOTFS.tar" },
	{ "tag", run_tag, 2, false, "tag --state DIR ID REF" },
	{ "untag", run_untag, 1, false, "untag --state DIR REF" },
	{ "delete", run_delete, 1, false, "delete --state DIR ID...", .many = true },
	{ "check", run_check, 0, false, "check --state DIR" },
	{ "verify", run_verify, 0, true, "verify --state DIR [--deep] [--repair]" },
	{ "root", run_root, 1, true, "root --state DIR ID", .mkfs = true },
	{ "commit", run_commit, 0, true, "commit --state DIR 3< COMMIT_SPEC", .spec = true },
	{ "build", run_build, 0, true, "build --state DIR 3< TALK < CONTEXT", .talks = true },
	{ "save", run_save, 0, false, "save --state DIR 3< SAVE_SPEC", .spec = true },
	{ "cp-stat", NULL, 1, true, "cp-stat PATH 3< VIEW_SPEC", copy_stat },
	{ "cp-get", NULL, 1, true, "cp-get PATH 3< VIEW_SPEC", copy_get },
	{ "cp-put", NULL, 1, true, "cp-put [--keep-kinds] [--owner USER] PATH 3< VIEW_SPEC < BODY",
	  copy_put },
	{ "cp-export", NULL, 0, true, "cp-export 3< VIEW_SPEC", copy_export },
	{ "cp-changes", NULL, 0, true, "cp-changes 3< VIEW_SPEC", copy_changes,
	  .reads_marks = true },
	{ "cp-fill", NULL, 1, true, "cp-fill PATH 3< VIEW_SPEC", copy_fill },
	{ "cp-clone", NULL, 0, true, "cp-clone 3< VIEW_SPEC", copy_clone },
};

static const struct option flags[] = {
	{ "state", required_argument, NULL, 's' },
	{ "ref", required_argument, NULL, 'r' },
	{ "message", required_argument, NULL, 'm' },
	{ "change", required_argument, NULL, 'c' },
	{ "platform", required_argument, NULL, 'p' },
	{ "max-bytes", required_argument, NULL, 'b' },
	{ "max-entries", required_argument, NULL, 'e' },
	{ "require-landlock", no_argument, NULL, 'l' },
	{ "parent", required_argument, NULL, 'P' },
	{ "registries", required_argument, NULL, 'g' },
	{ "all-tags", no_argument, NULL, 'a' },
	{ "server", required_argument, NULL, 'S' },
	{ "repair", no_argument, NULL, 'R' },
	{ "deep", no_argument, NULL, 'D' },
	{ "keep-kinds", no_argument, NULL, 'k' },
	{ "owner", required_argument, NULL, 'o' },
	{ NULL, 0, NULL, 0 },
};

/* Also from the environment, so that a site can set them once for isolad. */
static int read_limit(const char *name, const char *text, bool size, uint64_t *ret, struct err *err)
{
	int64_t v = 0;
	if (!text)
		return 0;
	int rc = size ? num_parse_size(text, 0, &v) : num_parse_range(text, 1, INT64_MAX, &v);
	if (rc < 0 || v <= 0)
		return err_set(err, EINVAL, "%s: \"%.50s\" is no %s", name, text,
			       size ? "size" : "number");
	*ret = (uint64_t)v;
	return 0;
}

static int on_flag(struct options *o, int flag, char *value, struct err *err)
{
	switch (flag) {
	case 's':
		o->state = value;
		return 0;
	case 'r':
		o->import.ref = value;
		return 0;
	case 'm':
		o->import.message = value;
		return 0;
	case 'p':
		o->import.platform = value;
		return 0;
	case 'g':
		o->registries = value;
		return 0;
	case 'l':
		o->require_landlock = true;
		return 0;
	case 'a':
		o->all_tags = true;
		return 0;
	case 'S':
		o->server = value;
		return 0;
	case 'R':
		o->repair = true;
		return 0;
	case 'D':
		o->deep = true;
		return 0;
	case 'k':
		o->copy.keep_kinds = true;
		return 0;
	case 'o':
		o->copy.user = value;
		return 0;
	case 'b':
		return read_limit("--max-bytes", value, true, &o->limits.bytes, err);
	case 'e':
		return read_limit("--max-entries", value, false, &o->limits.entries, err);
	case 'P':
		return read_limit("--parent", value, false, &o->parent, err);
	case 'c':
		if (o->import.n_changes == CHANGES_MAX)
			return err_set(err, EINVAL, "more than %d --change", CHANGES_MAX);
		o->changes[o->import.n_changes++] = value;
		return 0;
	default:
		return err_set(err, EINVAL, "unknown flag, or a flag without its value");
	}
}

static int parse(int argc, char **argv, struct options *o, const struct verb **ret, struct err *err)
{
	const struct verb *verb = NULL;
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[1], verbs[i].name))
			verb = &verbs[i];
	if (!verb)
		return err_set(err, EINVAL, "unknown command \"%.50s\"", argc > 1 ? argv[1] : "");
	int rc = read_limit("ISOLA_IMAGE_MAX_BYTES", getenv("ISOLA_IMAGE_MAX_BYTES"), true,
			    &o->limits.bytes, err);
	if (rc == 0)
		rc = read_limit("ISOLA_IMAGE_MAX_ENTRIES", getenv("ISOLA_IMAGE_MAX_ENTRIES"), false,
				&o->limits.entries, err);
	int flag;
	opterr = 0;
	optind = 2;
	while (rc == 0 && (flag = getopt_long(argc, argv, "+", flags, NULL)) != -1)
		rc = on_flag(o, flag, optarg, err);
	if (rc < 0)
		return rc;
	o->args = argv + optind;
	o->n_args = argc - optind;
	if ((!o->state && !verb->copy) || o->n_args < verb->n_args ||
	    (o->n_args > verb->n_args && !verb->many))
		return err_set(err, EINVAL, "usage: isola-image %s", verb->usage);
	*ret = verb;
	return 0;
}

static int follow_parent(const struct options *o, struct err *err)
{
	int rc = o->parent ? cancel_with_parent((pid_t)o->parent) : 0;
	return rc < 0 ? err_rc(err, rc, "cannot watch process %llu", (unsigned long long)o->parent)
		      : 0;
}

/* The container's files become "/", then all but them is given up. */
static int run_copy(const struct verb *verb, const struct options *o, json_object **ret_aux,
		    struct err *err)
{
	cleanup_view struct view view = VIEW_INIT;
	struct copy_options copy = o->copy;
	copy.path = o->n_args > 0 ? o->args[0] : NULL;
	copy.bytes_max = o->limits.bytes;
	copy.entries_max = o->limits.entries;
	int rc = view_read(&view, err);
	/* A container with a user namespace gets none, also while it is stopped. */
	bool devices = !json_bool_or(view.spec, "mapped", false);
	if (rc == 0)
		rc = view_enter(&view, err);
	if (rc == 0)
		rc = follow_parent(o, err);
	if (rc == 0)
		rc = confine_view(o->limits.bytes, verb->reads_marks, devices, o->require_landlock,
				  err);
	return rc < 0 ? rc : verb->copy(&view, &copy, ret_aux, err);
}

/* The process that may use the network, and what it must be told. */
static int start_net(const struct verb *verb, struct options *o, struct err *err)
{
	static struct net net;
	char full[IMAGE_REF_MAX];
	bool login = !*verb->actions;
	int rc = 0;
	if (login ? !o->server : !o->import.ref)
		return err_set(err, EINVAL, "usage: isola-image %s", verb->usage);
	if (login)
		rc = registry_of_server(o->server, full, sizeof(full), err);
	else
		rc = image_ref_normalize(o->import.ref, full, sizeof(full), err);
	if (rc == 0)
		rc = registry_init(&o->registry, full, o->registries, err);
	o->registry.wants_identity = login;
	if (rc == 0 && strcmp(verb->actions, "pull") != 0)
		registry_drop_mirrors(&o->registry);
	if (rc == 0)
		rc = registry_read_auth(&o->registry, STDIN_FILENO, err);
	if (rc == 0)
		rc = net_start(&net, &o->registry, verb->actions, err);
	o->net = &net;
	return rc;
}

static int run(const struct verb *verb, struct options *o, json_object **ret_aux, struct err *err)
{
	const struct confine_options confine = {
		.state = o->state,
		.bytes_max = o->limits.bytes,
		.foreign = verb->foreign,
		.require_landlock = o->require_landlock,
		.keep = verb->actions               ? 2
			: verb->talks || verb->mkfs ? 1
						    : 0,
		.ret_proc_fd = verb->spec || verb->talks ? &o->view.proc_fd : NULL,
	};
	struct store store = STORE_INIT;
	if (geteuid() != 0)
		return err_set(err, EPERM,
			       "isola-image must run as root: it makes files of any owner");
	if (verb->copy)
		return run_copy(verb, o, ret_aux, err);
	int rc = verb->spec ? view_read(&o->view, err) : 0;
	if (rc == 0)
		rc = path_mkdir_all(o->state, 0700, err);
	if (rc == 0 && verb->actions)
		rc = start_net(verb, o, err);
	if (rc == 0 && verb->mkfs)
		rc = mkfs_start(o->state, err);
	if (rc == 0)
		rc = confine_job(&confine, err);
	if (rc == 0)
		rc = store_open("/", &store, err);
	if (rc == 0)
		rc = verb->run(&store, o, ret_aux, err);
	store_fini(&store);
	view_fini(&o->view);
	if (o->net)
		net_stop(o->net);
	registry_fini(&o->registry);
	return rc;
}

#ifdef __SANITIZE_ADDRESS__
/* The search for leaks at exit needs /proc and ptrace, which the jail takes; unit
 * tests and fuzz targets do it. Called by the sanitizer. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}
#endif

int main(int argc, char **argv)
{
	struct options o = { .view = VIEW_INIT,
			     .limits = { .bytes = BYTES_MAX_DEFAULT,
					 .entries = ENTRIES_MAX_DEFAULT } };
	struct err err = ERR_INIT;
	const struct verb *verb = verbs;
	json_object *aux = NULL;
	log_init("isola-image", LOG_LEVEL_INFO);
	cancel_catch_signals();
	o.import.changes = o.changes;
	int rc = parse(argc, argv, &o, &verb, &err);
	if (rc == 0)
		rc = follow_parent(&o, &err);
	if (rc == 0)
		rc = run(verb, &o, &aux, &err);
	if (rc < 0)
		progress_error(&err);
	else
		progress_aux(aux);
	/* Nothing is buffered, and what libraries do at an exit() takes its time. */
	_exit(rc < 0 ? 1 : 0);
}
