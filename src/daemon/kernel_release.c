/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_release - see kernel_release.h. */
#include "kernel_release.h"

#include "isola/fd.h"

#include <ctype.h>
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE  ((size_t)1024 * 1024)
#define BANNER "Linux version "
/* A banner that is cut off by a piece's end is whole in the next piece. */
#define OVERLAP (sizeof(BANNER) + KERNEL_RELEASE_MAX)

static size_t printable(const char *text, size_t size)
{
	size_t n = 0;
	while (n < size && text[n] > ' ' && text[n] < 0x7f)
		n++;
	return n;
}

int kernel_release_find(const void *data, size_t size, char ret[KERNEL_RELEASE_MAX])
{
	const char *at = data, *end = at + size;
	while ((at = memmem(at, (size_t)(end - at), BANNER, strlen(BANNER)))) {
		at += strlen(BANNER);
		size_t n = printable(at, (size_t)(end - at));
		if (n && n < KERNEL_RELEASE_MAX && at + n < end && *at >= '0' && *at <= '9') {
			memcpy(ret, at, n);
			ret[n] = '\0';
			return 1;
		}
	}
	return 0;
}

static void of_bzimage(int fd, const unsigned char *head, char ret[KERNEL_RELEASE_MAX])
{
	uint16_t offset;
	memcpy(&offset, head + 0x20e, sizeof(offset));
	ssize_t n = offset ? pread(fd, ret, KERNEL_RELEASE_MAX - 1, offset + 0x200) : 0;
	ret[printable(ret, n < 0 ? 0 : (size_t)n)] = '\0';
}

static void of_elf(int fd, char ret[KERNEL_RELEASE_MAX])
{
	cleanup_free char *piece = malloc(PIECE);
	for (size_t at = 0; piece && at < KERNEL_RELEASE_LOOK_MAX; at += PIECE - OVERLAP) {
		ssize_t n = pread(fd, piece, PIECE, (off_t)at);
		if (n <= 0 || kernel_release_find(piece, (size_t)n, ret))
			return;
	}
}

static void look(int fd, char ret[KERNEL_RELEASE_MAX])
{
	unsigned char head[0x210] = { 0 };
	if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return;
	if (!memcmp(head, ELFMAG, SELFMAG))
		of_elf(fd, ret);
	else if (!memcmp(head + 0x202, "HdrS", 4))
		of_bzimage(fd, head, ret);
}

void kernel_release(const char *path, char ret[KERNEL_RELEASE_MAX])
{
	static struct {
		struct stat st;
		char release[KERNEL_RELEASE_MAX];
	} last;
	struct stat st;
	*ret = '\0';
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (st.st_dev != last.st.st_dev || st.st_ino != last.st.st_ino ||
	    st.st_size != last.st.st_size || st.st_ctim.tv_sec != last.st.st_ctim.tv_sec ||
	    st.st_ctim.tv_nsec != last.st.st_ctim.tv_nsec) {
		*last.release = '\0';
		look(fd, last.release);
		last.st = st;
	}
	memcpy(ret, last.release, KERNEL_RELEASE_MAX);
}
