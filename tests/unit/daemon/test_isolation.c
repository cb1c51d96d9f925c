/* SPDX-License-Identifier: Apache-2.0 */
/* isolation - which wall a request gets: by what it says, by the administrator's rules,
 * by the default; and what "auto" moves. */
#include "daemon/guests.h"
#include "daemon/isolation.h"
#include "daemon/isolation_policy.h"
#include "fixture.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct situation {
	const char *fallback; /* default-isolation */
	const char *rules;    /* of the administrator, or NULL */
	const char *refs;     /* the image's names */
	const char *host;     /* HostConfig */
	const char *no_guests;
	const char *doubt;
};

struct outcome {
	int rc;
	struct err err;
	char wall[16], runtime[16];
	json_object *warnings;
};

static void run(struct outcome *out, const struct situation *s)
{
	struct isolad *d = fixture_isolad();
	struct create_env env;
	struct isolation_policy policy = { NULL };
	cleanup_json json_object *refs = js(s->refs ? s->refs : "['docker.io/library/i:latest']");
	char body[512];
	(void)snprintf(body, sizeof(body), "{'Image':'i','HostConfig':%s}", s->host);
	cleanup_json json_object *request = js(body);
	cleanup_json json_object *config = NULL, *host = NULL, *net = NULL;
	*out = (struct outcome){ .warnings = json_object_new_array() };
	fixture_env(&env, d, ALL_CONTROLLERS);
	if (s->fallback)
		d->config.default_isolation = (char *)(uintptr_t)s->fallback;
	if (s->rules) {
		cleanup_json json_object *doc = js(s->rules);
		assert_int_equal(isolation_policy_parse(&policy, doc, NULL), 0);
	}
	env.policy = &policy;
	env.refs = refs;
	env.no_guests = s->no_guests;
	env.doubt = s->doubt;
	out->rc = create_normalise(&env, request, out->warnings, &config, &host, &net, &out->err);
	(void)snprintf(out->wall, sizeof(out->wall), "%s", json_str_or(host, "Isolation", ""));
	(void)snprintf(out->runtime, sizeof(out->runtime), "%s", json_str_or(host, "Runtime", ""));
	isolation_policy_fini(&policy);
	fixture_env_fini(&env);
	fixture_isolad_free(d);
}

/* What a microVM cannot be given is left out, whatever it is at the time. */
#define NONE "'NetworkMode':'none'"

static void isolation__takes_the_word_of_the_request_then_the_default(void **state)
{
	(void)state;
	static const struct {
		const char *fallback, *host, *wall, *runtime;
	} rows[] = {
		{ "container", "{" NONE "}", "container", "ctr" },
		{ "vm", "{" NONE "}", "vm", "vm" },
		{ "auto", "{" NONE "}", "container", "ctr" },
		{ "auto", "{" NONE ",'Privileged':true}", "vm", "vm" },
		{ "vm", "{" NONE ",'Isolation':'default'}", "vm", "vm" },
		{ "vm", "{" NONE ",'Isolation':'container'}", "container", "ctr" },
		{ "vm", "{" NONE ",'Isolation':'auto'}", "container", "ctr" },
		{ "vm", "{" NONE ",'Runtime':'ctr'}", "container", "ctr" },
		/* What clients name without meaning it. */
		{ "vm", "{" NONE ",'Runtime':'runc'}", "vm", "vm" },
		{ "container", "{" NONE ",'Runtime':'vm'}", "vm", "vm" },
		{ "container", "{" NONE ",'Isolation':'vm'}", "vm", "vm" },
		{ "container", "{" NONE ",'Isolation':'vm','Runtime':'vm'}", "vm", "vm" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o;
		run(&o, &(struct situation){ .fallback = rows[i].fallback, .host = rows[i].host });
		if (o.rc || strcmp(o.wall, rows[i].wall) || strcmp(o.runtime, rows[i].runtime))
			fail_msg("%s %s: %s %s (%s)", rows[i].fallback, rows[i].host, o.wall,
				 o.runtime, o.err.text);
		json_object_put(o.warnings);
	}
}

static void isolation__refuses_what_contradicts(void **state)
{
	(void)state;
	static const char *const hosts[] = {
		"{" NONE ",'Isolation':'container','Runtime':'vm'}",
		"{" NONE ",'Isolation':'auto','Runtime':'vm'}",
		"{" NONE ",'Isolation':'vm','Runtime':'ctr'}",
	};
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct outcome o;
		run(&o, &(struct situation){ .host = hosts[i] });
		assert_int_equal(o.rc, -EINVAL);
		assert_non_null(strstr(o.err.text, "contradicts HostConfig.Isolation"));
		json_object_put(o.warnings);
	}
}

static void auto__moves_what_pierces_and_says_so(void **state)
{
	(void)state;
	static const struct {
		const char *host, *flag;
	} rows[] = {
		{ "'Privileged':true", "--privileged" },
		{ "'CapAdd':['SYS_ADMIN']", "--cap-add SYS_ADMIN" },
		{ "'CapAdd':['NET_RAW','CAP_SYS_MODULE']", "--cap-add SYS_MODULE" },
		{ "'CapAdd':['sys_ptrace']", "--cap-add SYS_PTRACE" },
		{ "'CapAdd':['BPF']", "--cap-add BPF" },
		{ "'CapAdd':['ALL']", "--cap-add ALL" },
		{ "'SecurityOpt':['seccomp=unconfined']", "--security-opt seccomp=unconfined" },
		{ "'SecurityOpt':['systempaths=unconfined']",
		  "--security-opt systempaths=unconfined" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o;
		char host[160], want[160];
		(void)snprintf(host, sizeof(host), "{" NONE ",'Isolation':'auto',%s}",
			       rows[i].host);
		(void)snprintf(want, sizeof(want),
			       "%s pierces a container's wall: it runs in a microVM", rows[i].flag);
		run(&o, &(struct situation){ .host = host });
		assert_int_equal(o.rc, 0);
		assert_string_equal(o.wall, "vm");
		assert_int_equal(json_len(o.warnings), 1);
		assert_non_null(strstr(json_item_str(o.warnings, 0), want));
		json_object_put(o.warnings);
		/* A container all the same for who insists, without a word. */
		(void)snprintf(host, sizeof(host), "{" NONE ",'Isolation':'container',%s}",
			       rows[i].host);
		run(&o, &(struct situation){ .host = host });
		assert_int_equal(o.rc, 0);
		assert_string_equal(o.wall, "container");
		assert_int_equal(json_len(o.warnings), 0);
		json_object_put(o.warnings);
	}
}

static void auto__leaves_the_usual_in_a_container(void **state)
{
	(void)state;
	static const char *const hosts[] = {
		"'CapAdd':['NET_ADMIN','NET_RAW']",
		"'SecurityOpt':['no-new-privileges']",
		"'SecurityOpt':['seccomp=builtin']",
		"'CapDrop':['SYS_ADMIN']",
		"'Privileged':false",
	};
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct outcome o;
		char host[160];
		(void)snprintf(host, sizeof(host), "{" NONE ",'Isolation':'auto',%s}", hosts[i]);
		run(&o, &(struct situation){ .host = host });
		assert_int_equal(o.rc, 0);
		assert_string_equal(o.wall, "container");
		assert_int_equal(json_len(o.warnings), 0);
		json_object_put(o.warnings);
	}
}

static void auto__tells_what_no_microvm_can_give(void **state)
{
	(void)state;
	struct outcome o;
	run(&o, &(struct situation){ .host = "{" NONE ",'Isolation':'auto','PidMode':'host'}" });
	assert_int_equal(o.rc, 0);
	assert_string_equal(o.wall, "container");
	assert_non_null(strstr(json_item_str(o.warnings, 0), "--pid host opens"));
	json_object_put(o.warnings);
	run(&o,
	    &(struct situation){
		    .host = "{" NONE ",'Isolation':'auto','PidMode':'host','Privileged':true}" });
	assert_int_equal(o.rc, -EOPNOTSUPP);
	assert_non_null(strstr(o.err.text, "--isolation vm, chosen for --privileged"));
	json_object_put(o.warnings);
}

static void isolation__says_what_is_missing(void **state)
{
	(void)state;
	struct outcome o;
	run(&o, &(struct situation){ .host = "{" NONE ",'Isolation':'vm'}",
				     .no_guests = "there is no KVM (do this)" });
	assert_int_equal(o.rc, -EOPNOTSUPP);
	assert_non_null(strstr(o.err.text, "vm is not possible here: there is no KVM (do this)"));
	json_object_put(o.warnings);
	run(&o, &(struct situation){ .host = "{" NONE ",'Isolation':'auto','Privileged':true}",
				     .no_guests = "there is no KVM (do this)" });
	assert_int_equal(o.rc, -EOPNOTSUPP);
	assert_non_null(strstr(o.err.text, "--privileged pierces"));
	assert_non_null(strstr(o.err.text, "--isolation container runs it"));
	json_object_put(o.warnings);
	run(&o, &(struct situation){ .host = "{" NONE ",'Isolation':'vm'}",
				     .doubt = "it did not say" });
	assert_int_equal(o.rc, 0);
	assert_non_null(strstr(json_item_str(o.warnings, 0), "not known: it did not say"));
	json_object_put(o.warnings);
}

/* ---- the administrator's rules ---- */

#define RULES(...) "{'rules':[" __VA_ARGS__ "]}"

static void policy__decides_when_nothing_is_asked(void **state)
{
	(void)state;
	static const struct {
		const char *rules, *refs, *wall;
	} rows[] = {
		{ RULES("{'image':'alpine','isolation':'vm'}"), "['docker.io/library/alpine:3.20']",
		  "vm" },
		{ RULES("{'image':'alpine:3.20','isolation':'vm'}"),
		  "['docker.io/library/alpine:3.20']", "vm" },
		{ RULES("{'image':'alpine:3.19','isolation':'vm'}"),
		  "['docker.io/library/alpine:3.20']", "container" },
		{ RULES("{'image':'docker.io/library/*','isolation':'vm'}"),
		  "['docker.io/library/alpine:3.20']", "vm" },
		{ RULES("{'image':'example.org/*','isolation':'vm'}"),
		  "['docker.io/library/alpine:3.20']", "container" },
		{ RULES("{'image':'example.org:5000/a','isolation':'vm'}"),
		  "['example.org:5000/a:1']", "vm" },
		/* Each of its names counts: another tag does not evade. */
		{ RULES("{'image':'evil','isolation':'vm'}"),
		  "['docker.io/library/good:1','docker.io/library/evil:1']", "vm" },
		/* The first that fits. */
		{ RULES("{'image':'i','isolation':'container'},{'image':'*','isolation':'vm'}"),
		  "['docker.io/library/i:1']", "container" },
		{ RULES("{'image':'*','isolation':'vm'}"), "[]", "vm" },
		/* By id, which nobody chooses. */
		{ RULES("{'image':'sha256:1111*','isolation':'vm'}"), "[]", "vm" },
		/* By label, and by both. */
		{ RULES("{'label':'from=image','isolation':'vm'}"), NULL, "vm" },
		{ RULES("{'label':'from','isolation':'vm'}"), NULL, "vm" },
		{ RULES("{'label':'from=here','isolation':'vm'}"), NULL, "container" },
		{ RULES("{'label':'from','image':'other','isolation':'vm'}"), NULL, "container" },
		{ RULES(""), NULL, "container" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o;
		run(&o, &(struct situation){ .rules = rows[i].rules,
					     .refs = rows[i].refs,
					     .host = "{" NONE "}" });
		if (o.rc || strcmp(o.wall, rows[i].wall))
			fail_msg("%s %s: %s (%s)", rows[i].rules, rows[i].refs, o.wall, o.err.text);
		json_object_put(o.warnings);
	}
}

static void policy__is_the_least_there_is(void **state)
{
	(void)state;
	static const struct {
		const char *rule, *host, *wall; /* "": refused */
	} rows[] = {
		{ "vm", "{" NONE ",'Isolation':'container'}", "" },
		{ "vm", "{" NONE ",'Isolation':'auto'}", "" },
		{ "vm", "{" NONE ",'Runtime':'ctr'}", "" },
		{ "vm", "{" NONE ",'Isolation':'vm'}", "vm" },
		{ "auto", "{" NONE ",'Isolation':'container'}", "container" },
		{ "auto", "{" NONE ",'Isolation':'container','Privileged':true}", "" },
		{ "auto", "{" NONE ",'Isolation':'vm'}", "vm" },
		{ "container", "{" NONE ",'Isolation':'vm'}", "vm" },
		{ "container", "{" NONE ",'Isolation':'container','Privileged':true}",
		  "container" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o;
		char rules[128];
		(void)snprintf(rules, sizeof(rules), RULES("{'image':'i','isolation':'%s'}"),
			       rows[i].rule);
		run(&o, &(struct situation){ .rules = rules, .host = rows[i].host });
		if (o.rc != (*rows[i].wall ? 0 : -EPERM) || strcmp(o.wall, rows[i].wall))
			fail_msg("%s %s: %s (%s)", rows[i].rule, rows[i].host, o.wall, o.err.text);
		if (o.rc)
			assert_non_null(
				strstr(o.err.text, "rule 1 of isolation-policy, for image"));
		json_object_put(o.warnings);
	}
}

/* Whoever runs a container chooses its labels; only the image's count. */
static void policy__looks_at_no_label_of_the_request(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct create_env env;
	struct isolation_policy policy = { NULL };
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = js(RULES("{'label':'trust=low','isolation':'vm'}"));
	cleanup_json json_object *body =
		js("{'Image':'i','Labels':{'trust':'low'},'HostConfig':{" NONE "}}");
	cleanup_json json_object *warnings = json_object_new_array();
	cleanup_json json_object *c = NULL, *h = NULL, *n = NULL;
	assert_int_equal(isolation_policy_parse(&policy, doc, &err), 0);
	fixture_env(&env, d, ALL_CONTROLLERS);
	env.policy = &policy;
	assert_int_equal(create_normalise(&env, body, warnings, &c, &h, &n, &err), 0);
	assert_string_equal(json_str_or(h, "Isolation", ""), "container");
	isolation_policy_fini(&policy);
	fixture_env_fini(&env);
	fixture_isolad_free(d);
}

static void policy_parse__refuses(void **state)
{
	(void)state;
	static const struct {
		const char *doc, *error;
	} rows[] = {
		{ "[]", "the list \"rules\"" },
		{ "{}", "the list \"rules\"" },
		{ "{'rules':[],'x':1}", "the list \"rules\"" },
		{ RULES("1"), "rule 1: it must be an object" },
		{ RULES("{'image':'a','isolation':'vm'},{'image':'a'}"),
		  "rule 2: isolation must be container, auto or vm" },
		{ RULES("{'image':'a','isolation':'hyperv'}"), "isolation must be" },
		{ RULES("{'isolation':'vm'}"), "for which image" },
		{ RULES("{'image':'','isolation':'vm'}"), "image must be a string" },
		{ RULES("{'image':['a'],'isolation':'vm'}"), "image must be a string" },
		{ RULES("{'image':null,'isolation':'vm'}"), "image must be a string" },
		{ RULES("{'imgae':'a','isolation':'vm'}"), "there is no \"imgae\"" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct isolation_policy p = { NULL };
		struct err err = ERR_INIT;
		cleanup_json json_object *doc = js(rows[i].doc);
		assert_int_equal(isolation_policy_parse(&p, doc, &err), -EINVAL);
		if (!strstr(err.text, rows[i].error))
			fail_msg("%s: %s", rows[i].doc, err.text);
		assert_null(p.rules);
	}
}

static void policy_read__keeps_the_old_rules_on_failure(void **state)
{
	(void)state;
	struct isolation_policy p = { NULL };
	struct err err = ERR_INIT;
	char path[] = "/tmp/isola-policy-XXXXXX";
	int fd = mkstemp(path);
	static const char good[] = "{\"rules\":[{\"image\":\"*\",\"isolation\":\"vm\"}]}";
	assert_true(fd >= 0);
	assert_int_equal(write(fd, good, sizeof(good) - 1), sizeof(good) - 1);
	assert_int_equal(isolation_policy_read(&p, path, &err), 0);
	assert_int_equal(json_len(p.rules), 1);
	assert_int_equal(ftruncate(fd, 5), 0);
	assert_true(isolation_policy_read(&p, path, &err) < 0);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(json_len(p.rules), 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(isolation_policy_read(&p, path, &err), -ENOENT);
	assert_int_equal(json_len(p.rules), 1);
	isolation_policy_fini(&p);
	(void)close(fd);
}

static void may_be_vm__is_what_makes_a_request_wait(void **state)
{
	(void)state;
	static const struct {
		const char *fallback, *body;
		bool want;
	} rows[] = {
		{ "container", "{}", false },
		{ "container", "{'HostConfig':{'Isolation':'vm'}}", true },
		{ "container", "{'HostConfig':{'Isolation':'auto'}}", true },
		{ "container", "{'HostConfig':{'Runtime':'vm'}}", true },
		{ "vm", "{}", true },
		{ "auto", "{}", true },
		{ "vm", "{'HostConfig':{'Isolation':'container'}}", false },
		{ "container", "{'HostConfig':{'Isolation':'x'}}", false },
		{ "container", "{'HostConfig':7}", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct isolation_policy policy = { NULL };
		struct config config = { .default_isolation = (char *)(uintptr_t)rows[i].fallback };
		cleanup_json json_object *body = js(rows[i].body);
		assert_int_equal(isolation_may_be_vm(&config, &policy, body), rows[i].want);
	}
}

static void guest_cpus__have_spares_as_far_as_the_host_does(void **state)
{
	(void)state;
	static const struct {
		int64_t cpus, host, most;
	} rows[] = {
		{ 1, 1, 1 }, { 1, 2, 2 }, { 1, 4, 4 },   { 1, 64, 4 },
		{ 2, 4, 4 }, { 3, 2, 3 }, { 8, 64, 11 }, { 64, 64, 64 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(guest_cpus_most(rows[i].cpus, rows[i].host), rows[i].most);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(isolation__takes_the_word_of_the_request_then_the_default),
		cmocka_unit_test(isolation__refuses_what_contradicts),
		cmocka_unit_test(auto__moves_what_pierces_and_says_so),
		cmocka_unit_test(auto__leaves_the_usual_in_a_container),
		cmocka_unit_test(auto__tells_what_no_microvm_can_give),
		cmocka_unit_test(isolation__says_what_is_missing),
		cmocka_unit_test(policy__decides_when_nothing_is_asked),
		cmocka_unit_test(policy__is_the_least_there_is),
		cmocka_unit_test(policy__looks_at_no_label_of_the_request),
		cmocka_unit_test(policy_parse__refuses),
		cmocka_unit_test(policy_read__keeps_the_old_rules_on_failure),
		cmocka_unit_test(may_be_vm__is_what_makes_a_request_wait),
		cmocka_unit_test(guest_cpus__have_spares_as_far_as_the_host_does),
	};
	return cmocka_run_group_tests_name("isolation", tests, NULL, NULL);
}
