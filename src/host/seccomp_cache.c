/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_cache - compiled filters on disk.
 *
 * An entry holds the whole key beside the code, so that two profiles can never
 * be mixed up, whatever the hash in the name says. Who could write the folder
 * could remove everybody's filter: it, and each entry, must be root's or ours
 * and nobody else's to write. */
#include "seccomp_rules.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC       "isolaBPF"
#define LAYOUT      2 /* of entries and of what the compiler adds: part of the key */
#define ENTRIES_MAX 256
#define ENTRY_MAX   (1 << 20)

struct head {
	char magic[8];
	uint32_t key_size, n_insns; /* the code follows the key, aligned to 8 */
};

static size_t aligned(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* ---- the key ------------------------------------------------------------ */

static void put_bytes(struct strbuf *b, char type, const void *data, size_t size)
{
	char head[5] = { type, (char)size, (char)(size >> 8), (char)(size >> 16),
			 (char)(size >> 24) };
	strbuf_add(b, head, sizeof(head));
	strbuf_add(b, data, size);
}

/* Unambiguous, in the order of the document; much quicker than JSON text. */
static void put_value(struct strbuf *b, json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_object:
		put_bytes(b, '{', NULL, 0);
		json_object_object_foreach (v, key, member) {
			put_bytes(b, 'k', key, strlen(key));
			put_value(b, member);
		}
		strbuf_putc(b, '}');
		break;
	case json_type_array:
		put_bytes(b, '[', NULL, 0);
		for (size_t i = 0; i < json_object_array_length(v); i++)
			put_value(b, json_object_array_get_idx(v, i));
		strbuf_putc(b, ']');
		break;
	case json_type_string:
		put_bytes(b, 's', json_object_get_string(v), (size_t)json_object_get_string_len(v));
		break;
	case json_type_int: {
		uint64_t n[2] = { (uint64_t)json_object_get_int64(v), json_object_get_uint64(v) };
		put_bytes(b, 'i', n, sizeof(n));
		break;
	}
	default: {
		const char *text = json_object_to_json_string(v);
		put_bytes(b, '?', text ? text : "", text ? strlen(text) : 0);
		break;
	}
	}
}

void seccomp_key(json_object *profile, struct strbuf *ret)
{
	const struct scmp_version *v = seccomp_version();
	strbuf_printf(ret, "%d %08x %u.%u.%u ", LAYOUT, seccomp_arch_native(), v->major, v->minor,
		      v->micro);
	put_value(ret, profile);
}

/* Only spreads names over files; whether an entry fits, its key decides. */
static uint64_t hash(const struct strbuf *key)
{
	uint64_t h = key->len;
	for (size_t i = 0; i < key->len; i += 8) {
		uint64_t word = 0;
		memcpy(&word, key->text + i, key->len - i < 8 ? key->len - i : 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 32;
	}
	return h;
}

static void entry_name(const struct strbuf *key, char ret[24])
{
	(void)snprintf(ret, 24, "%016" PRIx64 ".bpf", hash(key));
}

/* ---- entries ------------------------------------------------------------ */

static bool is_private(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) && (st->st_mode & 022) == 0;
}

static bool is_private_dir(int dir)
{
	struct stat st;
	return fstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && is_private(&st);
}

/* Whether the @size bytes at @mem are the entry for @key. */
static bool is_entry(const char *mem, size_t size, const struct strbuf *key)
{
	struct head h;
	if (size < sizeof(h))
		return false;
	memcpy(&h, mem, sizeof(h));
	return !memcmp(h.magic, MAGIC, sizeof(h.magic)) && h.key_size == key->len &&
	       h.n_insns > 0 && h.n_insns <= BPF_MAXINSNS &&
	       size == aligned(sizeof(h) + key->len) + h.n_insns * sizeof(struct sock_filter) &&
	       !memcmp(mem + sizeof(h), key->text, key->len);
}

int seccomp_cache_get(int dir, const struct strbuf *key, void **ret_mem, size_t *ret_size,
		      struct sock_fprog *ret_prog)
{
	char name[24];
	struct stat st;
	entry_name(key, name);
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || !is_private_dir(dir) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    !is_private(&st) || st.st_size > ENTRY_MAX)
		return 0;
	size_t size = (size_t)st.st_size;
	cleanup_free char *mem = malloc(size + 1);
	if (!mem || fd_read_all(fd, mem, size + 1) != (ssize_t)size || !is_entry(mem, size, key))
		return 0;
	size_t code = aligned(sizeof(struct head) + key->len);
	*ret_prog = (struct sock_fprog){
		.len = (unsigned short)((size - code) / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(void *)(mem + code),
	};
	*ret_size = size;
	*ret_mem = take_ptr(mem);
	return 1;
}

static bool is_entry_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == 16 && !strcmp(name + 16, ".bpf");
}

/* Starts anew when there are too many: profiles are few, unless somebody makes
 * one up for each container. */
static void make_room(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		fd_close(&fd);
		return;
	}
	size_t n = 0;
	for (struct dirent *e; (e = readdir(d));)
		n += is_entry_name(e->d_name);
	rewinddir(d);
	for (struct dirent *e; n >= ENTRIES_MAX && (e = readdir(d));)
		if (is_entry_name(e->d_name))
			(void)unlinkat(dir, e->d_name, 0);
	(void)closedir(d);
}

void seccomp_cache_put(int dir, const struct strbuf *key, const struct sock_fprog *prog)
{
	char name[24];
	struct head h = { .key_size = (uint32_t)key->len, .n_insns = prog->len };
	size_t code = aligned(sizeof(h) + key->len), code_size = prog->len * sizeof(*prog->filter);
	if (!is_private_dir(dir) || code + code_size > ENTRY_MAX)
		return;
	cleanup_free char *mem = calloc(1, code + code_size);
	if (!mem)
		return;
	memcpy(h.magic, MAGIC, sizeof(h.magic));
	memcpy(mem, &h, sizeof(h));
	memcpy(mem + sizeof(h), key->text, key->len);
	memcpy(mem + code, prog->filter, code_size);
	entry_name(key, name);
	make_room(dir);
	(void)fd_write_atomic(dir, name, mem, code + code_size, 0600, FD_SYNC_NO, NULL);
}
