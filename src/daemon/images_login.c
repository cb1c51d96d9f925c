/* SPDX-License-Identifier: Apache-2.0 */
/* images_login - does a registry take the credentials? isola-image asks; they go to its
 * standard input and nowhere else. isolad, loop thread. */
#include "images_priv.h"
#include "later.h"

#include "isola/base64.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AUTH_BYTES_MAX 32768 /* with base64, less than a pipe takes at once */

void registry_login(struct isolad *d, json_object *auth, op_done_fn *done, void *arg)
{
	struct err err = ERR_INIT;
	const char *text = json_object_to_json_string_ext(auth, JSON_C_TO_STRING_PLAIN);
	const char *server = json_str_or(auth, "serveraddress", "");
	const struct image_import import = { .login = *server ? server : "docker.io" };
	struct image_job *job = NULL;
	cleanup_fd int fd = -1;
	cleanup_free char *packed = NULL;
	int rc = 0;
	if (strlen(text) > AUTH_BYTES_MAX)
		rc = err_set(&err, EINVAL, "the credentials are longer than %d bytes",
			     AUTH_BYTES_MAX);
	if (rc == 0 && auth && !(packed = base64_encode(text, strlen(text))))
		rc = err_set(&err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = image_job_start(d, &import, NULL, done, arg, &job, &fd, &err);
	if (rc < 0) {
		later_done(d, done, arg, &err, NULL);
		return;
	}
	if (packed)
		rc = fd_write_all(fd, packed, strlen(packed));
	/* One that has ended already, over a bad name say, tells why itself. */
	if (rc < 0 && rc != -EPIPE)
		image_job_cancel(job);
}
