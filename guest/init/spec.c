/* SPDX-License-Identifier: Apache-2.0 */
/* spec - see spec.h. */
#include "spec.h"

#include "isola/mac.h"
#include "isola/tlv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

bool spec_is_path(const char *path)
{
	if (*path != '/' || strlen(path) >= 4096)
		return false;
	for (const char *p = path; (p = strstr(p, "/..")); p += 3)
		if (p[3] == '/' || !p[3])
			return false;
	return true;
}

static int bad(struct err *err, unsigned int tag)
{
	return err_set(err, EPROTO, "isola-keeper sent a field %u that isola-init does not take",
		       tag);
}

/* ---- small ones: known fields, each of its kind ---- */

enum kind { NUMBER, TEXT };
struct want {
	uint16_t tag;
	enum kind kind;
	bool must;
	void *to; /* uint64_t or const char * */
};

static int read_wants(const uint8_t *data, size_t size, const struct want *wants, size_t n)
{
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	unsigned int seen = 0;
	int rc;
	while ((rc = tlv_next(&r, &f)) > 0) {
		size_t i = 0;
		while (i < n && wants[i].tag != f.tag)
			i++;
		if (i == n || seen >> i & 1)
			return -EPROTO;
		seen |= 1U << i;
		rc = wants[i].kind == NUMBER ? tlv_get_u64(&f, wants[i].to)
					     : tlv_get_text(&f, wants[i].to);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < n; i++)
		if (wants[i].must && !(seen >> i & 1))
			return -EPROTO;
	return rc;
}

#define READ_WANTS(data, size, ...)                                                                \
	read_wants(data, size, (const struct want[]){ __VA_ARGS__ },                               \
		   sizeof((const struct want[]){ __VA_ARGS__ }) / sizeof(struct want))

int rlimit_spec_parse(const uint8_t *data, size_t size, struct rlimit_spec *ret)
{
	struct rlimit_spec s = { 0 };
	int rc = READ_WANTS(data, size, { GF_RESOURCE, NUMBER, true, &s.resource },
			    { GF_SOFT, NUMBER, true, &s.soft }, { GF_HARD, NUMBER, true, &s.hard });
	if (rc < 0 || s.resource > 63)
		return -EPROTO;
	*ret = s;
	return 0;
}

/* What "/SOURCE" would be a path of. */
static bool is_served(const char *source)
{
	char path[4096];
	if (!source || !*source || *source == '/' || strlen(source) >= sizeof(path) - 1)
		return false;
	path[0] = '/';
	strcpy(path + 1, source);
	return spec_is_path(path);
}

int mount_spec_parse(const uint8_t *data, size_t size, struct mount_spec *ret)
{
	struct mount_spec s = { .target = "" };
	uint64_t flags = 0;
	int rc = READ_WANTS(data, size, { GF_TARGET, TEXT, false, &s.target },
			    { GF_FSTYPE, TEXT, true, &s.type },
			    { GF_SOURCE, TEXT, false, &s.source },
			    { GF_FLAGS, NUMBER, false, &flags }, { GF_DATA, TEXT, false, &s.data });
	if (rc < 0 || flags > UINT32_MAX || (*s.target && !spec_is_path(s.target)))
		return -EPROTO;
	if (*s.target && !strcmp(s.type, "bind") && !is_served(s.source))
		return -EPROTO;
	s.flags = (unsigned long)flags;
	*ret = s;
	return 0;
}

int device_spec_parse(const uint8_t *data, size_t size, struct device_spec *ret)
{
	uint64_t mode = 0, major = 0, minor = 0, uid = 0, gid = 0;
	const char *target = NULL;
	int rc = READ_WANTS(data, size, { GF_TARGET, TEXT, true, &target },
			    { GF_MODE, NUMBER, true, &mode }, { GF_MAJOR, NUMBER, true, &major },
			    { GF_MINOR, NUMBER, true, &minor }, { GF_UID, NUMBER, false, &uid },
			    { GF_GID, NUMBER, false, &gid });
	if (rc < 0 || !spec_is_path(target) || mode > 0177777 || major > UINT32_MAX ||
	    minor > UINT32_MAX || uid > UINT32_MAX || gid > UINT32_MAX)
		return -EPROTO;
	*ret = (struct device_spec){ target,          (uint32_t)mode, (uint32_t)major,
				     (uint32_t)minor, (uint32_t)uid,  (uint32_t)gid };
	return 0;
}

int limit_spec_parse(const uint8_t *data, size_t size, struct limit_spec *ret)
{
	const char *name = NULL, *value = NULL;
	int rc = READ_WANTS(data, size, { GF_NAME, TEXT, true, &name },
			    { GF_VALUE, TEXT, true, &value });
	if (rc < 0 || !*name || *name == '.' || strchr(name, '/') || strlen(name) > 64)
		return -EPROTO;
	*ret = (struct limit_spec){ name, value };
	return 0;
}

static int sysctl_check(const uint8_t *data, size_t size)
{
	const char *name = NULL, *value = NULL;
	int rc = READ_WANTS(data, size, { GF_NAME, TEXT, true, &name },
			    { GF_VALUE, TEXT, true, &value });
	return rc < 0 || *name == '/' || strlen(name) > 400 || strstr(name, "..") ? -EPROTO : 0;
}

/* ---- links ---- */

int ip_spec_parse(const char *text, bool with_prefix, struct ip_spec *ret)
{
	char address[64];
	struct ip_spec ip = { 0 };
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	if (n >= sizeof(address) || (slash != NULL) != with_prefix)
		return -EPROTO;
	memcpy(address, text, n);
	address[n] = '\0';
	ip.family = strchr(address, ':') ? AF_INET6 : AF_INET;
	ip.size = ip.family == AF_INET6 ? 16 : 4;
	if (inet_pton(ip.family, address, ip.bytes) != 1)
		return -EPROTO;
	for (const char *p = slash ? slash + 1 : ""; *p; p++) {
		if (*p < '0' || *p > '9' || p - slash > 3)
			return -EPROTO;
		ip.prefix = ip.prefix * 10 + (unsigned int)(*p - '0');
	}
	if ((slash && !slash[1]) || ip.prefix > ip.size * 8U)
		return -EPROTO;
	*ret = ip;
	return 0;
}

static int link_field(const struct tlv_field *f, struct link_spec *l)
{
	const char *text = "";
	struct ip_spec ip;
	uint64_t n = 0;
	if (f->tag == GF_MTU) {
		int rc = tlv_get_u64(f, &n);
		l->mtu = (unsigned int)n;
		return rc < 0 || n > 65535 ? -EPROTO : 0;
	}
	if (tlv_get_text(f, &text) < 0)
		return -EPROTO;
	switch (f->tag) {
	case GF_MAC:
		l->has_mac = true;
		return mac_parse(text, l->mac) < 0 ? -EPROTO : 0;
	case GF_NAME:
		l->name = text;
		return !*text || strlen(text) > 15 || strchr(text, '/') ? -EPROTO : 0;
	case GF_ADDRESS:
		return ip_spec_parse(text, true, &ip);
	case GF_GATEWAY:
		return ip_spec_parse(text, false, &ip);
	default:
		return -EPROTO;
	}
}

int link_spec_parse(const uint8_t *data, size_t size, struct link_spec *ret)
{
	struct link_spec l = { .fields = { data, size } };
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	int rc;
	while ((rc = tlv_next(&r, &f)) > 0)
		if (link_field(&f, &l) < 0)
			return -EPROTO;
	if (rc < 0 || !l.name)
		return -EPROTO;
	*ret = l;
	return 0;
}

/* ---- SETUP ---- */

static int setup_field(const struct tlv_field *f)
{
	struct mount_spec m;
	struct device_spec d;
	struct limit_spec limit;
	struct link_spec l;
	const char *text;
	uint64_t n;
	switch (f->tag) {
	case GF_HOSTNAME:
	case GF_DOMAINNAME:
		return tlv_get_text(f, &text);
	case GF_MASKED:
	case GF_READONLY:
		return tlv_get_text(f, &text) < 0 || !spec_is_path(text) ? -EPROTO : 0;
	case GF_ROOT_READONLY:
	case GF_CLOCK_NS:
		return tlv_get_u64(f, &n);
	case GF_ROOT:
	case GF_IMAGE:
		return mount_spec_parse(f->data, f->size, &m) < 0 || *m.target ? -EPROTO : 0;
	case GF_MOUNT:
		return mount_spec_parse(f->data, f->size, &m) < 0 || !*m.target ? -EPROTO : 0;
	case GF_DEVICE:
		return device_spec_parse(f->data, f->size, &d);
	case GF_SYSCTL:
		return sysctl_check(f->data, f->size);
	case GF_LIMIT:
		return limit_spec_parse(f->data, f->size, &limit);
	case GF_LINK:
		return link_spec_parse(f->data, f->size, &l);
	default:
		return -EPROTO;
	}
}

int setup_spec_check(const uint8_t *data, size_t size, struct err *err)
{
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	bool has_root = false, has_image = false;
	int rc;
	while ((rc = tlv_next(&r, &f)) > 0) {
		if (setup_field(&f) < 0 || (f.tag == GF_ROOT && has_root) ||
		    (f.tag == GF_IMAGE && has_image))
			return bad(err, f.tag);
		has_root = has_root || f.tag == GF_ROOT;
		has_image = has_image || f.tag == GF_IMAGE;
	}
	if (rc < 0 || !has_root)
		return err_set(err, EPROTO, "isola-keeper told of no root");
	return 0;
}

/* ---- a process ---- */

static int count(const uint8_t *data, size_t size, struct process_spec *s)
{
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	int rc;
	while ((rc = tlv_next(&r, &f)) > 0) {
		s->n_args += f.tag == GF_ARG;
		s->n_env += f.tag == GF_ENV;
		s->n_groups += f.tag == GF_GROUP;
		s->n_rlimits += f.tag == GF_RLIMIT;
	}
	return rc;
}

static int add_text(const struct tlv_field *f, char **list, size_t *n)
{
	const char *text;
	if (tlv_get_text(f, &text) < 0)
		return -EPROTO;
	list[(*n)++] = (char *)(uintptr_t)text;
	return 0;
}

static int get_max(const struct tlv_field *f, uint64_t max, uint64_t *ret)
{
	return tlv_get_u64(f, ret) < 0 || *ret > max ? -EPROTO : 0;
}

static bool is_flag(uint16_t tag)
{
	return tag == GF_NO_NEW_PRIVS || tag == GF_TTY || tag == GF_MAKE_CWD || tag == GF_REAPER;
}

static int process_number(const struct tlv_field *f, struct process_spec *s)
{
	static const uint64_t flag = 1, any = UINT64_MAX;
	uint64_t n = 0, max = is_flag(f->tag)                             ? flag
			      : f->tag == GF_UMASK                        ? 0777
			      : f->tag == GF_STREAMS                      ? 7
			      : f->tag == GF_ROWS || f->tag == GF_COLUMNS ? UINT16_MAX
			      : f->tag == GF_UID || f->tag == GF_GID || f->tag == GF_GROUP
				      ? UINT32_MAX
				      : any;
	if (get_max(f, max, &n) < 0)
		return -EPROTO;
	switch (f->tag) {
	case GF_PROCESS:
		s->id = n;
		break;
	case GF_UID:
		s->uid = (uint32_t)n;
		break;
	case GF_GID:
		s->gid = (uint32_t)n;
		break;
	case GF_GROUP:
		s->groups[s->n_groups++] = (uint32_t)n;
		break;
	case GF_UMASK:
		s->umask = (int)n;
		break;
	case GF_CAPS_BOUNDING:
		s->caps.bounding = n;
		break;
	case GF_CAPS_EFFECTIVE:
		s->caps.effective = n;
		break;
	case GF_CAPS_PERMITTED:
		s->caps.permitted = n;
		break;
	case GF_CAPS_INHERITABLE:
		s->caps.inheritable = n;
		break;
	case GF_CAPS_AMBIENT:
		s->caps.ambient = n;
		break;
	case GF_NO_NEW_PRIVS:
		s->no_new_privs = n;
		break;
	case GF_STREAMS:
		s->streams = (unsigned int)n;
		break;
	case GF_TTY:
		s->tty = n;
		break;
	case GF_ROWS:
		s->rows = (uint16_t)n;
		break;
	case GF_COLUMNS:
		s->columns = (uint16_t)n;
		break;
	case GF_REAPER:
		s->reaper = n;
		break;
	case GF_MAKE_CWD:
		s->make_cwd = n;
		break;
	case GF_OOM_SCORE:
		s->has_oom_score = true;
		s->oom_score = (int)(int64_t)n;
		return (int64_t)n < -1000 || (int64_t)n > 1000 ? -EPROTO : 0;
	default:
		return -EPROTO;
	}
	return 0;
}

static int process_field(const struct tlv_field *f, struct process_spec *s)
{
	struct rlimit_spec limit;
	switch (f->tag) {
	case GF_ARG:
		return add_text(f, s->args, &s->n_args);
	case GF_ENV:
		return add_text(f, s->env, &s->n_env);
	case GF_CWD:
		return tlv_get_text(f, &s->cwd);
	case GF_USER:
		return tlv_get_text(f, &s->user);
	case GF_RLIMIT:
		return rlimit_spec_parse(f->data, f->size, &limit);
	case GF_SECCOMP:
		s->seccomp = f->data;
		s->n_seccomp = f->size / 8;
		return f->size == 0 || f->size % 8 || s->n_seccomp > 4096 ? -EPROTO : 0;
	default:
		return process_number(f, s);
	}
}

int process_spec_parse(const uint8_t *data, size_t size, struct process_spec *ret, struct err *err)
{
	struct process_spec s = { .umask = 0022, .rlimits = { data, size } };
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	if (count(data, size, &s) < 0 || s.n_args > SPEC_STRINGS_MAX || s.n_env > SPEC_STRINGS_MAX)
		return err_set(err, EPROTO, "isola-keeper sent a malformed process");
	s.args = calloc(s.n_args + 1, sizeof(*s.args));
	s.env = calloc(s.n_env + 2, sizeof(*s.env)); /* and HOME */
	s.groups = calloc(s.n_groups + 1, sizeof(*s.groups));
	int rc = s.args && s.env && s.groups ? 0 : err_set(err, ENOMEM, "out of memory");
	s.n_args = s.n_env = s.n_groups = 0;
	while (rc == 0 && tlv_next(&r, &f) > 0)
		if (process_field(&f, &s) < 0)
			rc = bad(err, f.tag);
	if (rc == 0 && (!s.id || !s.n_args || !s.cwd || *s.cwd != '/'))
		rc = err_set(err, EPROTO,
			     "isola-keeper sent a process without number, arguments or "
			     "folder");
	if (rc == 0 && s.tty && s.streams != 1U << GUEST_STDOUT)
		rc = err_set(err, EPROTO, "a terminal has one stream, that of its output");
	if (rc < 0) {
		process_spec_fini(&s);
		return rc;
	}
	*ret = s;
	return 0;
}

void process_spec_fini(struct process_spec *spec)
{
	free(spec->args);
	free(spec->env);
	free(spec->groups);
	*spec = (struct process_spec){ 0 };
}
