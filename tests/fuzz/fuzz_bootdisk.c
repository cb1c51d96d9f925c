/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_bootdisk - a whole disk: partition table, ext file system, kernel names. What is
 * said of it never leaves the disk, and its words are harmless ones. */
#include "bootdisk/boot.h"
#include "isola/json.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int null_fd = -1;
	struct err err = ERR_INIT;
	struct disk disk = { .fd = -1, .memory = data, .size = size };
	struct part parts[PARTS_MAX];
	cleanup_json json_object *o = NULL;
	if (null_fd < 0)
		null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	size_t n = disk_parts(&disk, parts);
	for (size_t i = 0; i < n; i++)
		if (parts[i].start > size || parts[i].size > size - parts[i].start)
			abort();
	if (boot_find(&disk, null_fd, null_fd, &o, &err) < 0) {
		if (!*err.text)
			abort();
		return 0;
	}
	const char *release = json_str_or(o, "release", "");
	if (strchr(release, '/') || strlen(release) >= 128)
		abort();
	return 0;
}
