/* SPDX-License-Identifier: Apache-2.0 */
/* roots - isolad's two folders, opened once and locked against a second isolad.
 *
 *   <state>/instances/<id>/   survives reboots; mode 0700, and in it
 *       instance.json         the record (record.c); not for --rm instances
 *       upper/ work/          the overlay's writable part, made at creation
 *       <id>-json.log         the log, written by the keeper
 *   <state>/spare/            a folder made ahead for the next instance (folders.h)
 *   <state>/base/             the lowest layer of every container's root
 *   <state>/{images,layers,...}  see include/isola/image.h
 *   <run>/<id>/               gone after a reboot; see include/isola/keeper.h
 *       instance.json         the record of a --rm instance */
#pragma once

#include "isola/err.h"

#define ROOTS_BASE "base"

struct config;

struct roots {
	char *state, *run; /* absolute paths, owned */
	int state_fd, run_fd;
	int instances_fd; /* <state>/instances */
	int state_lock_fd, run_lock_fd;
};

void roots_init(struct roots *roots);
/* Makes what is missing. -EBUSY when another isolad holds one of them. */
int roots_open(struct roots *roots, const struct config *config, struct err *err);
void roots_close(struct roots *roots);
