/* SPDX-License-Identifier: Apache-2.0 */
/* cpuprobe - see cpuprobe.h. The child's output goes to a memfd: it never waits for
 * us to read, and we read once, at its end. */
#include "cpuprobe.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isolad.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LIMIT_MS         10000 /* half a second, where some of what it tries hangs */
#define OUTPUT_BYTES_MAX (256 * 1024)

void cpuprobe_init(struct cpuprobe *p)
{
	*p = (struct cpuprobe){ .out_fd = -1 };
}

void cpuprobe_fini(struct cpuprobe *p)
{
	if (p->child)
		(void)child_kill(p->child, SIGKILL);
	child_forget(p->child);
	timer_stop(&p->limit);
	fd_close(&p->out_fd);
	json_object_put(p->broken);
	cpuprobe_init(p);
}

/* The device is made anew when KVM's module is loaded. */
static void identity(char *ret, size_t size)
{
	struct stat st = { 0 };
	char microcode[32] = "";
	cleanup_fd int fd =
		open("/sys/devices/system/cpu/cpu0/microcode/version", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)fd_read_all(fd, microcode, sizeof(microcode) - 1);
	(void)stat("/dev/kvm", &st);
	(void)snprintf(ret, size, "%llx:%llx:%lld.%ld %s", (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino, (long long)st.st_ctim.tv_sec,
		       st.st_ctim.tv_nsec, microcode);
}

static bool is_this_host(const struct cpuprobe *p)
{
	char now[sizeof(p->tried)];
	identity(now, sizeof(now));
	return !strcmp(now, p->tried);
}

json_object *cpuprobe_broken(struct isolad *d)
{
	return d->cpuprobe.broken && is_this_host(&d->cpuprobe) ? d->cpuprobe.broken : NULL;
}

static int read_names(int fd, json_object **ret, struct err *err)
{
	cleanup_free char *text = malloc(OUTPUT_BYTES_MAX);
	cleanup_json json_object *doc = NULL;
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	(void)lseek(fd, 0, SEEK_SET);
	ssize_t n = fd_read_all(fd, text, OUTPUT_BYTES_MAX);
	int rc = n < 0 ? err_rc(err, (int)n, "cannot read its answer")
		       : json_parse(text, (size_t)n, "its answer", &doc, err);
	json_object *names = json_get(doc, "broken");
	if (rc < 0)
		return rc;
	if (!json_object_is_type(names, json_type_array))
		return err_set(err, EPROTO, "its answer has no \"broken\"");
	for (size_t i = 0; i < json_len(names); i++)
		if (!json_item_str(names, i))
			return err_set(err, EPROTO, "\"broken\" of its answer holds no names");
	*ret = json_object_get(names);
	return 0;
}

static void on_ended(void *arg, int status)
{
	struct isolad *d = arg;
	struct cpuprobe *p = &d->cpuprobe;
	struct err err = ERR_INIT;
	p->child = NULL;
	timer_stop(&p->limit);
	if (WIFSIGNALED(status))
		(void)err_set(&err, EIO, "it was killed by signal %d", WTERMSIG(status));
	else if (status != 0)
		(void)err_set(&err, EIO, "it ended with status %d", WEXITSTATUS(status));
	else
		(void)read_names(p->out_fd, &p->broken, &err);
	fd_close(&p->out_fd);
	if (err.code)
		log_warn(NULL, "isola-vmm --probe: %s; each VM tries for itself", err.text);
}

static void on_limit(void *arg)
{
	struct isolad *d = arg;
	timer_stop(&d->cpuprobe.limit);
	(void)child_kill(d->cpuprobe.child, SIGKILL);
}

void cpuprobe_start(struct isolad *d)
{
	struct cpuprobe *p = &d->cpuprobe;
	struct err err = ERR_INIT;
	if (p->child || is_this_host(p))
		return;
	identity(p->tried, sizeof(p->tried));
	json_object_put(p->broken);
	p->broken = NULL;
	const char *const argv[] = { "isola-vmm", "--probe", NULL };
	p->out_fd = memfd_create("probe", MFD_CLOEXEC);
	struct child_args args = { .program = PROGRAM_VMM,
				   .argv = argv,
				   .stdin_fd = -1,
				   .stdout_fd = p->out_fd,
				   .fd3 = -1 };
	int rc = p->out_fd < 0 ? err_sys(&err, "cannot make a memfd")
			       : child_spawn(d, &args, on_ended, d, &p->child, &err);
	if (rc < 0) {
		fd_close(&p->out_fd);
		log_warn(NULL, "isola-vmm --probe: %s; each VM tries for itself", err.text);
		return;
	}
	p->limit = timer_start(d, LIMIT_MS, on_limit, d);
}
