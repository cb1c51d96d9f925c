/* SPDX-License-Identifier: Apache-2.0 */
/* title - what ps(1) shows for this process. */
#pragma once

/* Writes @text over the arguments that this process was started with (as much
 * as fits) and names the process by its first word. @argv as main() got it; its strings are gone
 * afterwards. */
void title_set(int argc, char **argv, const char *text);
