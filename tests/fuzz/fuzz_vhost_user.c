/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_vhost_user - what a back end answers: a share is greeted, set up, started and
 * stopped against answers that were there before the questions. The first byte says
 * after how many bytes the answers are cut into another packet. */
#include "rig.h"

#include "isola/fd.h"

#include "vmm/vhost_user.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define INPUT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct memory *shared_memory(void)
{
	static struct memory *memory;
	const struct memory_args args = { .size_bytes = 1ULL << 20,
					  .page_bytes = 4096,
					  .shared = true };
	struct err err = ERR_INIT;
	if (!memory && memory_new(&args, &memory, &err) < 0)
		abort();
	return memory;
}

static int talk(struct vhost_user *u, struct err *err)
{
	struct virtq q = { .size = 8 };
	uint16_t base = 0;
	int rc = vhost_user_greet(u, 2, err);
	if (rc == 0)
		rc = vhost_user_set_up(u, ~0ULL, shared_memory(), err);
	for (unsigned int i = 0; i < 2 && rc == 0; i++)
		rc = vhost_user_start_ring(u, i, &q, 0, 0, 1, err);
	for (unsigned int i = 0; i < 2 && rc == 0; i++)
		rc = vhost_user_stop_ring(u, i, &base, err);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	int pair[2];
	if (size < 1 || size > INPUT_MAX ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	size_t first = data[0] < size - 1 ? data[0] : size - 1;
	(void)send(pair[1], data + 1, first, MSG_NOSIGNAL);
	(void)send(pair[1], data + 1 + first, size - 1 - first, MSG_NOSIGNAL);
	/* No more will come: nothing has to be waited for. */
	(void)shutdown(pair[1], SHUT_WR);
	struct vhost_user u = { .sock = pair[0], .timeout_ms = 50 };
	int rc = talk(&u, &err);
	if (rc < 0 && (!err.code || !err.text[0]))
		abort();
	if (rc == 0 && u.dead)
		abort();
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	return 0;
}
