/* SPDX-License-Identifier: Apache-2.0 */
/* guest_split - config.json taken apart for a guest. */
#include "fixture.h"

#include "keeper/guest_split.h"

#include "isola/ctr.h"
#include "isola/fd.h"
#include "isola/json.h"

#define CONFIG(mounts)                                                                             \
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"              \
	"\"hostname\":\"h\",\"hooks\":{\"poststop\":[{\"path\":\"/bin/true\"}]},"                  \
	"\"process\":{\"terminal\":true,\"user\":{\"uid\":5,\"gid\":6},\"cwd\":\"/w\","            \
	"\"env\":[\"A=b\"],\"args\":[\"sh\"],\"capabilities\":{\"bounding\":[\"CAP_SYS_ADMIN\"]}," \
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":1}]},"                       \
	"\"mounts\":[" mounts "],\"linux\":{\"namespaces\":[{\"type\":\"user\"},"                  \
	"{\"type\":\"mount\"}],\"uidMappings\":[{\"containerID\":0,\"hostID\":9,\"size\":65536}]," \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":9,\"size\":65536}],"                       \
	"\"sysctl\":{\"net.a\":\"1\"},\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"},"         \
	"\"maskedPaths\":[\"/proc/kcore\"],\"devices\":[],\"resources\":{\"pids\":{\"limit\":3}}," \
	"\"rootfsPropagation\":\"rslave\"}}"

#define USUAL                                                                                      \
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"                       \
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"                      \
	"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\"},"                    \
	"{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\"},"          \
	"{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":\"/r/hosts\","               \
	"\"options\":[\"rbind\"]},"                                                                \
	"{\"destination\":\"/data\",\"type\":\"none\",\"source\":\"/d\",\"options\":[\"bind\"]},"  \
	"{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}"

static int split_for(const char *text, const char *limits, const char *layer, json_object **ret,
		     struct err *err)
{
	cleanup_json json_object *config = NULL, *resources = NULL;
	*err = (struct err)ERR_INIT;
	assert_int_equal(json_parse(text, strlen(text), "config", &config, err), 0);
	assert_int_equal(json_parse(limits, strlen(limits), "limits", &resources, err), 0);
	return guest_split_host(config, resources, layer, ret, err);
}

static int split(const char *text, const char *limits, json_object **ret, struct err *err)
{
	return split_for(text, limits, NULL, ret, err);
}

static void guest_split_host__keeps_what_lies_on_the_host(void **state)
{
	(void)state;
	struct err err;
	cleanup_json json_object *o = NULL;
	if (split(CONFIG(USUAL), "{\"memory\":{\"limit\":1}}", &o, &err) < 0)
		fail_msg("%s", err.text);
	json_object *mounts = json_get(o, "mounts"), *lin = json_get(o, "linux");
	static const char *const places[] = { "/etc/hosts", "/data", "/tmp" };
	assert_int_equal(json_len(mounts), 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(
			json_str_or(json_object_array_get_idx(mounts, i), "destination", ""),
			places[i]);
	assert_true(json_bool_or(json_get(o, "root"), "readonly", false));
	assert_int_equal(json_len(json_get(lin, "uidMappings")), 1);
	assert_string_equal(json_str_or(lin, "rootfsPropagation", ""), "rslave");
	assert_int_equal(json_i64_or(json_get(json_get(lin, "resources"), "memory"), "limit", 0),
			 1);
	assert_null(json_get(json_get(lin, "resources"), "pids"));
}

static void guest_split_host__gives_the_holder_no_rights(void **state)
{
	(void)state;
	struct err err;
	cleanup_json json_object *o = NULL;
	if (split(CONFIG(USUAL), "{}", &o, &err) < 0)
		fail_msg("%s", err.text);
	json_object *process = json_get(o, "process"), *lin = json_get(o, "linux");
	static const char *const gone[] = { "sysctl", "seccomp", "maskedPaths", "devices" };
	for (size_t i = 0; i < 4; i++)
		assert_null(json_get(lin, gone[i]));
	assert_null(json_get(o, "hooks"));
	assert_null(json_get(process, "capabilities"));
	assert_null(json_get(process, "rlimits"));
	assert_false(json_bool_or(process, "terminal", false));
	assert_true(json_bool_or(process, "noNewPrivileges", false));
	assert_string_equal(json_str_or(process, "cwd", ""), "/w");
	/* The library takes it. */
	struct ctr_spec *spec = NULL;
	if (ctr_spec_parse(o, &spec, &err) < 0)
		fail_msg("%s", err.text);
	ctr_spec_free(spec);
}

static void guest_split_host__serves_a_layer_and_binds_apart(void **state)
{
	(void)state;
	struct err err;
	cleanup_json json_object *o = NULL;
	if (split_for(CONFIG(USUAL), "{}", "/s/layer", &o, &err) < 0)
		fail_msg("%s", err.text);
	/* A tmpfs is the guest's, with its place. */
	static const char *const rows[][2] = { { "/layer", "/s/layer" },
					       { "/mounts/4", "/r/hosts" },
					       { "/mounts/5", "/d" } };
	json_object *mounts = json_get(o, "mounts"), *root = json_get(o, "root");
	assert_int_equal(json_len(mounts), 3);
	for (size_t i = 0; i < 3; i++) {
		json_object *m = json_object_array_get_idx(mounts, i);
		assert_string_equal(json_str_or(m, "destination", ""), rows[i][0]);
		assert_string_equal(json_str_or(m, "source", ""), rows[i][1]);
	}
	json_object *options = json_get(json_object_array_get_idx(mounts, 0), "options");
	assert_string_equal(json_item_str(options, json_len(options) - 1), "idmap");
	assert_string_equal(json_str_or(root, "path", ""), GUEST_SPLIT_SERVED);
	assert_true(json_bool_or(root, "readonly", false));
	/* Nobody of the image's is known where nothing of the image is. */
	json_object *process = json_get(o, "process");
	assert_int_equal(json_i64_or(json_get(process, "user"), "uid", -1), 0);
	assert_string_equal(json_str_or(process, "cwd", ""), "/");
	struct ctr_spec *spec = NULL;
	if (ctr_spec_parse(o, &spec, &err) < 0)
		fail_msg("%s", err.text);
	ctr_spec_free(spec);
}

static void guest_split_host__refuses_binds_where_the_guest_has_its_own(void **state)
{
	(void)state;
	static const char *const texts[] = {
		CONFIG("{\"destination\":\"/dev/x\",\"type\":\"bind\",\"source\":\"/x\"}"),
		CONFIG("{\"destination\":\"//proc/../proc\",\"type\":\"none\",\"source\":\"/x\","
		       "\"options\":[\"rbind\"]}"),
		CONFIG("{\"destination\":\"/sys/fs/cgroup\",\"type\":\"bind\",\"source\":\"/x\"}"),
	};
	for (size_t i = 0; i < 3; i++) {
		struct err err;
		json_object *o = NULL;
		assert_true(split(texts[i], "{}", &o, &err) < 0);
		assert_non_null(strstr(err.text, "is the guest's own"));
		assert_null(o);
	}
	/* The like of it is no place of the guest's. */
	struct err err;
	cleanup_json json_object *o = NULL;
	assert_int_equal(split(CONFIG("{\"destination\":\"/device\",\"type\":\"bind\","
				      "\"source\":\"/x\"}"),
			       "{}", &o, &err),
			 0);
	assert_int_equal(json_len(json_get(o, "mounts")), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_split_host__keeps_what_lies_on_the_host),
		cmocka_unit_test(guest_split_host__gives_the_holder_no_rights),
		cmocka_unit_test(guest_split_host__serves_a_layer_and_binds_apart),
		cmocka_unit_test(guest_split_host__refuses_binds_where_the_guest_has_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
