/* SPDX-License-Identifier: Apache-2.0 */
/* tar_header - the 512-byte header block and the pax records, as plain data. */
#pragma once

#include "isola/tar.h"

#define TAR_BLOCK_BYTES 512

/* A run of content at its place in the file. */
struct tar_region {
	uint64_t offset, size;
};

/* What headers say about one entry, growing as they come. */
struct tar_meta {
	struct tar_entry e;
	char type;
	uint64_t stored;     /* bytes of content in the archive */
	char path[PATH_MAX]; /* e.path, e.link point here */
	char link[PATH_MAX];
	bool has_path, has_link; /* by a long-name or pax header */
	bool sparse_old;         /* type 'S': the map follows the header */
	bool sparse_pax, has_sparse_name;
	int64_t sparse_major, sparse_minor; /* -1 = not told */
	bool has_real_size;
	uint64_t real_size;
	bool has_size;
	bool has_mtime, has_uid, has_gid;
	struct tar_region *regions; /* owned */
	size_t n_regions, cap_regions;
	bool region_open;         /* pax 0.0: an offset waits for its numbytes */
	struct tar_xattr *xattrs; /* owned; they point into pax */
	char *pax;                /* owned body of the last 'x' header */
	size_t pax_size;
};

void tar_meta_fini(struct tar_meta *m);

/* Forgets the entry, keeps the memory. */
void tar_meta_reset(struct tar_meta *m);

int tar_region_add(struct tar_meta *m, uint64_t offset, uint64_t size, struct err *err);

/* Is it a block of zeros (end mark)? */
bool tar_block_is_zero(const unsigned char *block);

/* Checks sum and type of @block. *@ret_type is the type flag, *@ret_size the
 * size field. */
int tar_header_check(const unsigned char *block, char *ret_type, uint64_t *ret_size,
		     struct err *err);

/* Takes over the fields of an entry's header, but what longer headers said. */
int tar_header_read(const unsigned char *block, struct tar_meta *m, struct err *err);

/* Takes the records of m->pax. */
int tar_pax_read(struct tar_meta *m, struct err *err);

/* A number as in headers: octal text, or base 256 with the top bit set. */
int tar_number(const unsigned char *field, size_t size, int64_t *ret);
