/* SPDX-License-Identifier: Apache-2.0 */
/* spool - an archive from a stream, taken apart into files of the job's folder
 * as it comes: its parts may stand in any order and the stream cannot go back.
 *
 * The files are called by number; names of the archive are only ever compared.
 * Each file's digest is taken on the way, so a layer becomes a blob of the store
 * by a rename. Links are followed by name, inside the archive. */
#pragma once

#include "stream.h"
#include "store.h"

#include <stdint.h>

#define SPOOL_FILES_MAX 65536
#define SPOOL_NAMES_MAX (16 * 1024 * 1024) /* bytes of all names */
#define SPOOL_LINKS_MAX 16

struct spool_file {
	char *name; /* clean, see name_clean() */
	char *link; /* NULL, or the clean name of another */
	uint64_t size;
	unsigned int number;
	char digest[DIGEST_SIZE];
};

struct spool {
	const struct job *job;
	struct spool_file *files; /* sorted by name */
	size_t n, cap, name_bytes;
};

void spool_fini(struct spool *s);
#define cleanup_spool __attribute__((cleanup(spool_fini)))

/* Reads the whole archive (tar, perhaps compressed) from @fd, by a process without rights
 * (reader.h). @ret must be zero; to be finished even on failure. */
int spool_read(const struct job *job, int fd, uint64_t bytes_max, struct spool *ret,
	       struct err *err);

/* The job's half of it: takes what parts_write() says, until its end. */
struct reader;
int spool_take(const struct job *job, const struct reader *reader, uint64_t bytes_max,
	       struct spool *ret, struct err *err);

/* Takes @fd as one file without taking it apart; it is files[0] then. */
int spool_one(const struct job *job, int fd, const char *what, uint64_t bytes_max,
	      struct spool *ret, struct err *err);

/* By name, links followed; NULL when there is no such file. Borrowed. */
const struct spool_file *spool_find(const struct spool *s, const char *name);

/* The file's name in the job's folder. */
void spool_name(const struct spool_file *f, char *ret, size_t size);
int spool_open(const struct spool *s, const struct spool_file *f, struct err *err);

/* Told by its first bytes. */
int spool_format(const struct spool *s, const struct spool_file *f, enum stream_format *ret,
		 struct err *err);

/* The whole content of a small one: owned, NUL-terminated. */
int spool_text(const struct spool *s, const struct spool_file *f, char **ret, size_t *ret_size,
	       struct err *err);
