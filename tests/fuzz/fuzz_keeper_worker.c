/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_keeper_worker - what a worker that a guest has taken over may send to its
 * keeper: each line of the input is a message. There is no process behind it, so that
 * nothing can be killed; whatever comes, the link ends, and what it said is bounded. */
#include "isola/fd.h"
#include "isola/wire.h"

#include "keeper/vm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LINE_MAX_BYTES (32 * 1024)

static void on_reply(struct vm *vm, const struct asker *asker, json_object *reply,
		     const struct err *err)
{
	(void)vm;
	(void)asker;
	if ((err && (!err->code || !*err->text)) || (!err && !reply))
		abort();
}

static void send_lines(int sock, const char *text, size_t size)
{
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t n = end ? (size_t)(end - text) : size;
		/* Never waits: what does not fit is not sent. */
		(void)send(sock, text, n < LINE_MAX_BYTES ? n : LINE_MAX_BYTES,
			   MSG_DONTWAIT | MSG_NOSIGNAL);
		size -= end ? n + 1 : n;
		text += end ? n + 1 : n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keeper k = { .run_dir_fd = -1, .cache_fd = -1, .init = { .fd = -1 } };
	struct vm vm = { .k = &k,
			 .cgroup_fd = -1,
			 .stdio = { -1, -1, -1 },
			 .vsock = { .listen_fd = -1, .dir_fd = -1 },
			 .link = { .fd = -1 } };
	int socks[2];
	struct err err = ERR_INIT;
	k.vm = &vm;
	k.payload = &payload_vm;
	list_init(&k.conns);
	list_init(&k.execs);
	list_init(&vm.calls);
	vm.quit_timer.on_time = NULL;
	if (loop_init(&k.loop, &err) < 0 || wire_pair(socks, &err) < 0)
		abort();
	if (vm_link_begin(&vm, socks[0], &err) < 0)
		abort();
	/* Two calls that wait for answers: 1 and 2. */
	vm.alive = true;
	for (int i = 0; i < 2; i++)
		if (vm_call(&vm, "stats", NULL, NULL, on_reply, &err) < 0)
			abort();
	vm.alive = false;
	send_lines(socks[1], (const char *)data, size);
	vm_link_end(&vm);
	if (!list_is_empty(&vm.calls) || vm.link.fd >= 0 || vm.exit.code < 0 || vm.exit.code > 255)
		abort();
	fd_close(&socks[1]);
	loop_timer_stop(&vm.quit_timer);
	loop_fini(&k.loop);
	return 0;
}
