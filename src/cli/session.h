/* SPDX-License-Identifier: Apache-2.0 */
/* session - being attached to a payload: the stream, its resizes and signals. */
#pragma once

#include "cli.h"
#include "stream.h"

struct session {
	struct cli *cli;
	const char *resize_path; /* "/containers/<id>/resize" or "/exec/<id>/resize" */
	const char *kill_id;     /* whose payload gets our signals, or NULL */
	int signals;             /* sent so far */
	struct client *control;  /* connection for resizes and signals; made at first use */
	struct stream stream;
};

/* @tty and @input as of the payload; @keys NULL = the default sequence. */
int session_init(struct session *s, struct cli *cli, bool tty, bool input, bool proxy,
		 const char *keys, struct err *err);
void session_fini(struct session *s);
