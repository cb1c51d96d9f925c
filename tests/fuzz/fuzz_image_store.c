/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_store - a store that somebody wrote into: index.json, a record, a manifest
 * and a config, NULs between them, are put where they belong; then the store is checked,
 * an image is read again from its blobs, all is repaired and checked once more. In all
 * four "@M" "@C" "@L" stand for the digests of manifest, config and an empty layer, "@c"
 * for the digits of the config's, "@x" for the chain's. */
#include "image/blob.h"
#include "image/image.h"
#include "image/names.h"
#include "image_job.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char layer[1024];

struct marks {
	char manifest[DIGEST_SIZE], config[DIGEST_SIZE], layer[DIGEST_SIZE];
};

static char *fill(const char *text, const struct marks *m)
{
	struct strbuf b = STRBUF_INIT;
	for (; *text; text++) {
		const char *with = text[0] != '@'   ? NULL
				   : text[1] == 'M' ? m->manifest
				   : text[1] == 'C' ? m->config
				   : text[1] == 'L' ? m->layer
				   : text[1] == 'c' ? m->config + 7
				   : text[1] == 'x' ? m->layer + 7
						    : NULL;
		if (with)
			strbuf_puts(&b, with), text++;
		else
			strbuf_putc(&b, *text);
	}
	return strbuf_take(&b);
}

static void put(int dir, const char *name, const char *text, size_t size)
{
	(void)fd_write_atomic(dir, name, text, size, 0, FD_SYNC_NO, NULL);
}

static void check(const struct store *s, bool repair)
{
	const struct limits limits = { .bytes = 1 << 20, .entries = 100 };
	json_object *aux = NULL;
	struct err err = ERR_INIT;
	if (job_verify(s, &limits, repair, true, &aux, &err) == 0 &&
	    json_i64_or(aux, "Left", -1) > json_i64_or(aux, "Found", -1))
		abort();
	json_object_put(aux);
}

static void read_again(const struct store *s, const struct marks *m)
{
	struct source src = { NULL };
	cleanup_json json_object *index = NULL, *names = NULL;
	struct err err = ERR_INIT;
	if (source_from_store(s, m->manifest, "x", &src, &err) == 0 &&
	    src.n_layers > STORE_LAYERS_MAX)
		abort();
	source_fini(&src);
	if (names_read(s, &index, &err) == 0)
		names = names_of(index, m->manifest);
}

static void run(const char *texts[4])
{
	struct store s;
	struct job job;
	struct marks m;
	char name[DIGEST_SIZE + 8];
	image_job_open(&s, &job);
	(void)digest_of(layer, sizeof(layer), m.layer, NULL);
	strcpy(m.config, m.layer);
	cleanup_free char *config = fill(texts[3], &m);
	(void)digest_of(config, strlen(config), m.config, NULL);
	strcpy(m.manifest, m.config);
	cleanup_free char *manifest = fill(texts[2], &m);
	(void)digest_of(manifest, strlen(manifest), m.manifest, NULL);
	cleanup_free char *index = fill(texts[0], &m), *record = fill(texts[1], &m);
	put(s.blobs_fd, digest_hex(m.layer), layer, sizeof(layer));
	put(s.blobs_fd, digest_hex(m.config), config, strlen(config));
	put(s.blobs_fd, digest_hex(m.manifest), manifest, strlen(manifest));
	put(s.images_fd, "index.json", index, strlen(index));
	(void)snprintf(name, sizeof(name), "%s.json", digest_hex(m.config));
	put(s.records_fd, name, record, strlen(record));
	check(&s, false);
	read_again(&s, &m);
	/* Layers are unpacked by a process that gives up rights. */
	if (geteuid() == 0) {
		check(&s, true);
		check(&s, false);
	}
	image_job_close(&s, &job);
	static const char *const folders[] = { "images", "layers", "records", "quarantine" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s", folders[i]);
		int dir = open(image_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		(void)fd_remove_tree(dir, name, NULL);
		(void)close(dir);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *texts[4] = { "", "", "", "" };
	cleanup_free char *copy = malloc(size + 1);
	if (!copy || size > 65536)
		return 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	const char *p = copy;
	for (size_t i = 0; i < 4 && p <= copy + size; i++) {
		texts[i] = p;
		p += strlen(p) + 1;
	}
	run(texts);
	return 0;
}
