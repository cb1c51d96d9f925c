/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_devices - which device nodes a cgroup may use: compiles the rules to a
 * BPF_PROG_TYPE_CGROUP_DEVICE program and attaches it (cgroup-v2.rst, "Device
 * controller"; config-linux.md, "Allowed Device list"). */
#include "cgroup_devices.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define ANY        (-1)
#define ALL_ACCESS (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)
#define MAJOR_MAX  4095
#define MINOR_MAX  1048575
#define PROG_NAME  "isola_devices" /* at most 15 bytes; how we find ours again */

struct rule {
	bool allow;
	int type; /* BPF_DEVCG_DEV_*, or ANY */
	int64_t major, minor;
	int access; /* BPF_DEVCG_ACC_* */
};

#define CHR BPF_DEVCG_DEV_CHAR
#define BLK BPF_DEVCG_DEV_BLOCK

/* Never to be taken away: config-linux.md "Default Devices", the terminals that
 * go with them, and mknod, which without the right to open harms nobody (image
 * builders and overlayfs make whiteouts with it). */
static const struct rule always[] = {
	{ true, CHR, ANY, ANY, BPF_DEVCG_ACC_MKNOD },
	{ true, BLK, ANY, ANY, BPF_DEVCG_ACC_MKNOD },
	{ true, CHR, 1, 3, ALL_ACCESS },     /* null */
	{ true, CHR, 1, 5, ALL_ACCESS },     /* zero */
	{ true, CHR, 1, 7, ALL_ACCESS },     /* full */
	{ true, CHR, 1, 8, ALL_ACCESS },     /* random */
	{ true, CHR, 1, 9, ALL_ACCESS },     /* urandom */
	{ true, CHR, 5, 0, ALL_ACCESS },     /* tty */
	{ true, CHR, 5, 1, ALL_ACCESS },     /* console */
	{ true, CHR, 5, 2, ALL_ACCESS },     /* ptmx */
	{ true, CHR, 136, ANY, ALL_ACCESS }, /* pts/N */
};

/* ---- reading ------------------------------------------------------------ */

static int read_number(json_object *o, size_t i, const char *key, int64_t max, int64_t *ret,
		       struct err *err)
{
	json_object *v = json_get(o, key);
	*ret = ANY;
	if (!v)
		return 0;
	if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < ANY ||
	    json_object_get_int64(v) > max)
		return err_set(err, EINVAL, "resources.devices[%zu].%s: must be -1 to %d", i, key,
			       (int)max);
	*ret = json_object_get_int64(v);
	return 0;
}

static int read_type(json_object *o, size_t i, int *ret, struct err *err)
{
	const char *type = json_str_or(o, "type", json_get(o, "type") ? "?" : "a");
	if (!strcmp(type, "a") || !*type)
		*ret = ANY;
	else if (!strcmp(type, "c") || !strcmp(type, "u"))
		*ret = CHR;
	else if (!strcmp(type, "b"))
		*ret = BLK;
	else
		return err_set(err, EINVAL, "resources.devices[%zu].type: must be a, b or c", i);
	return 0;
}

static int read_access(json_object *o, size_t i, int *ret, struct err *err)
{
	const char *text = json_str_or(o, "access", json_get(o, "access") ? "?" : "");
	int access = 0;
	for (const char *p = text; *p; p++) {
		if (*p == 'r')
			access |= BPF_DEVCG_ACC_READ;
		else if (*p == 'w')
			access |= BPF_DEVCG_ACC_WRITE;
		else if (*p == 'm')
			access |= BPF_DEVCG_ACC_MKNOD;
		else
			return err_set(err, EINVAL,
				       "resources.devices[%zu].access: must be made of r, w, m", i);
	}
	*ret = access ? access : ALL_ACCESS;
	return 0;
}

static int read_rule(json_object *o, size_t i, struct rule *ret, struct err *err)
{
	json_object *allow = json_get(o, "allow");
	if (!json_object_is_type(o, json_type_object))
		return err_set(err, EINVAL, "resources.devices[%zu]: must be an object", i);
	if (!json_object_is_type(allow, json_type_boolean))
		return err_set(err, EINVAL, "resources.devices[%zu].allow: must be true or false",
			       i);
	ret->allow = json_object_get_boolean(allow);
	int rc = read_type(o, i, &ret->type, err);
	if (rc < 0 || (rc = read_number(o, i, "major", MAJOR_MAX, &ret->major, err)) < 0 ||
	    (rc = read_number(o, i, "minor", MINOR_MAX, &ret->minor, err)) < 0)
		return rc;
	return read_access(o, i, &ret->access, err);
}

/* ---- compiling ---------------------------------------------------------- */

/* Registers of the program. r1 is the kernel's struct bpf_cgroup_dev_ctx. */
enum { R_RESULT = 0, R_CTX = 1, R_TYPE = 2, R_ACCESS = 3, R_MAJOR = 4, R_MINOR = 5, R_TEMP = 6 };

struct code {
	struct bpf_insn *insns;
	size_t n;
	bool closed; /* nothing behind is ever reached; the verifier would refuse it */
};

static void emit(struct code *c, int op, int dst, int src, int off, int imm)
{
	c->insns[c->n++] = (struct bpf_insn){ .code = (__u8)op,
					      .dst_reg = (__u8)(dst & 0xf),
					      .src_reg = (__u8)(src & 0xf),
					      .off = (__s16)off,
					      .imm = imm };
}

static void emit_return(struct code *c, int allowed)
{
	emit(c, BPF_ALU64 | BPF_MOV | BPF_K, R_RESULT, 0, 0, allowed);
	emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_load(struct code *c)
{
	const int word = BPF_LDX | BPF_MEM | BPF_W;
	emit(c, word, R_TYPE, R_CTX, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	emit(c, BPF_ALU | BPF_MOV | BPF_X, R_ACCESS, R_TYPE, 0, 0);
	emit(c, BPF_ALU | BPF_RSH | BPF_K, R_ACCESS, 0, 0, 16);
	emit(c, BPF_ALU | BPF_AND | BPF_K, R_TYPE, 0, 0, 0xffff);
	emit(c, word, R_MAJOR, R_CTX, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	emit(c, word, R_MINOR, R_CTX, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

/* The kinds of access still undecided are in R_ACCESS. A rule that matches the
 * device decides its own kinds: a denied one ends it all, allowed ones are
 * crossed out, and when none is left all were allowed. */
static void emit_rule(struct code *c, const struct rule *r)
{
	size_t skips[3], n_skips = 0;
	const struct {
		int reg;
		int64_t value;
	} tests[] = { { R_TYPE, r->type }, { R_MAJOR, r->major }, { R_MINOR, r->minor } };
	if (c->closed)
		return;
	for (size_t i = 0; i < 3; i++) {
		if (tests[i].value == ANY)
			continue;
		skips[n_skips++] = c->n;
		emit(c, BPF_JMP | BPF_JNE | BPF_K, tests[i].reg, 0, 0, (int)tests[i].value);
	}
	if (r->access == ALL_ACCESS) {
		emit_return(c, r->allow);
		c->closed = n_skips == 0;
	} else if (r->allow) {
		emit(c, BPF_ALU | BPF_AND | BPF_K, R_ACCESS, 0, 0, ALL_ACCESS & ~r->access);
		emit(c, BPF_JMP | BPF_JNE | BPF_K, R_ACCESS, 0, 2, 0);
		emit_return(c, 1);
	} else {
		emit(c, BPF_ALU | BPF_MOV | BPF_X, R_TEMP, R_ACCESS, 0, 0);
		emit(c, BPF_ALU | BPF_AND | BPF_K, R_TEMP, 0, 0, r->access);
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, R_TEMP, 0, 2, 0);
		emit_return(c, 0);
	}
	for (size_t i = 0; i < n_skips; i++)
		c->insns[skips[i]].off = (__s16)(c->n - skips[i] - 1);
}

int devices_compile(json_object *devices, struct bpf_insn ret_insns[DEVICES_INSNS_MAX],
		    struct err *err)
{
	size_t n = json_len(devices);
	if (devices && !json_object_is_type(devices, json_type_array))
		return err_set(err, EINVAL, "resources.devices: must be an array");
	if (n > DEVICES_RULES_MAX)
		return err_set(err, EINVAL, "resources.devices: has more than %d items",
			       DEVICES_RULES_MAX);
	struct code c = { .insns = ret_insns };
	emit_load(&c);
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		emit_rule(&c, &always[i]);
	/* The last one that matches decides, so it is asked first. All are read,
	 * also those that a later one makes void. */
	for (size_t i = n; i-- > 0;) {
		struct rule rule;
		int rc = read_rule(json_object_array_get_idx(devices, i), i, &rule, err);
		if (rc < 0)
			return rc;
		emit_rule(&c, &rule);
	}
	if (!c.closed)
		emit_return(&c, 0);
	return (int)c.n;
}

int cgroup_devices_check(json_object *devices, struct err *err)
{
	for (size_t i = 0; i < json_len(devices); i++) {
		struct rule rule;
		int rc = read_rule(json_object_array_get_idx(devices, i), i, &rule, err);
		if (rc < 0)
			return rc;
	}
	if (json_len(devices) > DEVICES_RULES_MAX)
		return err_set(err, EINVAL, "resources.devices: has more than %d items",
			       DEVICES_RULES_MAX);
	return 0;
}

/* ---- attaching ---------------------------------------------------------- */

static int bpf(int cmd, union bpf_attr *attr)
{
	int rc = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
	return rc < 0 ? -errno : rc;
}

static int load(const struct bpf_insn *insns, size_t n)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (__u32)n;
	attr.license = (uintptr_t) "Apache-2.0"; /* it calls no GPL-only helper */
	memcpy(attr.prog_name, PROG_NAME, sizeof(PROG_NAME));
	return bpf(BPF_PROG_LOAD, &attr);
}

/* A program loaded ahead (cgroup_devices_keep()), and what it was made of. */
static struct {
	int fd;
	size_t n;
	struct bpf_insn *insns;
} kept = { .fd = -1 };

/* The program of @devices: the number of instructions, @ret owned. */
static int compile_new(json_object *devices, struct bpf_insn **ret, struct err *err)
{
	cleanup_free struct bpf_insn *insns = malloc(DEVICES_INSNS_MAX * sizeof(*insns));
	if (!insns)
		return err_set(err, ENOMEM, "out of memory");
	int n = devices_compile(devices, insns, err);
	if (n >= 0)
		*ret = take_ptr(insns);
	return n;
}

static int load_new(const struct bpf_insn *insns, size_t n, struct err *err)
{
	int fd = load(insns, n);
	return fd < 0 ? err_rc(err, fd, "cannot load the device rules into the kernel") : fd;
}

int cgroup_devices_keep(json_object *devices, struct err *err)
{
	cleanup_free struct bpf_insn *insns = NULL;
	int n = compile_new(devices, &insns, err);
	int fd = n < 0 ? n : load_new(insns, (size_t)n, err);
	if (fd < 0)
		return fd;
	struct bpf_insn *less = realloc(insns, (size_t)n * sizeof(*less));
	kept.fd = fd;
	kept.n = (size_t)n;
	kept.insns = less ? less : insns;
	insns = NULL;
	return 0;
}

int cgroup_devices_kept(void)
{
	return kept.fd;
}

/* A program of @insns: its descriptor, owned. */
static int find_or_load(const struct bpf_insn *insns, size_t n, struct err *err)
{
	int fd = -1;
	if (kept.fd >= 0 && kept.n == n && !memcmp(kept.insns, insns, n * sizeof(*insns)))
		fd = fcntl(kept.fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? load_new(insns, n, err) : fd;
}

static bool is_ours(int prog_fd)
{
	struct bpf_prog_info info;
	union bpf_attr attr;
	memset(&info, 0, sizeof(info));
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (__u32)prog_fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) == 0 && !strcmp(info.name, PROG_NAME);
}

/* The program that we attached earlier: its fd, or -ENOENT. */
static int find_ours(int cgroup_fd)
{
	__u32 ids[64];
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (__u32)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = sizeof(ids) / sizeof(ids[0]);
	int rc = bpf(BPF_PROG_QUERY, &attr);
	if (rc < 0)
		return rc;
	for (__u32 i = 0, n = attr.query.prog_cnt; i < n; i++) {
		memset(&attr, 0, sizeof(attr));
		attr.prog_id = ids[i];
		cleanup_fd int fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
		if (fd >= 0 && is_ours(fd))
			return take_fd(&fd);
	}
	return -ENOENT;
}

/* Beside those of others (systemd), or in place of ours: at no moment without. */
static int attach(int cgroup_fd, int prog_fd, int old_fd)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (__u32)cgroup_fd;
	attr.attach_bpf_fd = (__u32)prog_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (old_fd >= 0) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (__u32)old_fd;
	}
	return bpf(BPF_PROG_ATTACH, &attr);
}

/* Whether the last rule opens everything, so that no other matters. */
static bool is_open(json_object *devices)
{
	struct rule r;
	size_t n = json_len(devices);
	return n > 0 &&
	       read_rule(json_object_array_get_idx(devices, n - 1), n - 1, &r, NULL) == 0 &&
	       r.allow && r.type == ANY && r.major == ANY && r.minor == ANY &&
	       r.access == ALL_ACCESS;
}

int cgroup_devices(int cgroup_fd, json_object *devices, struct err *err)
{
	cleanup_free struct bpf_insn *insns = NULL;
	int n = compile_new(devices, &insns, err);
	if (n < 0)
		return n;
	cleanup_fd int old = find_ours(cgroup_fd);
	if (old < 0 && old != -ENOENT)
		return err_rc(err, old, "cannot ask which devices the cgroup may use");
	if (old == -ENOENT && is_open(devices))
		return 0;
	cleanup_fd int prog = find_or_load(insns, (size_t)n, err);
	if (prog < 0)
		return prog;
	int rc = attach(cgroup_fd, prog, old);
	return rc < 0 ? err_rc(err, rc, "cannot attach the device rules to the cgroup") : 0;
}
