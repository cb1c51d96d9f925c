/* SPDX-License-Identifier: Apache-2.0 */
/* notify - see notify.h. Runs in the parent while init executes the payload. */
#include "notify.h"

#include "isola/console.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static char *state_text(const char *metadata, const struct hook_state *s)
{
	cleanup_json json_object *o = json_object_new_object();
	json_object *fds = json_object_new_array(), *state = json_object_new_object();
	(void)json_object_array_add(fds, json_object_new_string("seccompFd"));
	json_add_str(o, "ociVersion", "1.2.0");
	json_add(o, "fds", fds);
	json_add_i64(o, "pid", s->pid);
	if (metadata)
		json_add_str(o, "metadata", metadata);
	json_add_str(state, "ociVersion", "1.2.0");
	json_add_str(state, "id", s->id);
	json_add_str(state, "status", s->status);
	json_add_i64(state, "pid", s->pid);
	json_add_str(state, "bundle", s->bundle);
	json_add(o, "state", state);
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	return text ? strdup(text) : NULL;
}

static int send_to(const char *path, const char *metadata, int listener,
		   const struct hook_state *state, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, ENAMETOOLONG, "linux.seccomp.listenerPath is too long");
	strcpy(addr.sun_path, path);
	cleanup_fd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, "cannot connect to the seccomp agent at %s", path);
	cleanup_free char *text = state_text(metadata, state);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	int rc = console_send(sock, listener, text);
	return rc < 0 ? err_rc(err, rc, "cannot reach the seccomp agent at %s", path) : 0;
}

int notify_forward(const struct ctr_spec *spec, int listener, const struct hook_state *state,
		   struct err *err)
{
	const char *path = json_str_or(spec->seccomp, "listenerPath", NULL);
	if (!path)
		return err_set(err, EINVAL, "linux.seccomp.listenerPath is missing");
	return send_to(path, json_str_or(spec->seccomp, "listenerMetadata", NULL), listener, state,
		       err);
}
