/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_template - see cpu_template.h. A template only takes away, but for its "cpuid"
 * part: so what it leaves is what the host can do. */
#include "cpu_template.h"

#include "isola/json.h"

#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEMPLATE_VERSION 1
#define NAME_MAX_BYTES   64
#define ITEMS_MAX        512
#define BRAND_BYTES      48
#define BRAND_LEAF       0x80000002

static const char *const register_names[] = { "eax", "ebx", "ecx", "edx" };

/* Registers that hold features only: "only" empties them of what it does not name,
 * also of bits that have no name here yet. */
static const struct {
	uint32_t leaf, subleaf;
	enum cpuid_register reg;
} feature_registers[] = {
	{ 1, 0, CPUID_ECX },          { 1, 0, CPUID_EDX },          { 7, 0, CPUID_EBX },
	{ 7, 0, CPUID_ECX },          { 7, 0, CPUID_EDX },          { 7, 1, CPUID_EAX },
	{ 7, 1, CPUID_EBX },          { 7, 1, CPUID_ECX },          { 7, 1, CPUID_EDX },
	{ 7, 2, CPUID_EDX },          { 0xd, 1, CPUID_EAX },        { 0x80000001, 0, CPUID_ECX },
	{ 0x80000001, 0, CPUID_EDX }, { 0x80000007, 0, CPUID_EDX }, { 0x80000008, 0, CPUID_EBX },
	{ 0x80000021, 0, CPUID_EAX },
};

/* ---- numbers: 17 or "0x11" ---- */

static int to_number(json_object *value, const char *what, uint64_t max, uint64_t *ret,
		     struct err *err)
{
	uint64_t n = 0;
	if (json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0) {
		n = json_object_get_uint64(value);
	} else if (json_object_is_type(value, json_type_string)) {
		const char *text = json_object_get_string(value);
		char *end = NULL;
		errno = 0;
		bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && text[2] != '-' &&
			   text[2] != '+' && text[2] != ' ';
		n = hex ? strtoull(text, &end, 16) : 0;
		if (!end || *end != '\0' || errno)
			return err_set(err, EINVAL, "%s: \"%.40s\" is not a number like \"0x1f\"",
				       what, text);
	} else {
		return err_set(err, EINVAL, "%s must be a number like \"0x1f\"", what);
	}
	if (n > max)
		return err_set(err, ERANGE, "%s: 0x%llx is more than 0x%llx", what,
			       (unsigned long long)n, (unsigned long long)max);
	*ret = n;
	return 0;
}

/* Member @key; 1 and the value, 0 when absent. */
static int get_number(json_object *o, const char *key, uint64_t max, uint64_t *ret, struct err *err)
{
	json_object *value = json_get(o, key);
	if (!value)
		return 0;
	int rc = to_number(value, key, max, ret, err);
	return rc < 0 ? rc : 1;
}

static int need_number(json_object *o, const char *key, uint64_t max, uint64_t *ret,
		       struct err *err)
{
	int rc = get_number(o, key, max, ret, err);
	if (rc == 0)
		return err_set(err, EINVAL, "%s is missing", key);
	return rc < 0 ? rc : 0;
}

/* ---- the parts: read by check and by apply alike ---- */

/* What one item of "cpuid" changes. */
struct change {
	uint32_t leaf, subleaf;
	bool indexed;
	uint32_t clear[4], set[4];
};

static int read_bits(json_object *o, const char *name, uint32_t *ret_clear, uint32_t *ret_set,
		     struct err *err)
{
	static const char *const known[] = { "clear", "set", NULL };
	uint64_t clear = 0, set = 0;
	int rc = machine_only(o, known, name, err);
	if (rc == 0)
		rc = get_number(o, "clear", UINT32_MAX, &clear, err);
	if (rc >= 0)
		rc = get_number(o, "set", UINT32_MAX, &set, err);
	if (rc < 0)
		return rc;
	*ret_clear = (uint32_t)clear;
	*ret_set = (uint32_t)set;
	return 0;
}

static int read_change(json_object *item, struct change *ret, struct err *err)
{
	static const char *const known[] = { "leaf", "subleaf", "eax", "ebx", "ecx", "edx", NULL };
	uint64_t leaf = 0, subleaf = 0;
	memset(ret, 0, sizeof(*ret));
	int rc = machine_only(item, known, "", err);
	if (rc == 0)
		rc = need_number(item, "leaf", UINT32_MAX, &leaf, err);
	if (rc == 0)
		rc = get_number(item, "subleaf", UINT32_MAX, &subleaf, err);
	if (rc < 0)
		return rc;
	ret->indexed = rc == 1;
	ret->leaf = (uint32_t)leaf;
	ret->subleaf = (uint32_t)subleaf;
	for (int i = 0; i < 4; i++) {
		json_object *o = json_get(item, register_names[i]);
		rc = o ? read_bits(o, register_names[i], &ret->clear[i], &ret->set[i], err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_msr(json_object *item, struct cpu_msr *ret, struct err *err)
{
	static const char *const known[] = { "index", "value", NULL };
	uint64_t index = 0, value = 0;
	int rc = machine_only(item, known, "", err);
	if (rc == 0)
		rc = need_number(item, "index", UINT32_MAX, &index, err);
	if (rc == 0)
		rc = need_number(item, "value", UINT64_MAX, &value, err);
	if (rc == 0)
		*ret = (struct cpu_msr){ (uint32_t)index, value };
	return rc;
}

/* ---- check ---- */

static int check_names(json_object *tpl, const char *key, struct err *err)
{
	json_object *names = NULL;
	int rc = json_get_strv(tpl, key, &names, err);
	if (rc < 0)
		return rc;
	if (json_len(names) > ITEMS_MAX)
		return err_set(err, E2BIG, "%s has more than %d items", key, ITEMS_MAX);
	for (size_t i = 0; i < json_len(names); i++)
		if (!cpuid_feature(json_item_str(names, i)))
			return err_set(err, EINVAL, "%s: there is no feature \"%.40s\"", key,
				       json_item_str(names, i));
	return 0;
}

static int check_changes(json_object *tpl, struct err *err)
{
	json_object *items = NULL;
	struct change change;
	int rc = json_get_arr(tpl, "cpuid", &items, err);
	if (rc >= 0 && json_len(items) > ITEMS_MAX)
		return err_set(err, E2BIG, "cpuid has more than %d items", ITEMS_MAX);
	for (size_t i = 0; rc >= 0 && i < json_len(items); i++) {
		rc = read_change(json_object_array_get_idx(items, i), &change, err);
		if (rc < 0)
			return err_prefix(err, "cpuid[%zu]", i);
	}
	return rc < 0 ? rc : 0;
}

static int check_msrs(json_object *tpl, struct err *err)
{
	json_object *items = NULL;
	struct cpu_msr msr;
	int rc = json_get_arr(tpl, "msrs", &items, err);
	if (rc >= 0 && json_len(items) > CPU_MSRS_MAX / 2)
		return err_set(err, E2BIG, "msrs has more than %d items", CPU_MSRS_MAX / 2);
	for (size_t i = 0; rc >= 0 && i < json_len(items); i++) {
		rc = read_msr(json_object_array_get_idx(items, i), &msr, err);
		if (rc < 0)
			return err_prefix(err, "msrs[%zu]", i);
	}
	return rc < 0 ? rc : 0;
}

static int check_texts(json_object *tpl, struct err *err)
{
	const char *name = "", *description = "", *brand = "";
	int rc = json_get_str(tpl, "name", &name, err);
	if (rc >= 0)
		rc = json_get_str(tpl, "description", &description, err);
	if (rc >= 0)
		rc = json_get_str(tpl, "brand", &brand, err);
	if (rc < 0)
		return rc;
	if (strlen(name) > NAME_MAX_BYTES)
		return err_set(err, EINVAL, "name is longer than %d bytes", NAME_MAX_BYTES);
	if (strlen(brand) >= BRAND_BYTES)
		return err_set(err, EINVAL, "brand is longer than %d bytes", BRAND_BYTES - 1);
	return 0;
}

static int check_version(json_object *tpl, struct err *err)
{
	int64_t version = 0;
	int rc = json_get_i64(tpl, "version", &version, err);
	if (rc < 0)
		return rc;
	if (version != TEMPLATE_VERSION)
		return err_set(err, EINVAL, "version must be %d", TEMPLATE_VERSION);
	return 0;
}

int template_check(json_object *tpl, struct err *err)
{
	static const char *const known[] = { "version", "name",  "description", "only",  "require",
					     "remove",  "cpuid", "msrs",        "brand", NULL };
	static const char *const lists[] = { "only", "require", "remove" };
	if (!json_object_is_type(tpl, json_type_object))
		return err_set(err, EINVAL, "a CPU template is an object");
	int rc = machine_only(tpl, known, "", err);
	if (rc == 0)
		rc = check_version(tpl, err);
	if (rc == 0)
		rc = check_texts(tpl, err);
	for (size_t i = 0; rc == 0 && i < 3; i++)
		rc = check_names(tpl, lists[i], err);
	if (rc == 0)
		rc = check_changes(tpl, err);
	if (rc == 0)
		rc = check_msrs(tpl, err);
	return rc;
}

/* ---- apply ---- */

static bool names_have(json_object *names, const char *name)
{
	for (size_t i = 0; i < json_len(names); i++)
		if (strcmp(json_item_str(names, i), name) == 0)
			return true;
	return false;
}

/* The bits of one register that "only" names. */
static uint32_t kept_bits(json_object *only, uint32_t leaf, uint32_t subleaf,
			  enum cpuid_register reg)
{
	const struct cpuid_feature *f;
	size_t n = cpuid_features(&f);
	uint32_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (f[i].leaf == leaf && f[i].subleaf == subleaf && f[i].reg == reg &&
		    names_have(only, f[i].name))
			kept |= 1U << f[i].bit;
	return kept;
}

static void apply_only(json_object *only, struct cpuid *cpuid)
{
	for (size_t i = 0; i < sizeof(feature_registers) / sizeof(feature_registers[0]); i++) {
		uint32_t leaf = feature_registers[i].leaf, sub = feature_registers[i].subleaf;
		enum cpuid_register reg = feature_registers[i].reg;
		struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, leaf, sub);
		if (e)
			*cpuid_register_of(e, reg) &= kept_bits(only, leaf, sub, reg);
	}
}

static int apply_change(json_object *item, struct cpuid *cpuid, struct err *err)
{
	struct change c;
	int rc = read_change(item, &c, err);
	if (rc < 0)
		return rc;
	struct kvm_cpuid_entry2 *e = cpuid_make(cpuid, c.leaf, c.subleaf, c.indexed);
	if (!e)
		return err_set(err, E2BIG, "no room for CPUID leaf 0x%x", c.leaf);
	for (int i = 0; i < 4; i++) {
		uint32_t *reg = cpuid_register_of(e, (enum cpuid_register)i);
		*reg = (*reg & ~c.clear[i]) | c.set[i];
	}
	return 0;
}

/* Three leaves of 16 characters. */
static int apply_brand(const char *brand, struct cpuid *cpuid, struct err *err)
{
	char text[BRAND_BYTES] = "";
	(void)snprintf(text, sizeof(text), "%s", brand);
	for (uint32_t i = 0; i < 3; i++) {
		struct kvm_cpuid_entry2 *e = cpuid_make(cpuid, BRAND_LEAF + i, 0, false);
		if (!e)
			return err_set(err, E2BIG, "no room for the processor's name");
		for (int r = 0; r < 4; r++)
			memcpy(cpuid_register_of(e, (enum cpuid_register)r), text + i * 16 + r * 4,
			       4);
	}
	return 0;
}

static int check_required(json_object *names, struct cpuid *cpuid, struct err *err)
{
	char missing[256] = "";
	size_t used = 0;
	for (size_t i = 0; i < json_len(names); i++) {
		const char *name = json_item_str(names, i);
		if (!cpuid_has(cpuid, cpuid_feature(name)) && used + strlen(name) + 3 < 256)
			used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%s",
						 used ? ", " : "", name);
	}
	if (!used)
		return 0;
	return err_set(err, ENOTSUP, "this host's KVM does not offer %s, which the template needs",
		       missing);
}

int template_apply(json_object *tpl, struct cpuid *cpuid, struct cpu_msrs *msrs, struct err *err)
{
	json_object *only = json_get(tpl, "only"), *remove = json_get(tpl, "remove");
	json_object *changes = json_get(tpl, "cpuid"), *list = json_get(tpl, "msrs");
	const char *brand = json_str_or(tpl, "brand", NULL);
	int rc = 0;

	if (only)
		apply_only(only, cpuid);
	for (size_t i = 0; i < json_len(remove); i++)
		cpuid_clear(cpuid, cpuid_feature(json_item_str(remove, i)));
	cpuid_settle(cpuid);
	rc = check_required(json_get(tpl, "require"), cpuid, err);
	for (size_t i = 0; rc == 0 && i < json_len(changes); i++)
		rc = apply_change(json_object_array_get_idx(changes, i), cpuid, err);
	if (rc == 0 && brand)
		rc = apply_brand(brand, cpuid, err);
	for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
		struct cpu_msr msr;
		rc = read_msr(json_object_array_get_idx(list, i), &msr, err);
		if (rc == 0 && msrs->n < CPU_MSRS_MAX)
			msrs->list[msrs->n++] = msr;
	}
	return rc;
}
