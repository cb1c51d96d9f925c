/* SPDX-License-Identifier: Apache-2.0 */
/* guest_nic - network devices that come to and go from a guest: in which order the port, the
 * worker and the guest hear of it, and what is left after each failure. The three are
 * stand-ins that note what they are told in log[] and answer when the test says so. */
#include "fixture.h"

#include "keeper/control.h"
#include "keeper/guest.h"
#include "keeper/guest_setup.h"
#include "keeper/request.h"

#include "isola/json.h"

struct rig {
	struct guest g;
	struct keeper k;
	struct vm vm;
};

static char log_[1024];
static const char *machine;
static int port_fails, call_fails, guest_fails;
static vm_reply_fn *worker;   /* that waits for its answer; NULL: none */
static guest_reply_fn *guest; /* the same */
static void *guest_arg;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	size_t n = strlen(log_);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(log_ + n, sizeof(log_) - n, fmt, ap);
	va_end(ap);
}

/* What was noted since the last look. */
#define assert_log(want)                                                                           \
	do {                                                                                       \
		assert_string_equal(log_, want);                                                   \
		*log_ = '\0';                                                                      \
	} while (0)

/* ---- the stand-ins ---- */

int vm_machine_read(const struct keeper *k, json_object **ret, struct err *err)
{
	(void)k;
	*ret = json_tokener_parse(machine);
	return *ret ? 0 : err_set(err, EINVAL, "no machine");
}

int vm_port_open(struct vm *vm, const char *name, struct err *err)
{
	(void)vm;
	note("open %s; ", name);
	return port_fails ? err_set(err, EBUSY, "no port") : open("/dev/null", O_RDWR | O_CLOEXEC);
}

void vm_port_drop(struct vm *vm, const char *name)
{
	(void)vm;
	note("drop %s; ", name);
}

void vm_warn(struct vm *vm, const char *text)
{
	(void)vm;
	note("warn %s; ", text);
}

int vm_call_fd(struct vm *vm, const char *op, json_object *args, int fd, const struct asker *asker,
	       vm_reply_fn *reply, struct err *err)
{
	(void)vm;
	(void)asker;
	note("%s %s%s; ", op, json_object_to_json_string_ext(args, JSON_C_TO_STRING_PLAIN),
	     fd >= 0 ? " +fd" : "");
	json_object_put(args);
	if (call_fails)
		return err_set(err, ESRCH, "no worker");
	worker = reply;
	return 0;
}

int vm_call(struct vm *vm, const char *op, json_object *args, const struct asker *asker,
	    vm_reply_fn *reply, struct err *err)
{
	return vm_call_fd(vm, op, args, -1, asker, reply, err);
}

void guest_setup_put_link(struct tlv_writer *w, json_object *link)
{
	(void)w;
	note("(%s) ", json_str_or(link, "name", "?"));
}

int guest_link_call(struct guest_link *l, enum guest_type type, const struct tlv_writer *body,
		    int64_t within_ms, guest_reply_fn *reply, void *arg, struct err *err)
{
	(void)l;
	(void)body;
	assert_true(within_ms >= 1000);
	note("%s; ", type == GUEST_LINK ? "LINK" : "UNLINK");
	if (guest_fails)
		return err_set(err, ESRCH, "no guest");
	guest = reply;
	guest_arg = arg;
	return 0;
}

void control_answer(struct keeper *k, const struct asker *asker, json_object *reply,
		    const struct err *err)
{
	(void)k;
	(void)reply;
	note("answer %d: %s", (int)asker->seq, err ? err->text : "done");
}

const char *request_op_name(enum op op)
{
	(void)op;
	return "an op";
}

/* ---- the test's hands ---- */

static void worker_says(struct rig *r, const char *error)
{
	vm_reply_fn *reply = worker;
	struct err e = ERR_INIT;
	assert_non_null(reply);
	worker = NULL;
	if (error)
		(void)err_set(&e, EIO, "%s", error);
	reply(&r->vm, NULL, NULL, error ? &e : NULL);
}

static void guest_says(const char *error)
{
	guest_reply_fn *reply = guest;
	struct err e = ERR_INIT;
	assert_non_null(reply);
	guest = NULL;
	if (error)
		(void)err_set(&e, EIO, "%s", error);
	reply(guest_arg, NULL, 0, error ? &e : NULL);
}

static int ask(struct rig *r, enum op op, const char *args, struct err *err)
{
	cleanup_json json_object *o = json_tokener_parse(args);
	const struct request request = { .op = op, .args = o };
	r->k.asker.seq++;
	return guest_nic_command(&r->k, &request, err);
}

#define LINK_T1 "{\"port\":\"t1\",\"link\":{\"name\":\"eth1\",\"mac\":\"02::1\",\"mtu\":1400}}"
#define PLUG_N1 "plug {\"id\":\"n1\",\"mac\":\"02::1\",\"mtu\":1400} +fd; "

/* One place that is taken, one that is free. */
static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct rig *r = calloc(1, sizeof(*r));
	*state = r;
	machine = "{\"nets\":[{\"id\":\"n0\",\"tap\":{\"port\":\"t0\"}},{\"id\":\"n1\"}]}";
	port_fails = call_fails = guest_fails = 0;
	worker = NULL;
	guest = NULL;
	*log_ = '\0';
	r->g.k = &r->k;
	r->k.guest = &r->g;
	r->k.vm = &r->vm;
	r->vm.k = &r->k;
	r->k.state = STATE_RUNNING;
	return guest_nics_read(&r->g, &err);
}

static int teardown(void **state)
{
	struct rig *r = *state;
	guest_nics_end(&r->g);
	free(r);
	return 0;
}

static void read__knows_the_places_and_no_more_than_fit(void **state)
{
	struct rig *r = *state;
	struct guest many = { .k = &r->k };
	struct err err = ERR_INIT;
	assert_int_equal(r->g.n_nics, 2);
	assert_string_equal(r->g.nics[0].port, "t0");
	assert_string_equal(r->g.nics[1].id, "n1");
	assert_string_equal(r->g.nics[1].port, "");
	machine = "{\"nets\":[{},{},{},{},{},{},{},{},{},{}]}";
	assert_int_equal(guest_nics_read(&many, &err), 0);
	assert_int_equal(many.n_nics, GUEST_NICS_MAX);
	machine = "{";
	assert_int_equal(guest_nics_read(&r->g, &err), -EINVAL);
}

static void link__port_worker_guest(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -EINPROGRESS);
	assert_log("open t1; " PLUG_N1);
	worker_says(r, NULL);
	assert_log("(eth1) LINK; ");
	guest_says(NULL);
	assert_log("answer 1: done");
	assert_string_equal(r->g.nics[1].port, "t1");
	assert_false(r->g.linking.busy);
}

static void link__of_what_it_has_asks_the_guest_only(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	static const char *const args = "{\"port\":\"t0\",\"link\":{\"name\":\"eth0\"}}";
	assert_int_equal(ask(r, OP_LINK, args, &err), -EINPROGRESS);
	assert_log("(eth0) LINK; ");
	guest_says("it does not want");
	assert_log("answer 1: it does not want"); /* and keeps the device */
	assert_string_equal(r->g.nics[0].port, "t0");
}

static void link__a_new_one_in_a_taken_place_replaces_it(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	static const char *const args =
		"{\"port\":\"t0\",\"new\":true,\"link\":{\"name\":\"eth0\",\"mac\":\"m\"}}";
	assert_int_equal(ask(r, OP_LINK, args, &err), -EINPROGRESS);
	assert_log("UNLINK; ");
	guest_says(NULL);
	assert_log("unplug {\"id\":\"n0\"}; ");
	worker_says(r, NULL);
	assert_log("drop t0; open t0; plug {\"id\":\"n0\",\"mac\":\"m\"} +fd; ");
	worker_says(r, NULL);
	assert_log("(eth0) LINK; ");
	guest_says(NULL);
	assert_log("answer 1: done");
	assert_string_equal(r->g.nics[0].port, "t0");
	/* The same, and the worker does not let the old one go: nothing comes in its place. */
	assert_int_equal(ask(r, OP_LINK, args, &err), -EINPROGRESS);
	guest_says(NULL);
	*log_ = '\0';
	worker_says(r, "stuck");
	assert_log("drop t0; answer 2: stuck");
	assert_false(r->g.linking.busy);
}

/* Whatever fails: the port is closed, the place is free, and the next one gets it. */
static void link__undoes_what_fails(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	port_fails = 1;
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -EBUSY);
	assert_log("open t1; ");
	port_fails = 0;
	call_fails = 1;
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -ESRCH);
	assert_log("open t1; " PLUG_N1 "drop t1; ");
	call_fails = 0;
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -EINPROGRESS);
	*log_ = '\0';
	worker_says(r, "no room");
	assert_log("drop t1; answer 3: no room");
	assert_string_equal(r->g.nics[1].port, "");
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -EINPROGRESS);
	worker_says(r, NULL);
	*log_ = '\0';
	guest_says("no driver");
	assert_log("unplug {\"id\":\"n1\"}; drop t1; answer 4: no driver");
	worker_says(r, "too late");
	assert_log("warn too late; ");
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -EINPROGRESS);
	guest_fails = 1;
	*log_ = '\0';
	worker_says(r, NULL);
	assert_log("(eth1) LINK; unplug {\"id\":\"n1\"}; drop t1; answer 5: no guest");
	assert_string_equal(r->g.nics[1].port, "");
	assert_false(r->g.linking.busy);
}

static void link__refuses(void **state)
{
	struct rig *r = *state;
	static const struct {
		const char *args, *text;
		int rc;
	} rows[] = {
		{ "{\"link\":{}}", "port: ", -EINVAL },
		{ "{\"port\":\"0123456789abcdef\",\"link\":{}}", "port: \"0123456789abcdef\"",
		  -EINVAL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = ERR_INIT;
		assert_int_equal(ask(r, OP_LINK, rows[i].args, &e), rows[i].rc);
		assert_non_null(strstr(e.text, rows[i].text));
	}
	struct err err = ERR_INIT;
	(void)snprintf(r->g.nics[1].port, sizeof(r->g.nics[1].port), "t9");
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "2 networks"));
	assert_int_equal(ask(r, OP_KILL, "{}", &err), -EOPNOTSUPP);
	r->k.state = STATE_PAUSED;
	assert_int_equal(ask(r, OP_UNLINK, "{\"port\":\"t0\"}", &err), -EBUSY);
	assert_non_null(strstr(err.text, "unpause"));
	assert_log("");
}

static void both__come_one_at_a_time(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	assert_int_equal(ask(r, OP_UNLINK, "{\"port\":\"t0\",\"name\":\"eth0\"}", &err),
			 -EINPROGRESS);
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -EBUSY);
	assert_int_equal(ask(r, OP_UNLINK, "{\"port\":\"t0\"}", &err), -EBUSY);
	guest_says(NULL);
	worker_says(r, NULL);
	assert_log("UNLINK; unplug {\"id\":\"n0\"}; drop t0; answer 1: done"); /* who asked first */
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -EINPROGRESS);
}

/* A guest that does not want to, and one that cannot be asked, hold nobody up. */
static void unlink__goes_without_the_guest(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	assert_int_equal(ask(r, OP_UNLINK, "{\"port\":\"t7\"}", &err), 0);
	assert_log("");
	assert_int_equal(ask(r, OP_UNLINK, "{\"port\":\"t0\"}", &err), -EINPROGRESS);
	guest_says("busy");
	assert_log("UNLINK; warn a network device goes without the guest: busy; "
		   "unplug {\"id\":\"n0\"}; ");
	worker_says(r, NULL);
	assert_log("drop t0; answer 2: done");
	(void)snprintf(r->g.nics[0].port, sizeof(r->g.nics[0].port), "t0");
	guest_fails = 1;
	assert_int_equal(ask(r, OP_UNLINK, "{\"port\":\"t0\"}", &err), -EINPROGRESS);
	assert_log("UNLINK; warn a network device goes without the guest: no guest; "
		   "unplug {\"id\":\"n0\"}; ");
	worker_says(r, "stuck");
	assert_log("drop t0; answer 3: stuck");
	/* Nor a worker that cannot be asked; who asked hears of it before this returns. */
	(void)snprintf(r->g.nics[0].port, sizeof(r->g.nics[0].port), "t0");
	call_fails = 1;
	assert_int_equal(ask(r, OP_UNLINK, "{\"port\":\"t0\"}", &err), -EINPROGRESS);
	assert_log("UNLINK; warn a network device goes without the guest: no guest; "
		   "unplug {\"id\":\"n0\"}; drop t0; answer 4: no worker");
	assert_string_equal(r->g.nics[0].port, "");
	assert_false(r->g.linking.busy);
}

static void end__amid_a_link_leaves_nothing(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;
	assert_int_equal(ask(r, OP_LINK, LINK_T1, &err), -EINPROGRESS);
	guest_nics_end(&r->g); /* LeakSanitizer: its description */
	assert_false(r->g.linking.busy);
	assert_null(r->g.linking.link);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(read__knows_the_places_and_no_more_than_fit),
		TEST(link__port_worker_guest),
		TEST(link__of_what_it_has_asks_the_guest_only),
		TEST(link__a_new_one_in_a_taken_place_replaces_it),
		TEST(link__undoes_what_fails),
		TEST(link__refuses),
		TEST(both__come_one_at_a_time),
		TEST(unlink__goes_without_the_guest),
		TEST(end__amid_a_link_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
