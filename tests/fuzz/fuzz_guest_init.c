/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_guest_init - what isola-init is asked for: the first byte says what (0 a process,
 * 1 SETUP, 2 the first piece of a copy), the fields follow. */
#include "isola/pieces.h"
#include "isola/tlv.h"

#include "init/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Does it lead out of where it begins? "s.." is a name like any other. */
static bool climbs(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")) != NULL; p++)
		if ((p == path || p[-1] == '/') && (p[2] == '/' || !p[2]))
			return true;
	return false;
}

static void try_live(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct live_spec s;
	if (live_spec_parse(data, size, &s, &err) < 0) {
		if (err.code != EPROTO || !err.text[0])
			abort();
		return;
	}
	bool bind = !strcmp(s.mount.type, "bind"), none = !strcmp(s.mount.type, "none");
	if (!s.id || !spec_is_path(s.mount.target) || ((bind || none) && !s.inode) ||
	    (bind && (!s.mount.source || s.mount.source[0] == '/' || climbs(s.mount.source))) ||
	    (!bind && !none && strcmp(s.mount.type, "tmpfs") != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_process(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct process_spec s;
	if (process_spec_parse(data, size, &s, &err) < 0) {
		if (!err.code || !err.text[0])
			abort();
		return;
	}
	size_t n = 0;
	for (char **a = s.args; *a; a++)
		n += strlen(*a) + 1;
	for (char **e = s.env; *e; e++)
		n += strlen(*e) + 1;
	if (n > size || !s.id || *s.cwd != '/' || s.streams > 7 || s.umask > 0777 ||
	    (s.seccomp && (s.n_seccomp == 0 || s.seccomp + s.n_seccomp * 8 > data + size)))
		abort();
	process_spec_fini(&s);
}

/* What was checked once is parsed later without a look at the result. */
static void try_setup(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	if (setup_spec_check(data, size, &err) < 0) {
		if (!err.code || !err.text[0])
			abort();
		return;
	}
	while (tlv_next(&r, &f) > 0) {
		struct mount_spec m = { 0 };
		struct device_spec d = { 0 };
		if ((f.tag == GF_MOUNT || f.tag == GF_ROOT || f.tag == GF_IMAGE) &&
		    (mount_spec_parse(f.data, f.size, &m) < 0 || !m.type))
			abort();
		if (f.tag == GF_DEVICE &&
		    (device_spec_parse(f.data, f.size, &d) < 0 || !spec_is_path(d.target)))
			abort();
		if ((f.tag == GF_MASKED || f.tag == GF_READONLY) &&
		    memchr(f.data, 0, f.size) != f.data + f.size - 1)
			abort();
	}
}

static void try_copy(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct copy_spec s;
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	size_t n = 0;
	if (copy_spec_parse(data, size, &s, &err) < 0) {
		if (!err.code || !err.text[0])
			abort();
		return;
	}
	while (tlv_next(&r, &f) > 0) {
		struct mount_spec m;
		if (f.tag != GF_MOUNT)
			continue;
		if (copy_mount_parse(f.data, f.size, &m) < 0 || !spec_is_path(m.target))
			abort();
		n++;
	}
	if (n != s.n_mounts || n > GUEST_MOUNTS_MAX || !s.entries_max ||
	    strlen(s.target) + strlen(s.name) > size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of its own, so that a read beyond it is seen. */
	uint8_t *copy = malloc(size + !size);
	if (size < 1 || !copy) {
		free(copy);
		return 0;
	}
	memcpy(copy, data + 1, size - 1);
	uint8_t *exact = realloc(copy, size > 1 ? size - 1 : 1);
	if (data[0] & 4)
		try_live(exact, size - 1);
	else if (data[0] & 2)
		try_copy(exact, size - 1);
	else if (data[0] & 1)
		try_setup(exact, size - 1);
	else
		try_process(exact, size - 1);
	free(exact);
	return 0;
}
