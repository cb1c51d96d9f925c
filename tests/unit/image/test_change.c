/* SPDX-License-Identifier: Apache-2.0 */
/* change - instructions of import, and the words they are made of. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/change.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

struct row {
	const char *before, *instruction, *after;
};

static void check(const struct row *row)
{
	cleanup_json json_object *config = json_tokener_parse(row->before);
	struct err err = ERR_INIT;
	if (change_apply(config, row->instruction, &err) < 0)
		fail_msg("%s: %s", row->instruction, err.text);
	assert_string_equal(
		json_object_to_json_string_ext(config, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE),
		row->after);
}

static void change_apply__does_what_docker_does(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{}", "CMD [\"/bin/x\", \"a b\"]", "{\"Cmd\":[\"/bin/x\",\"a b\"]}" },
		{ "{}", "cmd echo $HOME", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $HOME\"]}" },
		{ "{}", "CMD [not json", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[not json\"]}" },
		{ "{\"Cmd\":[\"x\"]}", "ENTRYPOINT [\"/e\"]",
		  "{\"Cmd\":[\"x\"],\"Entrypoint\":[\"/e\"]}" },
		{ "{}", "ENV A=1 B=\"x y\" C='$A' D=a\\ b",
		  "{\"Env\":[\"A=1\",\"B=x y\",\"C=$A\",\"D=a b\"]}" },
		{ "{\"Env\":[\"A=1\",\"AA=3\"]}", "ENV A=2", "{\"Env\":[\"A=2\",\"AA=3\"]}" },
		{ "{\"Env\":[\"P=/bin\"]}", "ENV P=$P:/x Q=\"${P}y\" R=$NONE.",
		  "{\"Env\":[\"P=/bin:/x\",\"Q=/biny\",\"R=.\"]}" },
		{ "{\"Env\":[\"S=1\",\"E=\"]}",
		  "ENV a=${S:-x} b=${E:-x} c=${E-x} d=${N-x$S} e=${S:+y} f=${E:+y} g=${E+y} h=${N:-\"a b\"}",
		  "{\"Env\":[\"S=1\",\"E=\",\"a=1\",\"b=x\",\"c=\",\"d=x1\",\"e=y\",\"f=\",\"g=y\","
		  "\"h=a b\"]}" },
		{ "{\"Env\":[\"P=80 443/udp\"]}", "EXPOSE $P 1$NONE",
		  "{\"Env\":[\"P=80 443/udp\"],\"ExposedPorts\":{\"80/tcp\":{},\"443/udp\":{},"
		  "\"1/tcp\":{}}}" },
		{ "{\"Env\":[\"V=/v\"]}", "VOLUME [\"$V\", \"${V}2\"]",
		  "{\"Env\":[\"V=/v\"],\"Volumes\":{\"/v\":{},\"/v2\":{}}}" },
		{ "{\"Shell\":[\"/bin/ash\",\"-ec\"]}", "CMD a",
		  "{\"Shell\":[\"/bin/ash\",\"-ec\"],\"Cmd\":[\"/bin/ash\",\"-ec\",\"a\"]}" },
		{ "{}", "ENV KEY some value", "{\"Env\":[\"KEY=some value\"]}" },
		{ "{}", "ENV E=", "{\"Env\":[\"E=\"]}" },
		{ "{}", "LABEL a=1 \"b c\"=\"d e\"", "{\"Labels\":{\"a\":\"1\",\"b c\":\"d e\"}}" },
		{ "{}", "EXPOSE 80 53/UDP 8000-8010/tcp",
		  "{\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"8000-8010/tcp\":{}}}" },
		{ "{}", "USER 1000:1000", "{\"User\":\"1000:1000\"}" },
		{ "{}", "WORKDIR /a/../b/", "{\"WorkingDir\":\"/b\"}" },
		{ "{\"WorkingDir\":\"/a\"}", "WORKDIR b c", "{\"WorkingDir\":\"/a/b c\"}" },
		{ "{}", "WORKDIR rel", "{\"WorkingDir\":\"/rel\"}" },
		{ "{}", "VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}" },
		{ "{}", "VOLUME [\"/a b\"]", "{\"Volumes\":{\"/a b\":{}}}" },
		{ "{}", "STOPSIGNAL SIGINT", "{\"StopSignal\":\"SIGINT\"}" },
		{ "{}", "STOPSIGNAL 9", "{\"StopSignal\":\"9\"}" },
		{ "{}", "HEALTHCHECK NONE", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}" },
		{ "{}", "HEALTHCHECK --interval=5s --retries=2 CMD test -f /x",
		  "{\"Healthcheck\":{\"Interval\":5000000000,\"Retries\":2,\"Test\":[\"CMD-SHELL\","
		  "\"test -f /x\"]}}" },
		{ "{\"OnBuild\":[\"USER a\"]}", "ONBUILD RUN x y",
		  "{\"OnBuild\":[\"USER a\",\"RUN x y\"]}" },
		{ "{}", "HEALTHCHECK CMD [\"/x\"]",
		  "{\"Healthcheck\":{\"Test\":[\"CMD\",\"/x\"]}}" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

static void change_apply__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *instruction, *says;
	} rows[] = {
		{ "", "not a supported" },
		{ "RUN x", "RUN" },
		{ "ONBUILD", "needs an argument" },
		{ "ONBUILD FROM x", "ONBUILD FROM is not allowed" },
		{ "ONBUILD onbuild RUN x", "not allowed" },
		{ "CMD", "needs an argument" },
		{ "ENV", "needs an argument" },
		{ "ENV A", "NAME=VALUE" },
		{ "ENV A=1 B", "\"B\"" },
		{ "ENV =1", "NAME=VALUE" },
		{ "ENV A=\"x", "not closed" },
		{ "ENV A=${X:=y}", "unsupported modifier in substitution: ${X:=y}" },
		{ "ENV A=${X:-y", "not closed" },
		{ "ENV A=${}", "bad substitution" },
		{ "ENV A=${X:?gone}", "X: gone" },
		{ "LABEL a", "NAME=VALUE" },
		{ "EXPOSE x", "\"x\"" },
		{ "EXPOSE 0", "\"0\"" },
		{ "EXPOSE 65536", "65536" },
		{ "EXPOSE 80/icmp", "80/icmp" },
		{ "EXPOSE 1-", "\"1-\"" },
		{ "USER a b", "one argument" },
		{ "STOPSIGNAL SIGFOO", "SIGFOO" },
		{ "VOLUME [\"\"]", "empty" },
		{ "HEALTHCHECK --x=1 CMD a", "--x" },
		{ "HEALTHCHECK CMD", "HEALTHCHECK" },
		{ "HEALTHCHECK --retries=x CMD a", "--retries" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *config = json_object_new_object();
		struct err err = ERR_INIT;
		int rc = change_apply(config, rows[i].instruction, &err);
		if (rc != -EINVAL || !strstr(err.text, rows[i].says))
			fail_msg("%s: %d %s", rows[i].instruction, rc, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(change_apply__does_what_docker_does),
		cmocka_unit_test(change_apply__names_what_is_wrong),
	};
	return cmocka_run_group_tests_name("change", tests, NULL, NULL);
}
