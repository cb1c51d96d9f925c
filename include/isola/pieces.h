/* SPDX-License-Identifier: Apache-2.0 */
/* pieces - what isola-image and a guest's isola-init say to each other on the stream of a
 * copy (GUEST_COPY of isola/guest.h). To the guest go pieces, each u32 size, little-endian,
 * at most GUEST_PIECE_MAX, and so many bytes:
 *
 *   first   fields (isola/tlv.h): PIECE_TARGET: where to, as a path of the user's; PIECE_NAME:
 *           of the container, for sentences; PIECE_USER?: whose all becomes, looked up in the
 *           root; PIECE_FLAGS: of GUEST_COPY_*; PIECE_NUMBER: so many entries at most;
 *           PIECE_MOUNT*: PIECE_TARGET, PIECE_FSTYPE ("none"), PIECE_FLAGS? (MS_RDONLY,
 *           MS_REC), parents first
 *   then    the archive (isola/tar.h), and a piece of size 0 behind it
 *
 * and from it one piece, at most GUEST_ANSWER_MAX: PIECE_ERROR and PIECE_TEXT, or nothing
 * when all is there. It may come before the end of the archive only to say what failed. The
 * guest trusts what it is sent but the archive; the host trusts nothing. */
#pragma once

#define GUEST_PIECE_MAX       65536
#define GUEST_ANSWER_MAX      4096
#define GUEST_MOUNTS_MAX      512
#define GUEST_COPY_KEEP_KINDS 1 /* as of isola/extract.h */

/* Each has the number of its namesake in isola/guest.h. */
enum piece_field {
	PIECE_TEXT = 1,
	PIECE_USER = 10,
	PIECE_NAME = 11,
	PIECE_TARGET = 13,
	PIECE_FSTYPE = 14,
	PIECE_ERROR = 32, /* an errno of Linux */
	PIECE_NUMBER = 57,
	PIECE_FLAGS = 59,
	PIECE_MOUNT = 97,
};
