/* SPDX-License-Identifier: Apache-2.0 */
/* platform - see platform.h. */
#include "platform.h"

#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static const struct {
	const char *machine, *architecture, *variant;
} machines[] = {
	{ "x86_64", "amd64", "" },    { "aarch64", "arm64", "v8" },
	{ "i686", "386", "" },        { "i586", "386", "" },
	{ "armv7l", "arm", "v7" },    { "armv6l", "arm", "v6" },
	{ "riscv64", "riscv64", "" }, { "ppc64le", "ppc64le", "" },
	{ "s390x", "s390x", "" },     { "loongarch64", "loong64", "" },
};

struct platform platform_of_host(void)
{
	struct utsname u;
	if (uname(&u) == 0)
		for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
			if (!strcmp(u.machine, machines[i].machine))
				return (struct platform){ machines[i].architecture,
							  machines[i].variant };
	return (struct platform){ "", "" };
}

int platform_rank(const struct platform *host, json_object *platform)
{
	if (!platform)
		return 1; /* nothing said: it may fit */
	const char *variant = json_str_or(platform, "variant", "");
	if (strcmp(json_str_or(platform, "os", ""), "linux") != 0 ||
	    strcmp(json_str_or(platform, "architecture", ""), host->architecture) != 0)
		return 0;
	if (!strcmp(variant, host->variant))
		return 4;
	if (!*variant)
		return 3;
	/* 32-bit ARM runs what was made for a lower version; other variants name
	 * more than the base, which we do not probe. */
	if (!strcmp(host->architecture, "arm"))
		return strcmp(variant, host->variant) < 0 ? 2 : 0;
	return 0;
}

void platform_text(json_object *platform, char *ret, size_t size)
{
	const char *variant = json_str_or(platform, "variant", "");
	(void)snprintf(ret, size, "%.30s/%.30s%s%.30s", json_str_or(platform, "os", "?"),
		       json_str_or(platform, "architecture", "?"), *variant ? "/" : "", variant);
}

static int take_part(const char **p, char ret[64])
{
	size_t n = strcspn(*p, "/");
	if (n == 0 || n >= 64 || strspn(*p, "abcdefghijklmnopqrstuvwxyz0123456789") < n)
		return -EINVAL;
	memcpy(ret, *p, n);
	ret[n] = '\0';
	*p += n;
	*p += **p == '/';
	return 0;
}

int platform_parse(const char *text, char ret_arch[64], char ret_variant[64], struct err *err)
{
	char os[64], arch[64], variant[64] = "";
	const char *p = text;
	size_t n = strlen(text);
	if (n == 0 || text[n - 1] == '/' || take_part(&p, os) < 0 || take_part(&p, arch) < 0 ||
	    (*p && take_part(&p, variant) < 0) || *p)
		return err_set(err, EINVAL,
			       "--platform %.100s: must be os/architecture or "
			       "os/architecture/variant",
			       text);
	if (strcmp(os, "linux") != 0)
		return err_set(err, EINVAL, "--platform %.100s: only linux images can run here",
			       text);
	strcpy(ret_arch, arch);
	strcpy(ret_variant, variant);
	return 0;
}
