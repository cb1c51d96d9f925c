/* SPDX-License-Identifier: Apache-2.0 */
/* template - the subset of Go templates, against what Go prints. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/template.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

static const char document[] =
	"{\"ID\":\"abc\",\"N\":3,\"Yes\":true,\"No\":false,\"Null\":null,\"Empty\":\"\","
	"\"List\":[\"a\",\"b\"],\"Map\":{\"k\":\"v\",\"l\":\"w\"},"
	"\"State\":{\"Pid\":42,\"Running\":true},\"Mounts\":[{\"S\":\"/x\"},{\"S\":\"/y\"}]}";

static int render(const char *text, struct strbuf *out, struct err *err)
{
	cleanup_json json_object *doc = NULL;
	struct template *t = NULL;
	assert_int_equal(json_parse(document, strlen(document), "doc", &doc, err), 0);
	int rc = template_parse(text, &t, err);
	if (rc == 0)
		rc = template_run(t, doc, out, err);
	template_free(t);
	return rc;
}

static void template_run__prints_as_go_does(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "{{.ID}}", "abc" },
		{ "x{{ .State.Pid }}y", "x42y" },
		{ "{{json .State}}", "{\"Pid\":42,\"Running\":true}" },
		{ "{{.List}} {{.Map}} {{.Null}}", "[a b] map[k:v l:w] <nil>" },
		{ "{{join .List \", \"}}", "a, b" },
		{ "{{.List | join \"-\"}}", "a-b" },
		{ "{{range .List}}<{{.}}>{{end}}", "<a><b>" },
		{ "{{range $i, $v := .List}}{{$i}}={{$v}};{{end}}", "0=a;1=b;" },
		{ "{{range $k, $v := .Map}}{{$k}}:{{$v}} {{$.ID}} {{end}}", "k:v abc l:w abc " },
		{ "{{range .Mounts}}{{.S}}{{println}}{{end}}", "/x\n/y\n" },
		{ "{{if .Yes}}a{{else}}b{{end}}", "a" },
		{ "{{if .Empty}}a{{else if eq .N 3}}c{{else}}b{{end}}", "c" },
		{ "{{if and .Yes (not .No)}}ok{{end}}", "ok" },
		{ "{{with .State}}{{.Pid}}{{end}}", "42" },
		{ "{{index .Map \"l\"}}{{index .List 1}}{{index .Map \"none\"}}", "wb" },
		{ "{{len .List}}{{upper .ID}}{{title .ID}}{{lower \"X\"}}", "2ABCAbcx" },
		{ "{{printf \"%s-%d\" .ID .N}}", "abc-3" },
		{ "{{truncate .ID 2}}{{index (split \"a:b\" \":\") 1}}", "abb" },
		{ "a {{- .N -}} b", "a3b" },
		{ "{{\"q\\\"\\n\"}}{{`raw`}}", "q\"\nraw" },
		{ "{{range .Null}}x{{else}}none{{end}}", "none" },
		{ "{{gt .N 2}} {{lt .N 2}} {{ne .ID \"abc\"}}", "true false false" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_strbuf struct strbuf out = STRBUF_INIT;
		struct err err = ERR_INIT;
		if (render(rows[i][0], &out, &err) < 0)
			fail_msg("%s: %s", rows[i][0], err.text);
		assert_string_equal(out.text ? out.text : "", rows[i][1]);
	}
}

static void template__refuses_what_it_does_not_know(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"{{",
		"{{.ID",
		"{{end}}",
		"{{if .ID}}x",
		"{{nofunc .ID}}",
		"{{.Nope}}",
		"{{.ID.x}}",
		"{{index .List 9}}",
		"{{$x}}",
		"{{\"open}}",
		"{{.ID .N}}",
		"{{(.ID}}",
		"{{printf \"%x\" 1}}",
		"{{split \"a\" \"\"}}",
		"{{}}",
		"{{range}}{{end}}",
		"{{else}}",
		"{{json}}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_strbuf struct strbuf out = STRBUF_INIT;
		struct err err = ERR_INIT;
		assert_int_equal(render(bad[i], &out, &err), -EINVAL);
		assert_true(err.text[0] != '\0');
	}
}

static void template__bounds_depth(void **state)
{
	(void)state;
	cleanup_strbuf struct strbuf deep = STRBUF_INIT, out = STRBUF_INIT;
	struct err err = ERR_INIT;
	strbuf_puts(&deep, "{{");
	for (int i = 0; i < 10000; i++)
		strbuf_putc(&deep, '(');
	assert_int_equal(render(deep.text, &out, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(template_run__prints_as_go_does),
		cmocka_unit_test(template__refuses_what_it_does_not_know),
		cmocka_unit_test(template__bounds_depth),
	};
	return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
