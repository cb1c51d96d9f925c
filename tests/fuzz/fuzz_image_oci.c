/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_oci - index, manifest and config with the right digests, which
 * mutation alone never finds: the input is the three texts, a NUL between them;
 * "@D" and "@S" in one stand for digest and size of the next. */
#include "image/source.h"
#include "image_job.h"
#include "isola/strbuf.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_source(struct source *src, void *arg, struct err *err)
{
	(void)arg;
	(void)err;
	return json_object_to_json_string(src->record) ? 0 : -1;
}

/* @text with the stand-ins filled in for @next; owned. */
static char *fill(const char *text, const char *next)
{
	struct strbuf b = STRBUF_INIT;
	char digest[DIGEST_SIZE];
	if (digest_of(next, strlen(next), digest, NULL) < 0)
		abort();
	for (; *text; text++) {
		if (text[0] == '@' && text[1] == 'D')
			strbuf_puts(&b, digest), text++;
		else if (text[0] == '@' && text[1] == 'S')
			strbuf_printf(&b, "%zu", strlen(next)), text++;
		else
			strbuf_putc(&b, *text);
	}
	return strbuf_take(&b);
}

/* Adds a file to the spool as spool_read() would. */
static void put(struct spool *s, const char *name, const char *text)
{
	static struct spool_file files[4];
	char part[32];
	struct spool_file *f = &files[s->n];
	*f = (struct spool_file){ .name = strdup(name),
				  .size = strlen(text),
				  .number = (unsigned int)s->n };
	(void)digest_of(text, f->size, f->digest, NULL);
	spool_name(f, part, sizeof(part));
	(void)fd_write_atomic(s->job->fd, part, text, f->size, 0, FD_SYNC_NO, NULL);
	s->files = files;
	s->n++;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct spool_file *)a)->name, ((const struct spool_file *)b)->name);
}

static void put_blob(struct spool *s, const char *text)
{
	char name[32 + DIGEST_SIZE], digest[DIGEST_SIZE];
	if (digest_of(text, strlen(text), digest, NULL) < 0)
		abort();
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(digest));
	put(s, name, text);
}

static void run(const char *index, const char *manifest, const char *config)
{
	struct store store;
	struct job job;
	struct err err = ERR_INIT;
	cleanup_free char *m = fill(manifest, config), *i = NULL;
	i = m ? fill(index, m) : NULL;
	if (!i)
		return;
	image_job_open(&store, &job);
	struct spool spool = { .job = &job };
	put(&spool, "index.json", i);
	put_blob(&spool, m);
	put_blob(&spool, config);
	put_blob(&spool, ""); /* a layer to point at */
	qsort(spool.files, spool.n, sizeof(*spool.files), by_name);
	(void)source_each(&spool, on_source, NULL, &err);
	for (size_t k = 0; k < spool.n; k++)
		free(spool.files[k].name);
	image_job_close(&store, &job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = malloc(size + 3);
	if (!text)
		return 0;
	memcpy(text, data, size);
	memset(text + size, 0, 3);
	const char *end = text + size;
	const char *manifest = text + strlen(text) + 1;
	manifest = manifest < end ? manifest : end;
	const char *config = manifest + strlen(manifest) + 1;
	run(text, manifest, config < end ? config : end);
	return 0;
}
