/* SPDX-License-Identifier: Apache-2.0 */
/* serial - serial port 0: a 16550 between the guest and two descriptors.
 *
 * Registers are touched on vCPU threads, descriptors on the loop's; one lock
 * guards what is between. Output is kept in a bounded buffer. A reader that is slow holds
 * the guest back (transmitter busy); one that takes nothing while the guest
 * polls for SERIAL_PATIENCE_MS loses output, until it reads again. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stddef.h>

#define SERIAL_OUT_BYTES   32768U
#define SERIAL_PATIENCE_MS 1000

struct vm;
struct serial;

/* Checks the machine file's "serial" (NULL: defaults). */
int serial_check(json_object *conf, struct err *err);
/* Puts the port on the bus. */
int serial_new(struct vm *vm, struct serial **ret, struct err *err);
/* Begins to read @in_fd and to write @out_fd, both borrowed until serial_free().
 * Opens them anew where their flags are shared with others. Before the jail. */
int serial_start(struct serial *serial, int in_fd, int out_fd, struct err *err);
/* Writes what is left, for at most SERIAL_PATIENCE_MS; closes the handles on the
 * loop, which must be run once more before the loop is closed. */
void serial_free(struct serial *serial);
