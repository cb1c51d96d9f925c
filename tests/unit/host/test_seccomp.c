/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp - compiling, the cache, and what an installed filter does to a process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/seccomp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static json_object *parse(const char *text)
{
	json_object *o = NULL;
	struct err err = ERR_INIT;
	if (json_parse(text, strlen(text), "test", &o, &err) < 0)
		fail_msg("%s in %s", err.text, text);
	return o;
}

static struct seccomp_filter load(const char *text, int cache_fd)
{
	struct seccomp_filter f = SECCOMP_FILTER_INIT;
	struct err err = ERR_INIT;
	json_object *o = parse(text);
	if (seccomp_filter_load(o, cache_fd, &f, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	json_object_put(o);
	return f;
}

/* Runs @body under the filter in a child: its result, or 128 + signal. */
static int under(const char *profile, int (*body)(void))
{
	struct seccomp_filter f = load(profile, -1);
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(seccomp_filter_install(&f) < 0 ? 99 : body());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	seccomp_filter_fini(&f);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int errno_of(long rc)
{
	return rc < 0 ? errno : 0;
}

static int try_getppid(void)
{
	return errno_of(syscall(SYS_getppid));
}
static int try_personality(void)
{
	return errno_of(syscall(SYS_personality, 0xffffffffUL));
}
static int try_dup_5_and_6(void)
{
	/* bit by bit: 1 = dup2(5, .) refused, 2 = dup2(6, .) refused, 4 = dup2(7, .) */
	int rc = 0;
	for (int i = 0; i < 3; i++)
		if (syscall(SYS_fcntl, 100, 5 + i, 0) < 0 && errno == EDOM)
			rc |= 1 << i;
	return rc;
}

#define ALLOW_BUT(rules) "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[" rules "]}"

static void filter__answers(void **state)
{
	(void)state;
	assert_int_equal(under("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", try_getppid), 0);
	assert_int_equal(under(ALLOW_BUT("{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\"}"),
			       try_getppid),
			 EPERM);
	assert_int_equal(under(ALLOW_BUT("{\"names\":[\"getppid\",\"no_such_call\"],"
					 "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":33}"),
			       try_getppid),
			 33);
	assert_int_equal(
		under(ALLOW_BUT("{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_KILL_PROCESS\"}"),
		      try_getppid),
		128 + SIGSYS);
	assert_int_equal(under(ALLOW_BUT("{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_LOG\"}"),
			       try_getppid),
			 0);
	/* one rule of the same kind as the default says nothing */
	assert_int_equal(under(ALLOW_BUT("{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ALLOW\"}"),
			       try_getppid),
			 0);
}

static void filter__compares_arguments(void **state)
{
	(void)state;
	assert_int_equal(
		under(ALLOW_BUT("{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ERRNO\","
				"\"errnoRet\":7,\"args\":[{\"index\":0,\"value\":4294967295,"
				"\"op\":\"SCMP_CMP_EQ\"}]}"),
		      try_personality),
		7);
	/* two conditions on one argument: either will do */
	assert_int_equal(under(ALLOW_BUT("{\"names\":[\"fcntl\"],\"action\":\"SCMP_ACT_ERRNO\","
					 "\"errnoRet\":33,\"args\":["
					 "{\"index\":1,\"value\":5,\"op\":\"SCMP_CMP_EQ\"},"
					 "{\"index\":1,\"value\":6,\"op\":\"SCMP_CMP_EQ\"}]}"),
			       try_dup_5_and_6),
			 3);
	/* on two arguments: both must hold */
	assert_int_equal(
		under(ALLOW_BUT(
			      "{\"names\":[\"fcntl\"],\"action\":\"SCMP_ACT_ERRNO\","
			      "\"errnoRet\":33,\"args\":["
			      "{\"index\":0,\"value\":100,\"op\":\"SCMP_CMP_EQ\"},"
			      "{\"index\":1,\"value\":5,\"valueTwo\":5,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}"),
		      try_dup_5_and_6),
		5);
	assert_int_equal(under(ALLOW_BUT("{\"names\":[\"fcntl\"],\"action\":\"SCMP_ACT_ERRNO\","
					 "\"errnoRet\":33,\"args\":["
					 "{\"index\":0,\"value\":100,\"op\":\"SCMP_CMP_EQ\"},"
					 "{\"index\":1,\"value\":6,\"op\":\"SCMP_CMP_GT\"}]}"),
			       try_dup_5_and_6),
			 4);
}

static int try_new_call(void)
{
	return errno_of(syscall(2000));
}
static int try_x32(void)
{
	return errno_of(syscall(0x40000000L + SYS_getppid));
}
static int try_old_call(void)
{
	return errno_of(syscall(SYS_getppid));
}

/* close_range is the newest of what the list names: all above is new to it. The
 * others are what leaving takes, under a sanitizer too. */
#define LEAVING                                                                                    \
	"\"exit_group\",\"close_range\",\"mmap\",\"munmap\",\"madvise\",\"write\",\"futex\","      \
	"\"getpid\",\"gettid\",\"rt_sigprocmask\",\"rt_sigaction\",\"sigaltstack\",\"sched_yield\""
static void refusing__says_enosys_to_newer_calls(void **state)
{
	(void)state;
	static const char list[] = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,"
				   "\"syscalls\":[{\"names\":[" LEAVING "],"
				   "\"action\":\"SCMP_ACT_ALLOW\"}]}";
	assert_int_equal(under(list, try_new_call), ENOSYS);
	assert_int_equal(under(list, try_old_call), EPERM);
#if defined(__x86_64__)
	assert_int_equal(under(list, try_x32), ENOSYS);
#else
	(void)try_x32;
#endif
	static const char killer[] = "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\","
				     "\"syscalls\":[{\"names\":[" LEAVING "],"
				     "\"action\":\"SCMP_ACT_ALLOW\"}]}";
	assert_int_equal(under(killer, try_new_call), ENOSYS);
	assert_int_equal(under(killer, try_old_call), 128 + SIGSYS);
}

static void profiles__name_what_is_wrong(void **state)
{
	(void)state;
#define ONE(rule) "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[" rule "]}"
	static const struct {
		const char *json, *error;
	} rows[] = {
		{ "[]", "must be an object" },
		{ "{}", "defaultAction: unknown action \"\"" },
		{ "{\"defaultAction\":\"ALLOW\"}", "defaultAction: unknown action \"ALLOW\"" },
		{ "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
		  "defaultAction: must not be SCMP_ACT_NOTIFY" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}",
		  "defaultErrnoRet: SCMP_ACT_ALLOW takes none" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":4096}",
		  "defaultErrnoRet: must be 0 to 4095" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"VAX\"]}",
		  "architectures[0]: unknown architecture \"VAX\"" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":\"X86\"}",
		  "architectures must be an array of strings" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"flags\":[\"X\"]}",
		  "flags[0]: unknown flag \"X\"" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"flags\":"
		  "[\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"]}",
		  "flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs SCMP_ACT_NOTIFY" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"listenerMetadata\":\"x\"}",
		  "listenerMetadata: needs listenerPath" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":{}}",
		  "syscalls: must be an array of at most 4096" },
		{ ONE("1"), "syscalls[0].names: must hold names of system calls" },
		{ ONE("{\"names\":[],\"action\":\"SCMP_ACT_ALLOW\"}"),
		  "syscalls[0].names: must hold names of system calls" },
		{ ONE("{\"names\":[\"read\"],\"action\":\"X\"}"),
		  "syscalls[0].action: unknown action \"X\"" },
		{ ONE("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"errnoRet\":5}"),
		  "syscalls[0].errnoRet: SCMP_ACT_ALLOW takes none" },
		{ ONE("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"op\":\"X\"}]}"),
		  "syscalls[0].args[0].op: unknown operator \"X\"" },
		{ ONE("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
		      "\"args\":[{\"op\":\"SCMP_CMP_EQ\",\"index\":6}]}"),
		  "syscalls[0].args[0].index: must be 0 to 5" },
		{ ONE("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
		      "\"args\":[{\"op\":\"SCMP_CMP_EQ\",\"value\":\"1\"}]}"),
		  "syscalls[0].args[0].value: must be a number" },
		{ ONE("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":{}}"),
		  "syscalls[0].args: must be an array of at most 6" },
		{ ONE("{\"names\":[\"read\"],\"action\":\"SCMP_ACT_NOTIFY\"}"),
		  "listenerPath: is missing, but SCMP_ACT_NOTIFY is used" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\",\"syscalls\":"
		  "[{\"names\":[\"write\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
		  "syscalls[0].names: SCMP_ACT_NOTIFY for write would stop us ourselves" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *o = parse(rows[i].json);
		struct seccomp_filter f = SECCOMP_FILTER_INIT;
		struct err err = ERR_INIT;
		if (seccomp_filter_load(o, -1, &f, &err) != -EINVAL)
			fail_msg("%s: taken", rows[i].json);
		if (strcmp(err.text, rows[i].error))
			fail_msg("%s:\n got  %s\n want %s", rows[i].json, err.text, rows[i].error);
		assert_null(f.mem);
		json_object_put(o);
	}
}

static void flags__are_read(void **state)
{
	(void)state;
	struct seccomp_filter f = load("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", -1);
	assert_int_equal(f.flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	seccomp_filter_fini(&f);
	f = load("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[]}", -1);
	assert_int_equal(f.flags, 0);
	seccomp_filter_fini(&f);
	f = load("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\","
		 "\"SECCOMP_FILTER_FLAG_TSYNC\"]}",
		 -1);
	assert_int_equal(f.flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_TSYNC);
	seccomp_filter_fini(&f);
	assert_true(seccomp_has_flag("SECCOMP_FILTER_FLAG_LOG"));
	assert_true(seccomp_has_action("SCMP_ACT_ERRNO"));
	assert_false(seccomp_has_flag("X"));
	assert_false(seccomp_has_action("X"));
}

/* The listener comes out of the one system call that installs. */
static void notify__returns_a_listener(void **state)
{
	(void)state;
	struct seccomp_filter f =
		load("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/run/agent\","
		     "\"listenerMetadata\":\"m\",\"syscalls\":[{\"names\":[\"getppid\"],"
		     "\"action\":\"SCMP_ACT_NOTIFY\"}]}",
		     -1);
	assert_true(f.notify);
	assert_string_equal(f.listener_path, "/run/agent");
	assert_string_equal(f.listener_metadata, "m");
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		int fd = seccomp_filter_install(&f);
		struct stat st;
		_exit(fd > 2 && fstat(fd, &st) == 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	seccomp_filter_fini(&f);
}

/* ---- the cache --------------------------------------------------------- */

static const char profile_a[] =
	ALLOW_BUT("{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\"}");
static const char profile_b[] = ALLOW_BUT("{\"names\":[\"getpid\"],\"action\":\"SCMP_ACT_ERRNO\"}");

struct cache {
	char path[64];
	int fd;
};

static int cache_setup(void **state)
{
	static struct cache c;
	strcpy(c.path, "/tmp/isola-seccomp-XXXXXX");
	if (!mkdtemp(c.path))
		return -1;
	c.fd = open(c.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &c;
	return c.fd < 0;
}

static int cache_teardown(void **state)
{
	struct cache *c = *state;
	(void)close(c->fd);
	return fd_remove_tree(AT_FDCWD, c->path, NULL);
}

/* Names of the entries; fills @ret with the last one. */
static int count_entries(const struct cache *c, char *ret, size_t size)
{
	DIR *d = opendir(c->path);
	int n = 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (*e->d_name == '.')
			continue;
		n++;
		(void)snprintf(ret, size, "%s", e->d_name);
	}
	(void)closedir(d);
	return n;
}

static bool is_cached(const char *profile, const struct cache *c)
{
	struct seccomp_filter plain = load(profile, -1), f = load(profile, c->fd);
	bool cached = f.cached;
	/* whatever way it came, it is the same filter */
	assert_int_equal(f.prog.len, plain.prog.len);
	assert_memory_equal(f.prog.filter, plain.prog.filter, f.prog.len * sizeof(*f.prog.filter));
	seccomp_filter_fini(&f);
	seccomp_filter_fini(&plain);
	return cached;
}

static void cache__hits_the_same_profile_only(void **state)
{
	struct cache *c = *state;
	char name[NAME_MAX + 1];
	assert_false(is_cached(profile_a, c));
	assert_true(is_cached(profile_a, c));
	assert_false(is_cached(profile_b, c));
	assert_true(is_cached(profile_b, c));
	assert_true(is_cached(profile_a, c));
	assert_int_equal(count_entries(c, name, sizeof(name)), 2);
}

static void patch(const struct cache *c, const char *name, off_t at, const char *bytes)
{
	cleanup_fd int fd = openat(c->fd, name, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, strlen(bytes), at), strlen(bytes));
}

static void cache__trusts_no_spoilt_entry(void **state)
{
	struct cache *c = *state;
	char name[NAME_MAX + 1];
	struct stat st;
	assert_false(is_cached(profile_a, c));
	assert_int_equal(count_entries(c, name, sizeof(name)), 1);
	patch(c, name, 0, "X"); /* head */
	assert_false(is_cached(profile_a, c));
	assert_true(is_cached(profile_a, c));
	patch(c, name, 40, "X"); /* key */
	assert_false(is_cached(profile_a, c));
	assert_int_equal(fstatat(c->fd, name, &st, 0), 0);
	patch(c, name, st.st_size, "X"); /* too long */
	assert_false(is_cached(profile_a, c));
	assert_int_equal(truncate(c->path, 0), -1);
	cleanup_fd int fd = openat(c->fd, name, O_WRONLY);
	assert_int_equal(ftruncate(fd, 20), 0); /* too short */
	assert_false(is_cached(profile_a, c));
	assert_int_equal(fchmodat(c->fd, name, 0620, 0), 0); /* others may write */
	assert_false(is_cached(profile_a, c));
	assert_true(is_cached(profile_a, c));
	/* an entry that is a link, though to a good one */
	assert_int_equal(renameat(c->fd, name, c->fd, "good"), 0);
	assert_int_equal(symlinkat("good", c->fd, name), 0);
	assert_false(is_cached(profile_a, c));
	/* and one that would block */
	assert_int_equal(unlinkat(c->fd, name, 0), 0);
	assert_int_equal(mkfifoat(c->fd, name, 0600), 0);
	assert_false(is_cached(profile_a, c));
}

static void cache__wants_a_private_folder(void **state)
{
	struct cache *c = *state;
	char name[NAME_MAX + 1];
	assert_int_equal(fchmod(c->fd, 0770), 0);
	assert_false(is_cached(profile_a, c));
	assert_int_equal(count_entries(c, name, sizeof(name)), 0);
	assert_int_equal(fchmod(c->fd, 0700), 0);
	assert_false(is_cached(profile_a, c));
	assert_int_equal(fchmod(c->fd, 0777), 0);
	assert_false(is_cached(profile_a, c));
}

static void cache__is_bounded(void **state)
{
	struct cache *c = *state;
	char name[NAME_MAX + 1];
	for (int i = 0; i < 600; i++) {
		(void)snprintf(name, sizeof(name), "%016x.bpf", i);
		(void)close(openat(c->fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	}
	(void)close(openat(c->fd, "other", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_false(is_cached(profile_a, c));
	assert_int_equal(count_entries(c, name, sizeof(name)), 2);
	assert_int_equal(faccessat(c->fd, "other", F_OK, 0), 0);
	assert_true(is_cached(profile_a, c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filter__answers),
		cmocka_unit_test(filter__compares_arguments),
		cmocka_unit_test(refusing__says_enosys_to_newer_calls),
		cmocka_unit_test(profiles__name_what_is_wrong),
		cmocka_unit_test(flags__are_read),
		cmocka_unit_test(notify__returns_a_listener),
		cmocka_unit_test_setup_teardown(cache__hits_the_same_profile_only, cache_setup,
						cache_teardown),
		cmocka_unit_test_setup_teardown(cache__trusts_no_spoilt_entry, cache_setup,
						cache_teardown),
		cmocka_unit_test_setup_teardown(cache__wants_a_private_folder, cache_setup,
						cache_teardown),
		cmocka_unit_test_setup_teardown(cache__is_bounded, cache_setup, cache_teardown),
	};
	return cmocka_run_group_tests_name("seccomp", tests, NULL, NULL);
}
