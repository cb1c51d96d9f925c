/* SPDX-License-Identifier: Apache-2.0 */
/* seed - see seed.h. ECMA-119 (ISO 9660) with a second volume descriptor for Joliet,
 * whose names may have lower case letters and hyphens; one folder, no gaps:
 *
 *	sector 16 primary descriptor, 17 Joliet's, 18 end of descriptors
 *	       19, 20 path tables (little, big endian), 21, 22 Joliet's
 *	       23 root folder, 24 Joliet's, 25... the files
 */
#include "seed.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR    2048u
#define FILES_MAX 8
#define NAME_MAX_ 30
#define LABEL     "cidata"

enum {
	PRIMARY = 16,
	JOLIET,
	END,
	PATH_L,
	PATH_M,
	PATH_JOLIET_L,
	PATH_JOLIET_M,
	ROOT,
	ROOT_JOLIET,
	FIRST_FILE
};

static void put16l(unsigned char *p, unsigned int v)
{
	p[0] = (unsigned char)v;
	p[1] = (unsigned char)(v >> 8);
}

static void put32l(unsigned char *p, uint32_t v)
{
	put16l(p, v & 0xffff);
	put16l(p + 2, v >> 16);
}

static void put32m(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* Numbers in both byte orders (ECMA-119, 7.2.3 and 7.3.3). */
static void put16(unsigned char *p, unsigned int v)
{
	put16l(p, v);
	p[2] = p[1];
	p[3] = p[0];
}

static void put32(unsigned char *p, uint32_t v)
{
	put32l(p, v);
	put32m(p + 4, v);
}

/* UCS-2, big endian. Returns the bytes used. */
static size_t put_wide(unsigned char *p, const char *text)
{
	size_t n = 0;
	for (; text[n / 2]; n += 2) {
		p[n] = 0;
		p[n + 1] = (unsigned char)text[n / 2];
	}
	return n;
}

/* A directory record (9.1); returns its length. @name of @len bytes as it is. */
static size_t put_record(unsigned char *p, uint32_t sector, uint32_t size, bool is_dir,
			 const void *name, size_t len)
{
	size_t total = 33 + len + (len % 2 == 0);
	p[0] = (unsigned char)total;
	put32(p + 2, sector);
	put32(p + 10, size);
	p[18] = 70; /* 1970-01-01, the same image of the same input */
	p[19] = p[20] = 1;
	p[25] = is_dir ? 2 : 0;
	put16(p + 28, 1);
	p[32] = (unsigned char)len;
	memcpy(p + 33, name, len);
	return total;
}

/* A volume descriptor (8.4, 8.5). */
static void put_volume(unsigned char *p, bool joliet, uint32_t sectors)
{
	p[0] = joliet ? 2 : 1;
	memcpy(p + 1, "CD001", 5);
	p[6] = 1;
	memset(p + 8, joliet ? 0 : ' ', 64);
	if (joliet) {
		(void)put_wide(p + 40, LABEL);
		memcpy(p + 88, "%/E", 3); /* UCS-2 level 3 */
	} else {
		memcpy(p + 40, LABEL, strlen(LABEL));
	}
	put32(p + 80, sectors);
	put16(p + 120, 1);
	put16(p + 124, 1);
	put16(p + 128, SECTOR);
	put32(p + 132, 10); /* bytes of the path table */
	put32l(p + 140, joliet ? PATH_JOLIET_L : PATH_L);
	put32m(p + 148, joliet ? PATH_JOLIET_M : PATH_M);
	(void)put_record(p + 156, joliet ? ROOT_JOLIET : ROOT, SECTOR, true, "", 1);
	memset(p + 190, joliet ? 0 : ' ', 623); /* who made it: nobody */
	for (int i = 0; i < 4; i++)
		memset(p + 813 + 17 * i, '0', 16); /* no dates */
	p[881] = 1;
}

/* The only folder's line in a path table (9.4). */
static void put_path(unsigned char *p, uint32_t root, bool big)
{
	p[0] = 1;
	if (big)
		put32m(p + 2, root);
	else
		put32l(p + 2, root);
	p[big ? 7 : 6] = 1;
}

/* "user-data" as an 8.3 name for readers without Joliet; the number keeps two apart. */
static size_t plain_name(char *buf, size_t size, size_t i)
{
	return (size_t)snprintf(buf, size, "SEED%zu.TXT;1", i);
}

static void put_root(unsigned char *p, bool joliet, const struct seed_file *files, size_t n)
{
	uint32_t self = joliet ? ROOT_JOLIET : ROOT, sector = FIRST_FILE;
	p += put_record(p, self, SECTOR, true, "", 1);
	p += put_record(p, self, SECTOR, true, "\1", 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char name[2 * NAME_MAX_ + 8];
		size_t len = joliet ? put_wide(name, files[i].name)
				    : plain_name((char *)name, sizeof(name), i);
		p += put_record(p, sector, (uint32_t)files[i].size, false, name, len);
		sector += ((uint32_t)files[i].size + SECTOR - 1) / SECTOR;
	}
}

static int check(const struct seed_file *files, size_t n, uint32_t *ret_sectors, struct err *err)
{
	*ret_sectors = FIRST_FILE;
	if (n > FILES_MAX)
		return err_set(err, E2BIG, "a seed holds at most %d files", FILES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (files[i].size > SEED_FILE_BYTES_MAX)
			return err_set(err, E2BIG, "%s is too large: %zu bytes, at most %d",
				       files[i].name, files[i].size, SEED_FILE_BYTES_MAX);
		if (strlen(files[i].name) > NAME_MAX_)
			return err_set(err, EINVAL, "the name %s is too long", files[i].name);
		*ret_sectors += ((uint32_t)files[i].size + SECTOR - 1) / SECTOR;
	}
	return *ret_sectors * SECTOR > SEED_IMAGE_BYTES_MAX
		       ? err_set(err, E2BIG, "the files are too large together: at most %d bytes",
				 SEED_IMAGE_BYTES_MAX)
		       : 0;
}

int seed_build(const struct seed_file *files, size_t n, struct strbuf *image, struct err *err)
{
	uint32_t sectors;
	int rc = check(files, n, &sectors, err);
	if (rc < 0)
		return rc;
	unsigned char *buf = calloc(sectors, SECTOR);
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	put_volume(buf + PRIMARY * SECTOR, false, sectors);
	put_volume(buf + JOLIET * SECTOR, true, sectors);
	memcpy(buf + END * SECTOR, "\377CD001\1", 7);
	put_path(buf + PATH_L * SECTOR, ROOT, false);
	put_path(buf + PATH_M * SECTOR, ROOT, true);
	put_path(buf + PATH_JOLIET_L * SECTOR, ROOT_JOLIET, false);
	put_path(buf + PATH_JOLIET_M * SECTOR, ROOT_JOLIET, true);
	put_root(buf + ROOT * SECTOR, false, files, n);
	put_root(buf + ROOT_JOLIET * SECTOR, true, files, n);
	unsigned char *p = buf + FIRST_FILE * SECTOR;
	for (size_t i = 0; i < n; i++) {
		memcpy(p, files[i].data, files[i].size);
		p += (files[i].size + SECTOR - 1) / SECTOR * SECTOR;
	}
	strbuf_add(image, buf, (size_t)sectors * SECTOR);
	free(buf);
	return strbuf_ok(image) ? 0 : err_set(err, ENOMEM, "out of memory");
}
