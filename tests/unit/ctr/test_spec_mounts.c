/* SPDX-License-Identifier: Apache-2.0 */
/* spec_mounts - option words of mounts. */
#include "spec_doc.h"

#include "ctr/spec.h"

#include <errno.h>
#include <linux/mount.h>
#include <stdio.h>

#define ATIME MOUNT_ATTR__ATIME

/* A spec whose only mount has these options ("\"ro\",\"nodev\""). */
static struct ctr_spec *with_options(const char *head, const char *options)
{
	char text[1024];
	(void)snprintf(text, sizeof(text),
		       "{\"mounts\":[{\"destination\":\"/d\",%s,\"options\":[%s]}]}", head,
		       options);
	return good_spec(text);
}

#define TMPFS "\"type\":\"tmpfs\",\"source\":\"tmpfs\""
#define BIND  "\"type\":\"bind\",\"source\":\"/src\""

static void options__become_attributes(void **state)
{
	(void)state;
	static const struct {
		const char *options;
		uint64_t set, clr, rec_set, rec_clr;
	} rows[] = {
		{ "", 0, 0, 0, 0 },
		{ "\"defaults\"", 0, 0, 0, 0 },
		{ "\"ro\"", MOUNT_ATTR_RDONLY, 0, 0, 0 },
		{ "\"ro\",\"rw\"", 0, MOUNT_ATTR_RDONLY, 0, 0 },
		{ "\"rw\",\"ro\"", MOUNT_ATTR_RDONLY, 0, 0, 0 },
		{ "\"nosuid\",\"nodev\",\"noexec\"",
		  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, 0, 0 },
		{ "\"suid\",\"dev\",\"exec\"", 0,
		  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, 0 },
		{ "\"nodiratime\",\"nosymfollow\"", MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW,
		  0, 0, 0 },
		{ "\"diratime\",\"symfollow\"", 0, MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW,
		  0, 0 },
		{ "\"noatime\"", MOUNT_ATTR_NOATIME, ATIME, 0, 0 },
		{ "\"strictatime\"", MOUNT_ATTR_STRICTATIME, ATIME, 0, 0 },
		{ "\"relatime\"", 0, ATIME, 0, 0 },
		{ "\"noatime\",\"atime\"", 0, ATIME, 0, 0 },
		{ "\"strictatime\",\"noatime\"", MOUNT_ATTR_NOATIME, ATIME, 0, 0 },
		{ "\"strictatime\",\"nostrictatime\"", 0, ATIME, 0, 0 },
		{ "\"norelatime\"", 0, 0, 0, 0 },
		{ "\"rro\",\"rnosuid\"", 0, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0 },
		{ "\"rrw\",\"rdev\"", 0, 0, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV },
		{ "\"ro\",\"rrw\"", MOUNT_ATTR_RDONLY, 0, 0, MOUNT_ATTR_RDONLY },
		{ "\"rnoatime\"", 0, 0, MOUNT_ATTR_NOATIME, ATIME },
		{ "\"rstrictatime\",\"rrelatime\"", 0, 0, 0, ATIME },
		{ "\"rnosymfollow\",\"rexec\",\"rnodiratime\"", 0, 0,
		  MOUNT_ATTR_NOSYMFOLLOW | MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctr_spec *s = with_options(BIND, rows[i].options);
		const struct ctr_mount *m = s->mounts;
		assert_int_equal(s->n_mounts, 1);
		assert_true(m->bind);
		assert_int_equal(m->attr_set, rows[i].set);
		assert_int_equal(m->attr_clr, rows[i].clr);
		assert_int_equal(m->rec_attr_set, rows[i].rec_set);
		assert_int_equal(m->rec_attr_clr, rows[i].rec_clr);
		assert_int_equal(m->n_params, 0);
		assert_string_equal(m->data, "");
		ctr_spec_free(s);
	}
}

static void options__reach_the_file_system(void **state)
{
	(void)state;
	struct ctr_spec *s = with_options(
		TMPFS,
		"\"nosuid\",\"mode=755,size=64k\",\"sync\",\"huge=a\\\\,b\",\"noswap\",\"silent\","
		"\"ctx=\\\"c1,c2\\\"\",\"tmpcopyup\",\"ro\",\"\",\"k==v\"");
	const struct ctr_mount *m = s->mounts;
	static const struct ctr_mount_param want[] = {
		{ "mode", "755" },      { "size", "64k" }, { "huge", "a\\,b" }, { "noswap", NULL },
		{ "ctx", "\"c1,c2\"" }, { "k", "=v" },     { "sync", NULL },
	};
	assert_int_equal(m->n_params, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < m->n_params; i++) {
		assert_string_equal(m->params[i].key, want[i].key);
		if (want[i].value)
			assert_string_equal(m->params[i].value, want[i].value);
		else
			assert_null(m->params[i].value);
	}
	assert_string_equal(m->data, "mode=755,size=64k,huge=a\\,b,noswap,ctx=\"c1,c2\",k==v");
	assert_int_equal(m->sb_flags, MS_SYNCHRONOUS | MS_SILENT);
	assert_int_equal(m->attr_set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY);
	assert_true(m->tmpcopyup);
	ctr_spec_free(s);

	s = with_options(TMPFS,
			 "\"sync\",\"async\",\"lazytime\",\"nolazytime\",\"mand\",\"nomand\","
			 "\"iversion\",\"noiversion\",\"silent\",\"loud\"");
	assert_int_equal(s->mounts->n_params, 0);
	assert_int_equal(s->mounts->sb_flags, 0);
	ctr_spec_free(s);
}

static void options__keep_propagation_in_order(void **state)
{
	(void)state;
	struct ctr_spec *s = with_options(BIND, "\"rslave\",\"shared\"");
	const struct ctr_mount *m = s->mounts;
	assert_int_equal(m->n_propagation, 2);
	assert_int_equal(m->propagation[0], MS_SLAVE | MS_REC);
	assert_int_equal(m->propagation[1], MS_SHARED);
	ctr_spec_free(s);
	s = with_options("\"source\":\"/src\"", "\"rbind\",\"runbindable\",\"rprivate\"");
	m = s->mounts;
	assert_true(m->bind && m->recursive);
	assert_int_equal(m->propagation[0], MS_UNBINDABLE | MS_REC);
	assert_int_equal(m->propagation[1], MS_PRIVATE | MS_REC);
	ctr_spec_free(s);
}

static void mounts__know_kinds(void **state)
{
	(void)state;
	struct ctr_spec *s = with_options(BIND, "");
	assert_true(s->mounts->bind);
	assert_false(s->mounts->recursive);
	ctr_spec_free(s);
	s = with_options("\"type\":\"none\",\"source\":\"rel/a\"", "\"bind\"");
	assert_true(s->mounts->bind);
	assert_string_equal(s->mounts->source, "rel/a");
	ctr_spec_free(s);
	s = with_options("\"type\":\"none\"", "\"remount\",\"bind\",\"ro\"");
	assert_true(s->mounts->remount);
	ctr_spec_free(s);
	s = good_spec("{\"mounts\":[{\"destination\":\"rel\",\"type\":\"proc\"}]}");
	assert_string_equal(s->mounts->destination, "/rel");
	assert_string_equal(s->mounts->source, "");
	assert_string_equal(s->mounts->data, "");
	ctr_spec_free(s);
}

static void mounts__take_a_subpath_whole(void **state)
{
	(void)state;
	struct ctr_spec *m = with_options(BIND, "\"isola.memory=7:8:640\"");
	assert_true(m->mounts[0].memory);
	assert_int_equal(m->mounts[0].memory_uid, 7);
	assert_int_equal(m->mounts[0].memory_gid, 8);
	assert_int_equal(m->mounts[0].memory_mode, 0640);
	ctr_spec_free(m);
	struct ctr_spec *s = with_options(BIND, "\"isola.subpath=a,b/c=d\",\"ro\"");
	assert_string_equal(s->mounts->subpath, "a,b/c=d");
	assert_int_equal(s->mounts->n_params, 0);
	ctr_spec_free(s);
}

static void mounts__map_ids(void **state)
{
	(void)state;
#define MAPS                                                                                       \
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":100,\"size\":10}],"                        \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":200,\"size\":10}]"
	struct ctr_spec *s = with_options(BIND "," MAPS, "\"ridmap\"");
	assert_int_equal(s->mounts->idmap, CTR_IDMAP_RECURSIVE);
	assert_int_equal(s->mounts->uid_maps.items[0].host_id, 100);
	assert_int_equal(s->mounts->gid_maps.items[0].host_id, 200);
	ctr_spec_free(s);
	s = with_options(BIND "," MAPS, "\"rbind\"");
	assert_int_equal(s->mounts->idmap, CTR_IDMAP_TOP);
	ctr_spec_free(s);
	s = good_spec("{\"mounts\":[{\"destination\":\"/x\",\"source\":\"/\",\"options\":[\"bind\","
		      "\"idmap\"]}],\"linux\":{\"namespaces\":[{\"type\":\"mount\"},"
		      "{\"type\":\"user\"}]," MAPS "}}");
	assert_int_equal(s->mounts->idmap, CTR_IDMAP_TOP);
	assert_int_equal(s->mounts->uid_maps.n, 0);
	ctr_spec_free(s);
}

static void mounts__refuse_nonsense(void **state)
{
	(void)state;
#define M(text) "{\"mounts\":[{\"destination\":\"/d\"," text "}]}"
	static const struct bad_row rows[] = {
		{ "{\"mounts\":{}}", "mounts: must be an array" },
		{ "{\"mounts\":[1]}", "mounts[0]: must be an object" },
		{ "{\"mounts\":[{\"type\":\"tmpfs\"}]}", "mounts[0].destination: is missing" },
		{ "{\"mounts\":[{\"destination\":\"\"}]}", "mounts[0].destination: is missing" },
		{ M("\"source\":\"x\""), "mounts[0].type: is missing" },
		{ M("\"type\":\"bind\""), "mounts[0].source: is missing: what shall be bound?" },
		{ M("\"type\":1"), "mounts[0].type: must be a string" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"ro\",\"mode=755\"]"),
		  "mounts[0].options: a bind mount takes no option \"mode\"" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"sync\"]"),
		  "mounts[0].options: a bind mount takes no option \"sync\"" },
		{ M("\"type\":\"tmpfs\",\"options\":\"ro\""),
		  "mounts[0].options: must be an array of strings" },
		{ M("\"type\":\"tmpfs\",\"options\":[\"ro\",7]"),
		  "mounts[0].options[1]: must be a string" },
		{ M("\"type\":\"tmpfs\",\"options\":[\"=x\"]"),
		  "mounts[0].options[0]: has no name before \"=\"" },
		{ M("\"type\":\"proc\",\"options\":[\"tmpcopyup\"]"),
		  "mounts[0].options: tmpcopyup is for type \"tmpfs\" only" },
		{ M("\"type\":\"tmpfs\",\"options\":[\"isola.subpath=a\"]"),
		  "mounts[0].options: isola.subpath= is for bind mounts only" },
		{ M("\"type\":\"tmpfs\",\"options\":[\"isola.memory=0:0:444\"]"),
		  "mounts[0].options: isola.memory= is for plain bind mounts only" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"isola.memory=0:0:444\","
		    "\"idmap\"]"),
		  "mounts[0].options: isola.memory= is for plain bind mounts only" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"isola.memory=0:0\"]"),
		  "mounts[0].options[0]: must be isola.memory=UID:GID:MODE" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"isola.memory=-1:0:444\"]"),
		  "mounts[0].options[0]: must be isola.memory=UID:GID:MODE" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"isola.memory=0:4294967295:444\"]"),
		  "mounts[0].options[0]: must be isola.memory=UID:GID:MODE" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"isola.memory=0:0:10000\"]"),
		  "mounts[0].options[0]: must be isola.memory=UID:GID:MODE" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"isola.memory=0:0:8\"]"),
		  "mounts[0].options[0]: must be isola.memory=UID:GID:MODE" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"isola.subpath=\"]"),
		  "mounts[0].options[0]: names no path" },
		{ M("\"type\":\"tmpfs\",\"options\":[\"idmap\"]"),
		  "mounts[0].options: an idmapped mount must be a bind mount" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"shared\",\"slave\",\"private\","
		    "\"rshared\",\"rslave\"]"),
		  "mounts[0].options[4]: more than 4 changes of propagation" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"options\":[\"idmap\"],\"uidMappings\":["
		    "{\"containerID\":0,\"hostID\":1,\"size\":1}]"),
		  "mounts[0].gidMappings: is missing: both or none must be given" },
		{ M("\"type\":\"bind\",\"source\":\"/\",\"uidMappings\":[{\"containerID\":0,"
		    "\"hostID\":1,\"size\":0}]"),
		  "mounts[0].uidMappings[0].size: must be 1 to 4294967295" },
	};
	CHECK_BAD(rows);
}

static void mounts__bound_their_data(void **state)
{
	(void)state;
	char text[6000], *p = text;
	p += sprintf(
		p,
		"{\"mounts\":[{\"destination\":\"/d\",\"type\":\"overlay\",\"options\":[\"lowerdir=");
	memset(p, 'x', 4090);
	strcpy(p + 4090, "\"]}]}");
	struct bad_row row = { text,
			       "mounts[0].options: those of the file system exceed 4095 bytes" };
	check_bad(&row, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options__become_attributes),
		cmocka_unit_test(options__reach_the_file_system),
		cmocka_unit_test(options__keep_propagation_in_order),
		cmocka_unit_test(mounts__know_kinds),
		cmocka_unit_test(mounts__take_a_subpath_whole),
		cmocka_unit_test(mounts__map_ids),
		cmocka_unit_test(mounts__refuse_nonsense),
		cmocka_unit_test(mounts__bound_their_data),
	};
	return cmocka_run_group_tests_name("spec_mounts", tests, NULL, NULL);
}
