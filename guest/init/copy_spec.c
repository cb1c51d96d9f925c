/* SPDX-License-Identifier: Apache-2.0 */
/* copy_spec - the first piece of a copy (GUEST_COPY) and a mount that comes or goes, taken
 * apart: see spec.h. */
#include "spec.h"

#include "isola/pieces.h"
#include "isola/tlv.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#define SAME(name) _Static_assert((int)PIECE_##name == (int)GF_##name, "isola/pieces.h")
SAME(TEXT);
SAME(USER);
SAME(NAME);
SAME(TARGET);
SAME(FSTYPE);
SAME(ERROR);
SAME(NUMBER);
SAME(FLAGS);
SAME(MOUNT);

int copy_mount_parse(const uint8_t *data, size_t size, struct mount_spec *ret)
{
	struct mount_spec m;
	if (mount_spec_parse(data, size, &m) < 0 || !*m.target || strcmp(m.type, "none") != 0 ||
	    m.source || m.data || m.flags & ~(unsigned long)(MS_RDONLY | MS_REC))
		return -EPROTO;
	*ret = m;
	return 0;
}

static int copy_field(const struct tlv_field *f, struct copy_spec *s)
{
	struct mount_spec m;
	uint64_t flags = 0;
	switch (f->tag) {
	case GF_TARGET:
		return tlv_get_text(f, &s->target);
	case GF_NAME:
		return tlv_get_text(f, &s->name);
	case GF_USER:
		return tlv_get_text(f, &s->user);
	case GF_NUMBER:
		return tlv_get_u64(f, &s->entries_max);
	case GF_FLAGS:
		s->keep_kinds = tlv_get_u64(f, &flags) == 0 && flags & GUEST_COPY_KEEP_KINDS;
		return flags & ~(uint64_t)GUEST_COPY_KEEP_KINDS ? -EPROTO : 0;
	case GF_MOUNT:
		return ++s->n_mounts > GUEST_MOUNTS_MAX ? -EPROTO
							: copy_mount_parse(f->data, f->size, &m);
	default:
		return -EPROTO;
	}
}

int copy_spec_parse(const uint8_t *data, size_t size, struct copy_spec *ret, struct err *err)
{
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	struct copy_spec s = { .fields = { data, size } };
	int rc;
	while ((rc = tlv_next(&r, &f)) > 0)
		if (copy_field(&f, &s) < 0)
			return err_set(err, EPROTO,
				       "isola-image sent a field %u that isola-init does not take",
				       f.tag);
	if (rc < 0 || !s.target || !s.name || !s.entries_max)
		return err_set(err, EPROTO, "isola-image did not say where to copy to");
	*ret = s;
	return 0;
}

static bool is_live_type(const char *type, uint64_t inode)
{
	return !strcmp(type, "tmpfs") ||
	       (inode && (!strcmp(type, "none") || !strcmp(type, "bind")));
}

int live_spec_parse(const uint8_t *data, size_t size, struct live_spec *ret, struct err *err)
{
	struct tlv_field f;
	struct live_spec s = { .id = tlv_u64_or(data, size, GF_PROCESS, 0),
			       .inode = tlv_u64_or(data, size, GF_NUMBER, 0) };
	if (!s.id || tlv_find(data, size, GF_MOUNT, &f) <= 0 ||
	    mount_spec_parse(f.data, f.size, &s.mount) < 0 || !*s.mount.target ||
	    !is_live_type(s.mount.type, s.inode))
		return err_set(err, EPROTO, "isola-keeper sent a mount that makes no sense");
	*ret = s;
	return 0;
}
