/* SPDX-License-Identifier: Apache-2.0 */
/* guest - what isola-keeper and isola-init, PID 1 of a guest, say to each other.
 *
 * All connections are vsock streams that the guest opens to CID 2 (the host), port
 * GUEST_PORT. Each begins with a hello from the guest; the host sends none.
 *
 *   guest                                   host
 *   connects, hello CONTROL, READY   ->
 *                                    <-     SETUP: what the guest is made of
 *                                    <-     RUN: the first process
 *   connects, hello STREAM, for each
 *   stream; then the answer to RUN   ->
 *                                    <-     EXEC, SIGNAL, RESIZE, ...: an answer each
 *   drains what the process wrote, ends its streams' writing; then EXITED  ->
 *                                    <-     SHUTDOWN
 *
 * There is one control connection. It carries frames: GUEST_FRAME_BYTES of head,
 *
 *   u32 size of the body, at most GUEST_BODY_MAX; u16 type; u16 zero; u64 seq
 *
 * and fields (isola/tlv.h) as body; little-endian. A request has a seq that is not zero
 * and was not used before, and is answered once, in any order, by a frame of type
 * GUEST_ANSWER with the same seq. Events have seq 0.
 *
 * Fields unknown to the reader are refused, not skipped: both sides are of one build
 * (the version in the hello is equal, or the connection ends). The host trusts nothing
 * it hears: what breaks a rule of this page ends the VM. */
#pragma once

#include <stdint.h>

#define GUEST_VERSION     1
#define GUEST_PORT        1024
#define GUEST_MAGIC       "ISOG"
#define GUEST_HELLO_BYTES 16
#define GUEST_FRAME_BYTES 16
#define GUEST_BODY_MAX    (1024 * 1024)

/* Bounds of one guest. */
#define GUEST_GREETS_MAX    64  /* connections that have not said hello yet */
#define GUEST_PROCESSES_MAX 300 /* that the host started */
#define GUEST_CALLS_MAX     128 /* requests without an answer */
#define GUEST_NOTICE_MAX    512 /* bytes of a text from the guest, with its NUL */
#define GUEST_COPIES_MAX    8   /* at once */
#define GUEST_SYNCS_MAX     8   /* at once */
#define GUEST_PS_MAX        1024
#define GUEST_COMMAND_MAX   512
#define GUEST_PS_NUMBERS    9

/* The hello: char magic[4]; u16 version; u8 kind; u8 stream; u64 process. */
enum guest_kind {
	GUEST_CONTROL = 0, /* stream and process are 0 */
	GUEST_STREAM = 1,
};

/* Of a process with a terminal only GUEST_STDOUT exists; it carries both ways. The
 * streams of others carry one way: GUEST_STDIN to the guest, the others from it. The
 * side that writes ends a stream by shutdown(SHUT_WR). */
enum guest_stream { GUEST_STDIN = 0, GUEST_STDOUT = 1, GUEST_STDERR = 2, GUEST_STREAMS = 3 };

enum guest_type {
	/* guest -> host */
	GUEST_ANSWER = 1, /* GF_ERROR (with GF_TEXT), or the fields named at the request */
	GUEST_READY = 2,  /* GF_RELEASE, GF_BOOT_US */
	GUEST_EXITED = 3, /* GF_PROCESS, GF_STATUS (as of wait(2)), GF_OOM: how many kills */
	GUEST_NOTICE = 4, /* GF_TEXT: for the operator */
	GUEST_OOM = 5,    /* GF_OOM: how many kills there were, one more than before */

	/* host -> guest: fields, in any order; ? may be missing, * may come again */
	GUEST_SETUP = 16,  /* once: GF_ROOT, GF_IMAGE?, GF_HOSTNAME?, GF_DOMAINNAME?, GF_SYSCTL*,
			      * GF_LIMIT*, GF_LINK*, GF_MOUNT*, GF_DEVICE*, GF_MASKED*, GF_READONLY*,
			      * GF_ROOT_READONLY?, GF_CLOCK_NS? */
	GUEST_RUN = 17,    /* once, after SETUP: a process (below). Its end ends all others */
	GUEST_EXEC = 18,   /* a process */
	GUEST_SIGNAL = 19, /* GF_PROCESS, GF_SIGNO, GF_ALL? */
	GUEST_RESIZE = 20, /* GF_PROCESS, GF_ROWS, GF_COLUMNS */
	GUEST_PS = 21,     /* answer: GF_BOOT_US, GF_PS*: as many as there is room for */
	GUEST_STATS = 22,  /* answer: GF_STAT* */
	GUEST_CLOCK = 23,  /* GF_CLOCK_NS */
	GUEST_FREEZE = 24, /* the container's processes; answered when they are */
	GUEST_THAW = 25,
	GUEST_LINK = 26,     /* GF_LINK: one more, or more for one that is there; its device may be
			      * one that the machine has got just now */
	GUEST_ONLINE = 28,   /* GF_CPUS: so many processors online */
	GUEST_SHUTDOWN = 29, /* syncs, and powers off; not answered */
	GUEST_UNLINK = 30,   /* GF_LINK with GF_NAME alone: its device is let go of */
	GUEST_LIMIT = 31,    /* GF_LIMIT*: of the container's cgroup */
	GUEST_MOUNT = 33,    /* GF_PROCESS, GF_STREAMS = 0, GF_MOUNT, GF_NUMBER?: a mount comes to
			   * the container, by a process of isola-init's as a copy is: a
			   * tmpfs; "none": the host put what has this inode number there,
			   * and the answer comes when the guest sees it; or with GF_IMAGE a
			   * "bind" of it, as in SETUP */
	GUEST_UNMOUNT = 34,  /* the same: it goes, or ("none") the host has taken it away */
	GUEST_SYNC = 35,     /* GF_PROCESS, GF_STREAMS = 0: what is only in the guest's page cache
			   * goes to the host, by a process of isola-init's, too; the answer
			   * comes when it has. EAGAIN: so many are under way already */
	GUEST_COPY = 32,     /* GF_PROCESS, GF_STREAMS = 1 << GUEST_STDIN: a copy (below) */
};

/* A copy is a process of isola-init itself: it executes nothing, and unpacks an archive into
 * the container's files, which are what a copy into a container sees: its root and the
 * mounts that it names, not proc, sys, dev or tmpfs. The answer comes when it is there, its
 * end is told of by GUEST_EXITED. Its one stream goes both ways: isola/pieces.h. */

/* A process: GF_PROCESS, GF_ARG*, GF_ENV*, GF_CWD, GF_USER? or GF_UID and GF_GID,
 * GF_GROUP*, GF_UMASK?, GF_CAPS_*, GF_RLIMIT*, GF_NO_NEW_PRIVS?, GF_SECCOMP?,
 * GF_OOM_SCORE?, GF_STREAMS, GF_TTY?, GF_ROWS?, GF_COLUMNS?, GF_MAKE_CWD?, GF_REAPER?.
 *
 * The answer comes when it was executed, or has GF_ERROR: ENOENT where there is no
 * such program, EACCES where it cannot be executed, as of ctr_create(). Not before all
 * of its streams are connected. */
enum guest_field {
	/* texts */
	GF_TEXT = 1,
	GF_RELEASE = 2, /* the kernel's, as of uname(2) */
	GF_HOSTNAME = 3,
	GF_DOMAINNAME = 4,
	GF_MASKED = 5,   /* a path in the root, as of linux.maskedPaths */
	GF_READONLY = 6, /* linux.readonlyPaths */
	GF_ARG = 7,
	GF_ENV = 8, /* NAME=VALUE */
	GF_CWD = 9,
	GF_USER = 10, /* as of ctr.h: NAME|UID[:GROUP|GID], looked up in the root */
	GF_NAME = 11, /* of a sysctl (with slashes), a link, a number of GF_STAT */
	GF_VALUE = 12,
	GF_TARGET = 13, /* a path in the root */
	GF_FSTYPE = 14,
	GF_SOURCE = 15,
	GF_DATA = 16,    /* mount options that are not flags */
	GF_MAC = 17,     /* aa:bb:cc:dd:ee:ff, by which a link is found */
	GF_ADDRESS = 18, /* ADDRESS/PREFIX */
	GF_GATEWAY = 19,

	/* numbers */
	GF_ERROR = 32,   /* an errno of Linux */
	GF_BOOT_US = 33, /* since the kernel began */
	GF_PROCESS = 34, /* chosen by the host, not 0, never used again */
	GF_STATUS = 35,
	GF_OOM = 36,
	GF_CLOCK_NS = 37, /* since the epoch */
	GF_UID = 38,
	GF_GID = 39,
	GF_GROUP = 40,
	GF_UMASK = 41,
	GF_CAPS_BOUNDING = 42,
	GF_CAPS_EFFECTIVE = 43,
	GF_CAPS_PERMITTED = 44,
	GF_CAPS_INHERITABLE = 45,
	GF_CAPS_AMBIENT = 46,
	GF_NO_NEW_PRIVS = 47, /* 0 or 1, as all of them that are flags */
	GF_OOM_SCORE = 48,    /* two's complement */
	GF_STREAMS = 49,      /* 1 << enum guest_stream, or'ed */
	GF_TTY = 50,
	GF_ROWS = 51,
	GF_COLUMNS = 52,
	GF_MAKE_CWD = 53,
	GF_SIGNO = 54,
	GF_ALL = 55, /* the whole container */
	GF_PID = 56,
	GF_NUMBER = 57,
	GF_CPUS = 58,
	GF_FLAGS = 59, /* MS_*, of mount(2) */
	GF_MODE = 60,  /* with the type, as of mknod(2) */
	GF_MAJOR = 61,
	GF_MINOR = 62,
	GF_MTU = 63,
	GF_ROOT_READONLY = 64,
	GF_RESOURCE = 65, /* RLIMIT_* */
	GF_SOFT = 66,
	GF_HARD = 67,
	GF_STATE = 68,  /* a letter of ps(1) */
	GF_REAPER = 69, /* a tiny init is between: PID 1, which passes signals on and reaps */

	/* fields in fields */
	GF_ROOT = 96,   /* GF_FSTYPE ("virtiofs", or "bind"), GF_SOURCE (the tag, or a path),
			 * GF_FLAGS?, GF_DATA? */
	GF_IMAGE = 105, /* as GF_ROOT: the image's files, read-only (GF_SOURCE is waited for). Then
			 * GF_ROOT is what the host serves: "layer/upper" and "layer/work" for an
			 * overlay on the image, which is the root; "mounts/N" for GF_MOUNT */
	GF_MOUNT = 97,  /* GF_TARGET (made where missing), GF_FSTYPE, GF_SOURCE?, GF_FLAGS?,
			 * GF_DATA?; in this order, after the root. With GF_IMAGE also "bind",
			 * whose GF_SOURCE is below what is served */
	GF_SYSCTL = 98, /* GF_NAME, GF_VALUE */
	GF_LINK = 99, /* GF_NAME, that the link with GF_MAC? gets; GF_MTU? GF_ADDRESS* GF_GATEWAY*;
			 * it is up afterwards, as lo is */
	GF_DEVICE = 100, /* GF_TARGET, GF_MODE, GF_MAJOR, GF_MINOR, GF_UID, GF_GID */
	GF_RLIMIT = 101, /* GF_RESOURCE, GF_SOFT, GF_HARD */
	GF_STAT = 102,   /* GF_NAME, GF_NUMBER: a number of the container's cgroup */
	GF_PS = 103,     /* GF_PID, as the guest's init counts them, GF_UID, GF_GID, GF_STATE,
			  * GF_NAME, GF_COMMAND?, and GUEST_PS_NUMBERS times GF_NUMBER: parent,
			  * terminal, CPU time, priority, nice, threads, start since the boot,
			  * size and resident size in KiB; times in 1/100 s */
	GF_LIMIT = 104,  /* GF_NAME: a file of the container's cgroup, GF_VALUE: its text */

	/* bytes */
	GF_SECCOMP = 128, /* struct sock_filter[], as the guest's processor has them */
	GF_COMMAND = 129, /* arguments, a NUL behind each; the first GUEST_COMMAND_MAX bytes */
};
