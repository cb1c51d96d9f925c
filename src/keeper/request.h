/* SPDX-License-Identifier: Apache-2.0 */
/* request - one message of isolad, checked: isola/keeper.h, "Requests". No side
 * effects here, so that anything may be fed to it (fuzz_keeper_request). */
#pragma once

#include "isola/err.h"
#include "isola/id.h"

#include "jlog.h"
#include "stream.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op {
	OP_START,
	OP_ATTACH,
	OP_EXEC,
	OP_RESIZE,
	OP_KILL,
	OP_EXEC_KILL,
	OP_FREEZE,
	OP_UPDATE,
	OP_DETACH,
	OP_MOUNT, /* of containers */
	OP_UNMOUNT,
	OP_COPY, /* of containers in VMs */
	OP_SYNC, /* the same */
	/* Of VMs. */
	OP_RESET,
	OP_POWERDOWN,
	OP_NMI,
	OP_QUIT,
	OP_STATS,
	OP_PS, /* of containers in VMs */
	OP_BALLOON,
	OP_DISK,
	OP_NET,
	OP_PIN,
	OP_CONSOLE,
	/* Of containers in VMs. */
	OP_LINK,
	OP_UNLINK,
	OP_COUNT,
};

/* Input that came with the HTTP request, hex in a message. */
#define REQUEST_HEAD_MAX (32 * 1024)

struct request {
	enum op op;
	int64_t seq;
	/* Strings and objects are borrowed from the message. */
	const char *exec;          /* or NULL */
	struct stream_args stream; /* .id NULL: no stream is asked for */
	unsigned char *head;       /* owned; .stream.head is the same */
	json_object *process, *resources, *log, *args, *mount;
	bool make_source, privileged, all, frozen, held, stop;
	bool has_size;
	unsigned int rows, columns;
	int signal;
};

/* Checks @msg with @n_fds descriptors. -EBADMSG when not even a number for the
 * answer (@ret->seq) can be found; other failures can be answered. */
int request_parse(json_object *msg, size_t n_fds, struct request *ret, struct err *err);
void request_fini(struct request *request);

/* The name of @op, static. */
const char *request_op_name(enum op op);
