/* SPDX-License-Identifier: Apache-2.0 */
/* verbs - what each verb's row in ctrctl_main.c and vmctl_main.c calls; all have the
 * signature of struct verb.run. */
#pragma once

#include "cli.h"

/* run.c */
extern const struct flag flags_run[], flags_create_only[], flags_start[], flags_attach[],
	flags_exec[];
int verb_run(struct cli *cli, struct args *args);
int verb_create(struct cli *cli, struct args *args);
int verb_start(struct cli *cli, struct args *args);
int verb_attach(struct cli *cli, struct args *args);
/* exec.c */
int verb_exec(struct cli *cli, struct args *args);

/* life.c */
extern const struct flag flags_stop[], flags_kill[], flags_rm[];
int verb_stop(struct cli *cli, struct args *args);
int verb_restart(struct cli *cli, struct args *args);
int verb_kill(struct cli *cli, struct args *args);
int verb_rm(struct cli *cli, struct args *args);
int verb_pause(struct cli *cli, struct args *args);
int verb_unpause(struct cli *cli, struct args *args);
int verb_wait(struct cli *cli, struct args *args);
int verb_rename(struct cli *cli, struct args *args);
int verb_update(struct cli *cli, struct args *args);
/* prune.c */
extern const struct flag flags_prune[], flags_prune_all[];
int verb_prune(struct cli *cli, struct args *args);
int verb_image_prune(struct cli *cli, struct args *args);

/* explain.c */
extern const struct flag flags_explain[];
int verb_explain(struct cli *cli, struct args *args);

/* show.c */
extern const struct flag flags_ps[], flags_inspect[], flags_logs[], flags_events[], flags_format[];
int verb_ps(struct cli *cli, struct args *args);
int verb_inspect(struct cli *cli, struct args *args);
int verb_logs(struct cli *cli, struct args *args);
int verb_top(struct cli *cli, struct args *args);
int verb_events(struct cli *cli, struct args *args);
int verb_info(struct cli *cli, struct args *args);
int verb_version(struct cli *cli, struct args *args);
/* stats.c */
extern const struct flag flags_stats[];
int verb_stats(struct cli *cli, struct args *args);

/* ctr_rows.c, ctr_refused.c */
extern const struct listing ctr_ps, ctr_stats;
extern const struct flag flags_ps_size[];
extern const struct refused ctr_refused[];

/* cp.c, changes.c */
extern const struct flag flags_cp[], flags_export[];
int verb_cp(struct cli *cli, struct args *args);
int verb_export(struct cli *cli, struct args *args);
int verb_diff(struct cli *cli, struct args *args);
/* The body of the answer to GET @target into the file @output, or with NULL to
 * standard output, which must not be a terminal. */
int cli_save_body(struct cli *cli, const char *target, const char *output, struct err *err);

/* commit.c */
extern const struct flag flags_commit[], flags_save[], flags_history[];
int verb_commit(struct cli *cli, struct args *args);
int verb_save(struct cli *cli, struct args *args);
int verb_history(struct cli *cli, struct args *args);

/* build.c */
extern const struct flag flags_build[];
int verb_build(struct cli *cli, struct args *args);

/* volume.c */
extern const struct flag flags_volume_create[], flags_volume_ls[], flags_volume_rm[],
	flags_volume_prune[], flags_volume_snapshot[], flags_volume_clone[];
int verb_volume_create(struct cli *cli, struct args *args);
int verb_volume_ls(struct cli *cli, struct args *args);
int verb_volume_inspect(struct cli *cli, struct args *args);
int verb_volume_rm(struct cli *cli, struct args *args);
int verb_volume_prune(struct cli *cli, struct args *args);
int verb_volume_snapshot(struct cli *cli, struct args *args);
int verb_volume_restore(struct cli *cli, struct args *args);
int verb_volume_clone(struct cli *cli, struct args *args);

/* images.c */
extern const struct flag flags_images[], flags_load[], flags_import[], flags_rmi[];
int verb_images(struct cli *cli, struct args *args);
int verb_image_inspect(struct cli *cli, struct args *args);
int verb_load(struct cli *cli, struct args *args);
int verb_import(struct cli *cli, struct args *args);
int verb_tag(struct cli *cli, struct args *args);
int verb_rmi(struct cli *cli, struct args *args);
/* pull.c */
extern const struct flag flags_pull[], flags_create_pull[];
int verb_pull(struct cli *cli, struct args *args);
/* network.c */
extern const struct flag flags_network_ls[], flags_network_create[], flags_network_connect[],
	flags_network_disconnect[], flags_network_prune[];
int verb_network_ls(struct cli *cli, struct args *args);
int verb_network_inspect(struct cli *cli, struct args *args);
int verb_network_create(struct cli *cli, struct args *args);
int verb_network_rm(struct cli *cli, struct args *args);
int verb_network_prune(struct cli *cli, struct args *args);
int verb_network_connect(struct cli *cli, struct args *args);
int verb_network_disconnect(struct cli *cli, struct args *args);
/* network_tap.c */
extern const struct flag flags_network_tap[];
int verb_network_tap(struct cli *cli, struct args *args);
int verb_port(struct cli *cli, struct args *args);
/* push.c, login.c */
extern const struct flag flags_push[], flags_login[];
int verb_push(struct cli *cli, struct args *args);
int verb_login(struct cli *cli, struct args *args);
int verb_logout(struct cli *cli, struct args *args);
/* system.c */
extern const struct flag flags_df[], flags_check[], flags_system_prune[];
int verb_system_df(struct cli *cli, struct args *args);
int verb_system_check(struct cli *cli, struct args *args);
int verb_system_prune(struct cli *cli, struct args *args);
