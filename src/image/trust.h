/* SPDX-License-Identifier: Apache-2.0 */
/* trust - which certificates vouch for a registry: its ca_file, or the system's. */
#pragma once

#include "registry.h"
#include "libcurl.h"

/* The system's are a bundle, which takes OpenSSL some 20 ms to read, and on most hosts
 * also a folder in which it looks up the one it needs by its hash (X509_LOOKUP_hash_dir(3)).
 * The folder first; the bundle once somebody was not vouched for. */
struct trust {
	bool folder;
};

/* Looks whether there is such a folder. */
void trust_init(struct trust *t);

/* For each new handle. */
void trust_setup(const struct trust *t, const struct registry *r, CURL *easy);

/* After @code: true = what failed is worth another try, with the bundle. */
bool trust_again(struct trust *t, CURLcode code);
