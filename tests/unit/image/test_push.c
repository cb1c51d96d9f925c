/* SPDX-License-Identifier: Apache-2.0 */
/* push - the manifest as it goes up, how far an upload got, and whose log-in is whose. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/image/push.h"

#include "isola/base64.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void push_range_end__reads_the_field(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t end;
	} rows[] = {
		{ "0-499", 500 },   { "bytes=0-499", 500 },
		{ "0-999", 1000 },  { "0-1000", 0 },
		{ "0-0", 0 },       { "", 0 },
		{ "5-9", 0 },       { "0-", 0 },
		{ "-5", 0 },        { "0-4x", 0 },
		{ "0--4", 0 },      { "0-99999999999999999999", 0 },
		{ "bytes 0-4", 0 }, { "0-1", 2 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (push_range_end(rows[i].text, 1000) != rows[i].end)
			fail_msg("\"%s\" is %llu", rows[i].text,
				 (unsigned long long)push_range_end(rows[i].text, 1000));
}

#define MANIFEST                                                                                        \
	"{\"schemaVersion\":2,\"layers\":["                                                             \
	"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+zstd\",\"digest\":\"a\",\"size\":1},"  \
	"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"b\",\"size\":2,"        \
	"\"annotations\":{\"k\":\"v\"}},"                                                               \
	"{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar\",\"digest\":\"c\",\"size\":3}]" \
	",\"annotations\":{\"x\":\"a/b\"}}"

static void push_manifest__changes_compressed_layers_only(void **state)
{
	(void)state;
	const char digests[3][DIGEST_SIZE] = { "", "sha256:bb", "sha256:cc" };
	const uint64_t sizes[3] = { 0, 22, 33 };
	struct err err = ERR_INIT;
	char *made = NULL;
	assert_int_equal(push_manifest(MANIFEST, strlen(MANIFEST), digests, sizes, 3, &made, &err),
			 0);
	assert_string_equal(
		made,
		"{\"schemaVersion\":2,\"layers\":["
		"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+zstd\",\"digest\":\"a\","
		"\"size\":1},"
		"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":"
		"\"sha256:bb\",\"size\":22,\"annotations\":{\"k\":\"v\"}},"
		"{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.gzip\",\"digest\":"
		"\"sha256:cc\",\"size\":33}],\"annotations\":{\"x\":\"a/b\"}}");
	free(made);
}

static void push_manifest__refuses_another_number_of_layers(void **state)
{
	(void)state;
	const char digests[1][DIGEST_SIZE] = { "sha256:bb" };
	const uint64_t sizes[1] = { 1 };
	struct err err = ERR_INIT;
	char *made = NULL;
	assert_int_equal(push_manifest(MANIFEST, strlen(MANIFEST), digests, sizes, 1, &made, &err),
			 -EINVAL);
	assert_null(made);
}

static void registry_of_server__finds_the_host(void **state)
{
	(void)state;
	static const struct {
		const char *server, *name;
	} rows[] = {
		{ "https://index.docker.io/v1/", "docker.io/" },
		{ "", "docker.io/" },
		{ "docker.io", "docker.io/" },
		{ "registry-1.docker.io", "docker.io/" },
		{ "http://reg.lan:5000/v2/", "reg.lan:5000/" },
		{ "[::1]:5000", "[::1]:5000/" },
	};
	char name[300];
	struct err err = ERR_INIT;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(registry_of_server(rows[i].server, name, sizeof(name), &err), 0);
		assert_string_equal(name, rows[i].name);
	}
	assert_int_equal(registry_of_server("a b", name, sizeof(name), &err), -EINVAL);
	assert_int_equal(registry_of_server("u:p@reg.lan", name, sizeof(name), &err), -EINVAL);
	assert_int_equal(registry_of_server("a\r\nb", name, sizeof(name), &err), -EINVAL);
}

/* What registry_read_auth() makes of @json for "reg.lan:5000". */
static struct registry read_auth(const char *json)
{
	struct registry r = { .host = "reg.lan:5000" };
	struct err err = ERR_INIT;
	int fds[2];
	char *packed = base64_encode(json, strlen(json));
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], packed, strlen(packed)), strlen(packed));
	close(fds[1]);
	assert_int_equal(registry_read_auth(&r, fds[0], &err), 0);
	close(fds[0]);
	free(packed);
	return r;
}

static void registry_read_auth__wants_the_own_server(void **state)
{
	(void)state;
	static const struct {
		const char *server;
		bool taken;
	} rows[] = {
		{ "reg.lan:5000", true },
		{ "https://REG.lan:5000/v2/", true },
		{ "", true },
		{ "reg.lan", false },
		{ "reg.lan:50001", false },
		{ "https://index.docker.io/v1/", false },
		{ "evil.lan/reg.lan:5000", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char json[300];
		(void)snprintf(json, sizeof(json),
			       "{\"username\":\"jo\",\"password\":\"x\",\"serveraddress\":\"%s\"}",
			       rows[i].server);
		struct registry r = read_auth(json);
		if (!!r.user != rows[i].taken)
			fail_msg("%s", rows[i].server);
		registry_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(push_range_end__reads_the_field),
		cmocka_unit_test(push_manifest__changes_compressed_layers_only),
		cmocka_unit_test(push_manifest__refuses_another_number_of_layers),
		cmocka_unit_test(registry_of_server__finds_the_host),
		cmocka_unit_test(registry_read_auth__wants_the_own_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
