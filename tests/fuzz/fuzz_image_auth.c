/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_auth - WWW-Authenticate as registries send it, X-Registry-Auth as clients
 * do, manifests as they come and go, and how far an upload got. */
#include "../../src/image/auth.h"
#include "../../src/image/pull.h"
#include "../../src/image/push.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char type[] = "application/vnd.oci.image.manifest.v1+json";
	cleanup_manifest struct manifest m = { 0 };
	struct auth_challenge c = { 0 };
	struct err err = ERR_INIT;
	char *text = malloc(size + 1), *decoded = NULL;
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (auth_parse(text, &c, &err) == 0 && c.scheme == AUTH_BEARER && !*c.realm)
		abort();
	if (auth_decode(text, &decoded, &err) == 0)
		free(decoded);
	if (manifest_parse(text, size, type, &m, &err) == 0 && m.n > STORE_LAYERS_MAX)
		abort();
	if (push_range_end(text, 1000) > 1000)
		abort();
	const char digests[2][DIGEST_SIZE] = { "", "sha256:x" };
	const uint64_t sizes[2] = { 0, 1 };
	char *made = NULL;
	if (push_manifest(text, size, digests, sizes, 2, &made, &err) == 0)
		free(made);
	free(text);
	return 0;
}
