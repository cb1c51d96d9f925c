/* SPDX-License-Identifier: Apache-2.0 */
/* init - the first process of a guest that boots one of our kernels: loads the
 * modules beside it, mounts the root that the command line names and becomes its
 * init, or runs one command in it and ends the machine with the command's exit code.
 *
 *	root=/dev/vda | PARTUUID=... | UUID=... | LABEL=... | virtiofs:TAG
 *	rootfstype=, rootflags=, ro, rw, init=, -- COMMAND ARG...
 *
 * The guest's PID 1, in the initramfs that vmctl makes (src/tar/initrd.c). */
#include "find.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOT         "/new"
#define WAIT_MS      10000 /* for the root's device */
#define DEBUG_EXIT   0xf4  /* isa-debug-exit; nobody listens where it is not there */
#define EXIT_TROUBLE 125

static char cmdline[4096];

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)fputs("isola-init: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
}

/* Ends the machine; @code is what the host sees, if it wants to. */
static void end(int code) __attribute__((noreturn));
static void end(int code)
{
	sync();
	(void)umount2(ROOT, MNT_DETACH);
	if (code != 0 && ioperm(DEBUG_EXIT, 1, 1) == 0)
		outb((unsigned char)code, DEBUG_EXIT);
	(void)reboot(RB_POWER_OFF);
	(void)reboot(RB_AUTOBOOT); /* no power to switch off */
	for (;;)
		(void)pause();
}

static void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say("%s", text);
	end(EXIT_TROUBLE);
}

/* ---- the command line ---- */

static void read_cmdline(void)
{
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, cmdline, sizeof(cmdline) - 1);
	cmdline[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		(void)close(fd);
	for (char *p = cmdline; *p; p++)
		if (*p == '\n')
			*p = ' ';
}

/* The last value of @key before "--", in @buf; false when it is not there. A flag
 * has the value "". */
static bool parameter(const char *key, char *buf, size_t size)
{
	bool found = false;
	size_t len = strlen(key);
	for (const char *p = cmdline; *p;) {
		p += strspn(p, " ");
		size_t n = 0;
		for (bool quoted = false; p[n] && (quoted || p[n] != ' '); n++)
			quoted ^= p[n] == '"';
		if (n == 2 && !strncmp(p, "--", 2))
			break;
		if (n >= len && !strncmp(p, key, len) && (n == len || p[len] == '=')) {
			const char *v = p + len + (n > len);
			(void)snprintf(buf, size, "%.*s", (int)(p + n - v), v);
			found = true;
		}
		p += n;
	}
	return found;
}

/* ---- modules ---- */

static void load(const char *file)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "/m/%s", file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		say("cannot load the module %s: %s", file, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
}

/* Lines "WHEN FILE" in the order of their needs; WHEN is "-" for always, else the
 * file system that needs it. */
static void load_modules(const char *when)
{
	char line[160], w[32], file[96];
	FILE *f = fopen("/m/list", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%31s %95s", w, file) == 2 && !strcmp(w, when))
			load(file);
	if (f)
		(void)fclose(f);
}

/* ---- the root ---- */

static void pause_ms(int ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000L };
	(void)nanosleep(&t, NULL);
}

static int open_root(const char *root, char *ret_device, size_t size)
{
	for (int ms = 0; ms < WAIT_MS; ms += 10) {
		if (find_device(root, ret_device, size) == 0) {
			int fd = open(ret_device, O_RDONLY | O_CLOEXEC);
			if (fd >= 0)
				return fd;
		}
		pause_ms(10);
	}
	return -1;
}

static void mount_root(const char *root)
{
	char device[256], type[32] = "", flags[256] = "", ignored[8];
	unsigned long how = parameter("rw", ignored, sizeof(ignored)) ? 0 : MS_RDONLY;
	(void)parameter("rootfstype", type, sizeof(type));
	(void)parameter("rootflags", flags, sizeof(flags));
	if (!strncmp(root, "virtiofs:", 9)) {
		(void)snprintf(device, sizeof(device), "%s", root + 9);
		(void)snprintf(type, sizeof(type), "virtiofs");
	} else {
		int fd = open_root(root, device, sizeof(device));
		if (fd < 0)
			fail("there is no root=%s (waited %d s)", root, WAIT_MS / 1000);
		if (!*type && find_type(fd, type, sizeof(type)) < 0)
			fail("%s holds no file system that is known here", device);
		(void)close(fd);
	}
	load_modules(type);
	if (mount(device, ROOT, type, how, flags) < 0)
		fail("cannot mount %s (%s) as the root: %s", device, type, strerror(errno));
}

/* ---- what runs ---- */

static void carry_mount(const char *name)
{
	char to[64];
	(void)snprintf(to, sizeof(to), ROOT "%s", name);
	if (mount(name, to, NULL, MS_MOVE, NULL) < 0)
		(void)umount2(name, MNT_DETACH); /* a root without the folder */
}

static void become_init(char **argv)
{
	char init[256] = "";
	const char *const names[] = { init, "/sbin/init", "/etc/init", "/bin/init", "/bin/sh" };
	(void)parameter("init", init, sizeof(init));
	carry_mount("/proc");
	carry_mount("/sys");
	carry_mount("/dev");
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		fail("cannot change to the root: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!*names[i])
			continue;
		argv[0] = (char *)(uintptr_t)names[i];
		(void)execv(names[i], argv);
		if (i == 0)
			fail("cannot execute init=%s: %s", init, strerror(errno));
	}
	fail("the root has no init (/sbin/init and others were tried)");
}

/* The terminal behind /dev/console, so that ^C and job control work. */
static void take_terminal(void)
{
	char name[64] = "", path[80];
	int fd = open("/sys/class/tty/console/active", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
	if (fd >= 0)
		(void)close(fd);
	name[n < 0 ? 0 : n] = '\0';
	name[strcspn(name, "\n")] = '\0';
	char *last = strrchr(name, ' ');
	(void)snprintf(path, sizeof(path), "/dev/%s", last ? last + 1 : name);
	(void)setsid();
	fd = open(path, O_RDWR);
	if (fd < 0)
		return;
	(void)ioctl(fd, TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		(void)dup2(fd, i);
	if (fd > 2)
		(void)close(fd);
}

static void run_child(bool in_root, char **command)
{
	take_terminal();
	if (in_root && (chroot(ROOT) < 0 || chdir("/") < 0)) {
		say("cannot change to the root: %s", strerror(errno));
		_exit(EXIT_TROUBLE);
	}
	(void)setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	(void)execvp(command[0], command);
	int code = errno == ENOENT ? 127 : 126;
	say("cannot execute %s: %s", command[0], strerror(errno));
	_exit(code);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %xx is a byte that the kernel's command line could not hold; vmctl writes it so. */
static void decode(char *word)
{
	char *to = word;
	for (const char *p = word; *p; p++) {
		bool code = *p == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0;
		*to++ = code ? (char)(hex(p[1]) << 4 | hex(p[2])) : *p;
		p += code ? 2 : 0;
	}
	*to = '\0';
}

/* Runs the command and reaps what it leaves, until it has ended itself. */
static int run_command(bool in_root, char **command)
{
	if (in_root) {
		carry_mount("/proc");
		(void)mount("sysfs", ROOT "/sys", "sysfs", 0, NULL);
		(void)mount("devtmpfs", ROOT "/dev", "devtmpfs", 0, NULL);
		(void)mount("tmpfs", ROOT "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
		(void)mkdir(ROOT "/dev/pts", 0755);
		(void)mount("devpts", ROOT "/dev/pts", "devpts", 0, "ptmxmode=666");
	}
	pid_t child = fork();
	if (child == 0)
		run_child(in_root, command);
	if (child < 0)
		fail("cannot fork: %s", strerror(errno));
	int status = 0;
	for (pid_t pid = 0; pid != child;) {
		pid = wait(&status);
		if (pid < 0 && errno != EINTR)
			fail("the command is lost: %s", strerror(errno));
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The power button's signal (ACPI_TINY_POWER_BUTTON, our kernel): no init is here
 * that would shut down in order. */
static void on_power(int signo)
{
	(void)signo;
	end(0);
}

int main(int argc, char **argv)
{
	char root[256];
	(void)mkdir("/dev", 0755);
	(void)mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	(void)mount("proc", "/proc", "proc", 0, NULL);
	(void)mount("sysfs", "/sys", "sysfs", 0, NULL);
	read_cmdline();
	load_modules("-");
	bool has_root = parameter("root", root, sizeof(root));
	if (has_root)
		mount_root(root);
	if (has_root && argc < 2)
		become_init(argv);
	if (argc < 2)
		fail("there is nothing to run: neither root= nor a command behind \"--\"");
	(void)signal(SIGRTMIN + 4, on_power);
	for (int i = 1; i < argc; i++)
		decode(argv[i]);
	end(run_command(has_root, argv + 1));
}
