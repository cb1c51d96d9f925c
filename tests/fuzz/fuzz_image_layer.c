/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_layer - a layer's tar, unpacked for real into a folder of its own,
 * without the jail: whatever comes, nothing may appear beside that folder, and what
 * was unpacked must compare equal. Wants root, as only that may change owners. */
#include "image/compare.h"
#include "image/stream.h"
#include "isola/tar.h"
#include "image/unpack.h"
#include "image_job.h"
#include "isola/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int base = -1;
static char base_name[] = "fuzz-layer.XXXXXX";

static void remove_base(void)
{
	(void)chdir("..");
	(void)fd_remove_tree(AT_FDCWD, base_name, NULL);
}

static void start(void)
{
	const struct rlimit limit = { 16 << 20, 16 << 20 };
	if (chdir("/dev/shm") < 0 || !mkdtemp(base_name) || chdir(base_name) < 0)
		abort();
	base = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)atexit(remove_base);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)setrlimit(RLIMIT_FSIZE, &limit);
	(void)umask(0);
}

static int make_dir(const char *name)
{
	if (mkdirat(base, name, 0755) < 0)
		abort();
	return openat(base, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void check_base(int entries)
{
	DIR *d = fdopendir(openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	while (d && readdir(d))
		entries--;
	(void)closedir(d);
	if (entries != -2) /* "." and ".." */
		abort();
}

/* What was just unpacked is what the tar says. */
static void look_again(int in, int root, bool once)
{
	static const struct stream_options options = { .what = "it", .plain_max = 1 << 22 };
	cleanup_stream struct stream *s = NULL;
	cleanup_tar struct tar *tar = NULL;
	struct err err = ERR_INIT;
	if (lseek(in, 0, SEEK_SET) < 0 || stream_new(in, &options, &s, &err) < 0 ||
	    tar_new(stream_read, s, &tar, &err) < 0)
		return;
	if (compare_layer(tar, root, once, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

static void unpack(const uint8_t *data, size_t size, int root, const int *lower, size_t n_lower)
{
	static const struct stream_options options = { .what = "it", .plain_max = 1 << 22 };
	cleanup_fd int in = memfd_create("fuzz", MFD_CLOEXEC);
	cleanup_fd int later = memfd_create("later", MFD_CLOEXEC);
	cleanup_stream struct stream *s = NULL;
	cleanup_tar struct tar *tar = NULL;
	struct unpack_result result;
	struct err err = ERR_INIT;
	if (fd_write_all(in, data, size) < 0 || lseek(in, 0, SEEK_SET) < 0 ||
	    stream_new(in, &options, &s, &err) < 0 || tar_new(stream_read, s, &tar, &err) < 0)
		return;
	const struct unpack_args args = {
		.tar = tar, .root_fd = root, .later_fd = later, .entries_max = 500
	};
	if (unpack_layer(&args, &result, &err) == 0 &&
	    unpack_settle(root, later, lower, n_lower, &err) == 0)
		look_again(in, root, !result.shape.unknown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (geteuid() != 0)
		return 0;
	if (base < 0)
		start();
	cleanup_fd int bottom = make_dir("bottom"), top = make_dir("top");
	cleanup_free uint8_t *fixed = image_fix_sums(data, size);
	unpack(fixed, size, bottom, NULL, 0);
	/* and once more above itself: folders are made as they are below */
	unpack(fixed, size, top, &bottom, 1);
	check_base(2);
	if (fd_remove_tree(base, "bottom", NULL) < 0 || fd_remove_tree(base, "top", NULL) < 0)
		abort();
	return 0;
}
