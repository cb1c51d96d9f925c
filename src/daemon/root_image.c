/* SPDX-License-Identifier: Apache-2.0 */
/* root_image - see root_image.h. */
#include "root_image.h"

#include "isolad.h"

#include "isola/json.h"

#include <stdio.h>
#include <sys/stat.h>

int root_image_find(const struct isolad *d, json_object *record, char *ret, size_t size)
{
	json_object *layers = json_get(record, "layers");
	size_t n = json_len(layers);
	struct stat st;
	if (!n || snprintf(ret, size, "%s/layers/%.64s/root.erofs", d->roots.state,
			   json_item_str(layers, n - 1)) >= (int)size)
		return 0;
	return lstat(ret, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}
