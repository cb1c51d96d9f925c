/* SPDX-License-Identifier: Apache-2.0 */
/* guest_process - see guest_process.h. */
#include "guest_process.h"

#include "isola/caps.h"
#include "isola/ctr.h"
#include "isola/guest.h"
#include "isola/json.h"
#include "isola/seccomp.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *key;
	uint16_t tag;
} cap_sets[] = {
	{ "bounding", GF_CAPS_BOUNDING },   { "effective", GF_CAPS_EFFECTIVE },
	{ "permitted", GF_CAPS_PERMITTED }, { "inheritable", GF_CAPS_INHERITABLE },
	{ "ambient", GF_CAPS_AMBIENT },
};

static void put_texts(struct tlv_writer *w, uint16_t tag, json_object *list)
{
	for (size_t i = 0; i < json_len(list); i++)
		tlv_put_text(w, tag, json_item_str(list, i));
}

/* Text, where a name has to be looked up in the guest's root, as isolad leaves it. */
static void put_user(struct tlv_writer *w, json_object *user)
{
	const char *text = json_str_or(user, "org.isola.user", NULL);
	json_object *gids = json_get(user, "additionalGids");
	if (text) {
		tlv_put_text(w, GF_USER, text);
	} else {
		tlv_put_u64(w, GF_UID, (uint64_t)json_i64_or(user, "uid", 0));
		tlv_put_u64(w, GF_GID, (uint64_t)json_i64_or(user, "gid", 0));
	}
	for (size_t i = 0; i < json_len(gids); i++)
		tlv_put_u64(w, GF_GROUP,
			    (uint64_t)json_object_get_int64(json_object_array_get_idx(gids, i)));
	if (json_get(user, "umask"))
		tlv_put_u64(w, GF_UMASK, (uint64_t)json_i64_or(user, "umask", 0022));
}

/* One that only a newer kernel knows is left out, as everywhere. */
static void put_caps(struct tlv_writer *w, json_object *caps)
{
	for (size_t i = 0; i < sizeof(cap_sets) / sizeof(cap_sets[0]); i++) {
		json_object *names = json_get(caps, cap_sets[i].key);
		uint64_t set = 0;
		for (size_t k = 0; k < json_len(names); k++) {
			int cap = caps_parse(json_item_str(names, k));
			if (cap >= 0)
				set |= UINT64_C(1) << cap;
		}
		tlv_put_u64(w, cap_sets[i].tag, set);
	}
}

/* Names were checked with the spec. */
static void put_rlimits(struct tlv_writer *w, json_object *list)
{
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		int resource = ctr_rlimit_resource(json_str_or(o, "type", ""));
		if (resource < 0)
			continue;
		size_t mark = tlv_open(w, GF_RLIMIT);
		tlv_put_u64(w, GF_RESOURCE, (uint64_t)resource);
		tlv_put_u64(w, GF_SOFT, json_object_get_uint64(json_get(o, "soft")));
		tlv_put_u64(w, GF_HARD, json_object_get_uint64(json_get(o, "hard")));
		tlv_close(w, mark);
	}
}

static int put_seccomp(struct tlv_writer *w, const struct guest_process_args *args, struct err *err)
{
	struct seccomp_filter filter = SECCOMP_FILTER_INIT;
	if (!args->seccomp)
		return 0;
	int rc = seccomp_filter_load(args->seccomp, args->cache_fd, &filter, err);
	if (rc == 0 && filter.notify)
		rc = err_set(err, EOPNOTSUPP,
			     "seccomp: SCMP_ACT_NOTIFY is not possible with --isolation vm: its "
			     "listener is a process of the host");
	if (rc == 0)
		tlv_put(w, GF_SECCOMP, filter.prog.filter,
			filter.prog.len * sizeof(*filter.prog.filter));
	seccomp_filter_fini(&filter);
	return rc;
}

static void put_terminal(struct tlv_writer *w, const struct guest_process_args *args)
{
	json_object *size = json_get(args->process, "consoleSize");
	uint64_t rows = args->rows, columns = args->columns;
	if (!rows && !columns) {
		rows = (uint64_t)json_i64_or(size, "height", 0);
		columns = (uint64_t)json_i64_or(size, "width", 0);
	}
	tlv_put_u64(w, GF_TTY, 1);
	tlv_put_u64(w, GF_STREAMS, 1 << GUEST_STDOUT);
	if (!rows || !columns)
		return;
	tlv_put_u64(w, GF_ROWS, rows);
	tlv_put_u64(w, GF_COLUMNS, columns);
}

static void put_streams(struct tlv_writer *w, const struct guest_process_args *args)
{
	uint64_t set = 0;
	if (json_bool_or(args->process, "terminal", false)) {
		put_terminal(w, args);
		return;
	}
	for (int i = 0; i < GUEST_STREAMS; i++)
		set |= args->streams[i] ? UINT64_C(1) << i : 0;
	tlv_put_u64(w, GF_STREAMS, set);
}

int guest_process_put(struct tlv_writer *w, const struct guest_process_args *args, struct err *err)
{
	json_object *p = args->process;
	tlv_put_u64(w, GF_PROCESS, args->number);
	put_texts(w, GF_ARG, json_get(p, "args"));
	put_texts(w, GF_ENV, json_get(p, "env"));
	tlv_put_text(w, GF_CWD, json_str_or(p, "cwd", "/"));
	if (args->make_cwd)
		tlv_put_u64(w, GF_MAKE_CWD, 1);
	if (args->reaper)
		tlv_put_u64(w, GF_REAPER, 1);
	put_user(w, json_get(p, "user"));
	put_caps(w, json_get(p, "capabilities"));
	put_rlimits(w, json_get(p, "rlimits"));
	if (json_bool_or(p, "noNewPrivileges", false))
		tlv_put_u64(w, GF_NO_NEW_PRIVS, 1);
	if (json_get(p, "oomScoreAdj"))
		tlv_put_u64(w, GF_OOM_SCORE, (uint64_t)json_i64_or(p, "oomScoreAdj", 0));
	put_streams(w, args);
	int rc = put_seccomp(w, args, err);
	if (rc == 0 && w->failed)
		rc = err_set(err, E2BIG,
			     "the process is too long for a guest: arguments, environment and "
			     "filter may have %d bytes together",
			     TLV_BYTES_MAX);
	return rc;
}
