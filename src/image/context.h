/* SPDX-License-Identifier: Apache-2.0 */
/* context - the files a build was sent: a tar (plain, gzip, zstd) on standard input
 * becomes a folder of the job, which goes with the job. */
#pragma once

#include "image.h"

/* Unpacks it, in a process of its own that has only that folder (confine_layer()).
 * Devices, names with "..", links in the way are errors. Returns the folder's fd. */
int context_read(const struct job *job, const struct limits *limits, struct err *err);

/* The .dockerignore's text, if there is one, has its say: what it names is removed.
 * @fd: the folder, borrowed. */
int context_ignore(int fd, const struct limits *limits, struct err *err);
