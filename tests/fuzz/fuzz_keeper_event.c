/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_keeper_event - whatever a keeper may send: lines, each one message (the
 * first byte says in which state the instance is). isolad believes a keeper only so
 * far: no message may do more than end its own instance. */
#include "desk.h"

#include "daemon/exec.h"
#include "daemon/images_priv.h"
#include "daemon/life.h"
#include "daemon/link.h"
#include "isola/json.h"
#include "isola/wire.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct instance *inst, int peer, const char *line, size_t size)
{
	json_object *msg = NULL;
	(void)send(peer, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (inst->link)
		link_drain(inst->link);
	/* What a later isolad would learn from it. */
	if (json_parse(line, size, "message", &msg, NULL) == 0 && !life_of(inst)->ended) {
		execs_adopt(inst, json_get(msg, "execs"));
		execs_ended(inst, json_get(msg, "execs"));
	}
	json_object_put(msg);
}

static void on_reply(void *arg, const struct err *err, json_object *reply)
{
	(void)err;
	*(int64_t *)arg += json_i64_or(reply, "pid", 0) & 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *desk = NULL;
	int socks[2];
	int64_t sink = 0;
	if (size < 2 || desk_setup(&desk) < 0 || wire_pair(socks, NULL) < 0)
		return 0;
	struct isolad *d = desk;
	d->place.parent = strdup("/isola-fuzz");
	struct instance *inst = desk_instance(d, "web", NULL);
	inst->state = data[0] & 1 ? INSTANCE_RUNNING : INSTANCE_PAUSED;
	inst->started_ns = 1;
	if (link_new(d, socks[0], &run_link_handler, inst, &inst->link, NULL) < 0)
		abort();
	link_call(inst->link, "start", NULL, -1, on_reply, &sink);
	const char *p = (const char *)data + 1, *end = (const char *)data + size;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl : end) - p);
		feed(inst, socks[1], p, n);
		p += n + 1;
	}
	(void)close(socks[1]);
	d->stopping = true;
	free(d->place.parent);
	d->place.parent = NULL;
	return desk_teardown(&desk) < 0 ? (abort(), 0) : 0;
}
