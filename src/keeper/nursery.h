/* SPDX-License-Identifier: Apache-2.0 */
/* nursery - one isola-keeper that isolad starts once and that makes the others by
 * clone, so that a start does not pay for an exec (1 ms where CPUID traps). */
#pragma once

#include "isola/err.h"

/* Serves isolad's socket @sock until its end of stream: for each request
 * {"run": "<run folder>"} with one descriptor it makes a child of *isolad's*
 * (CLONE_PARENT) and answers {"pid"} or {"code","error"}.
 *
 * Returns twice over: in each child 1, with the run folder (owned) and the
 * descriptor as KEEPER_CONTROL_FD, every other one closed; in the nursery 0 at
 * the end of stream. Single-threaded callers only. */
int nursery_serve(int sock, char **ret_run_dir);
