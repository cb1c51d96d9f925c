/* SPDX-License-Identifier: Apache-2.0 */
/* docker_config - what Docker's client wrote is found, what we write it would find, and
 * the rest of the file stays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/cli/docker_config.h"

#include "isola/base64.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char folder[64], file[96];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	(void)strcpy(f->folder, "/tmp/isola-config-XXXXXX");
	if (!mkdtemp(f->folder))
		return -1;
	(void)snprintf(f->file, sizeof(f->file), "%s/config.json", f->folder);
	(void)setenv("DOCKER_CONFIG", f->folder, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	(void)unlink(f->file);
	(void)rmdir(f->folder);
	free(f);
	return 0;
}

static void put(const struct fixture *f, const char *text)
{
	FILE *file = fopen(f->file, "w");
	assert_non_null(file);
	(void)fputs(text, file);
	(void)fclose(file);
}

static void docker_config_key__is_docker_s(void **state)
{
	(void)state;
	static const struct {
		const char *server, *key;
	} rows[] = {
		{ "", HUB_KEY },
		{ "docker.io", HUB_KEY },
		{ "https://index.docker.io/v1/", HUB_KEY },
		{ "reg.lan", "reg.lan" },
		{ "https://reg.lan:5000/v2/", "reg.lan:5000" },
		{ "http://reg.lan", "reg.lan" },
		{ "docker.io.evil.lan", "docker.io.evil.lan" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char key[300];
		docker_config_key(rows[i].server, key, sizeof(key));
		assert_string_equal(key, rows[i].key);
	}
}

static void credentials_find__reads_docker_s_file(void **state)
{
	struct err err = ERR_INIT;
	cleanup_docker_config struct docker_config c = { NULL };
	put(*state, "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"am86YTpi\"},"
		    "\"http://reg.lan/v1/\":{\"auth\":\"am86\",\"identitytoken\":\"tok\"},"
		    "\"two.lan\":{\"username\":\"u\",\"password\":\"p\"},"
		    "\"empty.lan\":{},\"bad.lan\":{\"auth\":\"am8\"}}}");
	assert_int_equal(docker_config_read(&c, &err), 0);
	struct credentials found = { NULL };
	assert_int_equal(credentials_find(&c, HUB_KEY, &found, &err), 1);
	assert_string_equal(found.user, "jo");
	assert_string_equal(found.password, "a:b");
	credentials_fini(&found);
	assert_int_equal(credentials_find(&c, "reg.lan", &found, &err), 1);
	assert_string_equal(found.identity, "tok");
	credentials_fini(&found);
	assert_int_equal(credentials_find(&c, "two.lan", &found, &err), 1);
	assert_string_equal(found.password, "p");
	credentials_fini(&found);
	assert_int_equal(credentials_find(&c, "empty.lan", &found, &err), 0);
	assert_int_equal(credentials_find(&c, "none.lan", &found, &err), 0);
	assert_int_equal(credentials_find(&c, "bad.lan", &found, &err), -EINVAL);
	credentials_fini(&found);
}

static void credentials_keep__leaves_the_rest(void **state)
{
	const struct fixture *f = *state;
	struct err err = ERR_INIT;
	bool plain = false;
	struct stat st;
	char user[] = "jo", password[] = "secret";
	const struct credentials what = { user, password, NULL };
	put(f, "{\"detachKeys\":\"ctrl-x\",\"auths\":{\"a.lan\":{\"auth\":\"YTpi\"}},"
	       "\"n\":1.10,\"u\":\"\\u00e4/\"}");
	cleanup_docker_config struct docker_config c = { NULL }, again = { NULL };
	assert_int_equal(docker_config_read(&c, &err), 0);
	assert_int_equal(credentials_keep(&c, "b.lan", &what, &plain, &err), 0);
	assert_true(plain);
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(docker_config_read(&again, &err), 0);
	assert_string_equal(json_str_or(again.root, "detachKeys", ""), "ctrl-x");
	assert_string_equal(json_object_to_json_string(json_get(again.root, "n")), "1.10");
	assert_string_equal(json_str_or(again.root, "u", ""), "\xc3\xa4/");
	json_object *auths = json_get(again.root, "auths");
	assert_string_equal(json_str_or(json_get(auths, "a.lan"), "auth", ""), "YTpi");
	assert_string_equal(json_str_or(json_get(auths, "b.lan"), "auth", ""), "am86c2VjcmV0");
	assert_int_equal(credentials_forget(&again, "b.lan", &err), 1);
	assert_int_equal(credentials_forget(&again, "b.lan", &err), 0);
}

static void credentials_all__has_each_once(void **state)
{
	const struct fixture *f = *state;
	struct err err = ERR_INIT;
	put(f,
	    "{\"auths\":{\"a.lan\":{\"auth\":\"YTpi\"},\"https://a.lan/v1/\":{\"auth\":\"YzpkCg==\"},"
	    "\"empty.lan\":{},\"bad.lan\":{\"auth\":\"!\"},"
	    "\"https://index.docker.io/v1/\":{\"identitytoken\":\"t\"}}}");
	cleanup_docker_config struct docker_config c = { NULL };
	assert_int_equal(docker_config_read(&c, &err), 0);
	cleanup_free char *field = credentials_all(&c, &err);
	assert_non_null(field);
	assert_non_null(strstr(err.text, "bad.lan"));
	char text[1024];
	ssize_t n = base64_decode(field, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	cleanup_json json_object *o = NULL;
	assert_int_equal(json_parse(text, (size_t)n, "it", &o, &err), 0);
	assert_int_equal(json_object_object_length(o), 2);
	assert_string_equal(json_str_or(json_get(o, "a.lan"), "username", ""), "a");
	assert_string_equal(json_str_or(json_get(o, "a.lan"), "serveraddress", ""), "a.lan");
	assert_string_equal(json_str_or(json_get(o, HUB_KEY), "identitytoken", ""), "t");
}

static void credentials_all__is_nothing_or_bounded(void **state)
{
	const struct fixture *f = *state;
	struct err err = ERR_INIT;
	cleanup_docker_config struct docker_config none = { NULL }, many = { NULL };
	put(f, "{\"auths\":{}}");
	assert_int_equal(docker_config_read(&none, &err), 0);
	assert_null(credentials_all(&none, &err));
	assert_int_equal(err.code, 0);
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	strbuf_puts(&b, "{\"auths\":{");
	for (int i = 0; i < 1000; i++)
		strbuf_printf(&b, "%s\"r%d.lan\":{\"auth\":\"YTpi\"}", i ? "," : "", i);
	strbuf_puts(&b, "}}");
	put(f, b.text);
	assert_int_equal(docker_config_read(&many, &err), 0);
	assert_null(credentials_all(&many, &err));
	assert_int_equal(err.code, E2BIG);
}

static void docker_config_read__follows_a_link(void **state)
{
	const struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct stat st;
	char real[128], user[] = "jo", password[] = "x";
	const struct credentials what = { user, password, NULL };
	(void)snprintf(real, sizeof(real), "%s/real.json", f->folder);
	FILE *file = fopen(real, "w");
	(void)fputs("{}", file);
	(void)fclose(file);
	assert_int_equal(symlink("real.json", f->file), 0);
	cleanup_docker_config struct docker_config c = { NULL };
	assert_int_equal(docker_config_read(&c, &err), 0);
	assert_int_equal(credentials_keep(&c, "b.lan", &what, NULL, &err), 0);
	assert_int_equal(lstat(f->file, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(real, &st), 0);
	assert_true(st.st_size > 10);
	(void)unlink(real);
}

static void docker_config_parse__refuses_other_shapes(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"", "[]", "{", "{\"auths\":[]}", "{\"credsStore\":1}", "{\"credHelpers\":\"x\"}"
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		json_object *o = NULL;
		assert_int_equal(docker_config_parse(rows[i], strlen(rows[i]), &o, &err), -EINVAL);
		assert_null(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(docker_config_key__is_docker_s),
		cmocka_unit_test_setup_teardown(credentials_find__reads_docker_s_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(credentials_keep__leaves_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials_all__has_each_once, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials_all__is_nothing_or_bounded, setup,
						teardown),
		cmocka_unit_test_setup_teardown(docker_config_read__follows_a_link, setup,
						teardown),
		cmocka_unit_test(docker_config_parse__refuses_other_shapes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
