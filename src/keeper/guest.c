/* SPDX-License-Identifier: Apache-2.0 */
/* guest - see guest.h: the payload that is a container in a VM. The VM's part is vm.c's,
 * which asks here where a container differs. */
#include "guest.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include "control.h"
#include "guest_setup.h"
#include "guest_split.h"
#include "layers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CONFIG_BYTES_MAX ((size_t)4 * 1024 * 1024)
/* From the process's end to that of its output, which the guest ended before. */
#define DRAIN_MS 2000
/* From SHUTDOWN, and from a SIGKILL, until the worker is killed. */
#define END_MS 2000

/* ---- the root ---- */

static int make_holder(struct guest *g, const struct layers *layers, struct err *err)
{
	struct keeper *k = g->k;
	const struct ctr_create_args args = {
		.id = k->spec.id,
		.spec = g->host_spec,
		.root = layers_root(layers, &k->spec),
		.bundle_fd = k->run_dir_fd,
		.bundle_path = k->run_dir,
		.cgroup = k->spec.cgroup,
		.stdio = { -1, -1, -1 },
		.cache_fd = k->cache_fd,
		.gate_fd = -1,
		.no_devices = true,
	};
	return ctr_create(&args, &k->ctr, err);
}

static int read_host_spec(struct guest *g, struct err *err)
{
	cleanup_json json_object *host = NULL;
	int rc = json_read_file(g->k->run_dir_fd, "config.json", CONFIG_BYTES_MAX, &g->config, err);
	if (rc == 0)
		rc = guest_split_host(g->config, g->k->spec.resources, g->k->spec.layer, &host,
				      err);
	return rc < 0 ? rc : ctr_spec_parse(host, &g->host_spec, err);
}

/* The host's id of the container's root, @key being one of linux.*Mappings. */
static uint32_t host_root(const struct guest *g, const char *key)
{
	json_object *map =
		json_object_array_get_idx(json_get(json_get(g->config, "linux"), key), 0);
	return (uint32_t)json_i64_or(map, "hostID", 0);
}

/* An empty root, in which the container's root makes the places of what is served. */
static int make_served(struct guest *g, struct err *err)
{
	int dir = g->k->run_dir_fd;
	if (mkdirat(dir, GUEST_SPLIT_SERVED, 0755) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make the folder of what is served");
	cleanup_fd int fd =
		openat(dir, GUEST_SPLIT_SERVED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0755) < 0 ||
	    fchown(fd, host_root(g, "uidMappings"), host_root(g, "gidMappings")) < 0)
		return err_sys(err, "cannot make the folder of what is served");
	return 0;
}

static int make_root(struct guest *g, struct err *err)
{
	const struct keepspec *spec = &g->k->spec;
	struct layers layers = LAYERS_INIT;
	int rc = read_host_spec(g, err);
	if (rc == 0)
		rc = spec->layer ? make_served(g, err) : layers_open(spec, &layers, err);
	if (rc == 0)
		rc = layers_make_dirs(spec, err);
	/* Only a cache: without it filters are compiled each time. */
	if (rc == 0 && spec->seccomp_cache)
		g->k->cache_fd = open(spec->seccomp_cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rc == 0)
		rc = make_holder(g, &layers, err);
	layers_close(&layers);
	return rc;
}

pid_t guest_root_pid(const struct guest *g)
{
	return g->k->ctr ? g->k->ctr->pid : 0;
}

/* Once; what it held goes with the last who has it. */
static int end_holder(struct guest *g, struct err *err)
{
	struct keeper *k = g->k;
	if (!k->ctr || g->holder_ended)
		return 0;
	g->holder_ended = true;
	int rc = ctr_delete(k->ctr, g->host_spec, err);
	(void)waitpid(k->ctr->pid, NULL, WNOHANG | __WALL);
	return rc;
}

/* ---- what the guest says ---- */

static void on_ready(struct guest_link *l, const char *release, uint64_t boot_us)
{
	struct guest *g = container_of(l, struct guest, link);
	(void)release;
	g->times.boot_us = boot_us;
	guest_on_ready(g);
}

static void on_stream(struct guest_link *l, uint64_t process, enum guest_stream stream, int fd)
{
	struct guest *g = container_of(l, struct guest, link);
	if (process == GUEST_FIRST) {
		/* A terminal is both ways, and stands in the first place. */
		int at = g->k->spec.tty ? 0 : (int)stream;
		fd_close(&g->fds.fd[at]);
		g->fds.fd[at] = fd;
	} else if (!guest_exec_stream(g, process, stream, fd) &&
		   !guest_copy_stream(g, process, fd)) {
		(void)close(fd);
	}
}

/* All is read: the guest may go. It is given a while to write what it has to. */
static void shut_down(struct guest *g)
{
	struct err ignored;
	bool asked = guest_link_shutdown(&g->link, &ignored) == 0;
	loop_timer(&g->k->loop, &g->end_timer, asked ? END_MS : 0);
}

static bool has_output(const struct keeper *k)
{
	return k->io.out[0].src.fd >= 0 || k->io.out[1].src.fd >= 0;
}

/* Twice: what waits for the output, and then for the worker. */
static void on_end_timer(struct timer *timer)
{
	struct guest *g = container_of(timer, struct guest, end_timer);
	if (g->exited && !g->shutting_down) {
		g->shutting_down = true;
		shut_down(g);
	} else if (g->k->vm->alive) {
		(void)kill(g->k->rec.pid, SIGKILL);
	}
}

static void on_output_end(struct payio *io)
{
	struct keeper *k = container_of(io, struct keeper, io);
	/* From the loop: the output's own code is on the stack. */
	if (k->guest->exited && !k->guest->shutting_down)
		loop_timer(&k->loop, &k->guest->end_timer, 0);
}

static void on_oom(struct guest_link *l, uint64_t kills)
{
	struct guest *g = container_of(l, struct guest, link);
	if (kills <= g->oom_kills)
		return;
	g->oom_kills = kills;
	control_event(g->k, control_event_new("oom"));
}

static void on_exited(struct guest_link *l, uint64_t process, int status, uint64_t oom_kills)
{
	struct guest *g = container_of(l, struct guest, link);
	on_oom(l, oom_kills);
	if (process != GUEST_FIRST) {
		(void)guest_exec_exited(g, process, status);
		return;
	}
	g->exited = true;
	g->status = status;
	g->ended_ns = num_now_ns();
	loop_timer(&g->k->loop, &g->end_timer, has_output(g->k) ? DRAIN_MS : 0);
}

static void on_notice(struct guest_link *l, const char *text)
{
	char said[GUEST_NOTICE_MAX + 32];
	struct guest *g = container_of(l, struct guest, link);
	(void)snprintf(said, sizeof(said), "the guest says: %s", text);
	vm_warn(g->k->vm, said);
}

static void on_broken(struct guest_link *l, const struct err *err)
{
	struct guest *g = container_of(l, struct guest, link);
	/* It went because its process did, or its VM. */
	if (g->exited || !g->k->vm || !g->k->vm->alive)
		return;
	g->protocol_error = err->code != EPIPE;
	guest_end(g, "%s", err->text);
}

static const struct guest_link_ops link_ops = {
	.on_ready = on_ready,
	.on_stream = on_stream,
	.on_exited = on_exited,
	.on_notice = on_notice,
	.on_oom = on_oom,
	.on_broken = on_broken,
};

/* ---- create ---- */

static struct guest *guest_new(struct keeper *k)
{
	struct guest *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	*g = (struct guest){ .k = k,
			     .console = { .src = { .fd = -1 } },
			     .fds = { { -1, -1, -1 } },
			     .number = GUEST_FIRST,
			     .boot_ms = k->spec.boot_ms,
			     .online = k->spec.cpus,
			     .links = json_object_get(k->spec.links),
			     .has_image = k->spec.layer != NULL,
			     .end_timer = { .on_time = on_end_timer } };
	list_init(&g->copies);
	guest_link_init(&g->link, &k->loop, &link_ops);
	return g;
}

static int create(struct keeper *k, struct err *err)
{
	struct guest *g = k->guest = guest_new(k);
	if (!g)
		return err_set(err, ENOMEM, "out of memory");
	payio_prepare(&k->io, &k->loop, k->spec.tty, k->spec.keeps_stdin);
	k->io.log = k->log;
	k->io.stdin_once = k->spec.stdin_once;
	k->io.on_output_end = on_output_end;
	guest_times_mark(&g->times, GUEST_TIME_CREATE);
	int rc = make_root(g, err);
	guest_times_mark(&g->times, GUEST_TIME_ROOT);
	if (rc == 0)
		rc = guest_nics_read(g, err);
	if (rc == 0)
		rc = payload_vm.create(k, err);
	guest_times_mark(&g->times, GUEST_TIME_WORKER);
	if (rc < 0)
		end_holder(g, NULL);
	return rc;
}

/* ---- its life ---- */

static int start(struct keeper *k, struct err *err)
{
	guest_times_mark(&k->guest->times, GUEST_TIME_START);
	return payload_vm.start(k, err);
}

/* Its clock has stood still, as far as the guest can tell. */
void guest_vm_resumed(struct guest *g)
{
	struct err ignored;
	cleanup_tlv struct tlv_writer w = { 0 };
	tlv_put_u64(&w, GF_CLOCK_NS, (uint64_t)num_now_ns());
	(void)guest_link_call(&g->link, GUEST_CLOCK, &w, GUEST_CALL_MS, NULL, NULL, &ignored);
}

struct guest_asking {
	struct guest *g;
	struct asker asker;
};

static void on_answer(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct guest_asking *a = arg;
	(void)body;
	(void)size;
	control_answer(a->g->k, &a->asker, NULL, err);
	free(a);
}

int guest_ask(struct guest *g, enum guest_type type, const struct tlv_writer *body,
	      int64_t within_ms, struct err *err)
{
	struct guest_asking *a = malloc(sizeof(*a));
	if (!a)
		return err_set(err, ENOMEM, "out of memory");
	*a = (struct guest_asking){ g, g->k->asker };
	int rc = guest_link_call(&g->link, type, body, within_ms, on_answer, a, err);
	if (rc < 0)
		free(a);
	return rc < 0 ? rc : -EINPROGRESS;
}

/* SIGKILL comes to pass whatever the guest does. */
static int send_signal(struct keeper *k, int signo, bool all, struct err *err)
{
	struct guest *g = k->guest;
	cleanup_tlv struct tlv_writer w = { 0 };
	if (signo == SIGKILL && (k->state == STATE_PAUSED || !g->ran))
		return payload_vm.kill(k, signo, all, err);
	tlv_put_u64(&w, GF_PROCESS, GUEST_FIRST);
	tlv_put_u64(&w, GF_SIGNO, (uint64_t)signo);
	if (all)
		tlv_put_u64(&w, GF_ALL, 1);
	int rc = guest_ask(g, GUEST_SIGNAL, &w, GUEST_CALL_MS, err);
	if (signo != SIGKILL)
		return rc;
	if (!g->exited)
		loop_timer(&k->loop, &g->end_timer, END_MS);
	/* Also where the guest cannot be asked. */
	return rc == -EINPROGRESS ? rc : 0;
}

static int freeze(struct keeper *k, bool frozen, struct err *err)
{
	return payload_vm.freeze(k, frozen, err);
}

static int resize(struct keeper *k, unsigned int rows, unsigned int columns, struct err *err)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	if (!k->io.tty)
		return err_set(err, ENOTTY, "cannot resize the terminal: there is none");
	k->spec.rows = rows;
	k->spec.columns = columns;
	if (!k->guest->ran)
		return 0; /* RUN has it */
	tlv_put_u64(&w, GF_PROCESS, GUEST_FIRST);
	tlv_put_u64(&w, GF_ROWS, rows);
	tlv_put_u64(&w, GF_COLUMNS, columns);
	return guest_ask(k->guest, GUEST_RESIZE, &w, GUEST_CALL_MS, err);
}

/* ---- the end ---- */

void guest_vm_sized(struct guest *g, json_object *machine)
{
	g->memory = json_i64_or(json_get(machine, "memory"), "size", 0);
	g->cpus = json_i64_or(json_get(machine, "cpus"), "count", 1);
}

/* Before anybody hears: why it was ended, and what the kernel printed last when it never
 * came up. */
void guest_vm_ended(struct guest *g, struct vm *vm)
{
	char tail[256] = "";
	loop_timer_stop(&g->boot_timer);
	loop_timer_stop(&g->end_timer);
	if (*g->text) {
		(void)snprintf(vm->exit.text, sizeof(vm->exit.text), "%s", g->text);
		(void)snprintf(vm->exit.reason, sizeof(vm->exit.reason), "%s",
			       g->protocol_error ? "protocol-error" : "guest-error");
		vm->exit.code = g->protocol_error ? 140 : 128;
		vm->exit.known = true;
	}
	if (g->ran)
		return;
	guest_console_tail(&g->console, tail, sizeof(tail));
	if (*tail) {
		size_t n = strlen(vm->exit.text);
		(void)snprintf(vm->exit.text + n, sizeof(vm->exit.text) - n,
			       "; its console ended with: %s", tail);
	}
}

bool guest_record_exit(struct guest *g)
{
	if (!g->exited)
		return false;
	exitrec_set_status(&g->k->rec, g->status);
	g->k->rec.finished_ns = g->ended_ns;
	g->k->rec.oom = g->oom_kills > 0;
	return true;
}

static bool ended(struct keeper *k, int status)
{
	return payload_vm.ended(k, status);
}

static void remove_all(struct keeper *k)
{
	struct guest *g = k->guest;
	struct err err = ERR_INIT;
	if (!g)
		return;
	loop_timer_stop(&g->boot_timer);
	loop_timer_stop(&g->end_timer);
	payload_vm.remove(k);
	guest_link_fini(&g->link);
	guest_console_close(&g->console);
	for (int i = 0; i < 3; i++)
		fd_close(&g->fds.fd[i]);
	if (end_holder(g, &err) < 0)
		control_warn(k, err.text);
}

static void free_all(struct keeper *k)
{
	struct guest *g = k->guest;
	remove_all(k);
	payload_vm.free(k);
	ctr_free(k->ctr);
	ctr_spec_free(k->ctr_spec);
	if (!g)
		return;
	ctr_spec_free(g->host_spec);
	json_object_put(g->config);
	json_object_put(g->links);
	json_object_put(g->places);
	guest_nics_end(g);
	free(g);
	k->guest = NULL;
}

const struct payload_type payload_guest = {
	.noun = "container",
	.create = create,
	.start = start,
	.ended = ended,
	.kill = send_signal,
	.freeze = freeze,
	.exec = guest_exec_start,
	.copy = guest_copy_begin,
	.sync = guest_sync,
	.mount = guest_mount,
	.command = guest_command,
	.update = guest_update,
	.resize = resize,
	.remove = remove_all,
	.free = free_all,
};
