/* SPDX-License-Identifier: Apache-2.0 */
/* request - what isolad may send, and what it may not. */
#include "fixture.h"

#include "keeper/request.h"

#include "isola/json.h"

static json_object *doc(const char *text)
{
	json_object *o = NULL;
	struct err err = ERR_INIT;
	if (json_parse(text, strlen(text), "message", &o, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return o;
}

static void request_parse__takes_each_op(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t n_fds;
		enum op op;
	} rows[] = {
		{ "{\"op\":\"start\",\"seq\":1}", 0, OP_START },
		{ "{\"op\":\"attach\",\"seq\":1,\"stream\":\"s\",\"stdin\":true,\"mux\":true}", 1,
		  OP_ATTACH },
		{ "{\"op\":\"exec\",\"seq\":1,\"exec\":\"e\",\"process\":{}}", 0, OP_EXEC },
		{ "{\"op\":\"exec\",\"seq\":1,\"exec\":\"e\",\"process\":{},\"stream\":\"s\",\"h\":1,"
		  "\"w\":2,\"privileged\":true,\"detach_keys\":\"\"}",
		  1, OP_EXEC },
		{ "{\"op\":\"resize\",\"seq\":1,\"h\":24,\"w\":80}", 0, OP_RESIZE },
		{ "{\"op\":\"resize\",\"seq\":1,\"h\":24,\"w\":80,\"exec\":\"e\"}", 0, OP_RESIZE },
		{ "{\"op\":\"kill\",\"seq\":1,\"signal\":9}", 0, OP_KILL },
		{ "{\"op\":\"kill\",\"seq\":1,\"signal\":64,\"all\":true}", 0, OP_KILL },
		{ "{\"op\":\"exec_kill\",\"seq\":1,\"exec\":\"e\",\"signal\":1}", 0, OP_EXEC_KILL },
		{ "{\"op\":\"freeze\",\"seq\":1,\"frozen\":false}", 0, OP_FREEZE },
		{ "{\"op\":\"freeze\",\"seq\":1,\"frozen\":true,\"held\":true}", 0, OP_FREEZE },
		{ "{\"op\":\"update\",\"seq\":1,\"resources\":{},\"log\":{}}", 0, OP_UPDATE },
		{ "{\"op\":\"detach\",\"seq\":1,\"stream\":\"s\"}", 0, OP_DETACH },
		{ "{\"op\":\"mount\",\"seq\":1,\"mount\":{},\"make_source\":true}", 0, OP_MOUNT },
		{ "{\"op\":\"unmount\",\"seq\":1,\"mount\":{}}", 0, OP_UNMOUNT },
		{ "{\"op\":\"copy\",\"seq\":1}", 1, OP_COPY },
		{ "{\"op\":\"sync\",\"seq\":1}", 0, OP_SYNC },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *msg = doc(rows[i].text);
		struct request r = { .seq = 0 };
		struct err err = ERR_INIT;
		if (request_parse(msg, rows[i].n_fds, &r, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_int_equal(r.op, rows[i].op);
		assert_int_equal(r.seq, 1);
		request_fini(&r);
	}
}

static void request_parse__reads_the_stream(void **state)
{
	(void)state;
	cleanup_json json_object *msg = doc(
		"{\"seq\":7,\"op\":\"attach\",\"stream\":\"abc\",\"stdin\":true,\"stderr\":true,"
		"\"head\":\"00ff41\",\"detach_keys\":\"ctrl-a,b\"}");
	struct request r = { .seq = 0 };
	assert_int_equal(request_parse(msg, 1, &r, NULL), 0);
	assert_string_equal(r.stream.id, "abc");
	assert_true(r.stream.want_stdin && !r.stream.want_stdout && r.stream.want_stderr);
	assert_int_equal(r.stream.head_size, 3);
	assert_memory_equal(r.stream.head, "\0\377A", 3);
	assert_int_equal(r.stream.detach.n, 2);
	request_fini(&r);
}

static void request_parse__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
		size_t n_fds;
		int rc;
	} rows[] = {
		{ "{\"op\":\"start\"}", "without a number", 0, -EBADMSG },
		{ "{\"op\":\"start\",\"seq\":\"1\"}", "without a number", 0, -EBADMSG },
		{ "{\"seq\":1}", "op \"\"", 0, -EOPNOTSUPP },
		{ "{\"seq\":1,\"op\":\"fly\"}", "op \"fly\"", 0, -EOPNOTSUPP },
		{ "{\"seq\":1,\"op\":\"start\",\"now\":true}", "\"now\"", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"start\",\"signal\":9}", "\"signal\"", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"start\"}", "1 descriptors", 1, -EINVAL },
		{ "{\"seq\":1,\"op\":\"attach\",\"stream\":\"s\"}", "0 descriptors", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"attach\"}", "stream is missing", 1, -EINVAL },
		{ "{\"seq\":1,\"op\":\"attach\",\"stream\":\"../s\"}", "stream is no id", 1,
		  -EINVAL },
		{ "{\"seq\":1,\"op\":\"attach\",\"stream\":\"s\",\"stdin\":1}", "stdin must be", 1,
		  -EINVAL },
		{ "{\"seq\":1,\"op\":\"attach\",\"stream\":\"s\",\"head\":\"0\"}", "head must", 1,
		  -EINVAL },
		{ "{\"seq\":1,\"op\":\"attach\",\"stream\":\"s\",\"head\":\"0g\"}", "hex", 1,
		  -EINVAL },
		{ "{\"seq\":1,\"op\":\"copy\"}", "0 descriptors", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"sync\"}", "1 descriptors", 1, -EINVAL },
		{ "{\"seq\":1,\"op\":\"mount\"}", "mount is missing", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"unmount\",\"mount\":[]}", "mount", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"unmount\",\"mount\":{},\"make_source\":true}",
		  "unknown field", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"attach\",\"stream\":\"s\",\"detach_keys\":\"ctrl-1\"}",
		  "detach keys", 1, -EINVAL },
		{ "{\"seq\":1,\"op\":\"exec\",\"exec\":\"e\",\"process\":[]}", "process must", 0,
		  -EINVAL },
		{ "{\"seq\":1,\"op\":\"exec\",\"exec\":\"e\",\"process\":{}}", "a stream needs", 1,
		  -EINVAL },
		{ "{\"seq\":1,\"op\":\"exec\",\"exec\":\"e\",\"process\":{},\"stream\":\"s\"}",
		  "a stream needs", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"resize\",\"h\":-1,\"w\":1}", "h must be 0 to", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"resize\",\"h\":1,\"w\":65536}", "w must be 0 to", 0,
		  -EINVAL },
		{ "{\"seq\":1,\"op\":\"resize\",\"h\":1}", "w is missing", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"kill\",\"signal\":0}", "signal must be", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"kill\",\"signal\":65}", "signal must be", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"freeze\"}", "frozen is missing", 0, -EINVAL },
		{ "{\"seq\":1,\"op\":\"update\",\"resources\":1}", "resources must", 0, -EINVAL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *msg = doc(rows[i].text);
		struct request r = { .seq = 0 };
		struct err err = ERR_INIT;
		assert_int_equal(request_parse(msg, rows[i].n_fds, &r, &err), rows[i].rc);
		if (!strstr(err.text, rows[i].why))
			fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].text, err.text,
				 rows[i].why);
		assert_int_equal(r.seq, rows[i].rc == -EBADMSG ? 0 : 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_parse__takes_each_op),
		cmocka_unit_test(request_parse__reads_the_stream),
		cmocka_unit_test(request_parse__names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
