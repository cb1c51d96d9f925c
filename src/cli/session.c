/* SPDX-License-Identifier: Apache-2.0 */
/* session - see session.h. Runs in the CLIs. */
#include "session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct client *control_of(struct session *s)
{
	if (!s->control)
		s->control = client_new(&s->cli->host);
	return s->control;
}

/* Failures here are not the user's business: the payload may just have ended. */
static void on_resize(void *arg, int h, int w)
{
	struct session *s = arg;
	char target[256];
	struct err err = ERR_INIT;
	(void)snprintf(target, sizeof(target), "%s?h=%d&w=%d", s->resize_path, h, w);
	if (control_of(s))
		(void)client_call(s->control, "POST", target, NULL, NULL, &err);
}

static void on_signal(void *arg, int signo)
{
	struct session *s = arg;
	const struct kind *kind = s->cli->kind;
	char target[256], tail[64];
	struct err err = ERR_INIT;
	if (!s->kill_id || !control_of(s))
		return;
	kind->signal_tail(s->signals++, signo, tail, sizeof(tail));
	(void)snprintf(target, sizeof(target), "/%s/%s%s", kind->collection, s->kill_id, tail);
	(void)client_call(s->control, "POST", target, NULL, NULL, &err);
}

int session_init(struct session *s, struct cli *cli, bool tty, bool input, bool proxy,
		 const char *keys, struct err *err)
{
	*s = (struct session){ .cli = cli };
	s->stream = (struct stream){
		.sock = -1,
		.stdin_ = input,
		.tty = tty,
		.proxy = proxy && !tty, /* a raw terminal sends the keys themselves */
		.on_resize = on_resize,
		.on_signal = on_signal,
		.watch_fd = STREAM_WATCH_NONE,
		.arg = s,
	};
	return detachkeys_parse(keys ? keys : DETACHKEYS_DEFAULT, &s->stream.detach, err);
}

void session_fini(struct session *s)
{
	client_free(s->control);
	if (s->stream.sock >= 0)
		(void)close(s->stream.sock);
	s->stream.sock = -1;
}
