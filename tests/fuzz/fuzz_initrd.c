/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_initrd - the folder of modules that becomes an initial RAM disk. A seed is a row of
 * files: kind (0 a file, 1 a folder, 2 a FIFO, 3 a link to /init), u8; length of the name, u8;
 * the name; length of the content, u16 little-endian; its bytes. What is written is read
 * back as the kernel would: names and contents are those of the folder. */
#include "isola/fd.h"
#include "isola/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FILES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64], init[80], modules[80];

static void remove_all(void)
{
	(void)fd_remove_tree(AT_FDCWD, dir, NULL);
}

static void put(int at, const char *name, const void *data, size_t size)
{
	cleanup_fd int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && fd_write_all(fd, data, size) < 0)
		abort();
}

static void make_place(void)
{
	if (*dir)
		return;
	strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/fi.XXXXXX" : "/tmp/fi.XXXXXX");
	if (!mkdtemp(dir) || atexit(remove_all))
		abort();
	(void)snprintf(init, sizeof(init), "%s/init", dir);
	(void)snprintf(modules, sizeof(modules), "%s/m", dir);
	put(AT_FDCWD, init, "#!init", 6);
}

static void make_one(int at, unsigned int kind, const char *name, const uint8_t *data, size_t size)
{
	if (strchr(name, '/'))
		return;
	if (kind == 1)
		(void)mkdirat(at, name, 0700);
	else if (kind == 2)
		(void)mkfifoat(at, name, 0600);
	else if (kind == 3)
		(void)symlinkat(init, at, name);
	else
		put(at, name, data, size);
}

static void make_files(const uint8_t *p, size_t left)
{
	cleanup_fd int at = open(modules, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; at >= 0 && i < FILES_MAX && left >= 2; i++) {
		char name[NAME_MAX + 1] = "";
		unsigned int kind = p[0] & 3;
		size_t n = p[1] < left - 2 ? p[1] : left - 2;
		memcpy(name, p + 2, n);
		p += 2 + n;
		left -= 2 + n;
		size_t want = left >= 2 ? p[0] + (size_t)p[1] * 256 : 0;
		size_t skip = left >= 2 ? 2 : left;
		size_t have = want < left - skip ? want : left - skip;
		make_one(at, kind, name, p + skip, have);
		p += skip + have;
		left -= skip + have;
	}
}

static unsigned int number(const char *head, int field)
{
	char text[9] = "";
	memcpy(text, head + 6 + field * 8, 8);
	return (unsigned int)strtoul(text, NULL, 16);
}

/* The content, as it is in the folder. */
static void compare(int fd, off_t at, size_t size, const char *path)
{
	static char want[1 << 17], got[1 << 17];
	cleanup_fd int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || size > sizeof(got) || pread(fd, got, size, at) != (ssize_t)size ||
	    read(file, want, sizeof(want)) != (ssize_t)size || memcmp(want, got, size))
		abort();
}

/* How many files of modules are in the archive. */
static int read_back(int fd)
{
	off_t at = 0;
	for (int n = 0;;) {
		char head[111] = "", name[PATH_MAX] = "", path[PATH_MAX + 80];
		if (pread(fd, head, 110, at) != 110 || memcmp(head, "070701", 6))
			abort();
		unsigned int size = number(head, 6), len = number(head, 11);
		if (len > NAME_MAX + 8 || pread(fd, name, len, at + 110) != (ssize_t)len ||
		    strlen(name) + 1 != len)
			abort();
		at = (at + 110 + len + 3) & ~(off_t)3;
		if (!strcmp(name, "TRAILER!!!"))
			return n;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (S_ISREG(number(head, 1)))
			compare(fd, at, size, path);
		n += !strncmp(name, "m/", 2);
		at = (at + size + 3) & ~(off_t)3;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	make_place();
	(void)fd_remove_tree(AT_FDCWD, modules, NULL);
	if (mkdir(modules, 0700) < 0)
		abort();
	make_files(data, size);
	cleanup_fd int out = memfd_create("initrd", MFD_CLOEXEC);
	if (out < 0)
		abort();
	int rc = initrd_write(out, init, modules, &err);
	if (rc == 0)
		(void)read_back(out);
	else if (err.code != -rc || !err.text[0])
		abort();
	return 0;
}
