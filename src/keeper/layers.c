/* SPDX-License-Identifier: Apache-2.0 */
/* layers - see layers.h. */
#include "layers.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

void layers_close(struct layers *layers)
{
	for (size_t i = 0; i < layers->n; i++)
		fd_close(&layers->lower[i]);
	free(layers->lower);
	fd_close(&layers->upper);
	fd_close(&layers->work);
	*layers = (struct layers)LAYERS_INIT;
}

static int open_folder(const char *path, int *ret, struct err *err)
{
	if (!path)
		return 0;
	*ret = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_sys(err, "cannot open the layer %s", path) : 0;
}

int layers_open(const struct keepspec *spec, struct layers *layers, struct err *err)
{
	size_t n = json_len(spec->lower);
	layers->lower = calloc(n ? n : 1, sizeof(*layers->lower));
	if (!layers->lower)
		return err_set(err, ENOMEM, "out of memory");
	int rc = open_folder(spec->upper, &layers->upper, err);
	if (rc == 0)
		rc = open_folder(spec->work, &layers->work, err);
	for (; rc == 0 && layers->n < n; layers->n++) {
		layers->lower[layers->n] = -1;
		rc = open_folder(json_item_str(spec->lower, layers->n), &layers->lower[layers->n],
				 err);
	}
	return rc;
}

struct ctr_root layers_root(const struct layers *layers, const struct keepspec *spec)
{
	return (struct ctr_root){ .lower_fds = layers->lower,
				  .n_lower = layers->n,
				  .upper_fd = layers->upper,
				  .work_fd = layers->work,
				  .volatile_upper = spec->volatile_upper };
}

int layers_make_dirs(const struct keepspec *spec, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_len(spec->make_dirs); i++)
		rc = path_mkdir_all(json_item_str(spec->make_dirs, i), 0755, err);
	return rc;
}
