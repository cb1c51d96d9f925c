/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup - what the kernel makes of our cgroups: making, killing, freezing,
 * devices everywhere; limits where cgroup v2 has the controllers (in the lab it
 * has all). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#define ALL "cpu cpuset hugetlb io memory pids rdma"

static char base[64]; /* "/isola-test-123"; ours to make and remove */
static char have[512];
static struct err err;

/* ---- helpers ------------------------------------------------------------ */

static char *path_of(const char *name)
{
	static char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static int make(const char *name)
{
	int fd = cgroup_make(path_of(name), ALL, &err);
	if (fd < 0)
		fail_msg("%s", err.text);
	return fd;
}

static void destroy(const char *name)
{
	if (cgroup_destroy(path_of(name), 10000, &err) < 0)
		fail_msg("%s", err.text);
}

static json_object *parse(const char *text)
{
	json_object *o = NULL;
	if (json_parse(text, strlen(text), "test", &o, &err) < 0)
		fail_msg("%s in %s", err.text, text);
	return o;
}

static int apply(int fd, const char *text)
{
	json_object *o = parse(text);
	err.text[0] = '\0';
	int rc = cgroup_resources(fd, o, true, &err);
	json_object_put(o);
	return rc;
}

static void apply_ok(int fd, const char *text)
{
	if (apply(fd, text) < 0)
		fail_msg("%s: %s", text, err.text);
}

static const char *read_line(int fd, const char *file)
{
	static char text[512];
	cleanup_fd int f = openat(fd, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = f < 0 ? -1 : read(f, text, sizeof(text) - 1);
	if (n < 0)
		fail_msg("cannot read %s: %s", file, strerror(errno));
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* Starts a child right in the cgroup; 0 in the child. */
static pid_t start_in(int cgroup)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP,
				   .exit_signal = SIGCHLD,
				   .cgroup = (uint64_t)cgroup };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		fail_msg("clone3: %s", strerror(errno));
	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static pid_t start_sleeper(int cgroup)
{
	pid_t pid = start_in(cgroup);
	while (pid == 0)
		(void)pause();
	return pid;
}

static int reap(pid_t pid)
{
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool has(const char *controller)
{
	size_t n = strlen(controller);
	for (const char *p = have; (p = strstr(p, controller)); p += n)
		if ((p == have || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

#define NEED(controller)                                                                           \
	do {                                                                                       \
		if (!has(controller)) {                                                            \
			print_message("cgroup v2 has no %s controller here\n", controller);        \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- everywhere --------------------------------------------------------- */

static void cgroup__is_made_and_removed(void **state)
{
	(void)state;
	cleanup_fd int fd = make("a/b/c");
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	cleanup_fd int again = cgroup_open(path_of("a/b/c"));
	assert_true(again >= 0);
	cleanup_fd int same = make("a/b/c/"); /* one that is there is opened */
	assert_true(same >= 0);
	destroy("a");
	assert_int_equal(cgroup_open(path_of("a")), -ENOENT);
	destroy("a"); /* a missing one is fine */
}

static void cgroup__refuses_other_paths(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "a", "../x", "/../x", "/a/../b", "/.." };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(cgroup_make(bad[i], NULL, &err), -EINVAL);
		assert_int_equal(cgroup_open(bad[i]), -EINVAL);
		assert_int_equal(cgroup_destroy(bad[i], 0, &err), -EINVAL);
	}
	assert_int_equal(cgroup_destroy("/", 0, &err), -EINVAL);
}

/* A name that cannot be: of its parents none stays. */
static void cgroup__leaves_nothing_of_a_failure(void **state)
{
	(void)state;
	assert_int_equal(cgroup_make(path_of("n1/n2/a\nb"), ALL, &err), -EINVAL);
	assert_int_equal(cgroup_open(path_of("n1")), -ENOENT);
}

static void cgroup__tells_where_it_is(void **state)
{
	(void)state;
	cleanup_free char *mount = NULL, *self = NULL;
	cleanup_fd int fd = cgroup_mount_open(&mount, &err);
	assert_true(fd >= 0);
	assert_int_equal(mount[0], '/');
	assert_int_equal(cgroup_self(&self, &err), 0);
	assert_int_equal(self[0], '/');
	cleanup_fd int own = cgroup_open(self);
	assert_true(own >= 0);
}

static int count(pid_t pid, void *arg)
{
	(void)pid;
	(*(int *)arg)++;
	return 0;
}

static int stop_at_first(pid_t pid, void *arg)
{
	(void)arg;
	return pid;
}

static void tasks__are_listed_and_killed(void **state)
{
	(void)state;
	cleanup_fd int top = make("k"), sub = cgroup_make(path_of("k/sub"), NULL, &err);
	pid_t pids[3] = { start_sleeper(sub), start_sleeper(sub), fork() };
	if (pids[2] == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	int n = 0;
	assert_int_equal(cgroup_attach(sub, pids[2]), 0);
	assert_int_equal(cgroup_pids(top, count, &n), 0);
	assert_int_equal(n, 3);
	assert_true(cgroup_pids(top, stop_at_first, NULL) > 1);
	destroy("k");
	for (int i = 0; i < 3; i++)
		assert_int_equal(reap(pids[i]), SIGKILL);
	assert_int_equal(cgroup_open(path_of("k")), -ENOENT);
}

/* One that is frozen, forks, ignores signals, has made cgroups far down and with
 * names that no ordinary file could have. */
static void destroy__takes_what_a_payload_leaves(void **state)
{
	(void)state;
	cleanup_fd int top = make("d");
	int dir = fd_dup(top);
	char name[700];
	(void)snprintf(name, sizeof(name), "%0300d/%0300d", 1, 2);
	assert_int_equal(mkdirat(top, name + 301, 0755), 0);
	name[300] = '\0';
	assert_int_equal(mkdirat(top, name, 0755), 0);
	name[300] = '/';
	assert_int_equal(mkdirat(top, name, 0755), 0);
	for (int i = 0; i < 150; i++) {
		assert_int_equal(mkdirat(dir, "x", 0755), 0);
		assert_int_equal(mkdirat(dir, "y", 0755), 0);
		int next = openat(dir, "x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(dir);
		dir = next;
	}
	pid_t deep = start_sleeper(dir);
	(void)close(dir);
	pid_t forker = start_in(top);
	if (forker == 0) {
		(void)signal(SIGTERM, SIG_IGN);
		(void)signal(SIGCHLD, SIG_IGN);
		for (;;)
			if (fork() == 0) {
				struct timespec ts = { .tv_nsec = 1000000 };
				(void)nanosleep(&ts, NULL);
			}
	}
	struct timespec ts = { .tv_nsec = 20000000 };
	(void)nanosleep(&ts, NULL);
	/* More and more of them: it may not be done in time, and must not matter. */
	(void)cgroup_freeze(top, true, 1000, &err);
	destroy("d");
	(void)reap(deep);
	(void)reap(forker);
	assert_int_equal(cgroup_open(path_of("d")), -ENOENT);
}

static long ticks_of(volatile long *counter)
{
	struct timespec ts = { .tv_nsec = 50000000 };
	long before = *counter;
	(void)nanosleep(&ts, NULL);
	return *counter - before;
}

static void freeze__stops_and_thaws(void **state)
{
	(void)state;
	cleanup_fd int fd = make("f");
	volatile long *counter =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = start_in(fd);
	while (pid == 0)
		(*counter)++;
	while (ticks_of(counter) == 0)
		;
	assert_int_equal(cgroup_freeze(fd, true, 10000, &err), 0);
	assert_int_equal(ticks_of(counter), 0);
	assert_int_equal(cgroup_freeze(fd, true, 10000, &err), 0);
	assert_int_equal(cgroup_freeze(fd, false, 10000, &err), 0);
	while (ticks_of(counter) == 0)
		;
	destroy("f");
	(void)reap(pid);
	(void)munmap((void *)(uintptr_t)counter, 4096);
}

/* Given no time at all it does not always make it; then nothing stays frozen. */
static void freeze__gives_up_and_thaws(void **state)
{
	(void)state;
	cleanup_fd int fd = make("g");
	pid_t pid = start_in(fd);
	while (pid == 0)
		;
	int rc = 0;
	for (int i = 0; i < 1000 && rc == 0; i++) {
		rc = cgroup_freeze(fd, true, 0, &err);
		if (rc == 0)
			assert_int_equal(cgroup_freeze(fd, false, 10000, &err), 0);
	}
	if (rc == 0) {
		print_message("freezing is never late here\n");
	} else {
		assert_int_equal(rc, -ETIMEDOUT);
		assert_string_equal(err.text,
				    "the processes did not freeze within 0 ms: one waits in "
				    "the kernel, as for a disk that is dead");
		assert_string_equal(read_line(fd, "cgroup.freeze"), "0");
	}
	destroy("g");
	(void)reap(pid);
}

static void stat__tells_what_it_can(void **state)
{
	(void)state;
	cleanup_fd int fd = make("s");
	pid_t pid = start_in(fd);
	while (pid == 0)
		;
	struct timespec ts = { .tv_nsec = 100000000 };
	(void)nanosleep(&ts, NULL);
	struct cgroup_stat s;
	assert_int_equal(cgroup_stat_read(fd, &s), 0);
	assert_in_range(s.cpu_usage_us, 1, 3600000000ULL);
	assert_true(s.cpu_user_us <= s.cpu_usage_us);
	if (has("memory"))
		assert_in_range(s.memory_current, 4096, 1ULL << 40);
	else
		assert_true(s.memory_current == UINT64_MAX);
	if (has("pids"))
		assert_int_equal(s.pids_current, 1);
	else
		assert_true(s.pids_current == UINT64_MAX);
	assert_true(s.memory_max == UINT64_MAX);
	assert_int_equal(cgroup_oom_kills(fd), 0);
	destroy("s");
	(void)reap(pid);
	assert_int_equal(cgroup_stat_read(fd, &s), -ENOENT);
}

/* ---- devices ------------------------------------------------------------ */

/* How many, the first one's id in @ret_id (NULL: does not matter). */
static int programs_of_id(int fd, uint32_t *ret_id)
{
	uint32_t ids[64] = { 0 };
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = 64;
	if (syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)) < 0)
		return -errno;
	if (ret_id)
		*ret_id = ids[0];
	return (int)attr.query.prog_cnt;
}

static int programs_of(int fd)
{
	return programs_of_id(fd, NULL);
}

/* Errno of opening each, in a child in the cgroup: 1 byte a node. */
static void try_open(int cgroup, const char *const *nodes, const int *modes, const int *want)
{
	for (int i = 0; nodes[i]; i++) {
		pid_t pid = start_in(cgroup);
		if (pid == 0) {
			int fd = open(nodes[i], modes[i] | O_NONBLOCK | O_CLOEXEC);
			_exit(fd < 0 ? errno : 0);
		}
		int status = reap(pid);
		if (status != want[i] << 8)
			fail_msg("%s: status %#x, wanted errno %d", nodes[i], status, want[i]);
	}
}

static void set_devices(int fd, const char *text)
{
	json_object *o = parse(text);
	if (cgroup_devices(fd, o, &err) < 0)
		fail_msg("%s", err.text);
	json_object_put(o);
}

static void devices__are_guarded_by_the_kernel(void **state)
{
	(void)state;
	char dir[] = "/tmp/isola-devices-XXXXXX", kmsg[64], mem[64];
	assert_non_null(mkdtemp(dir));
	(void)snprintf(kmsg, sizeof(kmsg), "%s/kmsg", dir);
	(void)snprintf(mem, sizeof(mem), "%s/null2", dir);
	if (mknod(kmsg, S_IFCHR | 0600, makedev(1, 11)) < 0 ||
	    mknod(mem, S_IFCHR | 0600, makedev(1, 3)) < 0) {
		print_message("cannot make device nodes here: %s\n", strerror(errno));
		(void)rmdir(dir);
		skip();
	}
	cleanup_fd int fd = make("dev");
	int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	const char *const nodes[] = { kmsg, kmsg, mem, NULL };
	const int open_all[] = { 0, 0, 0 };
	const int closed[] = { EPERM, EPERM, 0 };
	const int read_only[] = { 0, EPERM, 0 };

	try_open(fd, nodes, modes, open_all);
	set_devices(fd, "[{\"allow\":false},{\"allow\":true}]"); /* needs no program */
	assert_int_equal(programs_of(fd), 0);
	set_devices(fd, "[{\"allow\":false,\"access\":\"rwm\"}]");
	try_open(fd, nodes, modes, closed);
	set_devices(fd,
		    "[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":11,"
		    "\"access\":\"r\"}]");
	try_open(fd, nodes, modes, read_only);
	set_devices(fd, "[{\"allow\":true}]");
	try_open(fd, nodes, modes, open_all);
	/* each in place of the one before */
	assert_int_equal(programs_of(fd), 1);
	(void)unlink(kmsg);
	(void)unlink(mem);
	(void)rmdir(dir);
	destroy("dev");
}

/* One program for all who want the same, which guards as one of their own would. */
static void devices__share_a_kept_program(void **state)
{
	json_object *o = parse("[{\"allow\":false,\"access\":\"rwm\"}]");
	if (cgroup_devices_keep(o, &err) < 0)
		fail_msg("%s", err.text);
	json_object_put(o);
	assert_true(cgroup_devices_kept() >= 0);
	assert_int_equal(fcntl(cgroup_devices_kept(), F_GETFD), FD_CLOEXEC);
	cleanup_fd int one = make("kept1");
	cleanup_fd int two = make("kept2");
	cleanup_fd int other = make("kept3");
	set_devices(one, "[{\"allow\":false,\"access\":\"rwm\"}]");
	set_devices(two, "[{\"allow\":false,\"access\":\"rwm\"}]");
	set_devices(other, "[{\"allow\":false,\"access\":\"rwm\"},"
			   "{\"allow\":true,\"type\":\"c\",\"major\":1,\"access\":\"r\"}]");
	uint32_t a = 0, b = 0, c = 0;
	assert_int_equal(programs_of_id(one, &a), 1);
	assert_int_equal(programs_of_id(two, &b), 1);
	assert_int_equal(programs_of_id(other, &c), 1);
	assert_int_equal(a, b);
	assert_int_not_equal(a, c);
	/* a change of one is not the other's */
	set_devices(one, "[{\"allow\":true}]");
	assert_int_equal(programs_of_id(two, &c), 1);
	assert_int_equal(b, c);
	destroy("kept1");
	destroy("kept2");
	destroy("kept3");
	devices__are_guarded_by_the_kernel(state);
}

/* The verifier takes the longest and oddest programs too. */
static void devices__compile_to_what_the_kernel_takes(void **state)
{
	(void)state;
	cleanup_fd int fd = make("many");
	static const char *const shapes[] = {
		"{\"allow\":false,\"type\":\"c\",\"major\":9,\"minor\":9,\"access\":\"r\"}",
		"{\"allow\":true,\"type\":\"b\",\"major\":9,\"minor\":9,\"access\":\"rw\"}",
		"{\"allow\":true,\"minor\":9,\"access\":\"m\"}",
		"{\"allow\":false,\"type\":\"c\"}",
	};
	for (size_t shape = 0; shape < 4; shape++) {
		json_object *a = json_object_new_array();
		for (int i = 0; i < 1024; i++)
			json_object_array_add(a, parse(shapes[shape]));
		if (cgroup_devices(fd, a, &err) < 0)
			fail_msg("%s: %s", shapes[shape], err.text);
		json_object_put(a);
	}
	assert_int_equal(programs_of(fd), 1);
	destroy("many");
}

/* ---- limits ------------------------------------------------------------- */

static void limits__name_what_the_host_lacks(void **state)
{
	(void)state;
	static const struct {
		const char *controller, *json, *what;
	} rows[] = {
		{ "memory", "{\"memory\":{\"limit\":67108864}}", "memory limit 67108864" },
		{ "cpu", "{\"cpu\":{\"quota\":50000,\"period\":100000}}",
		  "CPU quota 50000 100000" },
		{ "cpu", "{\"cpu\":{\"shares\":512}}", "CPU weight 59" },
		{ "cpuset", "{\"cpu\":{\"cpus\":\"0\"}}", "CPU set 0" },
		{ "pids", "{\"pids\":{\"limit\":100}}", "process limit 100" },
		{ "io", "{\"blockIO\":{\"weight\":100}}", "block I/O weight 100" },
		{ "rdma", "{\"rdma\":{\"x\":{\"hcaHandles\":1}}}", "RDMA limit x hca_handle=1" },
		{ "frob", "{\"unified\":{\"frob.max\":\"1\"}}", "frob.max" },
	};
	cleanup_fd int fd = make("lack");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[256];
		if (has(rows[i].controller))
			continue;
		(void)snprintf(want, sizeof(want),
			       "cannot enforce %s: this host's cgroup v2 has no %s controller "
			       "(see docs/hosts.md)",
			       rows[i].what, rows[i].controller);
		assert_int_equal(apply(fd, rows[i].json), -EOPNOTSUPP);
		assert_string_equal(err.text, want);
		json_object *o = parse(rows[i].json);
		assert_int_equal(cgroup_resources(fd, o, false, &err), -EOPNOTSUPP);
		json_object_put(o);
	}
	/* what asks for nothing needs nothing */
	apply_ok(fd, "{\"memory\":{\"limit\":-1,\"swap\":-1},\"cpu\":{\"quota\":-1},"
		     "\"pids\":{\"limit\":-1}}");
	destroy("lack");
}

static void hugetlb__is_set(void **state)
{
	(void)state;
	NEED("hugetlb");
	cleanup_fd int fd = make("huge");
	apply_ok(fd, "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4194304}]}");
	assert_string_equal(read_line(fd, "hugetlb.2MB.max"), "4194304");
	assert_string_equal(read_line(fd, "hugetlb.2MB.rsvd.max"), "4194304");
	assert_int_equal(apply(fd, "{\"hugepageLimits\":[{\"pageSize\":\"7KB\",\"limit\":1}]}"),
			 -EOPNOTSUPP);
	assert_string_equal(err.text, "cannot enforce limit 1 for huge pages of 7KB: this host's "
				      "hugetlb controller has no hugetlb.7KB.max "
				      "(see docs/hosts.md)");
	apply_ok(fd, "{\"unified\":{\"hugetlb.2MB.max\":\"max\"}}");
	assert_string_equal(read_line(fd, "hugetlb.2MB.max"), "max");
	destroy("huge");
}

/* A cgroup whose parent does not pass the controller on. */
static void limits__tell_not_delegated_from_not_there(void **state)
{
	(void)state;
	NEED("hugetlb");
	cleanup_fd int outer = make("out"), fd = cgroup_make(path_of("out/in"), NULL, &err);
	assert_int_equal(apply(fd, "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":0}]}"),
			 -EOPNOTSUPP);
	assert_string_equal(
		err.text, "cannot enforce limit 0 for huge pages of 2MB: the hugetlb controller is "
			  "not delegated to this cgroup (see docs/hosts.md)");
	/* asked for, it is enabled on the way down */
	cleanup_fd int good = cgroup_make(path_of("out/good"), "hugetlb", &err);
	apply_ok(good, "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":0}]}");
	destroy("out");
}

static void memory__kills_a_hog(void **state)
{
	(void)state;
	NEED("memory");
	cleanup_fd int fd = make("hog");
	apply_ok(fd, "{\"memory\":{\"limit\":16777216,\"swap\":16777216,\"reservation\":4194304}}");
	assert_string_equal(read_line(fd, "memory.max"), "16777216");
	assert_string_equal(read_line(fd, "memory.low"), "4194304");
	pid_t pid = start_in(fd);
	if (pid == 0) {
		char *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		memset(p, 1, 64 << 20);
		_exit(0);
	}
	assert_int_equal(reap(pid), SIGKILL);
	assert_true(cgroup_oom_kills(fd) >= 1);
	struct cgroup_stat s;
	assert_int_equal(cgroup_stat_read(fd, &s), 0);
	assert_int_equal(s.memory_max, 16777216);
	assert_in_range(s.memory_peak, 8 << 20, 16777216);
	apply_ok(fd, "{\"memory\":{\"limit\":-1}}");
	assert_string_equal(read_line(fd, "memory.max"), "max");
	destroy("hog");
}

static void memory__looks_before_it_shrinks(void **state)
{
	(void)state;
	NEED("memory");
	cleanup_fd int fd = make("shrink");
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = start_in(fd);
	if (pid == 0) {
		char *p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
		memset(p, 1, 8 << 20);
		(void)write(ready[1], "", 1);
		for (;;)
			(void)pause();
	}
	char c;
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(apply(fd, "{\"memory\":{\"limit\":4194304,\"checkBeforeUpdate\":true}}"),
			 -EBUSY);
	assert_int_equal(strncmp(err.text, "cannot set memory limit 4194304: ", 33), 0);
	assert_string_equal(read_line(fd, "memory.max"), "max");
	apply_ok(fd, "{\"memory\":{\"limit\":67108864,\"checkBeforeUpdate\":true}}");
	destroy("shrink");
	(void)reap(pid);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

static void memory__swap_is_apart(void **state)
{
	(void)state;
	NEED("memory");
	cleanup_fd int fd = make("swap");
	if (faccessat(fd, "memory.swap.max", F_OK, 0) < 0) {
		print_message("this kernel does not account swap\n");
		apply_ok(fd, "{\"memory\":{\"limit\":1048576,\"swap\":1048576}}");
	} else {
		apply_ok(fd, "{\"memory\":{\"limit\":1048576,\"swap\":3145728}}");
		assert_string_equal(read_line(fd, "memory.swap.max"), "2097152");
		apply_ok(fd, "{\"memory\":{\"limit\":1048576,\"swap\":1048576}}");
		assert_string_equal(read_line(fd, "memory.swap.max"), "0");
		apply_ok(fd, "{\"memory\":{\"limit\":-1}}");
		assert_string_equal(read_line(fd, "memory.swap.max"), "max");
	}
	destroy("swap");
}

static void cpu__is_set(void **state)
{
	(void)state;
	NEED("cpu");
	cleanup_fd int fd = make("cpu");
	apply_ok(fd, "{\"cpu\":{\"shares\":512,\"quota\":50000,\"period\":200000}}");
	assert_string_equal(read_line(fd, "cpu.weight"), "59");
	assert_string_equal(read_line(fd, "cpu.max"), "50000 200000");
	apply_ok(fd, "{\"cpu\":{\"quota\":20000}}");
	assert_string_equal(read_line(fd, "cpu.max"), "20000 200000");
	apply_ok(fd, "{\"cpu\":{\"period\":100000}}");
	assert_string_equal(read_line(fd, "cpu.max"), "20000 100000");
	/* more burst than the old quota: it goes in after the new one */
	apply_ok(fd, "{\"cpu\":{\"quota\":60000,\"burst\":40000}}");
	assert_string_equal(read_line(fd, "cpu.max.burst"), "40000");
	/* less quota than the old burst: that one goes first */
	apply_ok(fd, "{\"cpu\":{\"quota\":10000,\"burst\":5000}}");
	assert_string_equal(read_line(fd, "cpu.max.burst"), "5000");
	assert_string_equal(read_line(fd, "cpu.max"), "10000 100000");
	apply_ok(fd, "{\"cpu\":{\"quota\":-1,\"burst\":0}}");
	assert_string_equal(read_line(fd, "cpu.max"), "max 100000");
	apply_ok(fd, "{\"cpu\":{\"idle\":1}}");
	assert_string_equal(read_line(fd, "cpu.idle"), "1");
	apply_ok(fd, "{\"cpu\":{\"idle\":0,\"shares\":1024}}");
	assert_string_equal(read_line(fd, "cpu.weight"), "100");
	destroy("cpu");
}

static void cpu__is_throttled(void **state)
{
	(void)state;
	NEED("cpu");
	cleanup_fd int fd = make("thr");
	apply_ok(fd, "{\"cpu\":{\"quota\":5000,\"period\":100000}}");
	pid_t pid = start_in(fd);
	while (pid == 0)
		;
	struct timespec ts = { .tv_sec = 1, .tv_nsec = 500000000 };
	(void)nanosleep(&ts, NULL);
	struct cgroup_stat s;
	assert_int_equal(cgroup_stat_read(fd, &s), 0);
	assert_in_range(s.cpu_usage_us, 1, 400000); /* 75 ms are allowed */
	assert_true(s.cpu_throttled > 0 && s.cpu_throttled_us > 0);
	destroy("thr");
	(void)reap(pid);
}

static void cpuset__is_set(void **state)
{
	(void)state;
	NEED("cpuset");
	cleanup_fd int fd = make("set");
	apply_ok(fd, "{\"cpu\":{\"cpus\":\"0\",\"mems\":\"0\"}}");
	assert_string_equal(read_line(fd, "cpuset.cpus.effective"), "0");
	assert_string_equal(read_line(fd, "cpuset.mems.effective"), "0");
	destroy("set");
}

static void pids__hold_a_fork_bomb(void **state)
{
	(void)state;
	NEED("pids");
	cleanup_fd int fd = make("bomb");
	apply_ok(fd, "{\"pids\":{\"limit\":5}}");
	pid_t pid = start_in(fd);
	if (pid == 0) {
		for (int i = 0; i < 50; i++) {
			pid_t child = fork();
			if (child < 0)
				_exit(errno == EAGAIN ? i : 99);
			while (child == 0)
				(void)pause();
		}
		_exit(98);
	}
	assert_int_equal(reap(pid), 4 << 8);
	struct cgroup_stat s;
	assert_int_equal(cgroup_stat_read(fd, &s), 0);
	assert_int_equal(s.pids_max, 5);
	assert_int_equal(s.pids_current, 4);
	apply_ok(fd, "{\"pids\":{\"limit\":0}}");
	assert_string_equal(read_line(fd, "pids.max"), "max");
	apply_ok(fd, "{\"pids\":{\"limit\":-1}}");
	assert_string_equal(read_line(fd, "pids.max"), "max");
	destroy("bomb");
}

/* A whole disk: "8:0". */
static bool find_disk(char *ret, size_t size)
{
	DIR *d = opendir("/sys/block");
	bool found = false;
	for (struct dirent *e; d && !found && (e = readdir(d));) {
		char path[300];
		if (strncmp(e->d_name, "vd", 2) && strncmp(e->d_name, "sd", 2) &&
		    strncmp(e->d_name, "nvme", 4))
			continue;
		(void)snprintf(path, sizeof(path), "%s/dev", e->d_name);
		(void)snprintf(ret, size, "%s", read_line(dirfd(d), path));
		found = true;
	}
	if (d)
		(void)closedir(d);
	return found;
}

static void io__is_set(void **state)
{
	(void)state;
	NEED("io");
	char disk[32], json[512], want[128];
	unsigned int major = 0, minor = 0;
	if (!find_disk(disk, sizeof(disk)) || sscanf(disk, "%u:%u", &major, &minor) != 2) {
		print_message("there is no disk\n");
		skip();
	}
	cleanup_fd int fd = make("io");
#define DISK "{\"major\":%u,\"minor\":%u,\"rate\":"
	(void)snprintf(json, sizeof(json),
		       "{\"blockIO\":{\"throttleReadBpsDevice\":[" DISK "1048576}],"
		       "\"throttleWriteBpsDevice\":[" DISK "2097152}],"
		       "\"throttleReadIOPSDevice\":[" DISK "100}],"
		       "\"throttleWriteIOPSDevice\":[" DISK "200}]}}",
		       major, minor, major, minor, major, minor, major, minor);
	apply_ok(fd, json);
	(void)snprintf(want, sizeof(want), "%s rbps=1048576 wbps=2097152 riops=100 wiops=200",
		       disk);
	assert_string_equal(read_line(fd, "io.max"), want);
	(void)snprintf(json, sizeof(json),
		       "{\"blockIO\":{\"throttleReadBpsDevice\":[" DISK "0}]},"
		       "\"unified\":{\"io.max\":\"%s wbps=max\\n%s riops=7\\n\"}}",
		       major, minor, disk, disk);
	apply_ok(fd, json);
	(void)snprintf(want, sizeof(want), "%s rbps=max wbps=max riops=7 wiops=200", disk);
	assert_string_equal(read_line(fd, "io.max"), want);
	/* the weight goes where the kernel has one */
	if (faccessat(fd, "io.bfq.weight", F_OK, 0) == 0) {
		apply_ok(fd, "{\"blockIO\":{\"weight\":500}}");
		assert_string_equal(read_line(fd, "io.bfq.weight"), "default 500");
	} else if (faccessat(fd, "io.weight", F_OK, 0) == 0) {
		apply_ok(fd, "{\"blockIO\":{\"weight\":500}}");
		assert_string_equal(read_line(fd, "io.weight"), "default 4950");
	} else {
		assert_int_equal(apply(fd, "{\"blockIO\":{\"weight\":500}}"), -EOPNOTSUPP);
	}
	destroy("io");
}

static void unified__writes_what_it_is_told(void **state)
{
	(void)state;
	NEED("memory");
	cleanup_fd int fd = make("uni");
	apply_ok(fd, "{\"unified\":{\"memory.high\":\"8388608\",\"memory.oom.group\":\"1\","
		     "\"cgroup.max.depth\":\"3\"}}");
	assert_string_equal(read_line(fd, "memory.high"), "8388608");
	assert_string_equal(read_line(fd, "memory.oom.group"), "1");
	assert_string_equal(read_line(fd, "cgroup.max.depth"), "3");
	assert_int_equal(
		apply(fd, "{\"unified\":{\"memory.high\":\"4096\",\"memory.frob\":\"1\"}}"),
		-EOPNOTSUPP);
	/* nothing was written: all files are opened first */
	assert_string_equal(read_line(fd, "memory.high"), "8388608");
	assert_int_equal(apply(fd, "{\"unified\":{\"memory.high\":\"lots\"}}"), -EINVAL);
	assert_string_equal(err.text, "cannot set memory.high (memory.high): Invalid argument");
	destroy("uni");
}

static int setup(void **state)
{
	(void)state;
	const char *name = getenv("ISOLA_CGROUP");
	if (name)
		(void)snprintf(base, sizeof(base), "/%s", name);
	else
		(void)snprintf(base, sizeof(base), "/isola-test-%d", getpid());
	int fd = cgroup_make(base, ALL, &err);
	cleanup_free char *list = NULL;
	if (fd < 0 || cgroup_controllers(base, &list, &err) < 0) {
		print_message("%s\n", err.text);
		return -1;
	}
	(void)snprintf(have, sizeof(have), "%s", list);
	(void)close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return cgroup_destroy(base, 10000, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cgroup__is_made_and_removed),
		cmocka_unit_test(cgroup__refuses_other_paths),
		cmocka_unit_test(cgroup__leaves_nothing_of_a_failure),
		cmocka_unit_test(cgroup__tells_where_it_is),
		cmocka_unit_test(tasks__are_listed_and_killed),
		cmocka_unit_test(destroy__takes_what_a_payload_leaves),
		cmocka_unit_test(freeze__stops_and_thaws),
		cmocka_unit_test(freeze__gives_up_and_thaws),
		cmocka_unit_test(stat__tells_what_it_can),
		cmocka_unit_test(devices__are_guarded_by_the_kernel),
		cmocka_unit_test(devices__share_a_kept_program),
		cmocka_unit_test(devices__compile_to_what_the_kernel_takes),
		cmocka_unit_test(limits__name_what_the_host_lacks),
		cmocka_unit_test(hugetlb__is_set),
		cmocka_unit_test(limits__tell_not_delegated_from_not_there),
		cmocka_unit_test(memory__kills_a_hog),
		cmocka_unit_test(memory__looks_before_it_shrinks),
		cmocka_unit_test(memory__swap_is_apart),
		cmocka_unit_test(cpu__is_set),
		cmocka_unit_test(cpu__is_throttled),
		cmocka_unit_test(cpuset__is_set),
		cmocka_unit_test(pids__hold_a_fork_bomb),
		cmocka_unit_test(io__is_set),
		cmocka_unit_test(unified__writes_what_it_is_told),
	};
	if (geteuid() != 0) {
		(void)printf("needs root\n");
		return 77;
	}
	if (cgroup_mount_open(NULL, &err) < 0) {
		(void)printf("%s\n", err.text);
		return 77;
	}
	return cmocka_run_group_tests_name("cgroup", tests, setup, teardown);
}
