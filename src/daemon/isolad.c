/* SPDX-License-Identifier: Apache-2.0 */
/* isolad - see isolad.h: putting the parts together, serving, and ending. The
 * order of isolad_init() is that of need; isolad_fini() goes backwards.
 *
 * The socket is opened last: whoever gets through sees a daemon that knows all
 * its instances. */
#include "isolad.h"

#include "images.h"
#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/num.h"
#include "isola/path.h"
#include "life.h"
#include "recover.h"
#include "registries.h"
#include "socket.h"
#include "tap.h"
#include "wait.h"

#include "secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* For the connections to close, and then for what worker threads still write; systemd would
 * wait longer, users should not. */
#define STOP_MS      900
#define STOP_WORK_MS 5000

uv_loop_t *isolad_loop(struct isolad *d)
{
	return &d->loop;
}

/* ---- ending ---- */

static void close_handle(uv_handle_t *handle)
{
	if (handle->loop && !uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void close_signals(struct isolad *d)
{
	close_handle((uv_handle_t *)&d->on_term);
	close_handle((uv_handle_t *)&d->on_int);
	close_handle((uv_handle_t *)&d->on_hup);
}

static void tell_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (uv_has_ref(handle) && uv_is_active(handle))
		log_warn(NULL, "still open: a %s", uv_handle_type_name(handle->type));
}

static void on_stop_late(void *arg)
{
	struct isolad *d = arg;
	timer_stop(&d->stop_timer);
	d->stop_late = true;
	uv_walk(&d->loop, tell_handle, NULL);
	uv_stop(&d->loop);
}

static void on_api_closed(void *arg)
{
	struct isolad *d = arg;
	d->api = NULL;
	close_signals(d);
	children_close(d);
	notify_fini(&d->notify);
	timer_stop(&d->stop_timer);
	d->stop_timer = timer_start(d, STOP_WORK_MS, on_stop_late, d);
	if (d->stop_timer)
		timer_let_end(d->stop_timer);
}

/* Lets go of everything that runs: it lives on. Whoever waits hears why. */
static void let_go(struct isolad *d)
{
	struct err e = ERR_INIT;
	(void)err_set(&e, ECANCELED, "isolad is shutting down");
	nursery_fini(&d->nursery);
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		struct life *life = life_of(inst);
		timer_stop(&life->back_off);
		timer_stop(&life->grace);
		link_free(&inst->link);
		child_forget(life->keeper);
		life->keeper = NULL;
		op_fail_all(inst, &e);
		wait_fail_all(inst, &e);
	}
	kvm_probe_stop(d);
	kvm_broken_stop(d);
	images_stop(d->images);
	taps_stop(d);
	networks_stop(d);
	dhcp_stop(d);
	resolver_stop(d);
	wrecks_drop(d);
	recover_fini(d);
}

void isolad_stop(struct isolad *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	notify_send(&d->notify, "STOPPING=1\nSTATUS=Ending; containers and VMs live on");
	let_go(d);
	d->stop_timer = timer_start(d, STOP_MS, on_stop_late, d);
	if (d->own_socket)
		(void)unlink(d->config.socket);
	if (d->api)
		api_server_stop(d->api, on_api_closed, d);
	else
		on_api_closed(d);
}

/* ---- serving ---- */

static void on_end_signal(uv_signal_t *handle, int signo)
{
	struct isolad *d = handle->data;
	log_info(NULL, "signal %d: ending; containers and VMs live on", signo);
	isolad_stop(d);
}

static void on_reload_signal(uv_signal_t *handle, int signo)
{
	struct isolad *d = handle->data;
	(void)signo;
	struct err e = ERR_INIT;
	if (config_reload(&d->config, d->argc, d->argv, &e) < 0) {
		log_error(NULL, "settings stay as they are: %s", e.text);
		return;
	}
	if (isolation_policy_read(&d->policy, d->config.isolation_policy, &e) < 0)
		log_error(NULL, "the rules stay as they are: %s", e.text);
	log_init("isolad", d->config.log_level);
	log_info(NULL, "settings read again");
}

static int watch_signals(struct isolad *d, struct err *err)
{
	const struct {
		uv_signal_t *handle;
		uv_signal_cb on;
		int signo;
	} rows[] = {
		{ &d->on_term, on_end_signal, SIGTERM },
		{ &d->on_int, on_end_signal, SIGINT },
		{ &d->on_hup, on_reload_signal, SIGHUP },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)uv_signal_init(&d->loop, rows[i].handle);
		rows[i].handle->data = d;
		int rc = uv_signal_start(rows[i].handle, rows[i].on, rows[i].signo);
		if (rc < 0)
			return err_rc(err, rc, "cannot watch signal %d", rows[i].signo);
	}
	return 0;
}

static unsigned int count_running(struct isolad *d)
{
	unsigned int n = 0;
	list_for_each (node, &d->registry.instances)
		n += instance_is_running(container_of(node, struct instance, node));
	return n;
}

static int serve(struct isolad *d, struct err *err)
{
	int fd = take_fd(&d->listen_fd);
	d->own_socket = fd < 0;
	if (d->own_socket)
		fd = socket_listen(d->config.socket, d->config.group, err);
	if (fd < 0) {
		d->own_socket = false;
		return fd;
	}
	int rc = api_server_start(d, fd, &d->api, err);
	if (rc < 0)
		return rc;
	log_info(NULL, "isolad " ISOLA_VERSION " serves %s: %u containers and VMs, %u running",
		 d->config.socket, d->registry.n, count_running(d));
	notify_send(&d->notify, "READY=1\nSTATUS=Serving %s", d->config.socket);
	return 0;
}

static void on_recovered(struct isolad *d)
{
	volumes_clear_temporary(d);
	secrets_sweep(d);
	if (serve(d, &d->failure) < 0)
		isolad_stop(d);
}

/* ---- beginning ---- */

/* As many descriptors as we may have; children get the old limit back. */
static void raise_nofile(struct isolad *d)
{
	if (getrlimit(RLIMIT_NOFILE, &d->nofile) < 0)
		return;
	struct rlimit all = { d->nofile.rlim_max, d->nofile.rlim_max };
	(void)setrlimit(RLIMIT_NOFILE, &all);
}

static int init_process(struct isolad *d, struct err *err)
{
	d->listen_fd = notify_listen_fd(err);
	if (d->listen_fd < 0 && d->listen_fd != -ENOENT)
		return d->listen_fd;
	/* What our parent left open is not for containers. */
	(void)close_range(d->listen_fd < 0 ? 3u : (unsigned int)d->listen_fd + 1, ~0u, 0);
	/* 0-2 must be something: the next open would become stderr. */
	do
		d->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (d->null_fd >= 0 && d->null_fd <= 2);
	if (d->null_fd < 0)
		return err_sys(err, "cannot open /dev/null");
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_sys(err, "cannot ignore SIGPIPE");
	(void)umask(022);
	raise_nofile(d);
	return 0;
}

static int init_loop(struct isolad *d, struct err *err)
{
	int rc = uv_loop_init(&d->loop);
	if (rc < 0)
		return err_rc(err, rc, "cannot make an event loop");
	d->has_loop = true;
	(void)later_init(&d->later, &d->loop);
	rc = notify_init(&d->notify, &d->loop, err);
	return rc < 0 ? rc : watch_signals(d, err);
}

int isolad_init(struct isolad *d, int argc, char **argv, const struct config *config,
		struct err *err)
{
	*d = (struct isolad){ .argc = argc,
			      .argv = argv,
			      .config = *config,
			      .null_fd = -1,
			      .listen_fd = -1,
			      .started_ns = num_now_ns() };
	d->notify.fd = -1;
	registry_init(&d->registry);
	events_init(&d->events);
	list_init(&d->taps);
	list_init(&d->execs);
	list_init(&d->copies);
	list_init(&d->commits);
	list_init(&d->snapshotting);
	list_init(&d->children);
	list_init(&d->wrecks);
	list_init(&d->root_makings);
	list_init(&d->measurings);
	programs_init(&d->programs);
	kvm_probe_init(&d->kvm_probe);
	kvm_broken_init(&d->kvm_broken);
	nursery_init(&d->nursery);
	roots_init(&d->roots);
	networks_init(&d->networks);
	dhcp_init(&d->dhcp);
	resolver_init(&d->resolver);
	volumes_init(&d->volumes);
	int rc = init_process(d, err);
	if (rc >= 0)
		rc = init_loop(d, err);
	if (rc >= 0)
		rc = roots_open(&d->roots, &d->config, err);
	if (rc >= 0)
		rc = programs_open(&d->programs, &d->config, err);
	if (rc >= 0)
		rc = guests_init(&d->guests, &d->config, d->roots.state, d->roots.run, err);
	if (rc >= 0)
		rc = place_init(&d->place, d->config.cgroup, err);
	if (rc >= 0)
		rc = uidrange_init(&d->uidrange, d->config.userns_first, d->config.userns_ranges,
				   err);
	if (rc >= 0)
		rc = registries_read_default(d->config.registries, err);
	if (rc >= 0)
		rc = isolation_policy_read(&d->policy, d->config.isolation_policy, err);
	if (rc >= 0)
		rc = images_open(d, &d->images, err);
	if (rc >= 0)
		rc = networks_open(d, err);
	if (rc >= 0)
		rc = volumes_open(d, err);
	if (rc >= 0)
		rc = recover_begin(d, on_recovered, err);
	/* Where guests could run but for KVM, the first is not to wait for the answer. */
	if (rc >= 0 && guests_installed(d))
		kvm_probe_begin(d);
	return rc < 0 ? rc : 0;
}

int isolad_run(struct isolad *d, struct err *err)
{
	(void)uv_run(&d->loop, UV_RUN_DEFAULT);
	if (d->failure.code)
		return err_copy(err, &d->failure);
	return 0;
}

void isolad_fini(struct isolad *d)
{
	if (d->stop_late) {
		/* A worker thread hangs in the kernel, or a connection does not
		 * close; exit() would wait for it. Everything that counts is on
		 * the disk, or the worker is just writing it. */
		log_warn(NULL, "not everything ended in time");
		_exit(0);
	}
	if (d->has_loop)
		isolad_stop(d);
	images_close(d->images);
	while (!list_is_empty(&d->registry.instances)) {
		struct instance *inst =
			container_of(d->registry.instances.next, struct instance, node);
		registry_remove(inst);
		instance_free(inst);
	}
	if (d->has_loop) {
		later_fini(&d->later);
		timer_stop(&d->stop_timer);
		(void)uv_run(&d->loop, UV_RUN_DEFAULT);
		(void)uv_loop_close(&d->loop);
	}
	networks_fini(d);
	resolver_fini(d);
	volumes_close(&d->volumes);
	events_fini(&d->events);
	uidrange_fini(&d->uidrange);
	place_fini(&d->place);
	nursery_fini(&d->nursery);
	guests_fini(&d->guests);
	isolation_policy_fini(&d->policy);
	programs_close(&d->programs);
	roots_close(&d->roots);
	fd_close(&d->listen_fd);
	fd_close(&d->null_fd);
	config_fini(&d->config);
}
