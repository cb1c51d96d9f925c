/* SPDX-License-Identifier: Apache-2.0 */
/* make_initrd INIT [MODULES] >FILE - isola/initrd.h by hand, for tests that boot one. */
#include "isola/initrd.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	if (argc < 2 || initrd_write(1, argv[1], argc > 2 ? argv[2] : NULL, &err) < 0) {
		(void)fprintf(stderr, "make_initrd: %s\n", argc < 2 ? "what?" : err.text);
		return 1;
	}
	return 0;
}
