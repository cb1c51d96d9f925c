/* SPDX-License-Identifier: Apache-2.0 */
/* health_probe - one question to a container, of which the case plays the keeper. */
#include "desk.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/wire.h"
#include "daemon/exec.h"
#include "daemon/health.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct bench {
	struct isolad *d;
	struct instance *inst;
	int peer;
	int output; /* what the keeper was given */
	char exec[ID_SIZE];
};

static struct {
	int n, exit_code;
	char output[64];
} done;

static void on_event(void *arg, const char *event, json_object *msg)
{
	struct bench *b = arg;
	if (!strcmp(event, "exec_exit"))
		exec_ended(b->inst, b->exec, (int)json_i64_or(msg, "exit_code", 255), NULL);
}

static void on_closed(void *arg)
{
	(void)arg;
}

static const struct link_handler handler = { .on_event = on_event, .on_closed = on_closed };

static int setup(void **state)
{
	void *d = NULL;
	struct bench *b = calloc(1, sizeof(*b));
	if (!b || desk_setup(&d) < 0)
		return -1;
	b->d = d;
	b->output = -1;
	b->inst = desk_instance(d, "box", NULL);
	b->inst->state = INSTANCE_RUNNING;
	memset(&done, 0, sizeof(done));
	*state = b;
	return desk_link(d, &handler, b, &b->inst->link, &b->peer);
}

static int teardown(void **state)
{
	struct bench *b = *state;
	void *d = b->d;
	link_free(&b->inst->link);
	fd_close(&b->peer);
	fd_close(&b->output);
	b->inst->state = INSTANCE_CREATED;
	int rc = desk_teardown(&d);
	free(b);
	return rc;
}

static void on_done(struct instance *inst, const struct probe_result *r)
{
	(void)inst;
	done.n++;
	done.exit_code = r->exit_code;
	(void)snprintf(done.output, sizeof(done.output), "%s", r->output);
}

/* A probe that was started; the keeper has its exec and its output. */
static void begin(struct bench *b)
{
	json_object *test = desk_json("['CMD','true']"), *msg = NULL;
	const struct health_config config = { .test = test, .timeout_ns = 60000000000 };
	int fds[WIRE_FDS_MAX];
	size_t n = 0;
	assert_non_null(probe_start(b->inst, &config, on_done));
	assert_int_equal(wire_recv(b->peer, &msg, fds, &n, NULL), 1);
	assert_string_equal(json_str_or(msg, "op", ""), "exec");
	assert_int_equal(n, 1);
	b->output = fds[0];
	(void)snprintf(b->exec, sizeof(b->exec), "%s", json_str_or(msg, "exec", ""));
	json_object_put(msg);
	json_object_put(test);
	desk_say(b->d, b->peer, "{'seq':1,'ok':true,'pid':7}");
}

static void probe__waits_for_end_and_output(void **state)
{
	struct bench *b = *state;
	begin(b);
	assert_int_equal(write(b->output, "well", 4), 4);
	desk_say(b->d, b->peer, "{'event':'exec_exit','exit_code':3}");
	assert_int_equal(done.n, 0); /* somebody has the output still */
	assert_int_equal(write(b->output, " enough", 7), 7);
	fd_close(&b->output);
	for (int i = 0; i < 100 && !done.n; i++)
		desk_turn(b->d);
	assert_int_equal(done.n, 1);
	assert_int_equal(done.exit_code, 3);
	assert_string_equal(done.output, "well enough");
}

static void on_heard(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	(*(int *)handle->data)++;
	(void)uv_poll_stop(handle);
}

/* Between the end of the output and that of the exec somebody else gets a descriptor: with
 * the number of the probe's, it was no longer watched when the probe went. */
static void probe__leaves_other_descriptors_alone(void **state)
{
	struct bench *b = *state;
	int other[2], heard = 0;
	uv_poll_t poll;
	begin(b);
	fd_close(&b->output);
	desk_turn(b->d);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other), 0);
	assert_int_equal(uv_poll_init(&b->d->loop, &poll, other[0]), 0);
	poll.data = &heard;
	assert_int_equal(uv_poll_start(&poll, UV_READABLE, on_heard), 0);
	desk_turn(b->d);
	desk_say(b->d, b->peer, "{'event':'exec_exit','exit_code':0}");
	for (int i = 0; i < 100 && !done.n; i++)
		desk_turn(b->d);
	desk_turn(b->d);
	ssize_t n = write(other[1], "x", 1);
	desk_turn(b->d);
	uv_close((uv_handle_t *)&poll, NULL);
	desk_turn(b->d);
	fd_close(&other[0]);
	fd_close(&other[1]);
	assert_int_equal(n, 1);
	assert_int_equal(done.n, 1);
	assert_int_equal(heard, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(probe__waits_for_end_and_output, setup, teardown),
		cmocka_unit_test_setup_teardown(probe__leaves_other_descriptors_alone, setup,
						teardown),
	};
	return cmocka_run_group_tests_name("health_probe", tests, NULL, NULL);
}
