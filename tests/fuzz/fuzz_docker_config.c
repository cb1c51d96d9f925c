/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_docker_config - config.json as Docker's clients and their users leave it, and what
 * is found in it. Helpers it names are not run. */
#include "../../src/cli/docker_config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = { HUB_KEY, "reg.lan:5000", "" };
	struct err err = ERR_INIT;
	struct docker_config c = { .path = strdup("config.json") };
	char *text = malloc(size + 1), key[64];
	if (!text || !c.path)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	docker_config_key(text, key, sizeof(key));
	if (docker_config_parse(text, size, &c.root, &err) == 0) {
		json_object_object_del(c.root, "credsStore");
		json_object_object_del(c.root, "credHelpers");
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
			cleanup_credentials struct credentials found = { NULL };
			if (credentials_find(&c, keys[i], &found, &err) <= 0)
				continue;
			char *field = credentials_field(&found, keys[i]);
			if (!field || strpbrk(field, "+/\r\n"))
				abort();
			free(field);
		}
	}
	free(text);
	docker_config_fini(&c);
	return 0;
}
