/* SPDX-License-Identifier: Apache-2.0 */
/* find - see find.h. GPT as UEFI 2.10, 5.3; MBR; the superblock of ext2/3/4. What the
 * disk says is the guest's own matter, yet every read is bounded. */
#include "find.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <unistd.h>

#define PARTITIONS_MAX 128
#define EXT_MAGIC      0x438
#define EXT_UUID       0x468
#define EXT_LABEL      0x478

static const struct {
	const char *type;
	off_t offset;
	const char *magic;
	size_t size;
} magics[] = {
	{ "ext4", EXT_MAGIC, "\x53\xef", 2 }, { "xfs", 0, "XFSB", 4 },
	{ "btrfs", 0x10040, "_BHRfS_M", 8 },  { "erofs", 1024, "\xe2\xe1\xf5\xe0", 4 },
	{ "squashfs", 0, "hsqs", 4 },         { "iso9660", 0x8001, "CD001", 5 },
};

int find_type(int fd, char *ret, size_t size)
{
	char buf[8];
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		ssize_t n = pread(fd, buf, magics[i].size, magics[i].offset);
		if (n == (ssize_t)magics[i].size && !memcmp(buf, magics[i].magic, (size_t)n)) {
			(void)snprintf(ret, size, "%s", magics[i].type);
			return 0;
		}
	}
	return -1;
}

static uint32_t get32(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Of a GPT: the first three groups are little endian (UEFI 2.10, appendix A). */
static void guid_text(const unsigned char *g, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", get32(g),
		       g[4] | g[5] << 8, g[6] | g[7] << 8, g[8], g[9], g[10], g[11], g[12], g[13],
		       g[14], g[15]);
}

/* Of a file system: as the bytes come. */
static void uuid_text(const unsigned char *g, char *buf, size_t size)
{
	(void)snprintf(buf, size,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", g[0],
		       g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12],
		       g[13], g[14], g[15]);
}

/* The number of the partition whose PARTUUID is @want, or 0. */
static int partition_of(int fd, const char *want)
{
	unsigned char head[512], entry[128];
	char text[48];
	if (pread(fd, head, sizeof(head), 512) != sizeof(head))
		return 0;
	if (!memcmp(head, "EFI PART", 8)) {
		uint32_t n = get32(head + 80), size = get32(head + 84);
		off_t at = (off_t)get32(head + 72) * 512;
		if (size < sizeof(entry) || size > 4096)
			return 0;
		for (uint32_t i = 0; i < n && i < PARTITIONS_MAX; i++) {
			if (pread(fd, entry, sizeof(entry), at + (off_t)i * size) != sizeof(entry))
				return 0;
			guid_text(entry + 16, text, sizeof(text));
			if (!strcasecmp(text, want))
				return (int)i + 1;
		}
		return 0;
	}
	if (pread(fd, head, sizeof(head), 0) != sizeof(head) || head[510] != 0x55)
		return 0;
	for (int i = 1; i <= 4; i++) {
		(void)snprintf(text, sizeof(text), "%08x-%02x", get32(head + 440), (unsigned int)i);
		if (!strcasecmp(text, want))
			return i;
	}
	return 0;
}

static bool is_ext_with(int fd, const char *key, const char *value)
{
	unsigned char uuid[16];
	char label[17] = "", text[48], type[16];
	if (find_type(fd, type, sizeof(type)) < 0 || strcmp(type, "ext4") != 0 ||
	    pread(fd, uuid, sizeof(uuid), EXT_UUID) != sizeof(uuid) ||
	    pread(fd, label, 16, EXT_LABEL) != 16)
		return false;
	uuid_text(uuid, text, sizeof(text));
	return !strcmp(key, "UUID") ? !strcasecmp(text, value) : !strcmp(label, value);
}

/* Does block device @name answer to @key=@value? Its path, or its partition's. */
static bool is_named(const char *name, const char *key, const char *value, char *ret, size_t size)
{
	bool found = false;
	(void)snprintf(ret, size, "/dev/%s", name);
	int fd = open(ret, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (strcmp(key, "PARTUUID") != 0) {
		found = is_ext_with(fd, key, value);
	} else {
		int part = partition_of(fd, value);
		size_t len = strlen(name);
		bool digit = len && name[len - 1] >= '0' && name[len - 1] <= '9';
		found = part > 0;
		(void)snprintf(ret, size, "/dev/%s%s%d", name, digit ? "p" : "", part);
	}
	(void)close(fd);
	return found && access(ret, F_OK) == 0;
}

int find_device(const char *root, char *ret, size_t size)
{
	const char *eq = strchr(root, '=');
	if (!eq) {
		(void)snprintf(ret, size, "%s", root);
		return access(ret, F_OK);
	}
	char key[16];
	(void)snprintf(key, sizeof(key), "%.*s", (int)(eq - root), root);
	DIR *dir = opendir("/sys/class/block");
	bool found = false;
	for (struct dirent *e; !found && dir && (e = readdir(dir));)
		found = e->d_name[0] != '.' && is_named(e->d_name, key, eq + 1, ret, size);
	if (dir)
		(void)closedir(dir);
	return found ? 0 : -1;
}
