/* SPDX-License-Identifier: Apache-2.0 */
/* forward - queries to other name servers, over c-ares: its time-outs, the next server
 * when one fails, TCP when an answer was cut, and its checks of where an answer came
 * from and what it answers. Each query has an id of the kernel's random numbers, and a
 * port that is new whenever nothing else was under way. isola-resolver. */
#pragma once

#include "isola/list.h"
#include "loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forward; /* a set of servers */

struct forwards {
	struct list all;
	struct loop *loop;
	unsigned int under_way;
	int64_t looked_ms; /* for what is late */
};

void forwards_init(struct forwards *f, struct loop *loop);
void forwards_fini(struct forwards *f);
/* To be called each turn. */
void forwards_check(struct forwards *f);

/* The set of @servers (addresses, separated by commas); NULL when there are none, or none
 * can be had. To be given back. */
struct forward *forward_get(struct forwards *f, const char *servers);
void forward_put(struct forward *fw);

/* @answer is borrowed; NULL when none came. */
typedef void forward_fn(void *arg, const uint8_t *answer, size_t size);

/* Asks @query (borrowed), whose id the caller has made with forward_id(). @done is called
 * once, perhaps before the return. */
void forward_ask(struct forward *fw, const uint8_t *query, size_t size, forward_fn *done,
		 void *arg);
uint16_t forward_id(void);
