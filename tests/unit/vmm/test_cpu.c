/* SPDX-License-Identifier: Apache-2.0 */
/* test_cpu - topology in CPUID, features, templates; the shipped templates. */
#include "vmm/cpu.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "vmm/cpu_cpuid.h"
#include "vmm/cpu_template.h"
#include "vmm/cpu_topology.h"
#include "vmm/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct cpuid cpuid;
	struct cpu_msrs msrs;
	struct err err;
};

static struct kvm_cpuid_entry2 *add(struct cpuid *c, uint32_t leaf, uint32_t subleaf, bool indexed,
				    const uint32_t regs[4])
{
	struct kvm_cpuid_entry2 *e = cpuid_make(c, leaf, subleaf, indexed);
	assert_non_null(e);
	e->eax = regs[0];
	e->ebx = regs[1];
	e->ecx = regs[2];
	e->edx = regs[3];
	return e;
}

/* A machine with everything in it, Intel or AMD. */
static void fill(struct cpuid *c, bool amd)
{
	static const uint32_t intel_name[4] = { 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69 };
	static const uint32_t amd_name[4] = { 0x1f, 0x68747541, 0x444d4163, 0x69746e65 };
	static const uint32_t all[4] = { ~0U, ~0U, ~0U, ~0U };
	add(c, 0, 0, false, amd ? amd_name : intel_name);
	add(c, 1, 0, false, (uint32_t[]){ 0x000306f2, 0x00100800, ~0U, ~0U });
	add(c, 4, 0, true, (uint32_t[]){ 0x04000121, 0, 0, 0 }); /* first level, data */
	add(c, 4, 1, true, (uint32_t[]){ 0x04000163, 0, 0, 0 }); /* third level */
	add(c, 7, 0, true, (uint32_t[]){ 2, ~0U, ~0U, ~0U });
	add(c, 7, 1, true, all);
	add(c, 0xb, 0, true, all);
	add(c, 0xd, 0, true, (uint32_t[]){ 0x602e7, 11000, 11000, 0 });
	add(c, 0xd, 1, true, (uint32_t[]){ 0x1f, 0, 0, 0 });
	add(c, 0xd, 2, true, (uint32_t[]){ 256, 576, 0, 0 });
	add(c, 0xd, 5, true, (uint32_t[]){ 64, 1088, 0, 0 });
	add(c, 0xd, 9, true, (uint32_t[]){ 8, 2688, 0, 0 });
	add(c, 0xd, 18, true, (uint32_t[]){ 8192, 2816, 2, 0 });
	add(c, 0x40000001, 0, false, (uint32_t[]){ 0x01007efb, 0, 0, 0 });
	add(c, 0x80000001, 0, false, (uint32_t[]){ 0, 0, ~0U, ~0U });
	add(c, 0x80000007, 0, false, (uint32_t[]){ 0, 0, 0, 0x100 });
	add(c, 0x80000008, 0, false, (uint32_t[]){ 0x3030, ~0U, 0, 0 });
	add(c, 0x8000001d, 0, true, (uint32_t[]){ 0x121, 0, 0, 0 });
	add(c, 0x8000001e, 0, false, (uint32_t[]){ 0, 0, 0, 0 });
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	fill(&f->cpuid, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static bool has(struct fixture *f, const char *name)
{
	const struct cpuid_feature *feature = cpuid_feature(name);
	if (!feature)
		fail_msg("no feature %s", name);
	return cpuid_has(&f->cpuid, feature);
}

/* ---- topology ---- */

static void apic_ids__have_whole_bit_fields(void **state)
{
	const struct cpu_topology t = { .threads = 2, .cores = 3, .cpus = 12 };
	static const uint32_t expected[] = { 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13 };
	(void)state;
	for (unsigned int i = 0; i < 12; i++)
		assert_int_equal(topology_apic_id(&t, i), expected[i]);
}

static void apic_ids__count_up_in_one_socket(void **state)
{
	struct machine m = { .cpus = 5, .threads_per_core = 1, .cores_per_socket = 5 };
	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(cpu_apic_id(&m, i), i);
}

static void topology__fills_intels_leaves(void **state)
{
	struct fixture *f = *state;
	const struct cpu_topology t = { .threads = 2, .cores = 2, .cpus = 8 };
	assert_int_equal(topology_apply(&t, 5, &f->cpuid, &f->err), 0);
	const struct kvm_cpuid_entry2 *e = cpuid_find(&f->cpuid, 1, 0);
	assert_int_equal(e->ebx >> 24, 5);
	assert_int_equal(e->ebx >> 16 & 0xff, 4);
	assert_int_equal(e->ebx & 0xffff, 0x0800);
	e = cpuid_find(&f->cpuid, 4, 0);
	assert_int_equal(e->eax >> 14 & 0xfff, 1); /* the core's two threads */
	assert_int_equal(e->eax >> 26, 1);
	e = cpuid_find(&f->cpuid, 4, 1);
	assert_int_equal(e->eax >> 14 & 0xfff, 3); /* the socket */
	for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x14) {
		e = cpuid_find(&f->cpuid, leaf, 0);
		assert_int_equal(e->eax, 1);
		assert_int_equal(e->ebx, 2);
		assert_int_equal(e->ecx, 0x100);
		assert_int_equal(e->edx, 5);
		e = cpuid_find(&f->cpuid, leaf, 1);
		assert_int_equal(e->eax, 2);
		assert_int_equal(e->ebx, 4);
		assert_int_equal(e->ecx, 0x201);
		e = cpuid_find(&f->cpuid, leaf, 2);
		assert_int_equal(e->ebx, 0);
		assert_int_equal(e->ecx, 2);
		assert_int_equal(e->edx, 5);
	}
}

static void topology__fills_amds_leaves(void **state)
{
	struct fixture *f = *state;
	const struct cpu_topology t = { .threads = 2, .cores = 4, .cpus = 16 };
	memset(&f->cpuid, 0, sizeof(f->cpuid));
	fill(&f->cpuid, true);
	assert_true(cpuid_is_amd(&f->cpuid));
	assert_int_equal(topology_apply(&t, 13, &f->cpuid, &f->err), 0);
	const struct kvm_cpuid_entry2 *e = cpuid_find(&f->cpuid, 0x80000008, 0);
	assert_int_equal(e->ecx & 0xff, 7);
	assert_int_equal(e->ecx >> 12 & 0xf, 3);
	e = cpuid_find(&f->cpuid, 0x8000001e, 0);
	assert_int_equal(e->eax, 13);
	assert_int_equal(e->ebx, 0x102); /* core 2, two threads */
	assert_int_equal(e->ecx, 1);     /* second socket */
	e = cpuid_find(&f->cpuid, 0x8000001d, 0);
	assert_int_equal(e->eax >> 14 & 0xfff, 1);
	assert_int_equal(e->eax >> 26, 0);
}

static void topology__leaves_out_levels_an_old_machine_lacks(void **state)
{
	struct fixture *f = *state;
	const struct cpu_topology t = { .threads = 1, .cores = 1, .cpus = 1 };
	cpuid_find(&f->cpuid, 0, 0)->eax = 0xd;
	assert_int_equal(topology_apply(&t, 0, &f->cpuid, &f->err), 0);
	assert_non_null(cpuid_find(&f->cpuid, 0xb, 0));
	assert_null(cpuid_find(&f->cpuid, 0x1f, 0));
	assert_int_equal(cpuid_find(&f->cpuid, 1, 0)->edx >> 28 & 1, 0); /* no HTT */
}

static void topology__says_when_the_table_is_full(void **state)
{
	struct fixture *f = *state;
	const struct cpu_topology t = { .threads = 1, .cores = 1, .cpus = 1 };
	while (cpuid_make(&f->cpuid, 0x2000 + f->cpuid.n, 0, false))
		;
	assert_int_equal(topology_apply(&t, 0, &f->cpuid, &f->err), -E2BIG);
}

/* ---- features ---- */

static void features__have_names_and_bits_of_their_own(void **state)
{
	const struct cpuid_feature *f;
	size_t n = cpuid_features(&f);
	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++) {
			assert_string_not_equal(f[i].name, f[j].name);
			assert_false(f[i].leaf == f[j].leaf && f[i].subleaf == f[j].subleaf &&
				     f[i].reg == f[j].reg && f[i].bit == f[j].bit);
		}
}

static void settle__takes_what_hangs_on_something_missing(void **state)
{
	struct fixture *f = *state;
	cpuid_clear(&f->cpuid, cpuid_feature("avx"));
	cpuid_settle(&f->cpuid);
	assert_false(has(f, "avx2"));
	assert_false(has(f, "avx512f"));
	assert_false(has(f, "avx512_bf16"));
	assert_false(has(f, "fma"));
	assert_true(has(f, "sse4_2"));
	const struct kvm_cpuid_entry2 *e = cpuid_find(&f->cpuid, 0xd, 0);
	assert_int_equal(e->eax & 0xe4, 0);
	assert_true(e->eax & 0x200);           /* PKU stays */
	assert_int_equal(e->ecx, 2816 + 8192); /* and AMX */
	assert_int_equal(cpuid_find(&f->cpuid, 0xd, 2)->eax, 0);
}

static void settle__fits_the_xsave_area(void **state)
{
	struct fixture *f = *state;
	cpuid_clear(&f->cpuid, cpuid_feature("amx_tile"));
	cpuid_clear(&f->cpuid, cpuid_feature("pku"));
	cpuid_clear(&f->cpuid, cpuid_feature("avx512f"));
	cpuid_settle(&f->cpuid);
	assert_int_equal(cpuid_find(&f->cpuid, 0xd, 0)->eax, 7);
	assert_int_equal(cpuid_find(&f->cpuid, 0xd, 0)->ecx, 576 + 256);
	cpuid_clear(&f->cpuid, cpuid_feature("xsave"));
	cpuid_settle(&f->cpuid);
	assert_null(cpuid_find(&f->cpuid, 0xd, 0));
	assert_null(cpuid_find(&f->cpuid, 0xd, 2));
	assert_false(has(f, "avx"));
}

/* ---- templates ---- */

static json_object *parse(const char *text)
{
	json_object *o = json_tokener_parse(text);
	if (!o)
		fail_msg("no JSON: %s", text);
	return o;
}

static void refused(const char *text, const char *says)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *tpl = parse(text);
	int rc = cpu_template_check(tpl, &err);
	if (rc >= 0)
		fail_msg("accepted: %s", text);
	if (!strstr(err.text, says))
		fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void apply(struct fixture *f, const char *text, int expected)
{
	cleanup_json json_object *tpl = parse(text);
	int rc = cpu_template_check(tpl, &f->err);
	if (rc == 0)
		rc = template_apply(tpl, &f->cpuid, &f->msrs, &f->err);
	if (rc != expected)
		fail_msg("%s: %d, %s", text, rc, f->err.text);
}

static void check__refuses_and_names_the_place(void **state)
{
	(void)state;
	refused("\"x86-64-v3\"", "host");
	refused("[]", "object");
	refused("{}", "version");
	refused("{\"version\": 2}", "version");
	refused("{\"version\": 1, \"onyl\": []}", "onyl");
	refused("{\"version\": 1, \"only\": [\"avx9\"]}", "avx9");
	refused("{\"version\": 1, \"require\": [1]}", "require");
	refused("{\"version\": 1, \"remove\": \"avx\"}", "remove");
	refused("{\"version\": 1, \"cpuid\": [{}]}", "cpuid[0]: leaf");
	refused("{\"version\": 1, \"cpuid\": [{\"leaf\": \"7\"}]}", "leaf");
	refused("{\"version\": 1, \"cpuid\": [{\"leaf\": \"0x-1\"}]}", "leaf");
	refused("{\"version\": 1, \"cpuid\": [{\"leaf\": \"0x\"}]}", "leaf");
	refused("{\"version\": 1, \"cpuid\": [{\"leaf\": \"0x100000000\"}]}", "more than");
	refused("{\"version\": 1, \"cpuid\": [{\"leaf\": -1}]}", "leaf");
	refused("{\"version\": 1, \"cpuid\": [{\"leaf\": 1, \"efx\": {}}]}", "efx");
	refused("{\"version\": 1, \"cpuid\": [{\"leaf\": 1, \"ecx\": 5}]}", "ecx");
	refused("{\"version\": 1, \"cpuid\": [7]}", "cpuid[0]");
	refused("{\"version\": 1, \"msrs\": [{\"index\": \"0x10a\"}]}", "value");
	refused("{\"version\": 1, \"brand\": "
		"\"0123456789012345678901234567890123456789012345678\"}",
		"47");
}

static void only__empties_also_bits_without_a_name(void **state)
{
	struct fixture *f = *state;
	apply(f, "{\"version\": 1, \"only\": [\"sse\", \"sse2\", \"fxsr\", \"apic\", \"smap\"]}",
	      0);
	assert_true(has(f, "sse2"));
	assert_true(has(f, "smap"));
	assert_int_equal(cpuid_find(&f->cpuid, 7, 0)->ebx, 1 << 20);
	assert_int_equal(cpuid_find(&f->cpuid, 7, 0)->edx, 0);
	assert_int_equal(cpuid_find(&f->cpuid, 1, 0)->ecx, 0);
	assert_int_equal(cpuid_find(&f->cpuid, 7, 1)->eax, 0);
	/* What KVM itself offers is no feature of the processor. */
	assert_int_equal(cpuid_find(&f->cpuid, 0x40000001, 0)->eax, 0x01007efb);
}

static void require__names_what_is_missing(void **state)
{
	struct fixture *f = *state;
	cpuid_clear(&f->cpuid, cpuid_feature("avx2"));
	cpuid_clear(&f->cpuid, cpuid_feature("sha_ni"));
	apply(f, "{\"version\": 1, \"require\": [\"avx\", \"avx2\", \"sha_ni\"]}", -ENOTSUP);
	assert_non_null(strstr(f->err.text, "avx2, sha_ni"));
}

static void cpuid_and_msrs__are_set(void **state)
{
	struct fixture *f = *state;
	apply(f,
	      "{\"version\": 1, \"remove\": [\"pcid\"], \"brand\": \"Portable\","
	      " \"cpuid\": [{\"leaf\": \"0x7\", \"subleaf\": 0, \"ebx\": {\"clear\": \"0xffffffff\","
	      " \"set\": \"0x5\"}}, {\"leaf\": \"0x40000020\", \"eax\": {\"set\": 17}}],"
	      " \"msrs\": [{\"index\": \"0x10a\", \"value\": \"0xffffffffffffffff\"}]}",
	      0);
	assert_false(has(f, "pcid"));
	assert_false(has(f, "invpcid"));
	assert_int_equal(cpuid_find(&f->cpuid, 7, 0)->ebx, 5);
	assert_int_equal(cpuid_find(&f->cpuid, 0x40000020, 0)->eax, 17);
	assert_int_equal(f->msrs.n, 1);
	assert_int_equal(f->msrs.list[0].index, 0x10a);
	assert_true(f->msrs.list[0].value == UINT64_MAX);
	const struct kvm_cpuid_entry2 *e = cpuid_find(&f->cpuid, 0x80000002, 0);
	assert_memory_equal(&e->eax, "Port", 4);
	assert_memory_equal(&e->ebx, "able", 4);
}

static void shipped_templates__are_fine(void **state)
{
	struct fixture *f = *state;
	DIR *dir = opendir(TEMPLATES);
	unsigned int n = 0;
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		cleanup_json json_object *tpl = NULL;
		char name[64] = "";
		const char *dot = strstr(d->d_name, ".json");
		if (!dot)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(dot - d->d_name), d->d_name);
		memset(&f->cpuid, 0, sizeof(f->cpuid));
		fill(&f->cpuid, n & 1);
		if (json_read_file(dirfd(dir), d->d_name, 1 << 20, &tpl, &f->err) < 0 ||
		    cpu_template_check(tpl, &f->err) < 0 ||
		    template_apply(tpl, &f->cpuid, &f->msrs, &f->err) < 0)
			fail_msg("%s: %s", d->d_name, f->err.text);
		assert_string_equal(json_str_or(tpl, "name", ""), name);
		assert_int_not_equal(strlen(json_str_or(tpl, "description", "")), 0);
		assert_true(has(f, "x2apic"));
		assert_true(has(f, "hypervisor"));
		assert_false(has(f, "avx512f"));
		n++;
	}
	closedir(dir);
	assert_true(n >= 3);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apic_ids__have_whole_bit_fields),
		cmocka_unit_test(apic_ids__count_up_in_one_socket),
		TEST(topology__fills_intels_leaves),
		TEST(topology__fills_amds_leaves),
		TEST(topology__leaves_out_levels_an_old_machine_lacks),
		TEST(topology__says_when_the_table_is_full),
		cmocka_unit_test(features__have_names_and_bits_of_their_own),
		TEST(settle__takes_what_hangs_on_something_missing),
		TEST(settle__fits_the_xsave_area),
		cmocka_unit_test(check__refuses_and_names_the_place),
		TEST(only__empties_also_bits_without_a_name),
		TEST(require__names_what_is_missing),
		TEST(cpuid_and_msrs__are_set),
		TEST(shipped_templates__are_fine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
