/* SPDX-License-Identifier: Apache-2.0 */
/* source - parts that all of the machine file is made of: SOURCEs, bounded numbers,
 * words, no unknown members. See machine.h. isola-vmm, before anything is made. */
#include "machine.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FIRST_FD 3 /* 0, 1 and 2 are the payload's stdio */

json_object *machine_part(const struct machine *machine, const char *key)
{
	return json_get(machine->doc, key);
}

static bool is_in(const char *const *words, const char *word)
{
	for (; *words; words++)
		if (!strcmp(*words, word))
			return true;
	return false;
}

static const char *dot(const char *what)
{
	return *what ? "." : "";
}

int machine_only(json_object *o, const char *const *known, const char *what, struct err *err)
{
	if (!json_object_is_type(o, json_type_object))
		return err_set(err, EINVAL, "%s%smust be an object", what, *what ? ": " : "");
	json_object_object_foreach (o, key, value) {
		(void)value;
		if (!is_in(known, key))
			return err_set(err, EINVAL, "%s%s%.64s: is not known", what, dot(what),
				       key);
	}
	return 0;
}

/* "cpus: " in front of what a getter of json.h said. */
static int add_what(const char *what, struct err *err)
{
	return *what ? err_prefix(err, "%s", what) : -EINVAL;
}

int machine_int(json_object *o, const char *what, const char *key, int64_t min, int64_t max,
		int64_t *ret, struct err *err)
{
	int64_t n = 0;
	int rc = json_get_i64(o, key, &n, err);
	if (rc < 0)
		return add_what(what, err);
	if (rc == 0)
		return 0;
	if (n < min || n > max)
		return err_set(err, EINVAL, "%s%s%s: %lld is %s than %lld", what, dot(what), key,
			       (long long)n, n < min ? "less" : "more",
			       (long long)(n < min ? min : max));
	*ret = n;
	return 1;
}

int machine_word(json_object *o, const char *what, const char *key, const char *const *words,
		 unsigned int *ret, struct err *err)
{
	const char *word = NULL;
	int rc = json_get_str(o, key, &word, err);
	if (rc < 0)
		return add_what(what, err);
	if (rc == 0)
		return 0;
	for (unsigned int i = 0; words[i]; i++) {
		if (strcmp(words[i], word))
			continue;
		*ret = i;
		return 1;
	}
	char list[160] = "";
	for (size_t i = 0, n = 0; words[i] && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", words[i]);
	return err_set(err, EINVAL, "%s%s%s: \"%.40s\" is none of: %s", what, dot(what), key, word,
		       list);
}

int machine_cpu_list(json_object *list, struct err *err)
{
	if (!json_object_is_type(list, json_type_array) || json_len(list) == 0)
		return err_set(err, EINVAL, "must be a list of host CPUs");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *cpu = json_object_array_get_idx(list, i);
		if (!json_object_is_type(cpu, json_type_int) || json_object_get_int64(cpu) < 0 ||
		    json_object_get_int64(cpu) >= MACHINE_HOST_CPUS_MAX)
			return err_set(err, EINVAL, "[%zu]: must be a CPU number below %d", i,
				       MACHINE_HOST_CPUS_MAX);
	}
	return 0;
}

int source_read(json_object *value, const char *what, struct source *ret, struct err *err)
{
	static const char *const known[] = { "fd", "path", NULL };
	struct source s = { .path = NULL, .fd = -1 };
	int64_t fd = -1;
	int rc = machine_only(value, known, what, err);
	if (rc < 0)
		return rc;
	int has_fd = machine_int(value, what, "fd", FIRST_FD, MACHINE_FDS_MAX - 1, &fd, err);
	if (has_fd < 0)
		return has_fd;
	int has_path = json_get_str(value, "path", &s.path, err);
	if (has_path < 0)
		return add_what(what, err);
	if (has_fd + has_path != 1)
		return err_set(err, EINVAL, "%s: needs either \"fd\" or \"path\"", what);
	if (has_path && s.path[0] != '/')
		return err_set(err, EINVAL, "%s.path: \"%.200s\" is not absolute", what, s.path);
	if (has_path && strlen(s.path) >= 4096)
		return err_set(err, EINVAL, "%s.path: is too long", what);
	s.fd = (int)fd;
	*ret = s;
	return 1;
}

int source_get(json_object *o, const char *key, struct source *ret, struct err *err)
{
	json_object *value = json_get(o, key);
	return value ? source_read(value, key, ret, err) : 0;
}

int source_open(const struct source *source, int flags, struct err *err)
{
	if (source->path) {
		int fd = open(source->path, flags | O_CLOEXEC);
		return fd < 0 ? err_sys(err, "cannot open %s", source->path) : fd;
	}
	int rc = fd_set_cloexec(source->fd, true);
	if (rc < 0)
		return err_rc(err, rc, "descriptor %d", source->fd);
	return source->fd;
}
