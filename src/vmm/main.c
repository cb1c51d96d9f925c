/* SPDX-License-Identifier: Apache-2.0 */
/* main - isola-vmm: runs one VM. A keeper executes it (include/isola/vmm.h), or a
 * person with a machine file (docs/machine.md). */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/vmm.h"

#include "vmm/control.h"
#include "vmm/cpu_broken.h"
#include "vmm/jail.h"
#include "vmm/machine.h"
#include "vmm/probe.h"
#include "vmm/run.h"
#include "vmm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>

#define EXIT_START 125 /* could not be started */
#define EXIT_USAGE 2

static const char usage[] =
	"isola-vmm " ISOLA_VERSION " - runs one virtual machine\n"
	"\n"
	"  isola-vmm --config FILE [--seccomp kill|log|off]   run the machine in FILE; serial\n"
	"                        port 0 is this terminal, Ctrl-C ends the machine\n"
	"  isola-vmm --config FILE --check                    only check FILE\n"
	"  isola-vmm --keeper    by isolad's keeper: descriptor 3 is its socket, 4 the file\n"
	"  isola-vmm --probe     try what KVM here can do, by a tiny guest; prints JSON\n"
	"  isola-vmm --broken    of that what a start tries, in 3 ms; prints JSON, for \"cpus\"\n"
	"  isola-vmm --help | --version\n"
	"\n"
	"The exit status says how the machine ended: 0 power-off or reset (or the value that\n"
	"the guest gave), 125 it could not be started, 134 panic, 135 triple fault, 136\n"
	"watchdog, 137 KVM error, 138 device error, 143 it was told to end.\n"
	"\n"
	"Example of a FILE:\n"
	"  { \"version\": 1, \"id\": \"one\",\n"
	"    \"memory\": { \"size\": 268435456 },\n"
	"    \"boot\": { \"kernel\": { \"path\": \"/boot/vmlinuz\" },\n"
	"              \"cmdline\": \"console=ttyS0 root=/dev/vda\" },\n"
	"    \"disks\": [{ \"id\": \"vda\", \"source\": { \"path\": \"/srv/root.img\" } }] }\n";

struct options {
	const char *config, *seccomp;
	bool keeper, check;
	int (*report)(const char *kvm_path, json_object **ret, struct err *err);
};

/* All that outlives a step, so that one place cleans up. */
struct worker {
	struct options options;
	uint64_t start_ns, start_cpu_ns; /* when main() began */
	struct machine machine;
	struct vm vm;
	bool have_vm;
	uv_signal_t signals[2];
	bool raw;
	struct termios saved;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;
	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the machine file ---- */

static int read_document(int fd, const char *name, json_object **ret, struct err *err)
{
	cleanup_free char *text = malloc(VMM_MACHINE_BYTES_MAX + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t n = fd_read_all(fd, text, VMM_MACHINE_BYTES_MAX + 1);
	if (n < 0)
		return err_rc(err, (int)n, "cannot read %s", name);
	if (n > VMM_MACHINE_BYTES_MAX)
		return err_set(err, EFBIG, "%s: is longer than %d bytes", name,
			       VMM_MACHINE_BYTES_MAX);
	return json_parse(text, (size_t)n, name, ret, err);
}

static int read_machine(struct worker *w, struct err *err)
{
	const char *name = w->options.keeper ? "the machine file" : w->options.config;
	json_object *doc = NULL;
	cleanup_fd int fd =
		w->options.keeper ? VMM_MACHINE_FD : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, "cannot open %s", name);
	if (w->options.keeper && lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, "descriptor %d is no machine file", VMM_MACHINE_FD);
	int rc = read_document(fd, name, &doc, err);
	if (rc < 0)
		return rc;
	rc = machine_parse(doc, !w->options.keeper, &w->machine, err);
	if (rc < 0)
		return err_prefix(err, "%s", name);
	if (w->options.seccomp)
		w->machine.seccomp = w->options.seccomp;
	return 0;
}

/* What nobody named is no business of a worker. */
static void close_others(const struct machine *m)
{
	unsigned int from = VMM_FIRST_FD;
	for (unsigned int fd = from; fd < MACHINE_FDS_MAX; fd++) {
		if (!m->fds[fd])
			continue;
		if (fd > from)
			(void)close_range(from, fd - 1, 0);
		from = fd + 1;
	}
	(void)close_range(from, UINT_MAX, 0);
}

/* ---- by hand ---- */

/* Ctrl-C stays a signal: it is the way out. */
static void make_raw(struct worker *w)
{
	struct termios t;
	if (tcgetattr(STDIN_FILENO, &w->saved) < 0)
		return;
	t = w->saved;
	cfmakeraw(&t);
	t.c_lflag |= ISIG;
	t.c_oflag |= OPOST;
	w->raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

static void restore_terminal(struct worker *w)
{
	if (w->raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &w->saved);
	w->raw = false;
}

static void on_signal(uv_signal_t *handle, int signo)
{
	vm_end(handle->data, VM_QUIT, -1, "ended by signal %d", signo);
}

static int watch_signals(struct worker *w, struct err *err)
{
	static const int numbers[] = { SIGTERM, SIGINT };
	for (size_t i = 0; i < 2; i++) {
		int rc = uv_signal_init(&w->vm.loop, &w->signals[i]);
		if (rc == 0)
			rc = uv_signal_start(&w->signals[i], on_signal, numbers[i]);
		if (rc < 0)
			return err_rc(err, rc, "cannot watch signals");
		w->signals[i].data = &w->vm;
		uv_unref((uv_handle_t *)&w->signals[i]);
	}
	return 0;
}

static void close_signals(struct worker *w)
{
	for (size_t i = 0; i < 2; i++)
		if (w->signals[i].data)
			uv_close((uv_handle_t *)&w->signals[i], NULL);
}

/* ---- what is said ---- */

static void on_first_run(void *arg, uint64_t when_ns, uint64_t cpu_ns)
{
	struct worker *w = arg;
	/* From exec on: main() began after start_cpu_ns of loading. */
	uint64_t us = (when_ns - w->start_ns + w->start_cpu_ns) / 1000;
	if (w->vm.control)
		control_running(w->vm.control, us, cpu_ns / 1000);
}

static void on_warn(void *arg, const char *text)
{
	struct worker *w = arg;
	if (w->vm.control)
		control_warn(w->vm.control, text);
	else
		(void)dprintf(STDERR_FILENO, "isola-vmm: %s: %s\n", w->machine.id, text);
}

/* ---- running ---- */

static int build(struct worker *w, struct err *err)
{
	const struct run_watch watch = { on_first_run, on_warn, w };
	int rc = vm_init(&w->vm, &w->machine, err);
	if (rc < 0)
		return rc;
	w->have_vm = true;
	run_watch(&w->vm, &watch);
	if (w->options.keeper)
		rc = control_new(&w->vm, VMM_CONTROL_FD, &w->vm.control, err);
	if (rc == 0)
		rc = watch_signals(w, err);
	return rc < 0 ? rc : vm_build(&w->vm, err);
}

/* No way back from here: the jail, the threads (each with its filter), ours; then others. */
static int lock_in(struct worker *w, struct err *err)
{
	int rc = jail_enter(&w->machine, w->options.keeper, err);
	if (rc < 0)
		return err_prefix(err, "the jail");
	rc = vm_start(&w->vm, err);
	if (rc == 0)
		rc = jail_filter(JAIL_LOOP, w->machine.seccomp, err);
	return rc < 0 ? rc : vm_meet(&w->vm, err);
}

/* Every thread is behind its filter. */
static void on_ready(void *arg)
{
	struct worker *w = arg;
	struct vm_exit exit;
	if (vm_exit_get(&w->vm, &exit)) /* or it has failed */
		return;
	if (w->vm.control) {
		control_hello(w->vm.control);
		control_start(w->vm.control);
	} else {
		vm_resume(&w->vm);
	}
}

static void run(struct worker *w, struct vm_exit *ret)
{
	vm_pause(&w->vm, on_ready, w);
	(void)uv_run(&w->vm.loop, UV_RUN_DEFAULT);
	if (!vm_exit_get(&w->vm, ret))
		*ret = (struct vm_exit){ "device-error", 138, "the loop has nothing left to do" };
}

/* Builds and runs; says how it ended. */
static void work(struct worker *w, struct vm_exit *ret, int *ret_errno)
{
	struct err err = ERR_INIT;
	int rc = read_machine(w, &err);
	if (rc == 0 && w->options.keeper)
		close_others(&w->machine);
	if (rc == 0)
		rc = build(w, &err);
	if (rc == 0 && !w->options.keeper)
		make_raw(w);
	if (rc == 0)
		rc = lock_in(w, &err);
	if (rc == 0) {
		run(w, ret);
		return;
	}
	*ret = (struct vm_exit){ .reason = "start-error", .code = EXIT_START };
	(void)snprintf(ret->text, sizeof(ret->text), "%s", err.text);
	*ret_errno = -rc;
}

/* A machine file that is wrong comes before there is a loop to send with. */
static void tell_keeper(struct worker *w, const struct vm_exit *exit, int code)
{
	struct err err = ERR_INIT;
	if (!w->have_vm && vm_init(&w->vm, NULL, &err) == 0)
		w->have_vm = true;
	if (w->have_vm && !w->vm.control)
		(void)control_new(&w->vm, VMM_CONTROL_FD, &w->vm.control, &err);
	if (w->vm.control)
		control_exit(w->vm.control, exit, code);
}

static int run_machine(struct worker *w)
{
	struct vm_exit exit;
	int code = 0;
	work(w, &exit, &code);
	restore_terminal(w);
	if (w->options.keeper)
		tell_keeper(w, &exit, code);
	else
		(void)dprintf(STDERR_FILENO, "isola-vmm: %s: %s: %s\n",
			      w->machine.id ? w->machine.id : "", exit.reason, exit.text);
	if (w->have_vm) {
		close_signals(w);
		vm_fini(&w->vm);
	}
	machine_fini(&w->machine);
	return exit.code;
}

static int check_machine(struct worker *w)
{
	struct err err = ERR_INIT;
	if (read_machine(w, &err) < 0) {
		(void)fprintf(stderr, "isola-vmm: %s\n", err.text);
		return 1;
	}
	(void)printf("%s: ok\n", w->options.config);
	machine_fini(&w->machine);
	return 0;
}

static int print_report(const struct options *o)
{
	struct err err = ERR_INIT;
	json_object *doc = NULL;
	if (o->report("/dev/kvm", &doc, &err) < 0) {
		(void)fprintf(stderr, "isola-vmm: %s\n", err.text);
		return 1;
	}
	int rc = puts(json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PRETTY)) < 0;
	json_object_put(doc);
	return rc;
}

/* ---- the command line ---- */

static int complain(const char *what, const char *arg)
{
	(void)fprintf(stderr, "isola-vmm: %s%s; try --help\n", what, arg);
	return EXIT_USAGE;
}

static bool is_mode(const char *word)
{
	return !strcmp(word, "kill") || !strcmp(word, "log") || !strcmp(word, "off");
}

/* 0: go on; else an exit status, + 1 so that 0 can be one. */
static int parse_args(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		if (!strcmp(arg, "--help") || !strcmp(arg, "-h"))
			return fputs(usage, stdout) < 0 ? 2 : 1;
		if (!strcmp(arg, "--version"))
			return puts("isola-vmm " ISOLA_VERSION) < 0 ? 2 : 1;
		if (!strcmp(arg, "--keeper")) {
			o->keeper = true;
		} else if (!strcmp(arg, "--check")) {
			o->check = true;
		} else if (!strcmp(arg, "--probe")) {
			o->report = probe_report;
		} else if (!strcmp(arg, "--broken")) {
			o->report = broken_report;
		} else if (!strcmp(arg, "--config") || !strcmp(arg, "--seccomp")) {
			if (!next)
				return complain(arg, " needs a value") + 1;
			*(arg[2] == 'c' ? &o->config : &o->seccomp) = next;
			i++;
		} else {
			return complain("there is no ", arg) + 1;
		}
	}
	if (o->seccomp && !is_mode(o->seccomp))
		return complain("--seccomp: kill, log or off, not ", o->seccomp) + 1;
	if (o->report)
		return o->keeper || o->config ? complain("--probe and --broken", " stand alone") + 1
					      : 0;
	if (o->keeper == (o->config != NULL) || (o->keeper && o->check))
		return complain("needs either --config FILE or --keeper", "") + 1;
	return 0;
}

/* A stray write to a descriptor number that is free must not hit a disk. */
static int check_stdio(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	static struct worker w;
	w.start_ns = clock_ns(CLOCK_MONOTONIC);
	w.start_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	int rc = parse_args(argc, argv, &w.options);
	if (rc > 0)
		return rc - 1;
	if (check_stdio() < 0)
		return EXIT_START;
	if (w.options.report)
		return print_report(&w.options);
	/* One heap for all threads: vCPUs hardly allocate. */
	(void)mallopt(M_ARENA_MAX, 1);
	(void)signal(SIGPIPE, SIG_IGN);
	return w.options.check ? check_machine(&w) : run_machine(&w);
}
