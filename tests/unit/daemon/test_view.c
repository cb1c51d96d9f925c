/* SPDX-License-Identifier: Apache-2.0 */
/* view - what Docker's clients look for in inspect and ps: keys, empty values,
 * status texts, filters. The key lists are those of dockerd 20.10. */
#include "fixture.h"

#include "daemon/view.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NS 1000000000ll

static const char *const inspect_keys[] = {
	"Id",           "Created",         "Path",         "Args",        "State",
	"Image",        "ResolvConfPath",  "HostnamePath", "HostsPath",   "LogPath",
	"Name",         "RestartCount",    "Driver",       "Platform",    "MountLabel",
	"ProcessLabel", "AppArmorProfile", "HostConfig",   "GraphDriver", "Mounts",
	"Config",       "NetworkSettings",
};

static const char *const state_keys[] = {
	"Status", "Running",  "Paused", "Restarting", "OOMKilled",  "Dead",
	"Pid",    "ExitCode", "Error",  "StartedAt",  "FinishedAt",
};

static const char *const network_keys[] = {
	"Bridge",
	"SandboxID",
	"HairpinMode",
	"LinkLocalIPv6Address",
	"LinkLocalIPv6PrefixLen",
	"Ports",
	"SandboxKey",
	"EndpointID",
	"Gateway",
	"GlobalIPv6Address",
	"GlobalIPv6PrefixLen",
	"IPAddress",
	"IPPrefixLen",
	"IPv6Gateway",
	"MacAddress",
	"Networks",
};

static const char *const summary_keys[] = {
	"Id",     "Names", "Image",  "ImageID",    "Command",         "Created", "Ports",
	"Labels", "State", "Status", "HostConfig", "NetworkSettings", "Mounts",
};

#define assert_keys(o, keys) assert_keys_(o, keys, sizeof(keys) / sizeof((keys)[0]))

static void assert_keys_(json_object *o, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!json_get(o, keys[i]))
			fail_msg("%s is missing or null", keys[i]);
	}
}

#define BODY                                                                                       \
	"{'Image':'img:1','Entrypoint':['/e'],'Cmd':['a b','c'],'Labels':{'k':'v','only':''},"     \
	"'ExposedPorts':{'80/tcp':{},'53/udp':{}},'HostConfig':{'Binds':['/h:/c:ro'],"             \
	"'Mounts':[{'Type':'tmpfs','Target':'/t'}],'Tmpfs':{'/run':''}}}"

static void view_inspect__has_docker_s_keys(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(d, "web", BODY);
	cleanup_json json_object *o = view_inspect(inst);
	assert_keys(o, inspect_keys);
	assert_keys(json_get(o, "State"), state_keys);
	assert_keys(json_get(o, "NetworkSettings"), network_keys);
	assert_string_equal(json_str_or(o, "Name", ""), "/web");
	assert_string_equal(json_str_or(o, "Path", ""), "/e");
	assert_json(json_get(o, "Args"), "['a b','c']");
	assert_json(json_get(o, "Mounts"),
		    "[{'Type':'bind','Source':'/h','Destination':'/c','Mode':'ro','RW':false,"
		    "'Propagation':'rprivate'},{'Type':'tmpfs','Source':'','Destination':'/t',"
		    "'Mode':'','RW':true,'Propagation':''}]");
	assert_string_equal(json_str_or(o, "Created", ""), "2023-11-14T22:13:20.000000000Z");
	assert_string_equal(json_str_or(json_get(o, "State"), "StartedAt", ""),
			    "0001-01-01T00:00:00Z");
	assert_string_equal(json_str_or(o, "HostsPath", "x"), "");
	/* There, and null. */
	json_object *v = o;
	assert_true(json_object_object_get_ex(o, "ExecIDs", &v));
	assert_null(v);
	fixture_isolad_free(d);
}

static void view_inspect__follows_the_state(void **state)
{
	(void)state;
	static const struct {
		enum instance_state state;
		const char *want;
	} rows[] = {
		{ INSTANCE_CREATED, "'created',false,false,false,0,0" },
		{ INSTANCE_RUNNING, "'running',true,false,false,42,0" },
		{ INSTANCE_PAUSED, "'paused',true,true,false,42,0" },
		{ INSTANCE_RESTARTING, "'restarting',true,false,true,0,3" },
		{ INSTANCE_EXITED, "'exited',false,false,false,0,3" },
		{ INSTANCE_DEAD, "'dead',false,false,false,0,3" },
	};
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(d, "web", BODY);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char got[256];
		inst->state = rows[i].state;
		inst->pid = 42;
		inst->exit_code = i ? 3 : 0;
		cleanup_json json_object *o = view_inspect(inst);
		json_object *s = json_get(o, "State");
		(void)snprintf(got, sizeof(got), "%s,%s,%s,%s,%s,%s",
			       text_of(json_get(s, "Status")),
			       json_bool_or(s, "Running", false) ? "true" : "false",
			       json_bool_or(s, "Paused", false) ? "true" : "false",
			       json_bool_or(s, "Restarting", false) ? "true" : "false",
			       json_object_get_string(json_get(s, "Pid")),
			       json_object_get_string(json_get(s, "ExitCode")));
		assert_string_equal(got, rows[i].want);
	}
	inst->state = INSTANCE_EXITED;
	fixture_isolad_free(d);
}

static void view_status__speaks_as_docker(void **state)
{
	(void)state;
	static const struct {
		enum instance_state state;
		int64_t started_s, finished_s; /* before now; -1 = never */
		const char *want;
	} rows[] = {
		{ INSTANCE_CREATED, -1, -1, "Created" },
		{ INSTANCE_STARTING, -1, -1, "Created" },
		{ INSTANCE_RUNNING, 0, -1, "Up Less than a second" },
		{ INSTANCE_RUNNING, 61, -1, "Up About a minute" },
		{ INSTANCE_PAUSED, 300, -1, "Up 5 minutes (Paused)" },
		{ INSTANCE_RESTARTING, 20, 5, "Restarting (7) 5 seconds ago" },
		{ INSTANCE_EXITED, 9000, 7200, "Exited (7) 2 hours ago" },
		{ INSTANCE_EXITED, -1, -1, "Created" },
		{ INSTANCE_REMOVING, 5, 5, "Removal In Progress" },
		{ INSTANCE_DEAD, 5, 5, "Dead" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const int64_t now = 1700000000 * NS;
		struct instance inst = { .state = rows[i].state, .exit_code = 7 };
		char buf[128];
		if (rows[i].started_s >= 0)
			inst.started_ns = now - rows[i].started_s * NS;
		if (rows[i].finished_s >= 0)
			inst.finished_ns = now - rows[i].finished_s * NS;
		view_status(&inst, now, buf, sizeof(buf));
		assert_string_equal(buf, rows[i].want);
	}
}

static void view_summary__has_docker_s_keys(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(d, "web", BODY);
	cleanup_json json_object *o = view_summary(inst);
	assert_keys(o, summary_keys);
	assert_json(json_get(o, "Names"), "['/web']");
	assert_string_equal(json_str_or(o, "Command", ""), "/e 'a b' c");
	assert_string_equal(json_str_or(o, "Image", ""), "img:1");
	assert_int_equal(json_i64_or(o, "Created", 0), 1700000000);
	assert_json(json_get(o, "HostConfig"), "{'NetworkMode':'none','Isolation':'container'}");
	assert_json(json_get(o, "Ports"), "[]");
	assert_int_equal(json_len(json_get(o, "Mounts")), 2);
	fixture_isolad_free(d);
}

/* ---- filters ---- */

static void view_matches__knows_all_filters(void **state)
{
	(void)state;
	static const struct {
		const char *filters;
		int want;
	} rows[] = {
		{ "{}", 1 },
		{ "{'status':['exited','running']}", 1 },
		{ "{'status':{'exited':true}}", 1 },
		{ "{'status':['created']}", 0 },
		{ "{'exited':['3']}", 1 },
		{ "{'exited':['0','4']}", 0 },
		{ "{'name':['we']}", 1 },
		{ "{'name':['^/web$']}", 1 },
		{ "{'name':['^web$']}", 1 },
		{ "{'name':['^eb']}", 0 },
		{ "{'label':['k']}", 1 },
		{ "{'label':['k=v','only']}", 1 },
		{ "{'label':['k=v','none']}", 0 },
		{ "{'label':['k=w']}", 0 },
		{ "{'network':['none']}", 1 },
		{ "{'network':['host']}", 0 },
		{ "{'volume':['/c']}", 1 },
		{ "{'volume':['/h']}", 1 },
		{ "{'volume':['/run']}", 0 },
		{ "{'is-task':['false']}", 1 },
		{ "{'is-task':['true']}", 0 },
		{ "{'health':['none']}", 1 },
		{ "{'health':['healthy']}", 0 },
		{ "{'expose':['80']}", 1 },
		{ "{'expose':['79-81/tcp']}", 1 },
		{ "{'expose':['53']}", 0 },
		{ "{'expose':['53/udp']}", 1 },
		{ "{'publish':['80']}", 0 },
		{ "{'isolation':['container']}", 1 },
		{ "{'isolation':['vm']}", 0 },
		{ "{'before':['later']}", 1 },
		{ "{'since':['later']}", 0 },
		{ "{'status':['exited'],'name':['nobody']}", 0 },
	};
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(d, "web", BODY);
	struct instance *later = fixture_instance(d, "later", "{'Image':'i'}");
	later->created_ns = inst->created_ns + 1;
	inst->state = INSTANCE_EXITED;
	inst->exit_code = 3;
	inst->finished_ns = 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *filters = js(rows[i].filters);
		struct err err = ERR_INIT;
		int rc = view_matches(inst, filters, &err);
		if (rc != rows[i].want)
			fail_msg("%s: %d (%s)", rows[i].filters, rc, err.text);
	}
	fixture_isolad_free(d);
}

static void view_filters_check__names_the_bad_one(void **state)
{
	(void)state;
	static const struct {
		const char *filters, *error;
	} rows[] = {
		{ "[]", "filters must be an object" },
		{ "{'colour':['red']}", "invalid filter 'colour'" },
		{ "{'status':'exited'}", "filter 'status' must be an array of strings" },
		{ "{'status':[1]}", "filter 'status' must be an array of strings" },
		{ "{'status':['asleep']}", "invalid filter 'status=asleep'" },
		{ "{'exited':['x']}", "invalid filter 'exited=x'" },
		{ "{'name':['(']}", "invalid filter 'name=('" },
		{ "{'health':['fine']}", "invalid filter 'health=fine'" },
		{ "{'expose':['x']}", "invalid filter 'expose=x'" },
		{ "{'publish':['0']}", "invalid filter 'publish=0'" },
		{ "{'is-task':['maybe']}", "invalid filter 'is-task=maybe'" },
		{ "{'isolation':['x']}", "invalid filter 'isolation=x'" },
		{ "{'before':['nobody']}", "No such container: nobody" },
		{ "{'since':['nobody']}", "No such container: nobody" },
	};
	struct isolad *d = fixture_isolad();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *filters = js(rows[i].filters);
		struct err err = ERR_INIT;
		assert_true(view_filters_check(d, INSTANCE_CONTAINER, filters, &err) < 0);
		assert_string_equal(err.text, rows[i].error);
	}
	fixture_isolad_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(view_inspect__has_docker_s_keys),
		cmocka_unit_test(view_inspect__follows_the_state),
		cmocka_unit_test(view_status__speaks_as_docker),
		cmocka_unit_test(view_summary__has_docker_s_keys),
		cmocka_unit_test(view_matches__knows_all_filters),
		cmocka_unit_test(view_filters_check__names_the_bad_one),
	};
	return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
