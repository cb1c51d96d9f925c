/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_resources_io - the parts of linux.resources that are lists or maps:
 * blockIO, hugepageLimits, rdma, unified. Pure; see cgroup_limits.h. */
#include "cgroup_reader.h"

#include "isola/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAJOR_MAX 4095
#define MINOR_MAX 1048575

uint64_t limits_io_weight(uint64_t weight)
{
	return 1 + (weight - 10) * 9999 / 990;
}

/* ---- block devices ------------------------------------------------------ */

/* BFQ's file takes v1's range; without BFQ the general one is used. */
static int add_io_weight(struct reader *r, const char *device, int64_t weight)
{
	char value[64], alt[64], what[96];
	(void)snprintf(value, sizeof(value), "%s%" PRId64, device, weight);
	(void)snprintf(alt, sizeof(alt), "%s%" PRIu64, device, limits_io_weight((uint64_t)weight));
	(void)snprintf(what, sizeof(what), "block I/O weight %s", value);
	struct limit *item = reader_add(r, LIMIT_PLAIN, "io.bfq.weight", value, what);
	if (!item)
		return -ENOMEM;
	item->alt_file = "io.weight";
	item->alt_value = strdup(alt);
	return item->alt_value ? 0 : err_set(r->err, ENOMEM, "out of memory");
}

static int read_weight(struct reader *r, json_object *o, const char *where, const char *device,
		       bool required)
{
	int64_t weight = 0, leaf = 0;
	if (reader_number(r, o, where, "weight", 0, 1000, &weight) < 0 ||
	    reader_number(r, o, where, "leafWeight", 0, 1000, &leaf) < 0)
		return -EINVAL;
	if (leaf)
		return err_set(r->err, EOPNOTSUPP,
			       "resources.%s.leafWeight: cgroup v2 has no leaf weights", where);
	if (weight == 0)
		return required ? reader_bad(r, "%s.weight: is missing", where) : 0;
	if (weight < 10)
		return reader_bad(r, "%s.weight: must be 10 to 1000", where);
	return add_io_weight(r, device, weight);
}

/* Reads major and minor of an item into "8:0 ". */
static int read_device_id(struct reader *r, json_object *o, const char *where, char ret[32])
{
	int64_t major = 0, minor = 0;
	if (!json_object_is_type(o, json_type_object))
		return reader_bad(r, "%s: must be an object", where);
	int rc = reader_number(r, o, where, "major", 0, MAJOR_MAX, &major);
	if (rc <= 0)
		return rc < 0 ? rc : reader_bad(r, "%s.major: is missing", where);
	rc = reader_number(r, o, where, "minor", 0, MINOR_MAX, &minor);
	if (rc <= 0)
		return rc < 0 ? rc : reader_bad(r, "%s.minor: is missing", where);
	(void)snprintf(ret, 32, "%" PRId64 ":%" PRId64 " ", major, minor);
	return 0;
}

static const struct {
	const char *key, *io_max; /* NULL: weights */
} io_lists[] = {
	{ "weightDevice", NULL },
	{ "throttleReadBpsDevice", "rbps" },
	{ "throttleWriteBpsDevice", "wbps" },
	{ "throttleReadIOPSDevice", "riops" },
	{ "throttleWriteIOPSDevice", "wiops" },
};

static int read_rate(struct reader *r, json_object *o, const char *where, const char *device,
		     const char *key)
{
	char value[96], what[96];
	int64_t rate = 0;
	int rc = reader_number(r, o, where, "rate", 0, INT64_MAX, &rate);
	if (rc <= 0)
		return rc < 0 ? rc : reader_bad(r, "%s.rate: is missing", where);
	int n = snprintf(value, sizeof(value), "%s%s=", device, key);
	if (rate) /* 0 takes the limit away */
		(void)snprintf(value + n, sizeof(value) - (size_t)n, "%" PRId64, rate);
	else
		(void)snprintf(value + n, sizeof(value) - (size_t)n, "max");
	(void)snprintf(what, sizeof(what), "block I/O limit %s", value);
	return reader_add(r, rate ? LIMIT_PLAIN : LIMIT_NONE, "io.max", value, what) ? 0 : -ENOMEM;
}

static int read_io_list(struct reader *r, json_object *o, size_t row)
{
	json_object *a = json_get(o, io_lists[row].key);
	if (!a)
		return 0;
	if (!json_object_is_type(a, json_type_array))
		return reader_bad(r, "blockIO.%s: must be an array", io_lists[row].key);
	if (json_len(a) > RESOURCES_ITEMS_MAX)
		return reader_bad(r, "blockIO.%s: has more than %d items", io_lists[row].key,
				  RESOURCES_ITEMS_MAX);
	for (size_t i = 0; i < json_len(a); i++) {
		char where[64], device[32];
		json_object *item = json_object_array_get_idx(a, i);
		(void)snprintf(where, sizeof(where), "blockIO.%s[%zu]", io_lists[row].key, i);
		int rc = read_device_id(r, item, where, device);
		if (rc == 0)
			rc = io_lists[row].io_max
				     ? read_rate(r, item, where, device, io_lists[row].io_max)
				     : read_weight(r, item, where, device, true);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int reader_block_io(struct reader *r, json_object *o)
{
	int rc = read_weight(r, o, "blockIO", "", false);
	for (size_t i = 0; rc == 0 && i < sizeof(io_lists) / sizeof(io_lists[0]); i++)
		rc = read_io_list(r, o, i);
	return rc;
}

/* ---- huge pages, RDMA, raw keys ----------------------------------------- */

/* "2MB": what the kernel calls its files. */
static bool is_page_size(const char *s)
{
	size_t n = strspn(s, "0123456789");
	return n > 0 && n < 8 && strchr("KMG", s[n]) && s[n] && !strcmp(s + n + 1, "B");
}

static int read_huge_page(struct reader *r, json_object *o, size_t i)
{
	char where[40], file[64], value[32], what[96];
	const char *size = json_str_or(o, "pageSize", "");
	json_object *limit = json_get(o, "limit");
	(void)snprintf(where, sizeof(where), "hugepageLimits[%zu]", i);
	if (!is_page_size(size))
		return reader_bad(r, "%s.pageSize: must be like \"2MB\"", where);
	if (!json_object_is_type(limit, json_type_int) || json_object_get_int64(limit) < 0)
		return reader_bad(r, "%s.limit: must be a number of bytes", where);
	(void)snprintf(value, sizeof(value), "%" PRIu64, json_object_get_uint64(limit));
	(void)snprintf(what, sizeof(what), "limit %s for huge pages of %s", value, size);
	(void)snprintf(file, sizeof(file), "hugetlb.%s.max", size);
	if (!reader_add(r, LIMIT_PLAIN, file, value, what))
		return -ENOMEM;
	(void)snprintf(file, sizeof(file), "hugetlb.%s.rsvd.max", size);
	struct limit *reserved = reader_add(r, LIMIT_PLAIN, file, value, what);
	if (!reserved)
		return -ENOMEM;
	reserved->optional = true; /* since Linux 5.7 */
	return 0;
}

int reader_huge_pages(struct reader *r, json_object *a)
{
	if (json_len(a) > RESOURCES_ITEMS_MAX)
		return reader_bad(r, "hugepageLimits: has more than %d items", RESOURCES_ITEMS_MAX);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_len(a); i++)
		rc = read_huge_page(r, json_object_array_get_idx(a, i), i);
	return rc;
}

static bool is_name(const char *s, const char *more)
{
	size_t n = 0;
	for (; *s; s++, n++)
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
		    !(*s >= '0' && *s <= '9') && !strchr(more, *s))
			return false;
	return n > 0 && n < 64;
}

int reader_rdma(struct reader *r, json_object *map)
{
	json_object_object_foreach (map, device, o) {
		char where[96], value[160], what[96];
		int64_t handles = -1, objects = -1;
		if (!is_name(device, "_-."))
			return reader_bad(r, "rdma: \"%.60s\" is no name of a device", device);
		(void)snprintf(where, sizeof(where), "rdma.%s", device);
		if (!json_object_is_type(o, json_type_object))
			return reader_bad(r, "%s: must be an object", where);
		if (reader_number(r, o, where, "hcaHandles", 0, UINT32_MAX, &handles) < 0 ||
		    reader_number(r, o, where, "hcaObjects", 0, UINT32_MAX, &objects) < 0)
			return -EINVAL;
		if (handles < 0 && objects < 0)
			return reader_bad(r, "%s: needs hcaHandles or hcaObjects", where);
		int n = snprintf(value, sizeof(value), "%s", device);
		if (handles >= 0)
			n += snprintf(value + n, sizeof(value) - (size_t)n, " hca_handle=%" PRId64,
				      handles);
		if (objects >= 0)
			(void)snprintf(value + n, sizeof(value) - (size_t)n, " hca_object=%" PRId64,
				       objects);
		(void)snprintf(what, sizeof(what), "RDMA limit %.70s", value);
		if (!reader_add(r, LIMIT_PLAIN, "rdma.max", value, what))
			return -ENOMEM;
	}
	return 0;
}

/* "<controller>.<file>", no other way out of the folder. Of the core files only
 * those that limit: the others are how we manage the cgroup. */
static bool is_unified_key(const char *key)
{
	static const char *const core[] = { "cgroup.max.depth", "cgroup.max.descendants",
					    "cgroup.pressure" };
	if (!strncmp(key, "cgroup.", 7)) {
		for (size_t i = 0; i < sizeof(core) / sizeof(core[0]); i++)
			if (!strcmp(key, core[i]))
				return true;
		return false;
	}
	const char *dot = strchr(key, '.');
	return is_name(key, "_.") && dot && dot > key && dot - key < 24 && dot[1] &&
	       !strstr(key, "..");
}

static bool is_unified_value(const char *s)
{
	for (const char *p = s; *p; p++)
		if ((*p < ' ' || *p > '~') && *p != '\n')
			return false;
	return *s && strlen(s) < RESOURCES_VALUE_MAX;
}

/* A file of a controller takes one line at a time. */
static int add_lines(struct reader *r, const char *key, const char *text)
{
	for (const char *p = text; *p;) {
		char line[RESOURCES_VALUE_MAX], what[96];
		size_t n = strcspn(p, "\n");
		(void)snprintf(line, sizeof(line), "%.*s", (int)n, p);
		(void)snprintf(what, sizeof(what), "%.60s", key);
		if (n && !reader_add(r, LIMIT_PLAIN, key, line, what))
			return -ENOMEM;
		p += n;
		p += *p == '\n';
	}
	return 0;
}

int reader_unified(struct reader *r, json_object *map)
{
	if (json_object_object_length(map) > RESOURCES_ITEMS_MAX)
		return reader_bad(r, "unified: has more than %d keys", RESOURCES_ITEMS_MAX);
	json_object_object_foreach (map, key, value) {
		if (!is_unified_key(key))
			return reader_bad(r, "unified: \"%.60s\" is no file that limits", key);
		if (!json_object_is_type(value, json_type_string) ||
		    !is_unified_value(json_object_get_string(value)))
			return reader_bad(r, "unified.%s: must be a string of printable lines",
					  key);
		int rc = add_lines(r, key, json_object_get_string(value));
		if (rc < 0)
			return rc;
	}
	return 0;
}
