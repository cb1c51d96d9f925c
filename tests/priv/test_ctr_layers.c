/* SPDX-License-Identifier: Apache-2.0 */
/* test_ctr_layers - ctr_create() with a root made of layers, as isola-keeper uses
 * it: overlay from descriptors, idmaps, the reaper, the gate, exec, delete.
 * Works in $ISOLA_TMP, with root's rights; CMocka. */
#include "isola/cgroup.h"
#include "isola/ctr.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <cmocka.h>

#define BASE        200000
#define MANY_LAYERS 120

static char tmp[200];

/* One container over layers T/<name>/l0 (top) .. l<n-1> (bottom, with busybox). */
struct box {
	char path[256];
	int *lower;
	size_t n;
	int upper, work, bundle, out[2];
	struct ctr_spec *spec;
	struct ctr *ctr;
	struct err err;
	char said[8192];
};

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void shell(const char *fmt, ...)
{
	char *command;
	va_list ap;
	va_start(ap, fmt);
	assert_true(vasprintf(&command, fmt, ap) > 0);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
	free(command);
}

static const char spec_text[] =
	"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"unused\"},"
	"\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\",\"env\":[\"PATH=/bin\"],"
	"\"args\":[\"sh\",\"-c\",\"true\"],\"noNewPrivileges\":true,"
	"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\","
	"\"CAP_MKNOD\",\"CAP_SETFCAP\",\"CAP_KILL\"],"
	"\"permitted\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_MKNOD\","
	"\"CAP_SETFCAP\",\"CAP_KILL\"],"
	"\"effective\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_MKNOD\","
	"\"CAP_SETFCAP\",\"CAP_KILL\"]}},"
	"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}],"
	"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},"
	"{\"type\":\"uts\"},{\"type\":\"network\"}]}}";

static void parse_spec(struct box *b, const char *script, bool userns)
{
	cleanup_json json_object *doc = NULL;
	assert_int_equal(json_parse(spec_text, strlen(spec_text), "spec", &doc, &b->err), 0);
	json_object *linux_ = json_get(doc, "linux");
	json_object *args = json_get(json_get(doc, "process"), "args");
	(void)json_object_array_put_idx(args, 2, json_object_new_string(script));
	if (userns) {
		static const char *const keys[] = { "uidMappings", "gidMappings" };
		json_object *ns = json_object_new_object();
		json_add_str(ns, "type", "user");
		(void)json_object_array_add(json_get(linux_, "namespaces"), ns);
		for (int i = 0; i < 2; i++) {
			json_object *list = json_object_new_array(), *m = json_object_new_object();
			json_add_i64(m, "containerID", 0);
			json_add_i64(m, "hostID", BASE);
			json_add_i64(m, "size", 65536);
			(void)json_object_array_add(list, m);
			json_add(linux_, keys[i], list);
		}
	}
	if (ctr_spec_parse(doc, &b->spec, &b->err) < 0)
		fail_msg("%s", b->err.text);
}

static int open_dir(const char *dir, const char *name)
{
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void box_init(struct box *b, const char *name, size_t n, const char *script, bool userns)
{
	*b = (struct box){ .n = n, .err = ERR_INIT };
	(void)snprintf(b->path, sizeof(b->path), "%s/%s", tmp, name);
	shell("mkdir -p %s/rw/upper %s/rw/work", b->path, b->path);
	for (size_t i = 0; i < n; i++)
		shell("mkdir %s/l%zu && echo %zu >%s/l%zu/f%zu && chown 5:6 %s/l%zu/f%zu", b->path,
		      i, i, b->path, i, i, b->path, i, i);
	shell("cd %s/l%zu && mkdir bin proc dev old tmp && cp $(command -v busybox) bin/ && "
	      "ln -s busybox bin/sh && echo gone >old/file && chmod 755 . && chmod 1777 tmp",
	      b->path, n - 1);
	b->lower = malloc(n * sizeof(int));
	for (size_t i = 0; i < n; i++) {
		char layer[32];
		(void)snprintf(layer, sizeof(layer), "l%zu", i);
		b->lower[i] = open_dir(b->path, layer);
	}
	b->upper = open_dir(b->path, "rw/upper");
	b->work = open_dir(b->path, "rw/work");
	b->bundle = open_dir(tmp, name);
	assert_int_equal(pipe2(b->out, O_CLOEXEC), 0);
	parse_spec(b, script, userns);
}

static struct ctr_create_args box_args(const struct box *b)
{
	static char cgroup[300];
	const char *parent = getenv("ISOLA_CGROUP");
	(void)snprintf(cgroup, sizeof(cgroup), "/%s/layers", parent ? parent : "isola-test-layers");
	return (struct ctr_create_args){
		.id = "layers",
		.spec = b->spec,
		.root = { .lower_fds = b->lower,
			  .n_lower = b->n,
			  .upper_fd = b->upper,
			  .work_fd = b->work },
		.bundle_fd = b->bundle,
		.bundle_path = b->path,
		.cgroup = cgroup,
		.stdio = { -1, b->out[1], b->out[1] },
		.cache_fd = -1,
		.gate_fd = -1,
	};
}

static int end_status(const struct ctr *ctr)
{
	siginfo_t info;
	assert_int_equal(waitid(P_PIDFD, (id_t)ctr->pidfd, &info, WEXITED), 0);
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/* Creates, starts, waits, deletes; what it printed goes to b->said. */
static int box_run(struct box *b, const struct ctr_create_args *args)
{
	if (ctr_create(args, &b->ctr, &b->err) < 0 || ctr_start(b->ctr, b->spec, &b->err) < 0)
		fail_msg("%s", b->err.text);
	(void)close(b->out[1]);
	ssize_t n = fd_read_all(b->out[0], b->said, sizeof(b->said) - 1);
	b->said[n > 0 ? n : 0] = '\0';
	int status = end_status(b->ctr);
	if (ctr_delete(b->ctr, b->spec, &b->err) < 0)
		fail_msg("%s", b->err.text);
	return status;
}

static void box_fini(struct box *b)
{
	ctr_free(b->ctr);
	ctr_spec_free(b->spec);
	for (size_t i = 0; i < b->n; i++)
		(void)close(b->lower[i]);
	free(b->lower);
	fd_close(&b->upper);
	fd_close(&b->work);
	fd_close(&b->bundle);
	(void)close(b->out[0]);
}

static struct stat stat_of(const struct box *b, const char *name)
{
	char path[512];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/rw/upper/%s", b->path, name);
	if (lstat(path, &st) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

#define SCRIPT                                                                                     \
	"busybox stat -c '%u:%g %n' / /f0 /f1 /bin; echo new >/new; busybox mkdir /d; "            \
	"busybox chown 7:8 /d; echo more >>/f1; busybox rm /old/file; busybox rm -r /old; "        \
	"busybox mkdir /old; busybox cat /f0 /f1; busybox mv /f0 /moved; "                         \
	"busybox stat -c '%u:%g %n' /new /d /f1 /moved; busybox cat /proc/self/uid_map"

/* What SCRIPT leaves in the upper folder, as the image's ids have it. */
static void check_upper(const struct box *b)
{
	struct stat st = stat_of(b, "new");
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 0);
	st = stat_of(b, "d");
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(st.st_gid, 8);
	st = stat_of(b, "f1");
	assert_int_equal(st.st_uid, 5);
	assert_int_equal(st.st_gid, 6);
	st = stat_of(b, "moved");
	assert_int_equal(st.st_uid, 5);
	st = stat_of(b, "f0");
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, makedev(0, 0));
	st = stat_of(b, "old");
	assert_true(S_ISDIR(st.st_mode));
}

static void layers__are_writable(void **state)
{
	(void)state;
	struct box b;
	box_init(&b, "plain", 3, SCRIPT, false);
	const struct ctr_create_args args = box_args(&b);
	assert_int_equal(box_run(&b, &args), 0);
	assert_non_null(strstr(b.said, "0:0 /\n5:6 /f0\n5:6 /f1\n"));
	assert_non_null(strstr(b.said, "0\n1\nmore\n"));
	assert_non_null(strstr(b.said, "0:0 /new\n7:8 /d\n5:6 /f1\n5:6 /moved\n"));
	check_upper(&b);
	box_fini(&b);
}

static void layers__keep_the_images_ids_with_a_user_namespace(void **state)
{
	(void)state;
	struct box b;
	box_init(&b, "mapped", 3, SCRIPT, true);
	const struct ctr_create_args args = box_args(&b);
	assert_int_equal(box_run(&b, &args), 0);
	assert_non_null(strstr(b.said, "0:0 /\n5:6 /f0\n5:6 /f1\n"));
	assert_non_null(strstr(b.said, "0:0 /new\n7:8 /d\n5:6 /f1\n5:6 /moved\n"));
	assert_non_null(strstr(b.said, " 200000 "));
	check_upper(&b);
	box_fini(&b);
}

static void many_layers(const char *name, bool userns)
{
	struct box b;
	char want[32];
	box_init(&b, name, MANY_LAYERS, "echo x >/x; busybox cat /f0 /f60 /f119", userns);
	const struct ctr_create_args args = box_args(&b);
	assert_int_equal(box_run(&b, &args), 0);
	(void)snprintf(want, sizeof(want), "0\n60\n%d\n", MANY_LAYERS - 1);
	assert_string_equal(b.said, want);
	assert_int_equal(stat_of(&b, "x").st_uid, 0);
	box_fini(&b);
}

static void layers__may_be_many(void **state)
{
	(void)state;
	many_layers("many", false);
	many_layers("manymapped", true);
}

static void layers__without_an_upper_are_read_only(void **state)
{
	(void)state;
	for (int userns = 0; userns < 2; userns++) {
		struct box b;
		box_init(&b, userns ? "romapped" : "ro", 2, "echo x >/x; busybox cat /f0", userns);
		struct ctr_create_args args = box_args(&b);
		args.root.upper_fd = args.root.work_fd = -1;
		assert_int_equal(box_run(&b, &args), 0);
		assert_non_null(strstr(b.said, "Read-only"));
		assert_non_null(strstr(b.said, "0\n"));
		box_fini(&b);
	}
}

static void layers__take_volatile(void **state)
{
	(void)state;
	struct box b;
	box_init(&b, "volatile", 2, "busybox grep -c ' / .*volatile' /proc/self/mountinfo", true);
	struct ctr_create_args args = box_args(&b);
	args.root.volatile_upper = true;
	assert_int_equal(box_run(&b, &args), 0);
	assert_string_equal(b.said, "1\n");
	box_fini(&b);
}

static void layers__need_upper_and_work_in_one_folder(void **state)
{
	(void)state;
	struct box b;
	box_init(&b, "apart", 2, "true", true);
	shell("mkdir %s/elsewhere", b.path);
	fd_close(&b.work);
	b.work = open_dir(b.path, "elsewhere");
	const struct ctr_create_args args = box_args(&b);
	assert_true(ctr_create(&args, &b.ctr, &b.err) < 0);
	assert_non_null(strstr(b.err.text, "one folder"));
	(void)close(b.out[1]);
	box_fini(&b);
}

static void reaper__is_pid_1_and_reaps(void **state)
{
	(void)state;
	struct box b;
	box_init(
		&b, "reaper", 2,
		"echo $$; busybox cat /proc/1/comm; (busybox sh -c 'busybox sleep 0.1 &'); "
		"busybox sleep 0.4; busybox ps -o pid,comm; busybox tr '\\0' ' ' </proc/1/cmdline; "
		"busybox ls -l /proc/1/exe /proc/1/fd; exit 3",
		true);
	struct ctr_create_args args = box_args(&b);
	args.reaper = true;
	assert_int_equal(box_run(&b, &args), 3);
	assert_memory_equal(b.said, "2\nisola-init\n", 13);
	assert_null(strstr(b.said, "sleep"));
	assert_null(strstr(b.said, "test_ctr_layers")); /* neither name nor program */
	box_fini(&b);
}

static void reaper__forwards_signals(void **state)
{
	(void)state;
	struct box b;
	box_init(&b, "forward", 2,
		 "trap 'exit 9' TERM; echo up; while :; do busybox sleep 0.02; done", true);
	struct ctr_create_args args = box_args(&b);
	char byte[3];
	args.reaper = true;
	assert_int_equal(ctr_create(&args, &b.ctr, &b.err), 0);
	assert_int_equal(ctr_start(b.ctr, b.spec, &b.err), 0);
	assert_int_equal(fd_read_all(b.out[0], byte, 3), 3);
	assert_int_equal(ctr_kill(b.ctr, SIGTERM, false, &b.err), 0);
	assert_int_equal(end_status(b.ctr), 9);
	assert_int_equal(ctr_delete(b.ctr, b.spec, &b.err), 0);
	(void)close(b.out[1]);
	box_fini(&b);
}

static void start__tells_of_a_missing_program(void **state)
{
	(void)state;
	for (int reaper = 0; reaper < 2; reaper++) {
		struct box b;
		box_init(&b, reaper ? "missing2" : "missing", 2, "true", true);
		struct ctr_create_args args = box_args(&b);
		args.reaper = reaper;
		cleanup_json json_object *doc = NULL;
		shell("rm -f %s/l1/bin/sh", b.path);
		assert_int_equal(ctr_create(&args, &b.ctr, &b.err), 0);
		assert_int_equal(ctr_start(b.ctr, b.spec, &b.err), -ENOENT);
		assert_non_null(strstr(b.err.text, "executable file not found"));
		assert_int_equal(ctr_delete(b.ctr, b.spec, &b.err), 0);
		(void)close(b.out[1]);
		box_fini(&b);
	}
}

static void exec__joins(void **state)
{
	(void)state;
	struct box b;
	box_init(&b, "exec", 2, "busybox sleep 100", true);
	const struct ctr_create_args args = box_args(&b);
	assert_int_equal(ctr_create(&args, &b.ctr, &b.err), 0);
	assert_int_equal(ctr_start(b.ctr, b.spec, &b.err), 0);
	static const char text[] =
		"{\"user\":{\"uid\":3,\"gid\":4},\"cwd\":\"/bin\",\"env\":[\"PATH=/bin\"],"
		"\"args\":[\"sh\",\"-c\",\"busybox id -u; busybox id -g; pwd; busybox ps | "
		"busybox wc -l; busybox grep CapEff /proc/self/status; exit 4\"]}";
	cleanup_json json_object *doc = NULL;
	struct ctr_process *process = NULL;
	assert_int_equal(json_parse(text, strlen(text), "process", &doc, &b.err), 0);
	assert_int_equal(ctr_process_parse(doc, &process, &b.err), 0);
	for (int privileged = 0; privileged < 2; privileged++) {
		int out[2];
		assert_int_equal(pipe2(out, O_CLOEXEC), 0);
		const struct ctr_exec_args e = { .id = "layers",
						 .pid = b.ctr->pid,
						 .pidfd = b.ctr->pidfd,
						 .cgroup = b.ctr->cgroup,
						 .spec = b.spec,
						 .process = process,
						 .stdio = { -1, out[1], out[1] },
						 .cache_fd = -1,
						 .privileged = privileged };
		struct ctr_child child;
		if (ctr_exec(&e, &child, &b.err) < 0)
			fail_msg("%s", b.err.text);
		(void)close(out[1]);
		ssize_t n = fd_read_all(out[0], b.said, sizeof(b.said) - 1);
		b.said[n] = '\0';
		(void)close(out[0]);
		siginfo_t info;
		assert_int_equal(waitid(P_PIDFD, (id_t)child.pidfd, &info, WEXITED), 0);
		assert_int_equal(info.si_status, 4);
		(void)close(child.pidfd);
		assert_memory_equal(b.said, "3\n4\n/bin\n", 9);
	}
	ctr_process_free(process);
	/* We are back in our own pid namespace. */
	pid_t pid = fork();
	if (pid == 0)
		_exit(getpid() > 3 ? 0 : 1);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(ctr_delete(b.ctr, b.spec, &b.err), 0);
	(void)close(b.out[1]);
	box_fini(&b);
}

static int setup(void **state)
{
	(void)state;
	const char *dir = getenv("ISOLA_TMP");
	(void)snprintf(tmp, sizeof(tmp), "%s/layers.XXXXXX", dir ? dir : "/var/tmp");
	return mkdtemp(tmp) && chmod(tmp, 0755) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	char cgroup[300];
	const char *parent = getenv("ISOLA_CGROUP");
	(void)snprintf(cgroup, sizeof(cgroup), "/%s", parent ? parent : "isola-test-layers");
	shell("rm -rf --one-file-system %s", tmp);
	return cgroup_destroy(cgroup, 1000, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(layers__are_writable),
		cmocka_unit_test(layers__keep_the_images_ids_with_a_user_namespace),
		cmocka_unit_test(layers__may_be_many),
		cmocka_unit_test(layers__without_an_upper_are_read_only),
		cmocka_unit_test(layers__take_volatile),
		cmocka_unit_test(layers__need_upper_and_work_in_one_folder),
		cmocka_unit_test(reaper__is_pid_1_and_reaps),
		cmocka_unit_test(reaper__forwards_signals),
		cmocka_unit_test(start__tells_of_a_missing_program),
		cmocka_unit_test(exec__joins),
	};
	if (geteuid() != 0) {
		printf("needs root\n");
		return 77;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
