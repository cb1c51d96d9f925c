/* SPDX-License-Identifier: Apache-2.0 */
/* persist - keeping instance.json true. Ordinary instances are written in the
 * thread pool with fsync, one write of an instance after the other, the last
 * state winning; --rm instances have their record on the run folder's tmpfs,
 * written at once. Loop thread. */
#pragma once

#include "isola/instance.h"

typedef void persist_fn(void *arg, const struct err *err);

/* Makes the instance's folders (with upper and work) and its first record.
 * @done, from a later turn; on failure nothing is left. */
void persist_create(struct instance *inst, persist_fn *done, void *arg);

/* Writes the state as it is now. @done (may be NULL) once it is on the disk; a
 * failure nobody asked about is logged. */
void persist_save(struct instance *inst, persist_fn *done, void *arg);

/* @done as soon as no write is under way any more, at once or later. From then
 * on nothing is written: for removal. */
void persist_stop(struct instance *inst, persist_fn *done, void *arg);

/* Undoes persist_stop(), when a removal failed. */
void persist_resume(struct instance *inst);

/* Frees inst's part; a write under way goes on by itself. */
void persist_fini(struct instance *inst);
