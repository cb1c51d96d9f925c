/* SPDX-License-Identifier: Apache-2.0 */
/* recover - going on with what an earlier isolad left: keepers are adopted, ends
 * noted, the dead cleared away, policies applied. Loop thread, at start. */
#pragma once

#include "isola/instance.h"

typedef void recover_fn(struct isolad *d);

/* Reads all records and adopts. @done, from a later turn, when every living
 * keeper has said hello or had its time. A bad record is reported and left where
 * it is. */
int recover_begin(struct isolad *d, recover_fn *done, struct err *err);

/* run.c: an adopted keeper's hello. */
void recover_on_hello(struct instance *inst, json_object *msg);
/* run.c: something that recovery may have waited for has happened. */
void recover_check(struct isolad *d);
/* Half-done is fine. */
void recover_fini(struct isolad *d);
