/* SPDX-License-Identifier: Apache-2.0 */
/* replay_main - runs a fuzz target over files, and all files of folders, given
 * as arguments; each is one TAP result. With -n COUNT first, each is also run
 * COUNT times with random bytes changed, cut or repeated, so that a machine
 * without libFuzzer searches a little, too. */
#include "isola/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SEED_BYTES_MAX (16 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int n_results;
static long n_mutations;

static size_t mutate(uint8_t *data, size_t size, size_t cap)
{
	for (int n = 1 + rand() % 4; n > 0 && size > 0; n--) {
		size_t at = (size_t)rand() % size, len = (size_t)rand() % (size - at) % 64;
		switch (rand() % 5) {
		case 0:
			data[at] = (uint8_t)rand();
			break;
		case 1:
			data[at] ^= (uint8_t)(1 << rand() % 8);
			break;
		case 2:
			memmove(data + at, data + at + len, size - at - len);
			size -= len;
			break;
		case 3:
			if (size + len <= cap) {
				memmove(data + at + len, data + at, size - at);
				size += len;
			}
			break;
		default:
			size = at;
		}
	}
	return size;
}

static void search(const char *text, size_t size)
{
	size_t cap = size * 2 + 16;
	for (long i = 0; i < n_mutations; i++) {
		/* Exactly as long as the input, so that overreads are seen. */
		cleanup_free uint8_t *work = malloc(cap);
		if (!work)
			return;
		memcpy(work, text, size);
		size_t n = mutate(work, size, cap);
		uint8_t *exact = realloc(work, n ? n : 1);
		work = exact ? exact : work;
		(void)LLVMFuzzerTestOneInput(work, n);
	}
}

static void replay_file(int dirfd, const char *name)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	struct err err = ERR_INIT;
	if (fd_read_file(dirfd, name, SEED_BYTES_MAX, &text, &size, &err) < 0) {
		printf("not ok %u - %s\n", ++n_results, err.text);
		return;
	}
	(void)LLVMFuzzerTestOneInput((const uint8_t *)text, size);
	search(text, size);
	printf("ok %u - %s\n", ++n_results, name);
	(void)fflush(stdout);
}

static void replay(int dirfd, const char *name)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, 0) < 0 || !S_ISDIR(st.st_mode)) {
		replay_file(dirfd, name);
		return;
	}
	DIR *dir = NULL;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		dir = fdopendir(fd);
	for (struct dirent *e; dir && (e = readdir(dir));)
		if (e->d_name[0] != '.')
			replay(fd, e->d_name);
	if (dir)
		(void)closedir(dir);
}

int main(int argc, char **argv)
{
	int first = 1;
	if (argc > 2 && !strcmp(argv[1], "-n")) {
		n_mutations = strtol(argv[2], NULL, 10);
		first = 3;
	}
	for (int i = first; i < argc; i++)
		replay(AT_FDCWD, argv[i]);
	printf("1..%u%s\n", n_results, n_results ? "" : " # SKIP no seeds were given");
	return 0;
}
