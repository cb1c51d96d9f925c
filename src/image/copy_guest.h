/* SPDX-License-Identifier: Apache-2.0 */
/* copy_guest - an archive on its way into a container whose files only its guest may write
 * (GUEST_COPY of isola/guest.h). What the guest answers is foreign. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <stdint.h>

#include "copy.h"

/* The guest's stream comes by SCM_RIGHTS, with a byte, from isola-keeper on the socket
 * @view->guest_fd; a text there, "ERRNO text", says why there is none. */
int copy_put_guest(struct view *v, const struct copy_options *o, json_object **ret_aux,
		   struct err *err);

/* The guest's answer, without its size: 0, its error, or -EPROTO. Pure. */
int copy_guest_answer(const uint8_t *data, size_t size, struct err *err);
