/* SPDX-License-Identifier: Apache-2.0 */
/* share - see share.h. Runs in isola-image's jail. */
#include "share.h"

#include "isola/fd.h"

#include <unistd.h>

int share_layers(const struct job *job, struct layer *layers, struct blob_write *const *blobs,
		 size_t n, struct err *err)
{
	int rc = store_sync(job->store, err);
	cleanup_fd int lock = rc < 0 ? rc : store_lock(job->store, err);
	if (lock < 0)
		return lock;
	rc = layers_publish(job, layers, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = blobs[i] ? blob_place(blobs[i], err) : 0;
	if (rc == 0 && fsync(job->store->blobs_fd) < 0)
		rc = err_sys(err, "cannot write the blobs to disk");
	/* With the store's lock: who removes layers has it, and the lock of a folder is
	 * dropped while it changes its kind. */
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = layer_share(&layers[i], err);
	return rc;
}
