/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_devices - the compiled rules, run by a small interpreter and compared
 * with what the rules mean, told in another way. The kernel's own verifier and a
 * real process are in tests/priv/test_cgroup.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/cgroup_devices.h"
#include "isola/cgroup.h"
#include "isola/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD
#define C BPF_DEVCG_DEV_CHAR
#define B BPF_DEVCG_DEV_BLOCK

static struct bpf_insn insns[DEVICES_INSNS_MAX];

static json_object *parse(const char *text)
{
	json_object *o = NULL;
	struct err err = ERR_INIT;
	if (json_parse(text, strlen(text), "test", &o, &err) < 0)
		fail_msg("%s in %s", err.text, text);
	return o;
}

static uint64_t load(const struct bpf_cgroup_dev_ctx *ctx, int off)
{
	uint32_t v;
	memcpy(&v, (const char *)ctx + off, sizeof(v));
	return v;
}

/* Only what the compiler emits; anything else fails the test. */
static int run(int n, const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t r[11] = { 0 };
	int pc = 0;
	for (int steps = 0; pc >= 0 && pc < n && steps < 100000; steps++) {
		const struct bpf_insn *i = &insns[pc++];
		uint64_t *dst = &r[i->dst_reg];
		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			assert_int_equal(i->src_reg, 1);
			*dst = load(ctx, i->off);
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			*dst = (uint32_t)r[i->src_reg];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			*dst = (uint64_t)(int64_t)i->imm;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			*dst = (uint32_t)*dst >> i->imm;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			*dst = (uint32_t)*dst & (uint32_t)i->imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			pc += *dst != (uint64_t)(int64_t)i->imm ? i->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += *dst == (uint64_t)(int64_t)i->imm ? i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			fail_msg("unknown instruction %#x at %d", i->code, pc - 1);
		}
	}
	fail_msg("the program does not end");
	return -1;
}

static int ask(int n, int type, int access, unsigned int major, unsigned int minor)
{
	struct bpf_cgroup_dev_ctx ctx = { .access_type = (uint32_t)(access << 16 | type),
					  .major = major,
					  .minor = minor };
	return run(n, &ctx);
}

static int compile(const char *json)
{
	struct err err = ERR_INIT;
	json_object *o = json ? parse(json) : NULL;
	int n = devices_compile(o, insns, &err);
	if (n < 0)
		fail_msg("%s: %s", json, err.text);
	json_object_put(o);
	return n;
}

static void rules__decide(void **state)
{
	(void)state;
	static const struct {
		const char *rules;
		int type, access;
		unsigned int major, minor;
		int allowed;
	} rows[] = {
		/* nothing said: only the default devices, and mknod */
		{ NULL, C, R, 10, 200, 0 },
		{ "[]", C, R | W, 1, 3, 1 },
		{ "[]", C, R | W, 136, 77, 1 },
		{ "[]", C, R | W, 5, 2, 1 },
		{ "[]", B, R | W, 1, 3, 0 },
		{ "[]", B, M, 8, 0, 1 },
		{ "[]", B, M | R, 8, 0, 0 },
		/* all closed, all open */
		{ "[{\"allow\":false,\"access\":\"rwm\"}]", C, R, 10, 1, 0 },
		{ "[{\"allow\":false}]", C, R | W | M, 1, 8, 1 },
		{ "[{\"allow\":true}]", B, R | W | M, 259, 7, 1 },
		{ "[{\"allow\":true,\"type\":\"a\",\"major\":-1,\"minor\":-1}]", C, W, 9, 9, 1 },
		/* one opened */
		{ "[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":229,"
		  "\"access\":\"rw\"}]",
		  C, R | W, 10, 229, 1 },
		{ "[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":229,"
		  "\"access\":\"rw\"}]",
		  C, R | W, 10, 228, 0 },
		{ "[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":229,"
		  "\"access\":\"r\"}]",
		  C, R | W, 10, 229, 0 },
		{ "[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":10,\"access\":\"r\"}]",
		  C, R, 10, 99, 1 },
		{ "[{\"allow\":false},{\"allow\":true,\"type\":\"b\",\"minor\":1}]", B, R, 3, 1,
		  1 },
		{ "[{\"allow\":false},{\"allow\":true,\"type\":\"b\",\"minor\":1}]", C, R, 3, 1,
		  0 },
		/* two rules together allow what one does not */
		{ "[{\"allow\":true,\"type\":\"c\",\"major\":7,\"access\":\"r\"},"
		  "{\"allow\":true,\"type\":\"c\",\"minor\":7,\"access\":\"w\"}]",
		  C, R | W, 7, 7, 1 },
		/* the last word counts */
		{ "[{\"allow\":true},{\"allow\":false,\"type\":\"c\",\"major\":10,\"access\":\"w\"}]",
		  C, R, 10, 1, 1 },
		{ "[{\"allow\":true},{\"allow\":false,\"type\":\"c\",\"major\":10,\"access\":\"w\"}]",
		  C, R | W, 10, 1, 0 },
		{ "[{\"allow\":true},{\"allow\":false,\"type\":\"c\",\"major\":10,\"access\":\"w\"},"
		  "{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":1,\"access\":\"rw\"}]",
		  C, R | W, 10, 1, 1 },
		{ "[{\"allow\":true,\"type\":\"c\",\"major\":10},{\"allow\":false}]", C, R, 10, 1,
		  0 },
		/* defaults cannot be taken away */
		{ "[{\"allow\":false,\"type\":\"c\",\"major\":1,\"minor\":3}]", C, R, 1, 3, 1 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = compile(rows[i].rules);
		int got = ask(n, rows[i].type, rows[i].access, rows[i].major, rows[i].minor);
		if (got != rows[i].allowed)
			fail_msg("row %zu: %s: got %d", i, rows[i].rules, got);
	}
}

/* ---- random rules against their meaning --------------------------------- */

struct rule {
	int allow, type, major, minor, access; /* -1 and 0: any */
};

/* Each kind of access by itself; the last rule that speaks of it wins. */
static int meaning(const struct rule *rules, int n, int type, int access, int major, int minor)
{
	bool standard = type == C && ((major == 1 && (minor == 3 || minor == 5 || minor == 7 ||
						      minor == 8 || minor == 9)) ||
				      (major == 5 && minor <= 2) || major == 136);
	for (int kind = 1; kind <= 4; kind <<= 1) {
		int allowed = 0;
		if (!(access & kind))
			continue;
		for (int i = 0; i < n; i++)
			if ((rules[i].type < 0 || rules[i].type == type) &&
			    (rules[i].major < 0 || rules[i].major == major) &&
			    (rules[i].minor < 0 || rules[i].minor == minor) &&
			    (rules[i].access & kind))
				allowed = rules[i].allow;
		if (!allowed && !standard && kind != M)
			return 0;
	}
	return 1;
}

static json_object *random_rules(struct rule *rules, int n)
{
	static const char *const types[] = { "a", "c", "b" };
	json_object *a = json_object_new_array();
	for (int i = 0; i < n; i++) {
		json_object *o = json_object_new_object();
		int t = rand() % 3, access = rand() % 8;
		rules[i] = (struct rule){ rand() % 2,
					  t == 0   ? -1
					  : t == 1 ? C
						   : B,
					  rand() % 4 - 1, rand() % 4 - 1, access ? access : 7 };
		char text[4] = "", *p = text;
		if (access & R)
			*p++ = 'r';
		if (access & W)
			*p++ = 'w';
		if (access & M)
			*p++ = 'm';
		*p = '\0';
		json_add_bool(o, "allow", rules[i].allow);
		json_add_str(o, "type", types[t]);
		json_add_i64(o, "major", rules[i].major);
		json_add_i64(o, "minor", rules[i].minor);
		json_add_str(o, "access", text);
		json_object_array_add(a, o);
	}
	return a;
}

static void programs__mean_what_rules_say(void **state)
{
	(void)state;
	srand(4711);
	for (int round = 0; round < 2000; round++) {
		struct rule rules[12];
		int n = rand() % 12;
		json_object *a = random_rules(rules, n);
		int size = devices_compile(a, insns, NULL);
		assert_true(size > 0);
		for (int q = 0; q < 40; q++) {
			int type = rand() % 2 ? C : B, access = 1 + rand() % 7;
			int major = rand() % 6, minor = rand() % 6;
			int want = meaning(rules, n, type, access, major, minor);
			if (ask(size, type, access, (unsigned int)major, (unsigned int)minor) !=
			    want)
				fail_msg("round %d: %s: %d %d %d:%d is not %d", round,
					 json_object_to_json_string(a), type, access, major, minor,
					 want);
		}
		json_object_put(a);
	}
}

static void rules__name_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *json, *error;
	} rows[] = {
		{ "[1]", "resources.devices[0]: must be an object" },
		{ "[{}]", "resources.devices[0].allow: must be true or false" },
		{ "[{\"allow\":true},{\"allow\":true,\"type\":\"p\"}]",
		  "resources.devices[1].type: must be a, b or c" },
		{ "[{\"allow\":true,\"type\":1}]", "resources.devices[0].type: must be a, b or c" },
		{ "[{\"allow\":true,\"major\":4096}]",
		  "resources.devices[0].major: must be -1 to 4095" },
		{ "[{\"allow\":true,\"minor\":-2}]",
		  "resources.devices[0].minor: must be -1 to 1048575" },
		{ "[{\"allow\":true,\"access\":\"x\"}]",
		  "resources.devices[0].access: must be made of r, w, m" },
		{ "[{\"allow\":true,\"access\":5}]",
		  "resources.devices[0].access: must be made of r, w, m" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *o = parse(rows[i].json);
		struct err err = ERR_INIT;
		assert_int_equal(cgroup_devices_check(o, &err), -EINVAL);
		assert_string_equal(err.text, rows[i].error);
		assert_int_equal(devices_compile(o, insns, NULL), -EINVAL);
		json_object_put(o);
	}
}

static void programs__stay_within_their_room(void **state)
{
	(void)state;
	json_object *a = json_object_new_array();
	for (int i = 0; i < DEVICES_RULES_MAX; i++)
		json_object_array_add(a, parse("{\"allow\":false,\"type\":\"c\",\"major\":9,"
					       "\"minor\":9,\"access\":\"r\"}"));
	int n = devices_compile(a, insns, NULL);
	assert_in_range(n, DEVICES_RULES_MAX, DEVICES_INSNS_MAX);
	json_object_array_add(a, parse("{\"allow\":true}"));
	assert_int_equal(devices_compile(a, insns, NULL), -EINVAL);
	assert_int_equal(cgroup_devices_check(a, NULL), -EINVAL);
	json_object_put(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules__decide),
		cmocka_unit_test(programs__mean_what_rules_say),
		cmocka_unit_test(rules__name_what_is_wrong),
		cmocka_unit_test(programs__stay_within_their_room),
	};
	return cmocka_run_group_tests_name("cgroup_devices", tests, NULL, NULL);
}
