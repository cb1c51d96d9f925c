/* SPDX-License-Identifier: Apache-2.0 */
/* waiter - see waiter.h. A payload outlives isolad, so its exit code has to be
 * had from the isolad that comes after. Runs in the CLIs. */
#include "waiter.h"

#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_NS  (10LL * 1000000000)
#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 500

static int64_t monotonic_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Sleeps a little longer each time; false when ten seconds are over. */
static bool pause_before_retry(int64_t begin, int *ms)
{
	if (monotonic_ns() - begin > PATIENCE_NS)
		return false;
	struct timespec t = { .tv_nsec = *ms * 1000000L };
	(void)nanosleep(&t, NULL);
	*ms = *ms * 2 < PAUSE_MAX_MS ? *ms * 2 : PAUSE_MAX_MS;
	return true;
}

static int ask(struct waiter *w, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	client_target_path(&target, w->cli->kind->collection);
	client_target_path(&target, w->id);
	strbuf_puts(&target, "/wait");
	client_target_query(&target, "condition", w->condition);
	w->client = client_new(&w->cli->host);
	if (!w->client || !strbuf_ok(&target))
		return err_set(err, ENOMEM, "out of memory");
	return client_send(w->client, "POST", target.text, NULL, err);
}

int waiter_open(struct waiter *w, struct cli *cli, const char *id, const char *condition,
		struct err *err)
{
	*w = (struct waiter){ .cli = cli, .id = id, .condition = condition, .code = -1 };
	return ask(w, err);
}

int waiter_fd(const struct waiter *w)
{
	return w->client ? client_fd(w->client) : -1;
}

void waiter_fini(struct waiter *w)
{
	client_free(w->client);
	w->client = NULL;
}

/* The exit code as the event of the end tells it: an instance with --rm that
 * ended while no isolad was there is removed before anyone can ask for it. */
static int code_from_events(struct waiter *w)
{
	char filters[160];
	cleanup_client struct client *c = client_new(&w->cli->host);
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	struct err err = ERR_INIT;
	int code = -1, rc;
	(void)snprintf(filters, sizeof(filters), "{\"%s\":[\"%s\"],\"event\":[\"die\"]}",
		       w->cli->kind->event, w->id);
	char now[24];
	(void)snprintf(now, sizeof(now), "%lld", (long long)(num_now_ns() / 1000000000 + 1));
	strbuf_puts(&target, "/events?since=1");
	client_target_query(&target, "until", now);
	client_target_query(&target, "filters", filters);
	if (!c || !strbuf_ok(&target) || client_send(c, "GET", target.text, NULL, &err) < 0 ||
	    client_receive(c, &err) != 200)
		return -1;
	do {
		cleanup_json json_object *event = NULL;
		rc = client_next_json(c, &event, &err);
		const char *text = json_str_or(json_get(json_get(event, "Actor"), "Attributes"),
					       "exitCode", NULL);
		if (rc == 1 && text)
			code = atoi(text) & 0xff;
	} while (rc == 1);
	return code;
}

/* Reads an answer. 0 with w->code, -EAGAIN when the connection or the daemon
 * went away, another -errno when asking again is of no use. */
static int read_answer(struct waiter *w, struct err *err)
{
	cleanup_json json_object *result = NULL;
	int rc = client_receive(w->client, err);
	if (rc < 0 || rc >= 500)
		return -EAGAIN;
	if (rc >= 400) {
		rc = client_fail(w->client, err);
		if (rc == -ENOENT)
			w->code = code_from_events(w);
		return w->code >= 0 ? 0 : rc;
	}
	if (client_read_json(w->client, &result, err) < 0 || !json_get(result, "StatusCode"))
		return -EAGAIN;
	const char *problem = json_str_or(json_get(result, "Error"), "Message", NULL);
	if (problem)
		(void)fprintf(stderr, "%s: %s\n", w->cli->program, problem);
	w->code = problem ? EXIT_DAEMON : (int)(json_i64_or(result, "StatusCode", 0) & 0xff);
	return 0;
}

/* The same question to another daemon. The next exit may be over by now. */
static int ask_again(struct waiter *w, struct err *err)
{
	waiter_fini(w);
	if (!strcmp(w->condition, "next-exit"))
		w->condition = "not-running";
	int rc = ask(w, err);
	if (rc < 0)
		waiter_fini(w);
	return rc;
}

int waiter_again(struct waiter *w)
{
	struct err err = ERR_INIT;
	if (w->client && read_answer(w, &err) != -EAGAIN)
		return WAITER_DONE;
	return ask_again(w, &err) < 0 ? WAITER_RETRY : client_fd(w->client);
}

static int lost_for_good(struct waiter *w, struct err *err)
{
	return err_set(err, EIO,
		       "the payload's exit code is not known, as isolad went away and did not come "
		       "back within 10 s; ask it later: %s wait %s",
		       w->cli->program, w->id);
}

int waiter_receive(struct waiter *w, struct err *err)
{
	int ms = PAUSE_MIN_MS;
	int64_t lost = 0; /* since when there is no daemon */
	while (w->code < 0) {
		struct err why = ERR_INIT;
		int64_t begin = monotonic_ns();
		int rc = w->client ? read_answer(w, &why) : -EAGAIN;
		if (rc < 0 && rc != -EAGAIN)
			return err_copy(err, &why);
		if (rc == 0)
			break;
		if (lost == 0 || monotonic_ns() - begin > PATIENCE_NS / 10) {
			lost = monotonic_ns(); /* it has answered meanwhile */
			ms = PAUSE_MIN_MS;
		} else if (!pause_before_retry(lost, &ms)) {
			return lost_for_good(w, err);
		}
		(void)ask_again(w, &why);
	}
	return w->code;
}

int waiter_get(struct cli *cli, const char *target, json_object **ret_result, struct err *err)
{
	int64_t begin = monotonic_ns();
	int ms = PAUSE_MIN_MS, rc;
	do {
		struct err why = ERR_INIT;
		cleanup_client struct client *c = client_new(&cli->host);
		if (!c)
			return err_set(err, ENOMEM, "out of memory");
		rc = client_call(c, "GET", target, NULL, ret_result, &why);
		if (rc < 0)
			(void)err_copy(err, &why);
		if (client_status(c) != 0)
			return rc;
	} while (pause_before_retry(begin, &ms));
	return rc;
}
