/* SPDX-License-Identifier: Apache-2.0 */
/* ratelimit - see ratelimit.h. */
#include "ratelimit.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>

#define MS 1000000ULL
#define S  1000000000ULL

struct ratelimit {
	uv_poll_t poll;
	int timer_fd;
	bool waiting;
	struct bucket bandwidth, ops;
	uint64_t n_refusals;
	void (*ready)(void *arg);
	void *arg;
};

/* ---- the machine file ---- */

static int parse_bucket(json_object *rate, const char *key, struct bucket_args *ret,
			struct err *err)
{
	static const char *const known[] = { "size", "refill_ms", "burst", NULL };
	char what[32];
	(void)snprintf(what, sizeof(what), "rate.%s", key);
	json_object *o = json_get(rate, key);
	if (!o)
		return 0;
	int64_t size = 0, refill_ms = 0, burst = 0;
	if (machine_only(o, known, what, err) < 0 ||
	    machine_int(o, what, "size", 1, RATELIMIT_TOKENS_MAX, &size, err) < 0 ||
	    machine_int(o, what, "refill_ms", 1, RATELIMIT_REFILL_MS_MAX, &refill_ms, err) < 0 ||
	    machine_int(o, what, "burst", 0, RATELIMIT_TOKENS_MAX, &burst, err) < 0)
		return -EINVAL;
	if (size == 0 || refill_ms == 0)
		return err_set(err, EINVAL, "%s.%s: is missing", what,
			       size == 0 ? "size" : "refill_ms");
	*ret = (struct bucket_args){ .size = (uint64_t)size,
				     .burst = (uint64_t)burst,
				     .refill_ms = (uint32_t)refill_ms };
	return 0;
}

int ratelimit_parse(json_object *rate, struct ratelimit_args *ret, struct err *err)
{
	static const char *const known[] = { "bandwidth", "ops", NULL };
	struct ratelimit_args args = { 0 };
	if (rate) {
		if (machine_only(rate, known, "rate", err) < 0 ||
		    parse_bucket(rate, "bandwidth", &args.bandwidth, err) < 0 ||
		    parse_bucket(rate, "ops", &args.ops, err) < 0)
			return -EINVAL;
	}
	*ret = args;
	return 0;
}

/* ---- one bucket ---- */

static uint64_t capacity(const struct bucket *b)
{
	return b->args.size + b->args.burst;
}

void bucket_init(struct bucket *b, const struct bucket_args *args, uint64_t now_ns)
{
	*b = (struct bucket){ .args = *args, .at_ns = now_ns };
	b->tokens = (int64_t)capacity(b);
}

static void gain(struct bucket *b, uint64_t now_ns)
{
	uint64_t refill_ns = b->args.refill_ms * MS, elapsed = now_ns - b->at_ns;
	unsigned __int128 gained = (unsigned __int128)elapsed * b->args.size / refill_ns;
	uint64_t room = (uint64_t)((int64_t)capacity(b) - b->tokens);
	if (gained >= room) {
		b->tokens = (int64_t)capacity(b);
		b->at_ns = now_ns;
		return;
	}
	b->tokens += (int64_t)gained;
	/* The time that made no whole token yet still counts. */
	b->at_ns += (uint64_t)(gained * refill_ns / b->args.size);
}

uint64_t bucket_wait_ns(struct bucket *b, uint64_t want, uint64_t now_ns)
{
	if (b->args.size == 0)
		return 0;
	gain(b, now_ns);
	int64_t need = (int64_t)(want < capacity(b) ? want : capacity(b));
	if (b->tokens >= need)
		return 0;
	uint64_t missing = (uint64_t)(need - b->tokens), refill_ns = b->args.refill_ms * MS;
	unsigned __int128 wait =
		((unsigned __int128)missing * refill_ns + b->args.size - 1) / b->args.size;
	uint64_t since = now_ns - b->at_ns;
	return wait > since ? (uint64_t)(wait - since) : 1;
}

void bucket_take(struct bucket *b, uint64_t want)
{
	if (b->args.size == 0)
		return;
	/* a debt of more than the largest bucket would overflow after many */
	b->tokens -= (int64_t)(want < RATELIMIT_TOKENS_MAX ? want : RATELIMIT_TOKENS_MAX);
}

/* ---- the limiter ---- */

static uint64_t now(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * S + (uint64_t)ts.tv_nsec;
}

static void on_timer(uv_poll_t *poll, int status, int events)
{
	struct ratelimit *r = poll->data;
	uint64_t n;
	(void)events;
	if (status < 0 || read(r->timer_fd, &n, sizeof(n)) != sizeof(n))
		return;
	r->waiting = false;
	r->ready(r->arg);
}

static void arm(struct ratelimit *r, uint64_t at_ns)
{
	const struct itimerspec when = { .it_value = { .tv_sec = (time_t)(at_ns / S),
						       .tv_nsec = (long)(at_ns % S) } };
	r->waiting = true;
	(void)timerfd_settime(r->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void on_closed(uv_handle_t *handle)
{
	struct ratelimit *r = handle->data;
	fd_close(&r->timer_fd);
	free(r);
}

int ratelimit_new(uv_loop_t *loop, const struct ratelimit_args *args, void (*ready)(void *arg),
		  void *arg, struct ratelimit **ret, struct err *err)
{
	struct ratelimit *r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ENOMEM, "out of memory");
	r->ready = ready;
	r->arg = arg;
	r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (r->timer_fd < 0) {
		int rc = err_sys(err, "cannot make a timer");
		free(r);
		return rc;
	}
	int rc = uv_poll_init(loop, &r->poll, r->timer_fd);
	if (rc < 0) {
		fd_close(&r->timer_fd);
		free(r);
		return err_rc(err, rc, "cannot watch a timer");
	}
	r->poll.data = r;
	rc = uv_poll_start(&r->poll, UV_READABLE, on_timer);
	if (rc < 0) {
		ratelimit_free(r);
		return err_rc(err, rc, "cannot watch a timer");
	}
	bucket_init(&r->bandwidth, &args->bandwidth, now());
	bucket_init(&r->ops, &args->ops, now());
	*ret = r;
	return 0;
}

void ratelimit_set(struct ratelimit *r, const struct ratelimit_args *args)
{
	uint64_t at = now();
	bucket_init(&r->bandwidth, &args->bandwidth, at);
	bucket_init(&r->ops, &args->ops, at);
	if (r->waiting)
		arm(r, at);
}

bool ratelimit_take(struct ratelimit *r, uint64_t bytes, uint64_t ops)
{
	if (r->bandwidth.args.size == 0 && r->ops.args.size == 0)
		return true;
	uint64_t at = now();
	uint64_t a = bucket_wait_ns(&r->bandwidth, bytes, at), b = bucket_wait_ns(&r->ops, ops, at);
	if (a == 0 && b == 0) {
		bucket_take(&r->bandwidth, bytes);
		bucket_take(&r->ops, ops);
		return true;
	}
	r->n_refusals++;
	arm(r, at + (a > b ? a : b));
	return false;
}

void ratelimit_owe(struct ratelimit *r, uint64_t bytes, uint64_t ops)
{
	bucket_take(&r->bandwidth, bytes);
	bucket_take(&r->ops, ops);
}

static void give_back(struct bucket *b, uint64_t n)
{
	if (b->args.size)
		b->tokens += (int64_t)n;
	if (b->tokens > (int64_t)capacity(b))
		b->tokens = (int64_t)capacity(b);
}

void ratelimit_give_back(struct ratelimit *r, uint64_t bytes, uint64_t ops)
{
	give_back(&r->bandwidth, bytes);
	give_back(&r->ops, ops);
}

uint64_t ratelimit_refusals(const struct ratelimit *r)
{
	return r->n_refusals;
}

void ratelimit_free(struct ratelimit *r)
{
	if (r)
		uv_close((uv_handle_t *)&r->poll, on_closed);
}
