/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_record - an instance.json that somebody edited or a disk spoilt. What is
 * taken for good must be written back as the same document's meaning. */
#include "daemon/images_priv.h"
#include "daemon/mounts.h"
#include "daemon/record.h"
#include "isola/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct isolad d;
static struct images images;

static void check_written(const struct instance *inst)
{
	size_t n = 0;
	char *text = record_text(inst, &n);
	json_object *doc = NULL;
	struct instance *again = NULL;
	if (!text || json_parse(text, n, "record", &doc, NULL) < 0)
		abort();
	if (record_load(&d, ID, doc, &again, NULL) < 0 || strcmp(again->name, inst->name))
		abort();
	again->userns_base = 0;
	instance_free(again);
	json_object_put(doc);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_object *doc = NULL;
	struct instance *inst = NULL;
	if (!d.images) {
		d.images = &images;
		images.d = &d;
		list_init(&d.execs);
		roots_init(&d.roots);
		(void)uidrange_init(&d.uidrange, 65536, 4, NULL);
	}
	if (json_parse((const char *)data, size, "record", &doc, NULL) == 0 &&
	    record_load(&d, ID, doc, &inst, NULL) == 0) {
		cleanup_mounts struct mounts m = { NULL, 0 };
		(void)mounts_of(inst, &m, NULL);
		check_written(inst);
		inst->userns_base = 0;
		instance_free(inst);
	}
	json_object_put(doc);
	return 0;
}
