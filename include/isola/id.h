/* SPDX-License-Identifier: Apache-2.0 */
/* id - instance ids (64 hex digits, random) and names (Docker's grammar). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ID_SIZE      65 /* 64 lower-case hex digits and a NUL */
#define ID_SHORT_LEN 12 /* what people see */

/* Fills @ret with a new random id; never all digits in its first 12 places
 * (it would read as a number in a host name). -errno when the kernel has no
 * random bytes. */
int id_new(char ret[ID_SIZE]);

/* 1-64 lower-case hex digits. */
bool id_is_prefix(const char *text);

/* Docker's name grammar: [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 255. */
bool id_is_name(const char *text);

/* OCI container id as isola-oci takes it: [A-Za-z0-9_+-][A-Za-z0-9_.+-]*, at
 * most 255, so it can never be "", "." or "..", nor hold a slash. */
bool id_is_container_id(const char *text);

/* "adjective_noun" for a nameless instance. @attempt > 0 adds a number behind,
 * as often as needed to be unique. */
void id_make_name(unsigned int attempt, char *ret, size_t size);

/* "sha256:" and 64 lower-case hex digits: the only digests that name files. */
bool id_is_digest(const char *text);
