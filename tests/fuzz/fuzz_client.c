/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_client - whatever may answer on the daemon's socket, as the command line
 * programs read it. The first byte chooses what they wanted. */
#include "api/client_priv.h"

#include "isola/fd.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct client *c, struct err *err)
{
	char buf[100];
	while (client_read(c, buf, sizeof(buf), err) > 0)
		;
}

static void read_stream(struct client *c, struct err *err)
{
	json_object *o = NULL;
	while (client_next_json(c, &o, err) > 0)
		json_object_put(o);
}

static void read_answer(struct client *c, unsigned int kind, struct err *err)
{
	json_object *o = NULL;
	while (client_receive(c, err) >= 0) {
		if (kind == 0)
			read_all(c, err);
		else if (kind == 1)
			read_stream(c, err);
		else if (kind == 2)
			(void)client_fail(c, err);
		else if (client_read_json(c, &o, err) == 0)
			json_object_put(o);
		if (!client_is_buffered(c))
			break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct client_host host = { "/nonexistent" };
	struct err err = ERR_INIT;
	int pair[2];
	if (size < 1 || size > 100000 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	struct client *c = client_new(&host);
	if (!c)
		abort();
	c->fd = pair[0];
	c->keep_open = true;
	(void)send(pair[1], data + 1, size - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)shutdown(pair[1], SHUT_WR);
	read_answer(c, data[0] % 4, &err);
	client_free(c);
	fd_close(&pair[1]);
	return 0;
}
