/* SPDX-License-Identifier: Apache-2.0 */
/* platform - see platform.h. */
#include "platform.h"

#include "isola/image.h"
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
	if (n == 0 || n >= 64 || strspn(*p, "abcdefghijklmnopqrstuvwxyz0123456789_-") < n)
		return -EINVAL;
	memcpy(ret, *p, n);
	ret[n] = '\0';
	*p += n;
	*p += **p == '/';
	return 0;
}

/* Other names, and variants that say no more than the name alone. */
static void normalize(char arch[64], char variant[64])
{
	static const struct {
		const char *arch, *variant, *to_arch, *to_variant;
	} rows[] = {
		{ "x86_64", "", "amd64", "" },
		{ "x86-64", "", "amd64", "" },
		{ "aarch64", "", "arm64", "" },
		{ "i386", "", "386", "" },
		{ "i686", "", "386", "" },
		{ "armhf", "", "arm", "v7" },
		{ "armel", "", "arm", "v6" },
		{ "amd64", "v1", "amd64", "" },
		{ "arm64", "", "arm64", "v8" },
		{ "arm64", "8", "arm64", "v8" },
		{ "arm", "", "arm", "v7" },
		{ "arm", "5", "arm", "v5" },
		{ "arm", "6", "arm", "v6" },
		{ "arm", "7", "arm", "v7" },
		{ "loongarch64", "", "loong64", "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(arch, rows[i].arch) != 0 || strcmp(variant, rows[i].variant) != 0)
			continue;
		strcpy(arch, rows[i].to_arch);
		strcpy(variant, rows[i].to_variant);
	}
}

int platform_parse(const char *text, char ret_arch[64], char ret_variant[64], struct err *err)
{
	char os[64], arch[64] = "", variant[64] = "";
	const char *p = text;
	size_t n = strlen(text);
	if (n == 0 || text[n - 1] == '/' || take_part(&p, os) < 0 ||
	    (*p && take_part(&p, arch) < 0) || (*p && take_part(&p, variant) < 0) || *p)
		return err_set(err, EINVAL,
			       "--platform %.100s: must be os/architecture or "
			       "os/architecture/variant",
			       text);
	/* One word: the system, or an architecture of it. */
	if (!*arch && strcmp(os, "linux") != 0 && strcmp(os, "windows") != 0 &&
	    strcmp(os, "darwin") != 0) {
		strcpy(arch, os);
		strcpy(os, "linux");
	}
	if (strcmp(os, "linux") != 0)
		return err_set(err, EINVAL, "--platform %.100s: only linux images can run here",
			       text);
	if (!*arch) {
		struct platform host = platform_of_host();
		strcpy(arch, host.architecture);
		strcpy(variant, host.variant);
	}
	normalize(arch, variant);
	strcpy(ret_arch, arch);
	strcpy(ret_variant, variant);
	return 0;
}

bool platform_fits(const struct platform *want, const char *arch, const char *variant)
{
	char a[64], v[64];
	if (strlen(arch) >= sizeof(a) || strlen(variant) >= sizeof(v))
		return false;
	strcpy(a, arch);
	strcpy(v, variant);
	normalize(a, v);
	if (strcmp(a, want->architecture) != 0)
		return false;
	if (!*variant || !*want->variant || !strcmp(v, want->variant))
		return true;
	/* As platform_rank(). */
	return !strcmp(a, "arm") && strcmp(v, want->variant) < 0;
}

int image_platform_check(const char *want, json_object *record, struct err *err)
{
	char arch[64], variant[64];
	const char *has_arch = json_str_or(record, "architecture", "");
	const char *has_variant = json_str_or(record, "variant", "");
	int rc = platform_parse(want, arch, variant, err);
	if (rc < 0)
		return rc;
	const struct platform p = { arch, variant };
	if (platform_fits(&p, has_arch, has_variant))
		return 0;
	return err_set(err, ENOENT, "%.40s/%.40s%s%.40s", json_str_or(record, "os", "linux"),
		       has_arch, *has_variant ? "/" : "", has_variant);
}

const char *image_platform_of_host(void)
{
	static char text[64];
	struct platform p = platform_of_host();
	(void)snprintf(text, sizeof(text), "linux/%s%s%s", p.architecture, *p.variant ? "/" : "",
		       p.variant);
	return text;
}
