/* SPDX-License-Identifier: Apache-2.0 */
/* logread - `isola-keeper logs`: writes a log to one client, and ends. A process
 * of its own for each reader, so that it outlives isolad and slows nobody. */
#pragma once

/* @argv[0] is "logs". Returns the exit status: 0, also when the client left; 1
 * on failure; 2 for wrong flags. */
int logread_main(int argc, char **argv);
