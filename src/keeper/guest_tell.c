/* SPDX-License-Identifier: Apache-2.0 */
/* guest_tell - see guest_tell.h. */
#include "guest_tell.h"

#include "isola/fd.h"
#include "isola/guest.h"
#include "isola/json.h"
#include "isola/tlv.h"
#include "isola/utf8.h"
#include "isola/wire.h"

#include <errno.h>
#include <string.h>

/* Of all rows: the rest of a message is for what is around them. */
#define ROWS_BYTES_MAX (WIRE_BYTES_MAX - 8192)
#define NAME_MAX_BYTES 64

static int malformed(struct err *err)
{
	return err_set(err, EPROTO, "the guest told of its processes what makes no sense");
}

static json_object *harmless(const uint8_t *data, size_t size)
{
	char text[GUEST_COMMAND_MAX + 1];
	if (size > GUEST_COMMAND_MAX)
		size = GUEST_COMMAND_MAX;
	if (size)
		memcpy(text, data, size);
	utf8_make_harmless(text, size);
	return json_object_new_string(text);
}

static void add_i64(json_object *row, uint64_t value)
{
	(void)json_object_array_add(row, json_object_new_int64((int64_t)value));
}

static int add_numbers(json_object *row, const struct tlv_field *f)
{
	struct tlv_reader r = tlv_read(f->data, f->size);
	struct tlv_field number;
	uint64_t value;
	int n = 0, rc;
	while ((rc = tlv_next(&r, &number)) > 0) {
		if (number.tag != GF_NUMBER)
			continue;
		if (tlv_get_u64(&number, &value) < 0 || ++n > GUEST_PS_NUMBERS)
			return -EPROTO;
		add_i64(row, value);
	}
	return rc < 0 || n != GUEST_PS_NUMBERS ? -EPROTO : 0;
}

/* NULL: it is malformed. */
static json_object *make_row(const struct tlv_field *f)
{
	static const uint16_t ids[] = { GF_PID, GF_UID, GF_GID };
	uint64_t state = tlv_u64_or(f->data, f->size, GF_STATE, 0);
	const char *name = tlv_text_or(f->data, f->size, GF_NAME, NULL);
	cleanup_json json_object *row = json_object_new_array();
	struct tlv_field command = { 0 };
	if (!row || state <= ' ' || state >= 0x7f || !name || strlen(name) > NAME_MAX_BYTES ||
	    tlv_find(f->data, f->size, GF_COMMAND, &command) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		uint64_t id = tlv_u64_or(f->data, f->size, ids[i], UINT64_MAX);
		if (id > UINT32_MAX)
			return NULL;
		add_i64(row, id);
	}
	if (add_numbers(row, f) < 0)
		return NULL;
	char letter[2] = { (char)state, '\0' };
	(void)json_object_array_add(row, json_object_new_string(letter));
	(void)json_object_array_add(row, harmless((const uint8_t *)name, strlen(name)));
	(void)json_object_array_add(row, harmless(command.data, command.size));
	return take_ptr(row);
}

int guest_tell_ps(const uint8_t *body, size_t size, json_object **ret, struct err *err)
{
	struct tlv_reader r = tlv_read(body, size);
	struct tlv_field f;
	cleanup_json json_object *o = json_object_new_object();
	json_object *rows = json_object_new_array();
	size_t bytes = 0;
	int rc;
	json_add_i64(o, "uptime_ticks",
		     (int64_t)(tlv_u64_or(body, size, GF_BOOT_US, 0) / 10000 & INT64_MAX));
	json_add(o, "processes", rows);
	while ((rc = tlv_next(&r, &f)) > 0) {
		if (f.tag == GF_BOOT_US)
			continue;
		json_object *row = f.tag == GF_PS ? make_row(&f) : NULL;
		if (!row)
			return malformed(err);
		bytes += strlen(json_object_to_json_string_ext(row, JSON_C_TO_STRING_PLAIN)) + 1;
		if (bytes > ROWS_BYTES_MAX) {
			json_object_put(row);
			break;
		}
		(void)json_object_array_add(rows, row);
	}
	if (rc < 0)
		return malformed(err);
	*ret = take_ptr(o);
	return 0;
}

/* ---- numbers ---- */

static const char *const names[] = {
	"memory.current", "memory.peak", "memory.max", "anon",         "file",
	"inactive_file",  "pgfault",     "pgmajfault", "oom_kill",     "usage_usec",
	"user_usec",      "system_usec", "nr_periods", "nr_throttled", "throttled_usec",
	"pids.current",   "pids.max",
};

static bool is_known(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

int guest_tell_stats(const uint8_t *body, size_t size, json_object **ret, struct err *err)
{
	struct tlv_reader r = tlv_read(body, size);
	struct tlv_field f;
	cleanup_json json_object *o = json_object_new_object();
	int rc;
	while ((rc = tlv_next(&r, &f)) > 0) {
		const char *name = tlv_text_or(f.data, f.size, GF_NAME, "");
		uint64_t value = tlv_u64_or(f.data, f.size, GF_NUMBER, UINT64_MAX);
		if (f.tag != GF_STAT || !is_known(name) || value > INT64_MAX)
			break;
		json_add_i64(o, name, (int64_t)value);
	}
	if (rc != 0)
		return err_set(err, EPROTO, "the guest told of its use what makes no sense");
	*ret = take_ptr(o);
	return 0;
}
