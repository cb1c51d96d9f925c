/* SPDX-License-Identifier: Apache-2.0 */
/* create_vm, bundle_vm - a VmConfig with every default, the machine file made of it,
 * and updates. Refusals are in tests/api/test_vm_routes.py. */
#include "fixture.h"

#include "daemon/create.h"
#include "daemon/endpoint.h"
#include "daemon/vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

static json_object *config_of(const char *body, const char *controllers)
{
	struct isolad *d = fixture_isolad();
	struct create_env env;
	struct err err = ERR_INIT;
	json_object *config = NULL;
	cleanup_json json_object *request = js(body), *warnings = json_object_new_array();
	fixture_env(&env, d, controllers);
	if (create_vm_normalise(&env, request, warnings, &config, &err) < 0)
		fail_msg("%s: %s", body, err.text);
	fixture_env_fini(&env);
	fixture_isolad_free(d);
	return config;
}

static void create_vm__makes_every_default_explicit(void **state)
{
	(void)state;
	cleanup_json json_object *config = config_of("{'Kernel':'/k','Disks':[{'Path':'/d'}]}", "");
	assert_json(
		config,
		"{'Kernel':'/k','Initrd':'','Cmdline':'','CmdlineDefaults':true,'Cpus':{'Count':1,"
		"'ThreadsPerCore':1,'CoresPerSocket':0,'Template':'host','Affinity':[]},"
		"'Memory':{'Size':134217728,'HugePages':'none','Shared':false,'Thp':false,"
		"'Prefault':false,'Merge':false},'Disks':[{'Id':'vda','Path':'/d','ReadOnly':false,"
		"'Format':'raw','Cache':'writeback','Engine':'auto','Serial':'','Queues':1,"
		"'Discard':true}],'Nets':[],'NetworkMode':'none','NetworkQueues':1,'MacAddress':'',"
		"'PortBindings':{},'Shares':[],'Pmem':[],'Consoles':[],'Vsock':null,"
		"'Balloon':{'Size':0,'DeflateOnOom':true,'Reporting':true,'StatsMs':0},'Rng':{},"
		"'Watchdog':null,'VmGenId':'','DebugExit':false,'Seccomp':'kill','Tty':false,"
		"'OpenStdin':false,'StdinOnce':false,'StopTimeout':null,'AutoRemove':false,"
		"'RestartPolicy':{'Name':'no','MaximumRetryCount':0},'LogConfig':{'Type':"
		"'json-file','Config':{'max-size':'10485760','max-file':'3'}},'Labels':{},"
		"'Limits':{'Memory':0,'NanoCpus':0,'CpuShares':0,'CpusetCpus':'','CpusetMems':'',"
		"'PidsLimit':null,'BlkioWeight':0}}");
}

/* @index: of an endpoint it has; -1 = none. */
static json_object *machine_of(const char *body, int index)
{
	struct network net = { .mtu = 1400 };
	struct endpoint e = { .network = &net, .mac = { 2, 0, 0, 0, 0, 7 } };
	struct instance inst = { .id = FIXTURE_ID, .userns_base = 131072 };
	struct err err = ERR_INIT;
	json_object *machine = NULL;
	inst.config = config_of(body, ALL_CONTROLLERS);
	inst.kind = INSTANCE_VM;
	list_init(&inst.endpoints);
	if (index >= 0) {
		e.index = (unsigned int)index;
		e.inst = &inst;
		list_add_tail(&inst.endpoints, &e.node);
	}
	if (vm_machine(&inst, &machine, &err) < 0)
		fail_msg("%s", err.text);
	json_object_put(inst.config);
	return machine;
}

/* Places for networks that it joins while it runs. */
#define LATER                                                                                      \
	"{'id':'later0','spare':true,'acpi':true},{'id':'later1','spare':true,'acpi':true},"       \
	"{'id':'later2','spare':true,'acpi':true}"

static void machine__names_sources_for_the_keeper(void **state)
{
	(void)state;
	cleanup_json json_object *machine = machine_of(
		"{'Kernel':'/k','CmdlineDefaults':false,'Cmdline':'a b','Disks':[{'Path':'/d',"
		"'Rate':{'Ops':{'Size':5,'RefillMs':10}}},{'Id':'cd','Data':'eA=='}],"
		"'Nets':[{'Tap':'t0'},{'Socket':'/s','Mac':'02:00:00:00:00:09'},{'Passt':true}],"
		"'Shares':[{'Tag':'h','Path':'/h','ReadOnly':true},{'Tag':'v','Volume':'data'}],"
		"'Consoles':[{},{'Socket':'/c'}],"
		"'Vsock':{'Path':'/v'},'Balloon':false,'Rng':false,'Memory':{'Size':1048576},"
		"'Watchdog':{},'OpenStdin':true}",
		-1);
	assert_json(
		machine,
		"{'version':1,'id':'0123456789ab','kvm':{'path':'/dev/kvm'},'cpus':{'count':1,"
		"'threads_per_core':1,'template':'host'},'memory':{'size':1048576,'shared':true,"
		"'hugepages':'none','thp':false,'prefault':false,'merge':false},'boot':{'kernel':"
		"{'path':'/k'},'cmdline':'a b'},'serial':{'input':true},'disks':[{'id':'vda',"
		"'readonly':false,'format':'raw','cache':'writeback','engine':'auto','queues':1,"
		"'discard':true,'source':{'path':'/d'},'rate':{'ops':{'size':5,'refill_ms':10}}},"
		"{'id':'cd','readonly':true,'format':'raw','cache':'writeback','engine':'auto',"
		"'queues':1,'discard':true,'source':{'data':'eA=='}}],'nets':[{'mac':"
		"'02:01:23:45:67:00','id':'net0','queues':1,'offload':true,'tap':{'name':'t0'}},"
		"{'mac':'02:00:00:00:00:09','id':'net1','queues':1,'offload':true,'socket':"
		"{'path':'/s'}},{'mac':'02:01:23:45:67:02','id':'net2','queues':1,'offload':true,"
		"'socket':{'passt':true}}," LATER
		"],'shares':[{'tag':'h','queues':1,'socket':{'folder':'/h',"
		"'readonly':true}},{'tag':'v','queues':1,'socket':{'folder':"
		"'/volumes/data/_data','readonly':false}}],'consoles':[{'id':'console0','source':{'pty':true}},{'id':"
		"'console1','source':{'path':'/c'}}],'vsock':{'cid':3,'listen':{'path':'/v'},"
		"'connect':'keeper'},'balloon':false,'rng':false,'watchdog':{'action':'reset'},"
		"'debug_exit':false,'seccomp':'kill','jail':{'uid':131072,'gid':131072}}");
}

static void machine__has_ports_of_networks_first(void **state)
{
	(void)state;
	cleanup_json json_object *machine =
		machine_of("{'Kernel':'/k','Nets':[{'Tap':'t0'}],'NetworkQueues':2}", 3);
	assert_json(json_get(machine, "nets"),
		    "[{'id':'eth3','mac':'02:00:00:00:00:07','queues':2,'mtu':1400,'tap':{'port':"
		    "'tap012345673'}},{'mac':'02:01:23:45:67:00','id':'net0','queues':1,"
		    "'offload':true,'tap':{'name':'t0'}}," LATER "]");
	/* the bus has 18 places */
	cleanup_json json_object *full =
		machine_of("{'Kernel':'/k','Disks':[{'Path':'/1'},{'Path':'/2'},{'Path':'/3'},"
			   "{'Path':'/4'},{'Path':'/5'},{'Path':'/6'},{'Path':'/7'},{'Path':'/8'},"
			   "{'Path':'/9'},{'Path':'/10'},{'Path':'/11'},{'Path':'/12'},"
			   "{'Path':'/13'},{'Path':'/14'}],'Nets':[{'Tap':'t0'}]}",
			   0);
	assert_int_equal(json_len(json_get(full, "nets")), 2);
}

static void cmdline__has_the_defaults_in_front(void **state)
{
	(void)state;
	cleanup_json json_object *config =
		config_of("{'Kernel':'/k','Cmdline':'root=/dev/vda'}", "");
	cleanup_free char *text = vm_cmdline(config);
	assert_non_null(strstr(text, "console=ttyS0 "));
	assert_string_equal(text + strlen(text) - strlen(" root=/dev/vda"), " root=/dev/vda");
}

static void resources__include_the_overhead(void **state)
{
	(void)state;
	static const struct {
		const char *body, *controllers, *want;
	} rows[] = {
		{ "{'Kernel':'/k','Memory':{'Size':1048576}}", "cpu memory",
		  "{'memory':{'limit':135266304}}" },
		{ "{'Kernel':'/k'}", "cpu", "{}" },
		{ "{'Kernel':'/k','Limits':{'Memory':-1}}", ALL_CONTROLLERS,
		  "{'memory':{'limit':-1}}" },
		{ "{'Kernel':'/k','Limits':{'Memory':268435456,'NanoCpus':500000000}}",
		  ALL_CONTROLLERS,
		  "{'memory':{'limit':268435456},'cpu':{'quota':50000,'period':100000}}" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *config = config_of(rows[i].body, rows[i].controllers);
		json_object *got = NULL;
		assert_int_equal(vm_resources(config, rows[i].controllers, &got, NULL), 0);
		assert_json(got, rows[i].want);
		json_object_put(got);
	}
}

/* Takes "undo" out, and looks at it: as the VM was. */
static void assert_undone(json_object *calls)
{
	static const char *const want[] = {
		"{'op':'balloon','args':{'size':0}}",
		NULL, /* all CPUs of this host */
		"{'op':'disk','args':{'id':'vda','rate':{}}}",
		"{'op':'net','args':{'id':'net0','rate_tx':{}}}",
	};
	assert_int_equal(json_len(calls), sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < json_len(calls); i++) {
		json_object *call = json_object_array_get_idx(calls, i);
		json_object *undo = json_get(call, "undo");
		assert_non_null(undo);
		if (want[i])
			assert_json(undo, want[i]);
		else
			assert_true(json_len(json_get(json_get(undo, "args"), "cpus")) > 0);
		json_object_object_del(call, "undo");
	}
}

static void update__asks_the_keeper_part_by_part(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct create_env env;
	struct err err = ERR_INIT;
	json_object *next = NULL, *calls = NULL;
	cleanup_json json_object *config = config_of(
		"{'Kernel':'/k','Cpus':{'Count':2},'Disks':[{'Path':'/d'}],'Nets':[{'Tap':'t'}]}",
		ALL_CONTROLLERS);
	cleanup_json json_object *before = json_copy(config);
	cleanup_json json_object *body =
		js("{'Balloon':{'Size':4096},'Cpus':{'Affinity':[[1]]},'Disks':[{'Id':'vda',"
		   "'Size':1024,'Rate':{}}],'Nets':[{'Id':'net0','RateTx':{'Ops':{'Size':1,"
		   "'RefillMs':2}}}],'StopTimeout':9}");
	fixture_env(&env, d, ALL_CONTROLLERS);
	assert_int_equal(create_vm_update(&env, config, body, &next, &calls, &err), 0);
	json_object *pin = json_object_array_get_idx(calls, 2);
	assert_true(json_len(json_get(json_get(pin, "args"), "cpus")) > 0);
	(void)json_object_array_del_idx(calls, 2, 1); /* vCPU 1: all CPUs of this host */
	assert_undone(calls);
	assert_json(calls, "[{'op':'balloon','args':{'size':4096}},{'op':'pin','args':{'vcpu':0,"
			   "'cpus':[1]}},{'op':'disk','args':{'id':'vda','resize':true,"
			   "'size':1024,'rate':{}}},{'op':'net','args':{'id':'net0','rate_tx':"
			   "{'ops':{'size':1,'refill_ms':2}}}}]");
	assert_int_equal(json_i64_or(next, "StopTimeout", 0), 9);
	/* The old one is as it was. */
	assert_true(json_object_equal(config, before));
	json_object_put(next);
	json_object_put(calls);
	fixture_env_fini(&env);
	fixture_isolad_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_vm__makes_every_default_explicit),
		cmocka_unit_test(machine__names_sources_for_the_keeper),
		cmocka_unit_test(machine__has_ports_of_networks_first),
		cmocka_unit_test(cmdline__has_the_defaults_in_front),
		cmocka_unit_test(resources__include_the_overhead),
		cmocka_unit_test(update__asks_the_keeper_part_by_part),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
