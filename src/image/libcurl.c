/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl - see libcurl.h. Runs in the network process, before its jail. */
#define LIBCURL_TABLE
#include "libcurl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define NAME "libcurl.so.4"

struct libcurl libcurl;

static const struct {
	const char *name;
	size_t offset;
} calls[] = {
#define LIBCURL_ROW(call) { #call, offsetof(struct libcurl, call) },
	LIBCURL_CALLS(LIBCURL_ROW)
#undef LIBCURL_ROW
};

int libcurl_load(struct err *err)
{
	void *lib = dlopen(NAME, RTLD_LAZY | RTLD_LOCAL);
	if (!lib)
		return err_set(err, ENOENT, "cannot load " NAME ": %.300s", dlerror());
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		void *call = dlsym(lib, calls[i].name);
		if (!call)
			return err_set(err, ENOENT, NAME " has no %s", calls[i].name);
		memcpy((char *)&libcurl + calls[i].offset, &call, sizeof(call));
	}
	return 0;
}
