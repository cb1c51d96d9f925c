/* SPDX-License-Identifier: Apache-2.0 */
/* disk - see disk.h. Sectors of 512 bytes, as disk images have. */
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECTOR         512u
#define GPT_ENTRY_MIN  128u
#define GPT_ENTRY_MAX  4096u
#define MBR_PROTECTIVE 0xee

bool disk_read(const struct disk *disk, uint64_t at, void *buf, size_t size)
{
	if (at > disk->size || size > disk->size - at)
		return false;
	if (disk->memory) {
		memcpy(buf, (const char *)disk->memory + at, size);
		return true;
	}
	for (char *p = buf; size > 0;) {
		ssize_t n = pread(disk->fd, p, size, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		at += (uint64_t)n;
		size -= (size_t)n;
	}
	return true;
}

static uint32_t get32(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const unsigned char *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* Sectors @first to @last as bytes; false when they leave the disk. */
static bool set_range(const struct disk *disk, uint64_t first, uint64_t last, struct part *part)
{
	uint64_t sectors = disk->size / SECTOR;
	if (first == 0 || last < first || last >= sectors)
		return false;
	part->start = first * SECTOR;
	part->size = (last - first + 1) * SECTOR;
	return true;
}

/* The first three groups are little endian (UEFI 2.10, appendix A). */
static void set_guid(struct part *part, const unsigned char *g)
{
	(void)snprintf(part->uuid, sizeof(part->uuid),
		       "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", get32(g),
		       (unsigned int)(g[4] | g[5] << 8), (unsigned int)(g[6] | g[7] << 8), g[8],
		       g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}

static size_t gpt_parts(const struct disk *disk, const unsigned char *head, struct part *ret)
{
	static const unsigned char unused[16];
	unsigned char entry[GPT_ENTRY_MIN];
	uint64_t table = get64(head + 72);
	uint32_t count = get32(head + 80), size = get32(head + 84);
	size_t n = 0;
	if (size < GPT_ENTRY_MIN || size > GPT_ENTRY_MAX || table > disk->size / SECTOR)
		return 0;
	for (uint32_t i = 0; i < count && i < PARTS_MAX; i++) {
		struct part part = { .number = (int)i + 1 };
		if (!disk_read(disk, table * SECTOR + (uint64_t)i * size, entry, sizeof(entry)))
			break;
		if (!memcmp(entry, unused, sizeof(unused)) ||
		    !set_range(disk, get64(entry + 32), get64(entry + 40), &part))
			continue;
		set_guid(&part, entry + 16);
		ret[n++] = part;
	}
	return n;
}

static size_t mbr_parts(const struct disk *disk, const unsigned char *sector, struct part *ret)
{
	size_t n = 0;
	for (int i = 0; i < 4; i++) {
		const unsigned char *entry = sector + 446 + i * 16;
		struct part part = { .number = i + 1 };
		uint64_t first = get32(entry + 8), count = get32(entry + 12);
		if (entry[4] == 0 || entry[4] == MBR_PROTECTIVE || count == 0 ||
		    !set_range(disk, first, first + count - 1, &part))
			continue;
		(void)snprintf(part.uuid, sizeof(part.uuid), "%08x-%02x", get32(sector + 440),
			       (unsigned int)part.number);
		ret[n++] = part;
	}
	return n;
}

size_t disk_parts(const struct disk *disk, struct part *ret)
{
	unsigned char sector[SECTOR];
	if (disk_read(disk, SECTOR, sector, sizeof(sector)) && !memcmp(sector, "EFI PART", 8))
		return gpt_parts(disk, sector, ret);
	if (disk_read(disk, 0, sector, sizeof(sector)) && sector[510] == 0x55 &&
	    sector[511] == 0xaa) {
		size_t n = mbr_parts(disk, sector, ret);
		if (n > 0)
			return n;
	}
	ret[0] = (struct part){ .size = disk->size };
	return 1;
}
