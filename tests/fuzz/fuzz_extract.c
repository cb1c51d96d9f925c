/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_extract - a body of chunks holds an archive, which is extracted into a
 * folder; the names of a passwd file. */
#include "image/body.h"
#include "image/owner.h"
#include "image/stream.h"
#include "isola/extract.h"
#include "isola/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	uint32_t id;
	if (text) {
		(void)owner_field(text, "web", 0, 2, &id);
		(void)owner_field(text, NULL, 33, 3, &id);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char folder[64];
	cleanup_fd int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (size == 0)
		return 0;
	(void)snprintf(folder, sizeof(folder), "/tmp/fuzz-extract-%d", (int)getpid());
	(void)mkdir(folder, 0700);
	struct body body = { .fd = null_fd,
			     .chunked = data[0] & 1,
			     .left = data[0] & 1 ? 0 : size - 1,
			     .head = (const char *)data + 1,
			     .head_size = size - 1 };
	const struct stream_options options = {
		.what = "it", .plain_max = 1 << 20, .read = body_read, .arg = &body
	};
	cleanup_fd int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct extract_options o = { .root_fd = root,
					   .keep_kinds = data[0] & 2,
					   .owner = EXTRACT_OWNER_NONE,
					   .lenient = true,
					   .first = data[0] & 4 ? "first" : NULL,
					   .entries_max = 64 };
	cleanup_stream struct stream *s = NULL;
	cleanup_tar struct tar *t = NULL;
	struct err err = ERR_INIT;
	if (stream_new(-1, &options, &s, &err) == 0 && tar_new(stream_read, s, &t, &err) == 0)
		(void)extract(t, &o, &err);
	look_up(data, size);
	(void)fd_remove_tree(AT_FDCWD, folder, NULL);
	return 0;
}
