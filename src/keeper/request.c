/* SPDX-License-Identifier: Apache-2.0 */
/* request - see request.h. An op is a row, a field is a row. */
#include "request.h"

#include "isola/json.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum field {
	F_EXEC = 1 << 0,
	F_STREAM = 1 << 1,
	F_STDIN = 1 << 2,
	F_STDOUT = 1 << 3,
	F_STDERR = 1 << 4,
	F_MUX = 1 << 5,
	F_DETACH_KEYS = 1 << 6,
	F_HEAD = 1 << 7,
	F_PROCESS = 1 << 8,
	F_PRIVILEGED = 1 << 9,
	F_H = 1 << 10,
	F_W = 1 << 11,
	F_SIGNAL = 1 << 12,
	F_ALL = 1 << 13,
	F_FROZEN = 1 << 14,
	F_RESOURCES = 1 << 15,
	F_LOG = 1 << 16,
	F_ARGS = 1 << 17,
	F_STOP = 1 << 18,
	F_HELD = 1 << 19,
	F_MOUNT = 1 << 20,
	F_MAKE_SOURCE = 1 << 21,
};

#define F_STREAM_ARGS (F_STDIN | F_STDOUT | F_STDERR | F_MUX | F_DETACH_KEYS | F_HEAD)
#define F_SIZE        (F_H | F_W)

static const struct {
	const char *name;
	unsigned int needs, takes;
	size_t min_fds, max_fds;
} ops[OP_COUNT] = {
	[OP_START] = { "start" },
	[OP_ATTACH] = { "attach", F_STREAM, F_STREAM_ARGS, 1, 1 },
	[OP_EXEC] = { "exec", F_EXEC | F_PROCESS,
		      F_PRIVILEGED | F_STREAM | F_STREAM_ARGS | F_SIZE | F_HELD, 0, 1 },
	[OP_RESIZE] = { "resize", F_SIZE, F_EXEC },
	[OP_KILL] = { "kill", F_SIGNAL, F_ALL },
	[OP_EXEC_KILL] = { "exec_kill", F_EXEC | F_SIGNAL },
	[OP_FREEZE] = { "freeze", F_FROZEN, F_HELD },
	[OP_UPDATE] = { "update", 0, F_RESOURCES | F_LOG | F_ARGS },
	[OP_DETACH] = { "detach", F_STREAM },
	[OP_MOUNT] = { "mount", F_MOUNT, F_MAKE_SOURCE },
	[OP_UNMOUNT] = { "unmount", F_MOUNT },
	[OP_COPY] = { "copy", 0, 0, 1, 1 },
	[OP_SYNC] = { "sync" },
	[OP_RESET] = { "reset" },
	[OP_POWERDOWN] = { "powerdown", 0, F_STOP },
	[OP_NMI] = { "nmi" },
	[OP_QUIT] = { "quit" },
	[OP_STATS] = { "stats" },
	[OP_PS] = { "ps" },
	[OP_BALLOON] = { "balloon", F_ARGS },
	[OP_DISK] = { "disk", F_ARGS },
	[OP_NET] = { "net", F_ARGS },
	[OP_PIN] = { "pin", F_ARGS },
	[OP_CONSOLE] = { "console", F_ARGS },
	[OP_LINK] = { "link", F_ARGS },
	[OP_UNLINK] = { "unlink", F_ARGS },
};

static int get_id(json_object *o, const char *key, const char **ret, struct err *err)
{
	int rc = json_get_str(o, key, ret, err);
	if (rc > 0 && (!id_is_container_id(*ret) || strlen(*ret) >= ID_SIZE))
		return err_set(err, EINVAL, "%s is no id", key);
	return rc;
}

static int get_range(json_object *o, const char *key, int64_t min, int64_t max, int64_t *ret,
		     struct err *err)
{
	int rc = json_get_i64(o, key, ret, err);
	if (rc > 0 && (*ret < min || *ret > max))
		return err_set(err, EINVAL, "%s must be %lld to %lld", key, (long long)min,
			       (long long)max);
	return rc;
}

static int get_exec(json_object *o, const char *key, struct request *r, struct err *err)
{
	return get_id(o, key, &r->exec, err);
}

static int get_stream(json_object *o, const char *key, struct request *r, struct err *err)
{
	return get_id(o, key, &r->stream.id, err);
}

static int get_stdin(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->stream.want_stdin, err);
}

static int get_stdout(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->stream.want_stdout, err);
}

static int get_stderr(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->stream.want_stderr, err);
}

static int get_mux(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->stream.mux, err);
}

static int get_detach_keys(json_object *o, const char *key, struct request *r, struct err *err)
{
	const char *keys = DETACHKEYS_DEFAULT;
	int rc = json_get_str(o, key, &keys, err);
	return rc < 0 ? rc : detachkeys_parse(keys, &r->stream.detach, err);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int get_head(json_object *o, const char *key, struct request *r, struct err *err)
{
	const char *hex = "";
	int rc = json_get_str(o, key, &hex, err);
	size_t n = strlen(hex);
	if (rc <= 0 || n == 0)
		return rc;
	if (n % 2 || n / 2 > REQUEST_HEAD_MAX)
		return err_set(err, EINVAL, "%s must be the hex digits of at most %d bytes", key,
			       REQUEST_HEAD_MAX);
	r->head = malloc(n / 2);
	if (!r->head)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n / 2; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return err_set(err, EINVAL, "%s holds a character that is no hex digit",
				       key);
		r->head[i] = (unsigned char)(high << 4 | low);
	}
	r->stream.head = r->head;
	r->stream.head_size = n / 2;
	return 1;
}

static int get_process(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_obj(o, key, &r->process, err);
}

static int get_privileged(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->privileged, err);
}

static int get_h(json_object *o, const char *key, struct request *r, struct err *err)
{
	int64_t v = 0;
	int rc = get_range(o, key, 0, UINT16_MAX, &v, err);
	r->rows = (unsigned int)v;
	r->has_size |= rc > 0;
	return rc;
}

static int get_w(json_object *o, const char *key, struct request *r, struct err *err)
{
	int64_t v = 0;
	int rc = get_range(o, key, 0, UINT16_MAX, &v, err);
	r->columns = (unsigned int)v;
	return rc;
}

static int get_signal(json_object *o, const char *key, struct request *r, struct err *err)
{
	int64_t v = 0;
	int rc = get_range(o, key, 1, SIGRTMAX, &v, err);
	r->signal = (int)v;
	return rc;
}

static int get_all(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->all, err);
}

static int get_frozen(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->frozen, err);
}

static int get_held(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->held, err);
}

static int get_resources(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_obj(o, key, &r->resources, err);
}

static int get_log(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_obj(o, key, &r->log, err);
}

static int get_args(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_obj(o, key, &r->args, err);
}

static int get_mount(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_obj(o, key, &r->mount, err);
}

static int get_make_source(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->make_source, err);
}

static int get_stop(json_object *o, const char *key, struct request *r, struct err *err)
{
	return json_get_bool(o, key, &r->stop, err);
}

/* @get returns as json_get_*(): 1 when it is there, 0, -errno. */
static const struct field_row {
	enum field bit;
	const char *key;
	int (*get)(json_object *o, const char *key, struct request *r, struct err *err);
} fields[] = {
	{ F_EXEC, "exec", get_exec },
	{ F_STREAM, "stream", get_stream },
	{ F_STDIN, "stdin", get_stdin },
	{ F_STDOUT, "stdout", get_stdout },
	{ F_STDERR, "stderr", get_stderr },
	{ F_MUX, "mux", get_mux },
	{ F_DETACH_KEYS, "detach_keys", get_detach_keys },
	{ F_HEAD, "head", get_head },
	{ F_PROCESS, "process", get_process },
	{ F_PRIVILEGED, "privileged", get_privileged },
	{ F_H, "h", get_h },
	{ F_W, "w", get_w },
	{ F_SIGNAL, "signal", get_signal },
	{ F_ALL, "all", get_all },
	{ F_FROZEN, "frozen", get_frozen },
	{ F_HELD, "held", get_held },
	{ F_RESOURCES, "resources", get_resources },
	{ F_LOG, "log", get_log },
	{ F_ARGS, "args", get_args },
	{ F_STOP, "stop", get_stop },
	{ F_MOUNT, "mount", get_mount },
	{ F_MAKE_SOURCE, "make_source", get_make_source },
};

#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

const char *request_op_name(enum op op)
{
	return ops[op].name;
}

static int find_op(json_object *msg, enum op *ret, struct err *err)
{
	const char *name = json_str_or(msg, "op", "");
	for (unsigned int i = 0; i < OP_COUNT; i++) {
		if (strcmp(ops[i].name, name))
			continue;
		*ret = (enum op)i;
		return 0;
	}
	return err_set(err, EOPNOTSUPP, "op \"%.32s\" is not known to this isola-keeper", name);
}

/* A field that does not belong to the op may mean something to its sender. */
static int check_known(json_object *msg, enum op op, struct err *err)
{
	json_object_object_foreach (msg, key, value) {
		(void)value;
		size_t i = 0;
		while (i < N_FIELDS && strcmp(fields[i].key, key))
			i++;
		if (i < N_FIELDS ? !((ops[op].needs | ops[op].takes) & fields[i].bit)
				 : strcmp(key, "op") && strcmp(key, "seq"))
			return err_set(err, EINVAL, "unknown field \"%.64s\"", key);
	}
	return 0;
}

static int parse_fields(json_object *msg, struct request *r, struct err *err)
{
	unsigned int needs = ops[r->op].needs, takes = needs | ops[r->op].takes;
	for (size_t i = 0; i < N_FIELDS; i++) {
		if (!(takes & fields[i].bit))
			continue;
		int rc = fields[i].get(msg, fields[i].key, r, err);
		if (rc < 0)
			return rc;
		if (rc == 0 && (needs & fields[i].bit))
			return err_set(err, EINVAL, "%s is missing", fields[i].key);
	}
	return 0;
}

static int check_fds(const struct request *r, size_t n_fds, struct err *err)
{
	if (n_fds < ops[r->op].min_fds || n_fds > ops[r->op].max_fds)
		return err_set(err, EINVAL, "%zu descriptors came with it", n_fds);
	if ((r->stream.id != NULL) != (n_fds == 1) && r->op == OP_EXEC)
		return err_set(err, EINVAL, "a stream needs a descriptor, and the other way round");
	return 0;
}

int request_parse(json_object *msg, size_t n_fds, struct request *ret, struct err *err)
{
	struct request r = { .seq = -1 };
	int64_t seq = -1;
	if (json_get_i64(msg, "seq", &seq, err) <= 0)
		return err_set(err, EBADMSG, "a message without a number came");
	ret->seq = seq;
	r.seq = seq;
	int rc = find_op(msg, &r.op, err);
	if (rc < 0)
		return rc;
	rc = check_known(msg, r.op, err);
	if (rc == 0)
		rc = parse_fields(msg, &r, err);
	if (rc == 0)
		rc = check_fds(&r, n_fds, err);
	if (rc < 0) {
		request_fini(&r);
		return err_prefix(err, "%s", ops[r.op].name);
	}
	*ret = r;
	return 0;
}

void request_fini(struct request *request)
{
	free(request->head);
	request->head = NULL;
}
