/* SPDX-License-Identifier: Apache-2.0 */
/* routes - the handlers that the table in routes.c names, by noun. Each runs on
 * the loop thread, answers its exchange exactly once, and keeps no pointer to
 * an instance beyond its call: instances are looked up again by id. */
#pragma once

#include "exchange.h"

/* routes_system.c */
void system_ping(struct exchange *x);
void system_get_version(struct exchange *x);
void system_get_info(struct exchange *x);
void system_get_openapi(struct exchange *x);
void system_get_df(struct exchange *x);
void system_check(struct exchange *x);

/* routes_events.c */
void events_stream(struct exchange *x);

/* metrics.c */
void metrics_get(struct exchange *x);

/* routes_containers.c */
void containers_list(struct exchange *x);
void containers_create(struct exchange *x);
void containers_inspect(struct exchange *x);
void containers_top(struct exchange *x);
void containers_explain(struct exchange *x);
void containers_update(struct exchange *x);
void containers_mounts(struct exchange *x);
void containers_rename(struct exchange *x);
void containers_remove(struct exchange *x);

/* routes_taps.c */
void networks_tap(struct exchange *x);
/* routes_networks.c: one of ours by the path, or NULL and the answer is given. */
struct network *route_network(struct exchange *x);

/* prune.c */
void containers_prune(struct exchange *x);

/* routes_life.c */
void containers_start(struct exchange *x);
void containers_stop(struct exchange *x);
void containers_restart(struct exchange *x);
void containers_kill(struct exchange *x);
void containers_pause(struct exchange *x);
void containers_unpause(struct exchange *x);
void containers_resize(struct exchange *x);
void containers_wait(struct exchange *x);

/* routes_streams.c */
void containers_attach(struct exchange *x);
void containers_logs(struct exchange *x);

/* routes_stats.c */
void containers_stats(struct exchange *x);

/* routes_exec.c */
void containers_exec(struct exchange *x);
void execs_start(struct exchange *x);
void execs_resize(struct exchange *x);
void execs_inspect(struct exchange *x);

/* routes_images.c */
void images_list(struct exchange *x);
void images_inspect(struct exchange *x);
void images_tag(struct exchange *x);
void images_remove(struct exchange *x);
void images_prune(struct exchange *x);
void build_prune(struct exchange *x);
/* POST /build, checked by routes_build.c: the context on its way (upload.c). */
void images_build(struct exchange *x);
void upload_build(struct exchange *x, const struct image_build *build);
/* Adds to an image's JSON what clients of API 1.@minor look for. */
void image_age(json_object *image, unsigned int minor, bool in_list);
void images_history(struct exchange *x);
void images_commit(struct exchange *x);

/* archive.c */
void containers_stat_path(struct exchange *x);
void containers_get_archive(struct exchange *x);
void containers_put_archive(struct exchange *x);
void containers_export(struct exchange *x);
void containers_changes(struct exchange *x);
void images_get(struct exchange *x);
void images_get_one(struct exchange *x);

/* routes_auth.c */
void auth_check(struct exchange *x);

/* upload.c */
void images_push(struct exchange *x);
void images_load(struct exchange *x);
void images_create(struct exchange *x);

/* routes_networks.c */
void networks_list(struct exchange *x);
void networks_inspect(struct exchange *x);
void networks_prune(struct exchange *x);
void networks_create(struct exchange *x);
void networks_remove(struct exchange *x);
void networks_connect(struct exchange *x);
void networks_disconnect(struct exchange *x);

/* routes_volumes.c */
void volumes_list(struct exchange *x);
void volumes_create(struct exchange *x);
void volumes_prune(struct exchange *x);
void volumes_snapshots(struct exchange *x);
void volumes_snapshot(struct exchange *x);
void volumes_snapshot_remove(struct exchange *x);
void volumes_restore(struct exchange *x);
void volumes_clone(struct exchange *x);
void volumes_inspect(struct exchange *x);
void volumes_remove(struct exchange *x);

/* routes_vms.c */
void vms_create(struct exchange *x);
void vms_reset(struct exchange *x);
void vms_powerdown(struct exchange *x);
void vms_nmi(struct exchange *x);
void vms_resize(struct exchange *x);

/* ---- shared by handlers ---- */

/* What the path is about: "/vms/..." or anything else. */
enum instance_kind route_kind(const struct exchange *x);

/* The container or VM that the path names; answers 404 or 400 and gives NULL when
 * there is none of that kind. */
struct instance *route_instance(struct exchange *x);
