/* SPDX-License-Identifier: Apache-2.0 */
/* logtail - see logtail.h. */
#include "logtail.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)64 * 1024)

/* Goes back over the lines of one file. *@left counts down; 1 when the place is
 * found, 0 when the file has not enough lines, -errno. */
static int find_in_file(int fd, char *block, int64_t *left, off_t *ret)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	for (off_t end = st.st_size; end > 0;) {
		size_t n = end < (off_t)BLOCK_BYTES ? (size_t)end : BLOCK_BYTES;
		ssize_t got = pread(fd, block, n, end - (off_t)n);
		if (got < 0)
			return -errno;
		if ((size_t)got < n)
			return -EAGAIN; /* cut back by its writer: look again */
		end -= (off_t)n;
		/* The newline that ends the line before is where ours begins. */
		for (char *nl; (nl = memrchr(block, '\n', n)); n = (size_t)(nl - block)) {
			if (*left == 0) {
				*ret = end + (nl - block) + 1;
				return 1;
			}
			--*left;
		}
	}
	return 0;
}

int logtail_find(const struct logset *set, int64_t lines, struct logpos *ret)
{
	cleanup_free char *block = malloc(BLOCK_BYTES);
	if (!block)
		return -ENOMEM;
	struct logpos pos = { .file = 0, .offset = 0 };
	int64_t left = lines;
	for (size_t i = set->n; i > 0; i--) {
		pos.file = i - 1;
		int64_t before;
		int rc, tries = 0;
		do {
			before = left;
			rc = find_in_file(set->files[i - 1].fd, block, &before, &pos.offset);
		} while (rc == -EAGAIN && ++tries < 10);
		if (rc < 0)
			return rc;
		left = before;
		/* The begin of a file is the begin of a line, too. */
		if (rc == 1 || (left == 0 && i > 1 && lines > 0))
			break;
		pos.offset = 0;
	}
	*ret = pos;
	return 0;
}
