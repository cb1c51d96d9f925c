/* SPDX-License-Identifier: Apache-2.0 */
/* recover - see recover.h. isolad, before it serves; blocking reads are allowed
 * here, waiting for a keeper is not: its hello comes through the loop.
 *
 *   record          keeper     exit.json   then
 *   any             alive      -           adopt; hello tells the state
 *   any             dead       newer       it ended meanwhile: note it
 *   running         dead       none        it died unseen: 137, sweep
 *   created/exited  died       none        the same: the record was a moment late
 *   created/exited  none       none        nothing happened
 *   removing        any        any         go on removing
 *   none            any        any         a --rm one, or never complete: clear
 *   unreadable      any        any         left as it is, and reported
 *
 * A keeper that made its container but was never told to start it (isolad died in
 * between) is killed: whoever asked for the start has seen it fail. */
#include "recover.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pid.h"

#include "exec.h"
#include "health.h"
#include "isolad.h"
#include "life.h"
#include "persist.h"
#include "record.h"
#include "restart.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HELLO_WAIT_MS  5000
#define EXIT_BYTES_MAX (1024 * 1024)
#define PID_BYTES_MAX  256

struct recover {
	recover_fn *done;
	struct timer *timer;
	struct instance **found; /* loaded, not yet registered; owned */
	size_t n_found;
	bool scanned;
};

/* ---- keepers ---- */

/* The pidfd of the keeper that keeper.pid names, or -errno. */
static int find_keeper(int run_dir, pid_t *ret_pid)
{
	cleanup_json json_object *doc = NULL;
	int rc = json_read_file(run_dir, "keeper.pid", PID_BYTES_MAX, &doc, NULL);
	if (rc < 0)
		return rc;
	int64_t pid = json_i64_or(doc, "pid", 0), ticks = json_i64_or(doc, "start_ticks", 0);
	if (pid <= 1 || pid > INT32_MAX || ticks <= 0)
		return -EINVAL;
	*ret_pid = (pid_t)pid;
	return pid_open_same((pid_t)pid, (uint64_t)ticks);
}

/* Through the folder's descriptor: the path may be longer than a socket address. */
static int connect_keeper(int run_dir)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/keeper.sock", run_dir);
	cleanup_fd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return take_fd(&sock);
}

/* True when a living keeper was adopted. */
static bool adopt(struct instance *inst, int run_dir)
{
	struct life *life = life_of(inst);
	struct isolad *d = inst->isolad;
	struct err e = ERR_INIT;
	pid_t pid = 0;
	int pidfd = find_keeper(run_dir, &pid);
	if (pidfd < 0)
		return false;
	if (child_adopt(d, pid, pidfd, run_on_keeper_exit, inst, &life->keeper, &e) < 0) {
		log_error(inst->id, "%s", e.text);
		return false;
	}
	inst->keeper_pid = pid;
	life->run_dir_fd = fd_dup(run_dir);
	int sock = connect_keeper(run_dir);
	life->adopting =
		sock >= 0 && link_new(d, sock, &run_link_handler, inst, &inst->link, &e) == 0;
	/* One that takes no connection is on its way out: its end is what counts. */
	if (!life->adopting)
		run_hurry_keeper(inst);
	return true;
}

/* ---- one instance ---- */

static bool has_file(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Notes an end that the record does not know. */
static void note_exit(struct instance *inst, int run_dir)
{
	cleanup_json json_object *exit = NULL;
	struct err e = ERR_INIT;
	int rc = json_read_file(run_dir, "exit.json", EXIT_BYTES_MAX, &exit, &e);
	if (rc == -ENOENT)
		return;
	if (rc < 0) {
		log_error(inst->id, "%s", e.text);
		return;
	}
	struct life *life = life_of(inst);
	if (json_i64_or(exit, "finished_ns", 0) <= inst->finished_ns) {
		life->ended = true;
		return;
	}
	if (!json_i64_or(exit, "started_ns", 0) && !inst->started_ns) {
		/* The creation failed, and who asked for it was told. */
		life->ended = true;
		return;
	}
	inst->state = INSTANCE_RUNNING;
	inst->started_ns = json_i64_or(exit, "started_ns", inst->started_ns);
	run_ended(inst, exit);
}

/* No keeper lives: what did the last run leave? A --rm instance may be gone for
 * good by now. */
static void settle_dead(struct instance *inst, int run_dir)
{
	struct life *life = life_of(inst);
	bool spawned = run_dir >= 0 && has_file(run_dir, inst->kind == INSTANCE_VM ? "machine.json"
										   : "config.json");
	if (list_is_empty(&inst->node))
		return;
	/* A keeper that came up counts as a start: the record may be a moment late,
	 * and a --rm instance's never tells. */
	bool was_running = inst->state == INSTANCE_RUNNING || inst->state == INSTANCE_PAUSED ||
			   (spawned && has_file(run_dir, "keeper.pid"));
	if (run_dir >= 0)
		life->run_dir_fd = fd_dup(run_dir);
	if (was_running && !life->ended)
		inst->state = INSTANCE_RUNNING;
	else
		life->ended = true;
	if ((was_running && !life->ended) || spawned)
		run_sweep(inst, "it was running when isolad or the host went down, and its keeper "
				"is gone");
}

static void settle(struct instance *inst)
{
	struct life *life = life_of(inst);
	cleanup_fd int run_dir = openat(inst->isolad->roots.run_fd, inst->id,
					O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (inst->state == INSTANCE_REMOVING || inst->state == INSTANCE_DEAD) {
		inst->state = INSTANCE_EXITED;
		life->ended = true;
		(void)(run_dir >= 0 && adopt(inst, run_dir));
		/* Whether its volumes were to go as well is not known: they stay. */
		instance_remove(inst, true, false, NULL, NULL);
		return;
	}
	life->recorded = inst->state;
	/* First, so that whatever the end leads to finds the keeper in its place. */
	bool alive = run_dir >= 0 && adopt(inst, run_dir);
	if (run_dir >= 0)
		note_exit(inst, run_dir);
	if (!alive)
		settle_dead(inst, run_dir);
	else if (!life->ended)
		/* Until its hello: as if it ran. */
		inst->state = INSTANCE_RUNNING;
}

/* ---- hello ---- */

static void on_half_made(struct instance *inst)
{
	struct life *life = life_of(inst);
	log_warn(inst->id, "its start was cut off: undone");
	life->ended = true;
	endpoints_down(inst);
	inst->state = life->recorded == INSTANCE_RUNNING || life->recorded == INSTANCE_PAUSED
			      ? INSTANCE_EXITED
			      : life->recorded;
	(void)child_kill(life->keeper, SIGKILL);
}

static void on_alive(struct instance *inst, json_object *msg, enum instance_state state)
{
	enum instance_state before = life_of(inst)->recorded;
	inst->state = state;
	inst->pid = (pid_t)json_i64_or(msg, "pid", 0);
	inst->root_pid = (pid_t)json_i64_or(msg, "root_pid", inst->pid);
	inst->started_ns = json_i64_or(msg, "started_ns", inst->started_ns);
	inst->finished_ns = 0;
	inst->exit_code = 0;
	set_text(&inst->error, NULL);
	set_text(&inst->reason, NULL);
	set_text(&inst->reason_text, NULL);
	inst->resets = (unsigned int)json_i64_or(msg, "resets", 0);
	execs_adopt(inst, json_get(msg, "execs"));
	execs_adopt(inst, json_get(msg, "ended_execs"));
	health_follow(inst);
	if (before != state && !inst->auto_remove)
		persist_save(inst, NULL, NULL);
	log_info(inst->id, "adopted: %s, pid %d, keeper %d", instance_state_name(inst),
		 (int)inst->pid, (int)inst->keeper_pid);
}

void recover_on_hello(struct instance *inst, json_object *msg)
{
	struct life *life = life_of(inst);
	const char *state = json_str_or(msg, "state", "");
	life->adopting = false;
	if (!strcmp(state, "running"))
		on_alive(inst, msg, INSTANCE_RUNNING);
	else if (!strcmp(state, "paused"))
		on_alive(inst, msg, INSTANCE_PAUSED);
	else if (!strcmp(state, "created") || !json_i64_or(msg, "started_ns", 0))
		on_half_made(inst);
	/* Else "exited": the exit event follows, or the link's end. */
	recover_check(inst->isolad);
}

/* ---- all of them ---- */

static void restart_those_who_want(struct isolad *d)
{
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		struct life *life = life_of(inst);
		/* Whoever wanted the image saw its build break off. */
		if (inst->building)
			instance_remove(inst, true, true, NULL, NULL);
		else if (inst->state == INSTANCE_RESTARTING && !life->back_off && !op_current(inst))
			run_back_off(inst);
		else if (inst->state == INSTANCE_EXITED && restart_wanted_at_start(inst) &&
			 state_apply(inst, EVENT_ENDED_AGAIN, NULL) == 0)
			run_back_off(inst);
	}
}

static void finish(void *arg)
{
	struct isolad *d = arg;
	struct recover *r = d->recover;
	if (!r)
		return;
	d->recover = NULL;
	timer_stop(&r->timer);
	networks_recover(d);
	restart_those_who_want(d);
	r->done(d);
	free(r->found);
	free(r);
}

void recover_check(struct isolad *d)
{
	if (!d->recover || !d->recover->scanned)
		return;
	list_for_each (node, &d->registry.instances) {
		struct life *life = life_of(container_of(node, struct instance, node));
		if (life->adopting || life->sweeping)
			return;
	}
	later_call(d, finish, d);
}

static void on_hellos_late(void *arg)
{
	struct isolad *d = arg;
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		if (life_of(inst)->adopting)
			log_warn(inst->id, "its keeper does not say hello");
		if (life_of(inst)->sweeping)
			log_warn(inst->id, "its cgroup cannot be emptied");
	}
	finish(d);
}

/* ---- the folders ---- */

static int found(struct isolad *d, struct instance *inst)
{
	struct recover *r = d->recover;
	struct instance **more = realloc(r->found, (r->n_found + 1) * sizeof(*more));
	if (!more) {
		inst->userns_base = 0;
		instance_free(inst);
		return -ENOMEM;
	}
	r->found = more;
	r->found[r->n_found++] = inst;
	return 0;
}

static bool is_found(const struct recover *r, const char *id)
{
	for (size_t i = 0; i < r->n_found; i++)
		if (!strcmp(r->found[i]->id, id))
			return true;
	return false;
}

/* Loads <dir>/<id>/instance.json. -ENOENT when there is none; a bad one is
 * reported and left where it is. */
static int load(struct isolad *d, int dir_fd, const char *dir, const char *id)
{
	cleanup_json json_object *doc = NULL;
	struct err e = ERR_INIT;
	struct instance *inst = NULL;
	cleanup_fd int fd = openat(dir_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int rc = fd < 0 ? -errno : json_read_file(fd, RECORD_FILE, RECORD_BYTES_MAX, &doc, &e);
	if (rc == -ENOENT)
		return rc;
	if (rc == 0)
		rc = record_load(d, id, doc, &inst, &e);
	if (rc == 0)
		rc = found(d, inst);
	if (rc < 0)
		log_error(id,
			  "its record cannot be used and is left as it is: %s/%s/" RECORD_FILE
			  ": %s",
			  dir, id, *e.text ? e.text : strerror(-rc));
	return rc;
}

static bool is_id(const char *name)
{
	return id_is_prefix(name) && strlen(name) == ID_SIZE - 1;
}

/* Nothing refers to it any more. */
static void clear(struct isolad *d, const char *id)
{
	struct wreck_args args = { .isolad = d, .id = id, .kill_cgroup = true };
	cleanup_fd int run_dir =
		openat(d->roots.run_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	pid_t pid = 0;
	int pidfd = run_dir < 0 ? -ENOENT : find_keeper(run_dir, &pid);
	log_info(id, "clearing away what is left of it");
	if (pidfd >= 0 && child_adopt(d, pid, pidfd, NULL, NULL, &args.keeper, NULL) == 0)
		(void)child_kill(args.keeper, SIGKILL);
	wreck_clear(&args, NULL, NULL);
}

typedef void entry_fn(struct isolad *d, const char *name);

static int each_entry(struct isolad *d, int dir_fd, entry_fn *each, struct err *err)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int rc = err_sys(err, "cannot read the folder of instances");
		fd_close(&fd);
		return rc;
	}
	for (struct dirent *entry; (entry = readdir(dir));)
		each(d, entry->d_name);
	(void)closedir(dir);
	return 0;
}

static void load_kept(struct isolad *d, const char *name)
{
	cleanup_fd int fd = is_id(name) ? openat(d->roots.instances_fd, name,
						 O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
					: -1;
	if (fd < 0)
		return;
	/* Ours alone; in a run folder a keeper may just be writing. */
	fd_sweep_temp(fd);
	(void)load(d, d->roots.instances_fd, "instances", name);
}

static void load_running(struct isolad *d, const char *name)
{
	if (!is_id(name) || is_found(d->recover, name))
		return;
	/* With a record in the state folder, but a bad one: hands off. */
	char record[ID_SIZE + sizeof(RECORD_FILE) + 1];
	(void)snprintf(record, sizeof(record), "%s/" RECORD_FILE, name);
	if (has_file(d->roots.instances_fd, record))
		return;
	if (load(d, d->roots.run_fd, "run", name) == -ENOENT)
		clear(d, name);
}

/* State folders without a record anywhere: --rm ones of before a reboot, creations
 * and removals that were cut off. */
static void clear_kept(struct isolad *d, const char *name)
{
	const char *id = name;
	size_t n = strlen(WRECK_PREFIX);
	if (!strncmp(name, WRECK_PREFIX, n))
		id = name + n;
	if (!is_id(id) || (id == name && is_found(d->recover, id)))
		return;
	char record[ID_SIZE + sizeof(RECORD_FILE) + 1];
	(void)snprintf(record, sizeof(record), "%s/" RECORD_FILE, id);
	if (id == name &&
	    (has_file(d->roots.instances_fd, record) || has_file(d->roots.run_fd, record)))
		return;
	/* A folder of the run side was cleared together with it. */
	if (id != name || !has_file(d->roots.run_fd, id))
		clear(d, id);
}

static int by_age(const void *a, const void *b)
{
	const struct instance *x = *(struct instance *const *)a, *y = *(struct instance *const *)b;
	return x->created_ns < y->created_ns ? -1 : x->created_ns > y->created_ns;
}

static void reserve_range(struct instance *inst)
{
	if (inst->userns_base && uidrange_reserve(&inst->isolad->uidrange, inst->userns_base) < 0)
		log_warn(inst->id,
			 "its user ids from %u on are outside userns-first and "
			 "userns-ranges, or another instance's, too",
			 inst->userns_base);
}

/* Two records may claim a name when isolad was killed between two renames. */
static int enter(struct isolad *d, struct instance *inst, struct err *err)
{
	if (registry_name_check(d, inst->name, NULL) < 0) {
		log_warn(inst->id, "its name %s is taken: it gets another one", inst->name);
		free(inst->name);
		inst->name = NULL;
		int rc = registry_make_name(inst, err);
		if (rc < 0)
			return rc;
	}
	return registry_add(d, inst, err);
}

static void enter_all(struct isolad *d)
{
	struct recover *r = d->recover;
	if (r->n_found)
		qsort(r->found, r->n_found, sizeof(*r->found), by_age);
	for (size_t i = 0; i < r->n_found; i++) {
		struct err e = ERR_INIT;
		reserve_range(r->found[i]);
		if (enter(d, r->found[i], &e) == 0)
			continue;
		log_error(r->found[i]->id, "left out: %s", e.text);
		instance_free(r->found[i]);
		r->found[i] = NULL;
	}
}

int recover_begin(struct isolad *d, recover_fn *done, struct err *err)
{
	struct recover *r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ENOMEM, "out of memory");
	r->done = done;
	d->recover = r;
	int rc = each_entry(d, d->roots.instances_fd, load_kept, err);
	if (rc == 0)
		rc = each_entry(d, d->roots.run_fd, load_running, err);
	if (rc == 0)
		rc = each_entry(d, d->roots.instances_fd, clear_kept, err);
	if (rc < 0)
		return rc;
	enter_all(d);
	for (size_t i = 0; i < r->n_found; i++)
		if (r->found[i])
			settle(r->found[i]);
	r->scanned = true;
	r->timer = timer_start(d, HELLO_WAIT_MS, on_hellos_late, d);
	recover_check(d);
	return 0;
}

void recover_fini(struct isolad *d)
{
	struct recover *r = d->recover;
	d->recover = NULL;
	if (!r)
		return;
	timer_stop(&r->timer);
	free(r->found);
	free(r);
}
