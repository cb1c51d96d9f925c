/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl - virtual machines from the command line, with Docker's verbs where they fit
 * and the buttons of a machine, over isolad's socket. The verbs are the rows below. */
#include "isola/fd.h"
#include "isola/json.h"
#include "kernel.h"
#include "publish.h"
#include "verbs.h"
#include "vm_boot.h"
#include "vm_flags.h"
#include "vm_image.h"
#include "vm_refused.h"
#include "vm_rows.h"
#include "vm_seed.h"
#include "vm_template.h"
#include "vm_verbs.h"

#include <stdio.h>
#include <string.h>

#define FLAGS(...)                                                                                 \
	(const struct flag *const[])                                                               \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static const struct verb verbs[] = {
	{ "run", NULL, "[-- COMMAND [ARG...]] | IMAGE [COMMAND] [ARG...]",
	  "create a VM and run it; with IMAGE: as ctrctl run --isolation vm, with its flags",
	  "  vmctl run -it --disk debian.raw --memory 512m --cloud-init user-data\n"
	  "  vmctl run --rm --disk root.ext4 -- /bin/sh -c 'uname -a'\n"
	  "  vmctl run --rm -v data:/data alpine uname -r\n"
	  "  vmctl run -d --name db --kernel bzImage --disk db.img --cmdline root=/dev/vda \\\n"
	  "      --cpus 2 --net tap=tap0 --restart on-failure\n",
	  FLAGS(flags_vm_run, flags_vm_create, flags_vm_live), 0, -1, true, verb_run },
	{ "create", NULL, "[-- COMMAND [ARG...]] | IMAGE [COMMAND] [ARG...]",
	  "create a VM, do not run it; with IMAGE: as ctrctl create --isolation vm",
	  "  vmctl create --name db --disk db.raw && vmctl start db\n",
	  FLAGS(flags_vm_create, flags_vm_live), 0, -1, true, verb_create },
	{ "start", NULL, "VM...", "run created or stopped VMs", NULL, FLAGS(flags_start), 1, -1,
	  false, verb_start },
	{ "stop", NULL, "VM...", "press the power button, then cut the power", NULL,
	  FLAGS(flags_vm_stop), 1, -1, false, verb_stop },
	{ "restart", NULL, "VM...", "stop and start VMs", NULL, FLAGS(flags_vm_stop), 1, -1, false,
	  verb_restart },
	{ "kill", NULL, "VM...", "cut the power", NULL, FLAGS(flags_none), 1, -1, false,
	  verb_vm_kill },
	{ "reset", NULL, "VM...", "press the reset button", NULL, FLAGS(flags_none), 1, -1, false,
	  verb_reset },
	{ "powerdown", NULL, "VM...", "press the power button, do not wait", NULL,
	  FLAGS(flags_none), 1, -1, false, verb_powerdown },
	{ "nmi", NULL, "VM...", "send a non-maskable interrupt", NULL, FLAGS(flags_none), 1, -1,
	  false, verb_nmi },
	{ "pause", NULL, "VM...", "halt the vCPUs", NULL, FLAGS(flags_none), 1, -1, false,
	  verb_pause },
	{ "resume", "unpause", "VM...", "let them go on", NULL, FLAGS(flags_none), 1, -1, false,
	  verb_unpause },
	{ "rm", NULL, "VM...", "remove VMs; their disks stay", NULL, FLAGS(flags_vm_rm), 1, -1,
	  false, verb_rm },
	{ "ps", "ls status show", "", "list VMs",
	  "  vmctl ps -a --format '{{.Names}} {{.Status}}'\n", FLAGS(flags_ps), 0, 0, false,
	  verb_ps },
	{ "inspect", NULL, "VM...", "show everything about VMs",
	  "  vmctl inspect -f '{{.State.Reason}}' db\n", FLAGS(flags_format), 1, -1, false,
	  verb_inspect },
	{ "explain", NULL, "VM...", "show the real boundary of VMs", NULL, FLAGS(flags_explain), 1,
	  -1, false, verb_explain },
	{ "logs", NULL, "VM", "show what the serial port printed",
	  "  vmctl logs -f --since 10m db\n", FLAGS(flags_logs), 1, 1, false, verb_logs },
	{ "exec", NULL, "VM COMMAND [ARG...]", "run one more process in a microVM of an image",
	  "  vmctl exec -it web sh\n", FLAGS(flags_exec), 2, -1, true, verb_vm_exec },
	{ "console", "attach", "VM", "connect to the serial port; ctrl-p,ctrl-q leaves",
	  "  vmctl console db\n", FLAGS(flags_console), 1, 1, false, verb_attach },
	{ "wait", NULL, "VM...", "wait for the end, print exit codes", NULL, FLAGS(flags_none), 1,
	  -1, false, verb_wait },
	{ "stats", NULL, "[VM...]", "show use of resources", NULL, FLAGS(flags_stats), 0, -1, false,
	  verb_stats },
	{ "update", NULL, "VM...", "change a VM while it runs",
	  "  vmctl update --balloon 256m db\n"
	  "  vmctl update --disk vda,rate=50m,iops=1000 --pin 0:1 db\n"
	  "  vmctl update --disk vda,size=20g db\n",
	  FLAGS(flags_vm_live, flags_vm_update, flags_publish_live), 1, -1, false, verb_update },
	{ "rename", NULL, "VM NAME", "give a VM another name", NULL, FLAGS(flags_none), 2, 2, false,
	  verb_rename },
	{ "prune", NULL, "", "remove all stopped VMs", NULL, FLAGS(flags_prune), 0, 0, false,
	  verb_prune },
	{ "events", NULL, "", "show what happens, as it happens", NULL, FLAGS(flags_events), 0, 0,
	  false, verb_events },
	{ "kernel", NULL, "fetch|build|add|ls|use|rm", "guest kernels of this host",
	  "  vmctl kernel fetch\n  vmctl kernel ls\n", NULL, 0, -1, true, verb_kernel },
	{ "templates", NULL, "", "list what --cpu-template knows", NULL, FLAGS(flags_cpu_templates),
	  0, 0, false, verb_cpu_templates },
	{ "doctor", NULL, "", "tell whether VMs can run here, and what to do", "  vmctl doctor\n",
	  FLAGS(flags_doctor), 0, 0, false, verb_doctor },
	{ "info", NULL, "", "show the daemon and its host", NULL, FLAGS(flags_format), 0, 0, false,
	  verb_info },
	{ "version", NULL, "", "show versions of client and daemon", NULL, FLAGS(flags_format), 0,
	  0, false, verb_version },
	{ .name = NULL },
};

static json_object *create_body(struct cli *cli, struct args *args, struct err *err)
{
	cleanup_json json_object *vm = vm_config(args, err);
	if (!vm || vm_boot(cli, args, vm, err) < 0 || vm_seed(args, vm, err) < 0)
		return NULL;
	return take_ptr(vm);
}

static int start_failure(const struct err *err)
{
	(void)err;
	return EXIT_DAEMON;
}

/* A machine knows no signals: the first one asks it to end, the next ends it. */
static void signal_tail(int nth, int signo, char *buf, size_t size)
{
	(void)signo;
	(void)snprintf(buf, size, "%s", nth == 0 ? "/powerdown" : "/kill");
}

int main(int argc, char **argv)
{
	const struct kind images = vm_image_kind();
	const struct kind kind = {
		.noun = "VM",
		.collection = "vms",
		.event = "vm",
		.resume = "resume",
		.deleted = "VmsDeleted",
		.own_events = true,
		.ps = vm_ps,
		.fill_container = vm_fill_container,
		.image_verbs = vm_image_verbs,
		.image_kind = &images,
		.stats = vm_stats,
		.refused = vm_refused,
		.create_body = create_body,
		.update_body = vm_update,
		.start_failure = start_failure,
		.signal_tail = signal_tail,
	};
	return cli_main(
		"vmctl",
		"Runs virtual machines, through the daemon isolad.\n"
		"The exit code of run, start -a and wait is the guest's; if it has none, it "
		"tells why the\nmachine ended (see the manual page).",
		&kind, verbs, argc, argv);
}
