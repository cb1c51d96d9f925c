/* SPDX-License-Identifier: Apache-2.0 */
/* ratelimit - a device's RATE (isola/vmm.h): token buckets of bytes and of
 * operations.
 *
 * A bucket gains size tokens in refill_ms and holds at most size + burst; it begins
 * full. A request that wants more than a bucket can hold passes when it is full and
 * leaves a debt, so that the average is exact for any size of request. Who is
 * refused is called when there will be enough: by a timer set to that very moment.
 * isola-vmm, loop thread. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define RATELIMIT_TOKENS_MAX    (1ULL << 50)
#define RATELIMIT_REFILL_MS_MAX 3600000

/* One bucket; size 0: no limit. */
struct bucket_args {
	uint64_t size, burst;
	uint32_t refill_ms;
};

struct ratelimit_args {
	struct bucket_args bandwidth, ops;
};

/* Checks and reads @rate; NULL is no limit. The error names the field. */
int ratelimit_parse(json_object *rate, struct ratelimit_args *ret, struct err *err);

struct bucket {
	struct bucket_args args;
	int64_t tokens; /* below 0: a debt */
	uint64_t at_ns; /* tokens are counted up to here */
};

/* The time is given, for tests. */
void bucket_init(struct bucket *b, const struct bucket_args *args, uint64_t now_ns);
/* How long until @want tokens can be had; 0: now. Counts what was gained since. */
uint64_t bucket_wait_ns(struct bucket *b, uint64_t want, uint64_t now_ns);
/* Takes them, into debt if need be. */
void bucket_take(struct bucket *b, uint64_t want);

struct ratelimit;

/* @ready is called on the loop after a refusal, when it is worth to ask again; it may
 * ask at once. Makes a timerfd, so before the seccomp filter. */
int ratelimit_new(uv_loop_t *loop, const struct ratelimit_args *args, void (*ready)(void *arg),
		  void *arg, struct ratelimit **ret, struct err *err);
/* The limit anew, with full buckets; who waits is called. */
void ratelimit_set(struct ratelimit *r, const struct ratelimit_args *args);
/* Takes the tokens for one request of @bytes (@ops 0 or more); false and nothing taken
 * when it must wait. */
bool ratelimit_take(struct ratelimit *r, uint64_t bytes, uint64_t ops);
/* Takes tokens for what could not be measured before, into debt if need be. */
void ratelimit_owe(struct ratelimit *r, uint64_t bytes, uint64_t ops);
/* Undoes ratelimit_take(): the request did not go through. */
void ratelimit_give_back(struct ratelimit *r, uint64_t bytes, uint64_t ops);
/* How often a request had to wait. */
uint64_t ratelimit_refusals(const struct ratelimit *r);
void ratelimit_free(struct ratelimit *r);
