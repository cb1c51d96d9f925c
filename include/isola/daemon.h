/* SPDX-License-Identifier: Apache-2.0 */
/* daemon - everything the API layer may ask of isolad's core.
 *
 * Loop thread only; nothing blocks. A call that takes an op_done_fn calls it
 * exactly once, from a later turn of the loop (never before it returns), also
 * when the requester has gone meanwhile: the caller's @arg must live that long.
 * Errors carry an errno that the API maps: ENOENT 404, EINVAL 400, EEXIST and
 * EBUSY 409, EALREADY 304 (nothing to do), EROFS 403, EOPNOTSUPP 501, ENOSPC and the rest
 * 500. */
#pragma once

#include "isola/err.h"
#include "isola/instance.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct isolad;

/* @err is NULL on success; @result is borrowed and may be NULL. */
typedef void op_done_fn(void *arg, const struct err *err, json_object *result);

uv_loop_t *isolad_loop(struct isolad *d);

/* ---- registry (registry.c) ---- */

/* Of one kind, by full name ("/name" too), full id, or unique id prefix. NULL with
 * ENOENT ("No such container: x") or EINVAL when the prefix is ambiguous. Borrowed. */
struct instance *registry_find(struct isolad *d, enum instance_kind kind, const char *ref,
			       struct err *err);
struct list *registry_list(struct isolad *d); /* of struct instance.node */

/* ---- life of an instance (life.c, create.c) ---- */

/* @body: Docker's ContainerCreateRequest, borrowed; @name NULL = make one up.
 * Checks everything (names the field) and leaves nothing on failure. Result:
 * {"Id", "Warnings"}. ENOENT with "No such image: x" when the image is missing. */
void instance_create(struct isolad *d, const char *name, json_object *body, op_done_fn *done,
		     void *arg);
void instance_start(struct instance *inst, op_done_fn *done, void *arg);
/* @signal 0 = the container's own; @timeout_s -1 = wait for ever, -2 = its own. */
void instance_stop(struct instance *inst, int signal, int timeout_s, op_done_fn *done, void *arg);
void instance_restart(struct instance *inst, int signal, int timeout_s, op_done_fn *done,
		      void *arg);
void instance_kill(struct instance *inst, int signal, op_done_fn *done, void *arg);
void instance_pause(struct instance *inst, op_done_fn *done, void *arg);
/* A pause (of a container) that does not outlive isolad. */
void instance_hold(struct instance *inst, op_done_fn *done, void *arg);
void instance_unpause(struct instance *inst, op_done_fn *done, void *arg);
void instance_remove(struct instance *inst, bool force, bool volumes, op_done_fn *done, void *arg);
void instance_rename(struct instance *inst, const char *name, op_done_fn *done, void *arg);
/* @body: Docker's ContainerUpdateRequest. Result: {"Warnings"}. */
void instance_update(struct instance *inst, json_object *body, op_done_fn *done, void *arg);
/* @body: {"Add": [Docker's Mount...], "Remove": [path...]}, one after the other, the
 * removals first; what was done before one fails stays. Of a running container at once,
 * of any for its next start. Result: {"Warnings"}. */
void instance_change_mounts(struct instance *inst, json_object *body, op_done_fn *done, void *arg);
void instance_resize(struct instance *inst, int h, int w, op_done_fn *done, void *arg);

/* ---- networks (network.c, network_create.c, network_remove.c, connect.c) ---- */

struct network;

/* By name, id, or unique beginning of the id; NULL with ENOENT or EINVAL. "none" and "host"
 * are not among them. Borrowed until the loop turns. */
struct network *network_find(struct isolad *d, const char *ref, struct err *err);
/* The one behind @net, the first one for NULL; NULL behind the last. */
struct network *network_next(struct isolad *d, const struct network *net);
const char *network_name(const struct network *net);
int64_t network_created_ns(const struct network *net);
json_object *network_view(const struct network *net);
/* What went over the links of its running members, as they see it; owned. */
json_object *network_counters(const struct network *net);
bool network_is_unused(const struct network *net);
/* @body: Docker's NetworkCreateRequest, borrowed. Result: {"Id", "Warning"}. */
void network_create(struct isolad *d, json_object *body, op_done_fn *done, void *arg);
void network_remove(struct network *net, op_done_fn *done, void *arg);
/* A tap of @net for a worker of somebody else's, whose end is the end of its lease (tap.c). */
struct tap;
#define TAP_QUEUES_MAX 16
struct tap_request {
	const char *name, *mac, *ip, *ip6; /* "" = any */
	unsigned int queues;
};
/* What it has become, and a descriptor for each queue; all borrowed. With an error it is gone
 * already. */
typedef void tap_ready_fn(void *arg, const struct err *err, json_object *facts, const int *fds,
			  size_t n_fds);
/* Somebody has put it out of its network: it is to be closed. */
typedef void tap_gone_fn(void *arg);
/* @ready is called later, once, unless it was closed before. NULL with a text. */
struct tap *tap_open(struct network *net, const struct tap_request *ask, tap_ready_fn *ready,
		     tap_gone_fn *gone, void *arg, struct err *err);
/* Device, lease, name and rules go; returns at once, and neither callback follows. */
void tap_close(struct tap *tap);
/* By name, or 12 digits of its id and more. */
struct tap *tap_find(struct network *net, const char *ref);
void tap_end(struct tap *tap); /* tap_gone_fn is called */
/* @settings: Docker's EndpointSettings, borrowed, may be NULL. */
void network_connect(struct network *net, struct instance *inst, json_object *settings,
		     op_done_fn *done, void *arg);
void network_disconnect(struct network *net, struct instance *inst, op_done_fn *done, void *arg);

/* ---- VMs (vm.c, create_vm.c): all that is said of instances, and ---- */

/* @body: VmConfig of docs/openapi.json; else as instance_create(). */
void vm_create(struct isolad *d, const char *name, json_object *body, op_done_fn *done, void *arg);
enum vm_button { VM_RESET, VM_POWERDOWN, VM_NMI };
/* Running ones only, else EBUSY. */
void vm_press(struct instance *inst, enum vm_button button, op_done_fn *done, void *arg);
/* @console: the id of a virtio console. ENOENT when there is none. */
void vm_resize_console(struct instance *inst, const char *console, int h, int w, op_done_fn *done,
		       void *arg);
/* Result: what the worker counts ("stats" of isola/vmm.h), or a container's guest. */
void vm_counters(struct instance *inst, op_done_fn *done, void *arg);
/* Whether it has any: a VM, or a container in a microVM. */
bool vm_has_counters(const struct instance *inst);

enum wait_condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };
/* Result: {"StatusCode", "Error"?: {"Message"}}. Returns a handle for
 * instance_wait_cancel(), valid until @done was called. */
struct waiter *instance_wait(struct instance *inst, enum wait_condition until, op_done_fn *done,
			     void *arg);
/* After this @done is not called any more. */
void instance_wait_cancel(struct waiter *waiter);

/* ---- streams (stream.c): sockets handed to the keeper ---- */

struct stream_request {
	int fd;           /* connected client socket, response head already written; taken */
	const void *head; /* bytes read beyond the request; borrowed */
	size_t head_size;
	bool want_stdin, want_stdout, want_stderr;
	bool mux;                /* 8-byte frames */
	const char *detach_keys; /* NULL = default ctrl-p,ctrl-q */
};
/* Works on created and running instances. @done once the stream is registered. */
void instance_attach(struct instance *inst, const struct stream_request *req, op_done_fn *done,
		     void *arg);

struct logs_request {
	int fd; /* as above */
	bool follow, want_stdout, want_stderr, timestamps, details, mux, chunked;
	int64_t since_ns, until_ns; /* 0 = unset */
	int64_t tail;               /* -1 = all */
};
void instance_logs(struct instance *inst, const struct logs_request *req, op_done_fn *done,
		   void *arg);
/* 0, or EOPNOTSUPP when the instance has log driver "none": to be asked before
 * the response head is written. */
int instance_logs_check(struct instance *inst, struct err *err);

/* ---- exec (exec.c) ---- */

struct exec;
/* @body: Docker's ExecConfig. */
int exec_create(struct instance *inst, json_object *body, char ret_id[ID_SIZE], struct err *err);
struct exec *exec_find(struct isolad *d, const char *id, struct err *err);
/* 0 when exec_start() may be called now; ENOENT, EBUSY (409: paused, not
 * running, already started). Asked before the response head is written. */
int exec_start_check(struct exec *exec, struct err *err);
bool exec_tty(const struct exec *exec);
/* What the exec's AttachStdin/out/err asked for. */
void exec_wants(const struct exec *exec, bool *ret_in, bool *ret_out, bool *ret_err);
/* @req NULL = detached. */
void exec_start(struct exec *exec, const struct stream_request *req, int h, int w, op_done_fn *done,
		void *arg);
void exec_resize(struct exec *exec, int h, int w, op_done_fn *done, void *arg);
json_object *exec_inspect(struct exec *exec); /* Docker's ExecInspect, owned */
/* Takes what the keeper has told already, however much is before it. @exec may be
 * gone afterwards; only from a turn of the loop of its own. */
void exec_hear(struct exec *exec);

/* ---- views (view.c, stats.c, top.c, system.c): Docker's JSON, owned ---- */

json_object *view_inspect(struct instance *inst);
json_object *view_summary(struct instance *inst); /* an element of /containers/json */
/* @filters: Docker's {"status":["running"],...} already type-checked as object of
 * string arrays (or of {"v":true} maps, the old form). -EINVAL for an unknown or
 * malformed filter, naming it; 1 match, 0 no match. */
int view_matches(struct instance *inst, json_object *filters, struct err *err);
/* The same errors without an instance: asked once, also when the list is empty. */
int view_filters_check(struct isolad *d, enum instance_kind kind, json_object *filters,
		       struct err *err);
/* {"SizeRw","SizeRootFs"}; walks the disk in a worker thread. */
void view_size(struct instance *inst, op_done_fn *done, void *arg);
/* The real boundary of @inst, from the kernel: "Explanation" of docs/openapi.json. */
json_object *explain(struct instance *inst);
/* One Docker stats sample; @prev (may be NULL) fills precpu_stats. @guest: what the guest of
 * a container in a microVM counts (vm_counters()), {} where it did not answer; NULL: what
 * this host's cgroup says of the whole VM. */
json_object *stats_sample(struct instance *inst, json_object *prev, json_object *guest,
			  struct err *err);
/* Result: {"Titles","Processes"}; @ps_args as for ps(1), a supported subset. */
void instance_top(struct instance *inst, const char *ps_args, op_done_fn *done, void *arg);
json_object *system_info(struct isolad *d);
enum df_what { DF_IMAGES = 1, DF_CONTAINERS = 2, DF_VOLUMES = 4, DF_BUILD_CACHE = 8, DF_ALL = 15 };
/* Result: Docker's disk usage; walks the disk in a worker thread. @what: of df_what. */
void system_df(struct isolad *d, unsigned int what, op_done_fn *done, void *arg);
json_object *system_version(struct isolad *d);

/* ---- files of a container (copy.c): work of isola-image ---- */

/* What a path is. Result: Docker's {"name","size","mode","mtime","linkTarget"}. */
void instance_stat_path(struct instance *inst, const char *path, op_done_fn *done, void *arg);

enum copy_what { COPY_PATH, COPY_EXPORT, COPY_CHANGES };
struct copy;
/* All is well so far: the head of the answer may be written, and then
 * copy_give() called, at once or never. @stat: of the path; borrowed. */
typedef void copy_ready_fn(void *arg, struct copy *copy, json_object *stat);
/* Reads: tar archives, or the JSON of COPY_CHANGES. @path for COPY_PATH. The
 * archive goes from isola-image to the socket it is given. */
void instance_read_files(struct instance *inst, enum copy_what what, const char *path,
			 copy_ready_fn *ready, op_done_fn *done, void *arg);
/* @fd (taken): the client's socket; @chunked: pieces are framed, with an end. */
void copy_give(struct copy *copy, int fd, bool chunked);
/* Nobody wants it any more; @done still comes. */
void copy_cancel(struct copy *copy);

struct copy_put {
	int fd; /* the client's socket, the body is read from it; borrowed */
	bool chunked;
	uint64_t length;  /* of the body, unless chunked */
	const void *head; /* bytes of the body that were read already; borrowed */
	size_t head_size;
	const char *path;
	bool keep_kinds; /* noOverwriteDirNonDir */
	bool to_user;    /* copyUIDGID: all becomes the container's user's */
};
/* Extracts an archive into the folder @path. A start waits until it is done; the
 * end of a running container ends it. */
void instance_write_files(struct instance *inst, const struct copy_put *put, op_done_fn *done,
			  void *arg);

/* ---- images out and containers in (images_save.c) ---- */

/* An archive of the images @names (array of strings, borrowed); as for
 * instance_read_files(). @oci: an OCI layout alone, not also a docker-archive. */
void image_save(struct isolad *d, json_object *names, bool oci, copy_ready_fn *ready,
		op_done_fn *done, void *arg);

struct image_commit {
	const char *ref;      /* or NULL: no name */
	const char *author;   /* or NULL */
	const char *comment;  /* or NULL */
	json_object *changes; /* array of instructions */
	json_object *config;  /* Docker's ContainerConfig, or NULL; wins over the container's */
	bool pause;           /* a running container, meanwhile */
};
/* An image of a container's files and configuration. Result: {"Id"}. */
void instance_commit(struct instance *inst, const struct image_commit *req, op_done_fn *done,
		     void *arg);

/* ---- images (images.c) ---- */

/* By reference, id or id prefix; an IMAGE_RECORD, borrowed until the loop's next
 * turn. NULL with ENOENT "No such image: x". */
json_object *image_find(struct isolad *d, const char *ref, struct err *err);
/* References that name the image ("busybox:latest", familiar), owned array. */
json_object *image_refs(struct isolad *d, const char *id);
json_object *image_list(struct isolad *d, bool all, json_object *filters, struct err *err);
json_object *image_inspect(struct isolad *d, const char *ref, struct err *err);
/* Docker's history: an array, the newest step first; owned. */
json_object *image_history(struct isolad *d, const char *ref, struct err *err);
void image_tag(struct isolad *d, const char *ref, const char *repo_tag, op_done_fn *done,
	       void *arg);
/* @prune: with what its build made it from, if nothing else needs that. Result:
 * [{"Untagged"},{"Deleted"}]. EBUSY when an instance needs it. */
void image_remove(struct isolad *d, const char *ref, bool force, bool prune, op_done_fn *done,
		  void *arg);
void image_prune(struct isolad *d, json_object *filters, op_done_fn *done, void *arg);
/* Checks the whole store (`isola-image verify`). Result: {"Problems","Found","Left",...}
 * of isola/image.h. */
void image_check(struct isolad *d, bool repair, bool deep, op_done_fn *done, void *arg);

/* A job whose input is a stream: the caller writes the archive to *@ret_fd (a
 * pipe, non-blocking, owned by the caller, close = end of input) and gets each
 * progress line as it comes. */
typedef void image_progress_fn(void *arg, const char *line, size_t size);
struct image_import {
	const char *ref;      /* may be NULL: untagged */
	const char *message;  /* may be NULL */
	json_object *changes; /* array of strings or NULL */
	const char *platform; /* or NULL */
	bool pull;            /* from a registry: *@ret_fd takes the credentials then */
	bool push, all_tags;  /* to one, likewise */
	const char *login;    /* or NULL: only a log-in at this registry, likewise */
};
struct image_job;
/* @import NULL = load. @done: result is the job's {"ID","Refs"}. */
int image_job_start(struct isolad *d, const struct image_import *import,
		    image_progress_fn *progress, op_done_fn *done, void *arg,
		    struct image_job **ret_job, int *ret_fd, struct err *err);
/* Kills the helper (the client went away); @done still comes, with an error. */
void image_job_cancel(struct image_job *job);

/* ---- building (build.c) ---- */

struct image_build {
	json_object *spec;        /* BUILD_SPEC of src/image/build.h, tags as given; borrowed */
	json_object *host_config; /* of the containers of RUN, borrowed */
	const char *auth;         /* X-Registry-Config's text, for pulls, or NULL; borrowed */
	/* Asked with the same @arg: is as much underway to the client as may be? Then a
	 * command's output waits. Or NULL. */
	bool (*full)(void *arg);
};
/* As image_job_start(); the context goes to *@ret_fd. What is printed begins only when
 * the context is there. An error of a RUN has {"code": exit status} beside it, as
 * @done's result. A cancelled build leaves no container. */
int image_build_start(struct isolad *d, const struct image_build *build,
		      image_progress_fn *progress, op_done_fn *done, void *arg,
		      struct image_job **ret_job, int *ret_fd, struct err *err);

/* Asks a registry (images_login.c): @auth is Docker's AuthConfig (borrowed, NULL = none),
 * "serveraddress" names it. Result: {"Status","IdentityToken"}. EACCES when it refuses. */
void registry_login(struct isolad *d, json_object *auth, op_done_fn *done, void *arg);

/* ---- volumes (volumes.h) ---- */

struct volume;
/* NULL with ENOENT "get x: no such volume". Borrowed until the loop's next turn. */
struct volume *volume_find(struct isolad *d, const char *name, struct err *err);
json_object *volume_view(const struct volume *v); /* Docker's Volume, owned */
/* {"Volumes","Warnings"}, owned; NULL for a wrong filter. */
json_object *volume_list(struct isolad *d, json_object *filters, struct err *err);
/* @body: Docker's VolumeCreateOptions. Result: the volume, a new one or the one of
 * that name. */
void volume_create(struct isolad *d, json_object *body, op_done_fn *done, void *arg);
/* EBUSY names the instances that use it. @force: a missing one is fine. */
void volume_remove(struct isolad *d, const char *name, bool force, op_done_fn *done, void *arg);
/* Result: {"VolumesDeleted","SpaceReclaimed"}. @named: also those that have a name,
 * unless the filter "all" says. */
void volume_prune(struct isolad *d, json_object *filters, bool named, op_done_fn *done, void *arg);

/* Snapshots of a volume (snapshot.c). @body {"Name", "Pause": bool}: with it, unless it is
 * false, containers that use the volume are paused meanwhile. Result: the snapshot. */
void volume_snapshot(struct volume *v, json_object *body, op_done_fn *done, void *arg);
json_object *volume_snapshots(const struct volume *v); /* {"Snapshots"}, owned */
void volume_snapshot_remove(struct volume *v, const char *name, op_done_fn *done, void *arg);
/* @body {"Snapshot"}: the volume's files become the snapshot's. EBUSY: it is in use. */
void volume_restore(struct volume *v, json_object *body, op_done_fn *done, void *arg);
/* @body {"Name", "Snapshot", "Labels", "Pause"}: a new volume with the same files, or
 * those of a snapshot. Result: the volume. */
void volume_clone(struct volume *v, json_object *body, op_done_fn *done, void *arg);
/* Whether one of them holds @inst paused. */
bool snapshot_holds(const struct instance *inst);
/* images_save.c: whether a commit does. */
bool commit_holds(const struct instance *inst);

/* ---- events (events.c) ---- */

/* @event: Docker's event object {"Type","Action","Actor","time","timeNano",...},
 * borrowed; NULL = all past events have come, if they were asked for. */
typedef void event_fn(void *arg, json_object *event);
struct subscription;
/* @filters as view_matches (type, event, container, image, label, daemon).
 * Events since @since_ns (0: none) that the ring still holds (256) come first, from
 * a later turn, and then NULL. */
struct subscription *events_subscribe(struct isolad *d, json_object *filters, int64_t since_ns,
				      event_fn *on_event, void *arg, struct err *err);
void events_unsubscribe(struct subscription *sub);
/* @attributes: extra actor attributes, taken, may be NULL. */
void events_emit_instance(struct instance *inst, const char *action, json_object *attributes);
void events_emit_image(struct isolad *d, const char *action, const char *id, const char *ref);

/* ---- the API layer's entry, called by main.c ---- */
struct api_server;
/* @listen_fd: listening Unix socket, taken. */
int api_server_start(struct isolad *d, int listen_fd, struct api_server **ret, struct err *err);
/* Stops accepting, ends streams it still owns; @closed from a later turn. */
void api_server_stop(struct api_server *server, void (*closed)(void *arg), void *arg);
