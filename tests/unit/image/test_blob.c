/* SPDX-License-Identifier: Apache-2.0 */
/* blob - leases of two jobs, writing, and what removal spares. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/blob.h"
#include "image/collect.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ABSENT "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct fixture {
	char dir[32];
	struct store store;
	struct job a, b;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	strcpy(f->dir, "/tmp/test-blob.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(store_open(f->dir, &f->store, &f->err), 0);
	assert_int_equal(job_open(&f->store, &f->a, &f->err), 0);
	assert_int_equal(job_open(&f->store, &f->b, &f->err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	job_fini(&f->a);
	job_fini(&f->b);
	store_fini(&f->store);
	(void)fd_remove_tree(AT_FDCWD, f->dir, NULL);
	free(f);
	return 0;
}

/* Commits @text for job @j. */
static int put(struct fixture *f, const struct job *j, const char *text, char ret[DIGEST_SIZE])
{
	cleanup_blob_write struct blob_write w = BLOB_WRITE_INIT;
	assert_int_equal(blob_begin(j, &w, &f->err), 0);
	assert_int_equal(blob_add(&w, text, strlen(text), &f->err), 0);
	return blob_commit(&w, NULL, -1, ret, &f->err);
}

static int count(int dir_fd)
{
	int n = 0;
	DIR *d = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2;
}

static int sweep(struct fixture *f, const struct job *j)
{
	struct swept swept = { 0 };
	cleanup_fd int lock = store_lock(&f->store, &f->err);
	assert_true(lock >= 0);
	assert_int_equal(collect_sweep(j, &swept, &f->err), 0);
	return (int)swept.blobs;
}

static void blob_commit__gives_the_name_of_its_bytes(void **state)
{
	struct fixture *f = *state;
	char digest[DIGEST_SIZE] = "", want[DIGEST_SIZE];
	cleanup_free char *text = NULL;
	size_t size = 0;
	assert_int_equal(put(f, &f->a, "hello", digest), 0);
	assert_int_equal(digest_of("hello", 5, want, &f->err), 0);
	assert_string_equal(digest, want);
	assert_true(blob_exists(&f->store, digest));
	assert_int_equal(blob_text(&f->store, digest, &text, &size, &f->err), 0);
	assert_string_equal(text, "hello");
	assert_int_equal(put(f, &f->b, "hello", digest), 0);
	assert_int_equal(count(f->store.blobs_fd), 1);
	assert_int_equal(count(f->a.fd) + count(f->b.fd), 0);
}

static void blob_place__names_what_was_compared(void **state)
{
	struct fixture *f = *state;
	cleanup_blob_write struct blob_write w = BLOB_WRITE_INIT;
	char digest[DIGEST_SIZE];
	assert_int_equal(digest_of("text", 4, digest, &f->err), 0);
	assert_int_equal(blob_lease(&f->a, digest, false, &f->err), 0);
	assert_int_equal(blob_begin(&f->a, &w, &f->err), 0);
	assert_int_equal(blob_add(&w, "text", 4, &f->err), 0);
	assert_int_equal(blob_compare(&w, digest, 4, &f->err), 0);
	/* Complete, and nobody else's yet. */
	assert_false(blob_exists(&f->store, digest));
	assert_int_equal(blob_lease(&f->b, digest, false, &f->err), -EAGAIN);
	assert_int_equal(blob_place(&w, &f->err), 0);
	assert_true(blob_exists(&f->store, digest));
	assert_int_equal(w.fd, -1);
	assert_int_equal(blob_lease(&f->b, digest, false, &f->err), 1);
}

static void blob_commit__refuses_other_bytes(void **state)
{
	struct fixture *f = *state;
	char digest[DIGEST_SIZE] = "";
	for (int i = 0; i < 2; i++) {
		cleanup_blob_write struct blob_write w = BLOB_WRITE_INIT;
		assert_int_equal(blob_begin(&f->a, &w, &f->err), 0);
		assert_int_equal(blob_add(&w, "hello", 5, &f->err), 0);
		assert_int_equal(blob_commit(&w, i ? ABSENT : NULL, i ? 5 : 4, digest, &f->err),
				 -EINVAL);
		assert_non_null(strstr(f->err.text, i ? "wrong digest" : "wrong size"));
	}
	assert_string_equal(digest, "");
	assert_int_equal(count(f->store.blobs_fd), 0);
	assert_int_equal(count(f->a.fd), 0);
}

static void blob_reopen__reads_what_is_there_so_far(void **state)
{
	struct fixture *f = *state;
	cleanup_blob_write struct blob_write w = BLOB_WRITE_INIT;
	char buf[16] = "";
	assert_int_equal(blob_begin(&f->a, &w, &f->err), 0);
	assert_int_equal(blob_add(&w, "one", 3, &f->err), 0);
	cleanup_fd int fd = blob_reopen(&w, &f->err);
	assert_int_equal(read(fd, buf, sizeof(buf)), 3);
	assert_int_equal(blob_add(&w, "two", 3, &f->err), 0);
	assert_int_equal(w.size, 6);
	assert_int_equal(read(fd, buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "two", 3);
}

static void blob_lease__is_exclusive_until_there_is_a_blob(void **state)
{
	struct fixture *f = *state;
	char digest[DIGEST_SIZE], same[DIGEST_SIZE];
	assert_int_equal(digest_of("hello", 5, digest, &f->err), 0);
	assert_int_equal(blob_lease(&f->a, digest, true, &f->err), 0);
	assert_int_equal(blob_lease(&f->b, digest, false, &f->err), -EAGAIN);
	assert_int_equal(blob_lease(&f->b, ABSENT, false, &f->err), 0);
	assert_int_equal(put(f, &f->a, "hello", same), 0);
	assert_string_equal(same, digest);
	assert_int_equal(blob_lease(&f->b, digest, false, &f->err), 1);
	assert_int_equal(blob_lease(&f->a, digest, false, &f->err), 1);
}

/* Not in a thread: only what the other one sees of it. */
static void blob_is_wanted__is_of_another_job(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(blob_lease(&f->a, ABSENT, true, &f->err), 0);
	assert_false(blob_is_wanted(&f->a, ABSENT));
	pid_t pid = fork();
	if (pid == 0) {
		struct job c = JOB_INIT;
		if (job_open(&f->store, &c, NULL) == 0)
			(void)blob_lease(&c, ABSENT, true, NULL);
		_exit(0);
	}
	for (int i = 0; i < 3000 && !blob_is_wanted(&f->a, ABSENT); i++)
		(void)usleep(10000);
	assert_true(blob_is_wanted(&f->a, ABSENT));
	blob_unlease(&f->a, ABSENT);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(blob_is_wanted(&f->a, ABSENT));
}

static void blob_lease__passes_on_what_was_not_made(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(blob_lease(&f->a, ABSENT, true, &f->err), 0);
	blob_unlease(&f->a, ABSENT);
	assert_int_equal(blob_lease(&f->b, ABSENT, false, &f->err), 0);
	job_fini(&f->b);
	assert_int_equal(blob_lease(&f->a, ABSENT, false, &f->err), 0);
	assert_int_equal(blob_lease(&f->a, "sha256:../x", false, &f->err), -EINVAL);
}

static void collect_sweep__spares_what_another_job_has_leased(void **state)
{
	struct fixture *f = *state;
	char kept[DIGEST_SIZE], gone[DIGEST_SIZE];
	assert_int_equal(put(f, &f->a, "kept", kept), 0);
	assert_int_equal(put(f, &f->b, "gone", gone), 0);
	assert_int_equal(sweep(f, &f->b), 1);
	assert_true(blob_exists(&f->store, kept));
	assert_false(blob_exists(&f->store, gone));
	job_fini(&f->a);
	assert_int_equal(sweep(f, &f->b), 1);
	assert_false(blob_exists(&f->store, kept));
}

/* A record that needs @blob and nothing else. */
static void record(struct fixture *f, const char *blob)
{
	cleanup_json json_object *r = json_object_new_object();
	json_object *blobs = json_object_new_array();
	(void)json_object_array_add(blobs, json_object_new_string(blob));
	json_add_str(r, "id", ABSENT);
	json_add(r, "blobs", blobs);
	json_add(r, "layers", json_object_new_array());
	assert_int_equal(record_write(&f->store, r, &f->err), 0);
}

static void collect_hold__keeps_the_blobs_of_a_deleted_image(void **state)
{
	struct fixture *f = *state;
	cleanup_json json_object *r = NULL;
	char digest[DIGEST_SIZE];
	assert_int_equal(put(f, &f->b, "hello", digest), 0);
	record(f, digest);
	assert_int_equal(collect_hold(&f->a, ABSENT, &r, &f->err), 0);
	assert_string_equal(json_str_or(r, "id", ""), ABSENT);
	assert_int_equal(record_remove(&f->store, ABSENT, &f->err), 0);
	assert_int_equal(sweep(f, &f->b), 0);
	assert_true(blob_exists(&f->store, digest));
	job_fini(&f->a);
	assert_int_equal(sweep(f, &f->b), 1);
}

static void collect_hold__says_what_is_missing(void **state)
{
	struct fixture *f = *state;
	cleanup_json json_object *r = NULL;
	assert_int_equal(collect_hold(&f->a, ABSENT, &r, &f->err), -ENOENT);
	record(f, ABSENT);
	assert_int_equal(collect_hold(&f->a, ABSENT, &r, &f->err), -EIO);
	assert_non_null(strstr(f->err.text, "is missing"));
	assert_int_equal(blob_lease(&f->b, ABSENT, false, &f->err), 0);
	assert_int_equal(collect_hold(&f->a, ABSENT, &r, &f->err), -EAGAIN);
	assert_null(r);
}

static void blob_text__refuses_damage(void **state)
{
	struct fixture *f = *state;
	char digest[DIGEST_SIZE], *text = NULL;
	size_t size = 0;
	assert_int_equal(put(f, &f->a, "hello", digest), 0);
	cleanup_fd int fd = openat(f->store.blobs_fd, digest_hex(digest), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "j", 1, 0), 1);
	assert_int_equal(blob_text(&f->store, digest, &text, &size, &f->err), -EIO);
	assert_null(text);
	assert_int_equal(blob_open(&f->store, ABSENT, NULL, &f->err), -ENOENT);
	assert_int_equal(blob_open(&f->store, "sha256:/etc/passwd", NULL, &f->err), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(blob_commit__gives_the_name_of_its_bytes),
		T(blob_place__names_what_was_compared),
		T(blob_commit__refuses_other_bytes),
		T(blob_reopen__reads_what_is_there_so_far),
		T(blob_lease__is_exclusive_until_there_is_a_blob),
		T(blob_is_wanted__is_of_another_job),
		T(blob_lease__passes_on_what_was_not_made),
		T(collect_sweep__spares_what_another_job_has_leased),
		T(collect_hold__keeps_the_blobs_of_a_deleted_image),
		T(collect_hold__says_what_is_missing),
		T(blob_text__refuses_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
