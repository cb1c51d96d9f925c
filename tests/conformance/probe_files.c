/* SPDX-License-Identifier: Apache-2.0 */
/* probe_files - what a file system has to be to what runs on it. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static void tmpfile_named(void)
{
	char path[40], text[8] = "";
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	say("open", fd);
	if (fd < 0)
		return;
	must(write(fd, "hidden", 6), "write");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	say("link", linkat(AT_FDCWD, path, AT_FDCWD, "shown", AT_SYMLINK_FOLLOW));
	int again = open("shown", O_RDONLY);
	must(again, "open shown");
	must(read(again, text, 7), "read");
	puts(text);
}

static void locks(void)
{
	int a = made("lock", "x"), b = open("lock", O_RDWR);
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	say("flock", flock(a, LOCK_EX | LOCK_NB));
	say("flock again", flock(b, LOCK_EX | LOCK_NB));
	say("unlock", flock(a, LOCK_UN));
	say("flock then", flock(b, LOCK_EX | LOCK_NB));
	say("posix", fcntl(a, F_SETLK, &whole));
	if (fork() == 0) {
		whole.l_type = F_WRLCK;
		say("posix of another process", fcntl(b, F_SETLK, &whole));
		_exit(0);
	}
	(void)wait(NULL);
	whole.l_type = F_UNLCK;
	say("posix unlock", fcntl(a, F_SETLK, &whole));
	whole = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
	say("ofd", fcntl(a, F_OFD_SETLK, &whole));
	say("ofd again", fcntl(b, F_OFD_SETLK, &whole));
}

static void maps(void)
{
	char text[8] = "";
	int fd = made("map", "");
	must(ftruncate(fd, 8192), "ftruncate");
	char *one = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (one == MAP_FAILED || two == MAP_FAILED) {
		say("mmap", -1);
		return;
	}
	memcpy(one + 4096, "shared", 6);
	printf("other mapping %.6s\n", two + 4096);
	must(pread(fd, text, 6, 4096), "pread");
	printf("read %s\n", text);
	if (fork() == 0) {
		memcpy(two, "child", 6);
		_exit(0);
	}
	(void)wait(NULL);
	printf("of a child %s\n", one);
	say("msync", msync(one, 8192, MS_SYNC));
	must(pwrite(fd, "disk", 5, 0), "pwrite");
	printf("after write %s\n", one);
}

static void sparse(void)
{
	struct stat st;
	int fd = made("sparse", "");
	must(ftruncate(fd, 1 << 30), "ftruncate");
	must(pwrite(fd, "end", 3, (1 << 30) - 3), "pwrite");
	must(fsync(fd), "fsync");
	must(fstat(fd, &st), "fstat");
	printf("size %lld, few blocks %d\n", (long long)st.st_size, st.st_blocks < 2048);
	printf("hole at %lld\n", (long long)lseek(fd, 0, SEEK_HOLE));
	printf("data late %d\n", lseek(fd, 0, SEEK_DATA) > (1 << 29));
}

static void allocate(void)
{
	struct stat st;
	char text[4] = "";
	int fd = made("alloc", "abcdef");
	say("fallocate", fallocate(fd, 0, 0, 65536));
	must(fstat(fd, &st), "fstat");
	printf("size %lld\n", (long long)st.st_size);
	say("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	must(pread(fd, text, 3, 0), "pread");
	printf("zero %d\n", text[0] == 0);
	say("zero range", fallocate(fd, FALLOC_FL_ZERO_RANGE, 8192, 4096));
}

static void xattrs(void)
{
	char text[64] = "";
	int fd = made("x", "");
	say("set", fsetxattr(fd, "user.colour", "blue", 4, 0));
	say("create again", fsetxattr(fd, "user.colour", "red", 3, XATTR_CREATE));
	say("get", getxattr("x", "user.colour", text, sizeof(text)));
	puts(text);
	printf("list %zd\n", listxattr("x", text, sizeof(text)));
	say("remove", removexattr("x", "user.colour"));
	say("get none", getxattr("x", "user.colour", text, sizeof(text)));
	say("trusted", setxattr("x", "trusted.colour", "blue", 4, 0));
	say("security", setxattr("x", "security.colour", "blue", 4, 0));
	say("of the overlay", getxattr("x", "trusted.overlay.origin", text, sizeof(text)));
}

/* struct vfs_cap_data, revision 2: cap_net_raw, effective. */
static void file_caps(void)
{
	static const unsigned char raw[20] = { 1, 0, 0, 2, 0, 0x20 };
	unsigned char got[24];
	(void)made("caps", "");
	say("set", setxattr("caps", "security.capability", raw, sizeof(raw), 0));
	printf("get %zd\n", getxattr("caps", "security.capability", got, sizeof(got)));
	say("chown", chown("caps", 1000, 100));
	say("gone", getxattr("caps", "security.capability", got, sizeof(got)));
}

/* Version 2: owner rwx, user 1001 r, group -, mask r, others -. */
static void acl(void)
{
	static const unsigned char rules[] = { 2,  0, 0, 0,                         //
					       1,  0, 7, 0, 0xff, 0xff, 0xff, 0xff, //
					       2,  0, 4, 0, 0xe9, 3,    0,    0,    //
					       4,  0, 0, 0, 0xff, 0xff, 0xff, 0xff, //
					       16, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, //
					       32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
	unsigned char got[64];
	(void)made("acl", "");
	long rc = setxattr("acl", "system.posix_acl_access", rules, sizeof(rules), 0);
	say("set", rc);
	if (rc < 0)
		return;
	ssize_t n = getxattr("acl", "system.posix_acl_access", got, sizeof(got));
	printf("same %d\n", n == sizeof(rules) && !memcmp(got, rules, sizeof(rules)));
	if (fork() == 0) {
		must(setgid(1001), "setgid");
		must(setuid(1001), "setuid");
		say("the one", open("acl", O_RDONLY));
		say("to write", open("acl", O_WRONLY));
		_exit(0);
	}
	(void)wait(NULL);
}

static void sockets(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "sock" };
	char text[8] = "";
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat st;
	say("bind", bind(s, (void *)&at, sizeof(at)));
	must(listen(s, 1), "listen");
	say("connect", connect(c, (void *)&at, sizeof(at)));
	must(write(c, "hello", 5), "write");
	int a = accept(s, NULL, NULL);
	must(a, "accept");
	must(read(a, text, 5), "read");
	puts(text);
	must(stat("sock", &st), "stat");
	printf("socket %d\n", S_ISSOCK(st.st_mode));
	say("bind again", bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&at, sizeof(at)));
	(void)close(s);
	say("nobody", connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&at, sizeof(at)));
}

static void fifos(void)
{
	char text[8] = "";
	say("mkfifo", mkfifo("fifo", 0600));
	say("write alone", open("fifo", O_WRONLY | O_NONBLOCK));
	if (fork() == 0) {
		int fd = open("fifo", O_WRONLY);
		_exit(write(fd, "through", 7) != 7);
	}
	int fd = open("fifo", O_RDONLY);
	must(fd, "open");
	must(read(fd, text, 7), "read");
	puts(text);
	printf("end %zd\n", read(fd, text, 7));
	(void)wait(NULL);
}

static void notify(void)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = { { IN_CREATE, "create" },   { IN_CLOSE_WRITE, "close" },
		      { IN_MOVED_FROM, "from" }, { IN_MOVED_TO, "to" },
		      { IN_DELETE, "delete" },   { IN_MODIFY, "modify" } };
	char buffer[4096];
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	must(mkdir("watched", 0755), "mkdir");
	say("watch",
	    inotify_add_watch(fd, "watched", IN_CREATE | IN_CLOSE_WRITE | IN_MOVE | IN_DELETE));
	(void)close(made("watched/a", "x"));
	must(rename("watched/a", "watched/b"), "rename");
	must(unlink("watched/b"), "unlink");
	ssize_t n = read(fd, buffer, sizeof(buffer));
	must(n, "read");
	for (char *p = buffer; p < buffer + n;) {
		struct inotify_event *e = (void *)p;
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (e->mask & names[i].bit)
				printf("%s %s\n", names[i].name, e->name);
		p += sizeof(*e) + e->len;
	}
}

static void renames(void)
{
	char text[8] = "";
	(void)close(made("a", "a"));
	(void)close(made("b", "b"));
	say("no replace", renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	say("exchange", renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
	say("over", rename("a", "b"));
	int fd = open("b", O_RDONLY);
	must(fd, "b");
	must(read(fd, text, 1), "read");
	puts(text);
	must(mkdir("d1", 0755), "d1");
	must(mkdir("d2", 0755), "d2");
	(void)close(made("d2/x", ""));
	say("folder over empty", rename("d2", "d1"));
	must(mkdir("d2", 0755), "d2");
	say("folder over full", rename("d2", "d1"));
	say("file over folder", rename("b", "d2"));
	say("into itself", rename("d1", "d1/y"));
}

/* Of the image's own folder and files: the lowest layer's. */
static void lower(void)
{
	struct stat a, b;
	say("rename a folder of the image", rename("/seed", "/seed-moved"));
	say("and back", rename("/seed-moved", "/seed"));
	must(stat("/seed/a", &a), "stat");
	int fd = open("/seed/a", O_WRONLY | O_APPEND);
	must(fd, "open");
	must(write(fd, "more\n", 5), "write");
	must(fstat(fd, &b), "fstat");
	printf("same number %d, longer %d\n", a.st_ino == b.st_ino, b.st_size == a.st_size + 5);
	must(stat("/seed/hard", &b), "stat");
	printf("links %d %d\n", (int)a.st_nlink, (int)b.st_nlink);
	say("unlink", unlink("/text"));
	say("again", unlink("/text"));
	say("made anew", mkdir("/text", 0755));
	must(mkdir("/seed/sub/new", 0755), "mkdir");
	say("folder in the way", rmdir("/seed/sub"));
}

/* A file of the image, three pages that begin with a, b and c: what was mapped stays as it
 * was when somebody writes the file, as with any overlay. */
static void image_maps(void)
{
	const int page = 4096;
	int fd = open("/l/map", O_RDONLY | O_CLOEXEC);
	must(fd, "open");
	char *shared = mmap(NULL, 3 * page, PROT_READ, MAP_SHARED, fd, 0);
	char *own = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (shared == MAP_FAILED || own == MAP_FAILED) {
		say("mmap", -1);
		return;
	}
	printf("pages %c%c%c\n", shared[0], shared[page], shared[2 * page]);
	own[page] = 'X';
	printf("own %c%c%c, shared %c\n", own[0], own[page], own[2 * page], shared[page]);
	int writer = open("/l/map", O_RDWR | O_CLOEXEC);
	must(writer, "open to write");
	must(pwrite(writer, "Z", 1, 0), "pwrite");
	char *anew = mmap(NULL, page, PROT_READ, MAP_SHARED, writer, 0);
	if (anew == MAP_FAILED) {
		say("mmap", -1);
		return;
	}
	printf("before the write %c, after it %c\n", shared[0], anew[0]);
	say("write through a read-only one",
	    mmap(NULL, page, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
}

static void image_attrs(void)
{
	char text[32] = "";
	ssize_t n = getxattr("/l/attrs", "user.colour", text, sizeof(text) - 1);
	printf("colour %.*s\n", n > 0 ? (int)n : 0, text);
	n = getxattr("/l/capable", "security.capability", text, sizeof(text));
	printf("capabilities %zd\n", n);
	say("no such one", getxattr("/l/attrs", "user.shape", text, sizeof(text)));
	say("change", setxattr("/l/attrs", "user.colour", "red", 3, XATTR_REPLACE));
	n = getxattr("/l/attrs", "user.colour", text, sizeof(text));
	printf("colour %.*s\n", n > 0 ? (int)n : 0, text);
}

static void unlinked(void)
{
	struct stat st;
	char text[8] = "";
	int fd = made("gone", "still");
	must(unlink("gone"), "unlink");
	must(fstat(fd, &st), "fstat");
	printf("links %d\n", (int)st.st_nlink);
	must(pwrite(fd, "there", 5, 5), "pwrite");
	must(ftruncate(fd, 7), "ftruncate");
	must(pread(fd, text, 7, 0), "pread");
	puts(text);
	say("mode", fchmod(fd, 0600));
	say("by name", open("gone", O_RDONLY));
	int again = open("gone", O_RDWR | O_CREAT | O_EXCL, 0600);
	must(again, "anew");
	printf("empty %d\n", (int)lseek(again, 0, SEEK_END) == 0);
	must(unlink("gone"), "unlink");
	must(mkdir("dir", 0755), "mkdir");
	int dir = open("dir", O_DIRECTORY);
	must(rmdir("dir"), "rmdir");
	say("in a removed folder", openat(dir, "x", O_CREAT | O_WRONLY, 0600));
}

static void hard_links(void)
{
	struct stat a, b;
	(void)close(made("one", "x"));
	say("link", link("one", "two"));
	must(stat("one", &a), "stat");
	must(stat("two", &b), "stat");
	printf("same %d, links %d\n", a.st_ino == b.st_ino, (int)b.st_nlink);
	int fd = open("two", O_WRONLY | O_APPEND);
	must(write(fd, "yz", 2), "write");
	must(stat("one", &a), "stat");
	printf("size %d\n", (int)a.st_size);
	must(unlink("one"), "unlink");
	must(stat("two", &b), "stat");
	printf("links %d\n", (int)b.st_nlink);
	must(mkdir("d", 0755), "mkdir");
	say("of a folder", link("d", "e"));
	must(symlink("two", "s"), "symlink");
	say("of a link", link("s", "t"));
	must(lstat("t", &b), "lstat");
	printf("is a link %d\n", S_ISLNK(b.st_mode));
}

static void append(void)
{
	int fd = made("log", ""), lines = 0, bad = 0;
	char line[64];
	for (int i = 0; i < 4; i++) {
		if (fork())
			continue;
		int own = open("log", O_WRONLY | O_APPEND);
		for (int n = 0; n < 50; n++)
			if (write(own, "a whole line\n", 13) != 13)
				_exit(1);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	FILE *f = fdopen(fd, "r");
	while (f && fgets(line, sizeof(line), f)) {
		lines++;
		bad += strcmp(line, "a whole line\n") != 0;
	}
	printf("%d lines, %d bad\n", lines, bad);
}

static void many(void)
{
	char name[32];
	int n = 0, twice = 0;
	static bool seen[500];
	struct dirent *e;
	must(mkdir("many", 0755), "mkdir");
	for (int i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof(name), "many/file-%04d", i);
		(void)close(made(name, ""));
	}
	DIR *d = opendir("many");
	if (!d)
		return;
	while ((e = readdir(d))) {
		int i = 0;
		if (sscanf(e->d_name, "file-%d", &i) != 1)
			continue;
		twice += seen[i];
		seen[i] = true;
		n++;
	}
	printf("%d files, %d twice\n", n, twice);
	say("rmdir", rmdir("many"));
	rewinddir(d);
	while ((e = readdir(d)))
		(void)unlinkat(dirfd(d), e->d_name, 0);
	say("rmdir", rmdir("many"));
}

static void deep(void)
{
	char path[4200];
	int n = 0, fd = open(".", O_PATH | O_DIRECTORY);
	for (; n < 300; n++) {
		must(mkdirat(fd, "a-folder-of-some-length", 0755), "mkdirat");
		int next = openat(fd, "a-folder-of-some-length", O_PATH | O_DIRECTORY);
		must(next, "openat");
		(void)close(fd);
		fd = next;
	}
	printf("%d deep\n", n);
	say("a file there", openat(fd, "x", O_CREAT | O_WRONLY, 0644));
	memset(path, 'x', sizeof(path));
	path[255] = '\0';
	say("255 bytes", open(path, O_CREAT | O_WRONLY, 0644));
	path[255] = 'x';
	path[256] = '\0';
	say("256 bytes", open(path, O_CREAT | O_WRONLY, 0644));
	path[256] = 'x';
	path[4199] = '\0';
	say("4199 bytes", open(path, O_CREAT | O_WRONLY, 0644));
}

static void modes(void)
{
	struct stat st;
	(void)close(made("m", "x"));
	say("suid", chmod("m", 06755));
	say("chown", chown("m", 1000, 100));
	must(stat("m", &st), "stat");
	printf("%u:%u %o\n", st.st_uid, st.st_gid, st.st_mode & 07777);
	must(chmod("m", 06777), "chmod");
	must(mkdir("g", 0777), "mkdir");
	must(chown("g", 0, 100), "chown");
	must(chmod("g", 02777), "chmod");
	(void)close(made("g/file", ""));
	must(mkdir("g/dir", 0755), "mkdir");
	must(stat("g/file", &st), "stat");
	printf("group %u\n", st.st_gid);
	must(stat("g/dir", &st), "stat");
	printf("group %u %o\n", st.st_gid, st.st_mode & 07777);
	must(mkdir("s", 0777), "mkdir");
	must(chmod("s", 01777), "chmod");
	(void)close(made("s/roots", ""));
	if (fork() == 0) {
		must(setgid(1001), "setgid");
		must(setuid(1001), "setuid");
		int fd = open("m", O_WRONLY);
		must(write(fd, "y", 1), "write");
		must(stat("m", &st), "stat");
		printf("after a write %o\n", st.st_mode & 07777);
		say("chmod of another's", chmod("m", 0600));
		say("chown of another's", chown("m", 1001, 1001));
		say("sticky", unlink("s/roots"));
		say("own there", open("s/own", O_CREAT | O_WRONLY, 0600));
		_exit(0);
	}
	(void)wait(NULL);
	must(stat("s/own", &st), "stat");
	printf("%u:%u %o\n", st.st_uid, st.st_gid, st.st_mode & 07777);
	say("no such user", chown("m", 70000, 70000));
}

static void rights(void)
{
	(void)close(made("secret", "x"));
	must(chmod("secret", 0600), "chmod");
	must(mkdir("closed", 0700), "mkdir");
	(void)close(made("closed/x", ""));
	say("root", access("secret", R_OK));
	if (fork() == 0) {
		must(setgid(1001), "setgid");
		must(setuid(1001), "setuid");
		say("read", open("secret", O_RDONLY));
		say("write", open("secret", O_WRONLY));
		say("through", open("closed/x", O_RDONLY));
		say("list", open("closed", O_RDONLY));
		say("make", open("new", O_CREAT | O_WRONLY, 0600));
		say("remove", unlink("secret"));
		_exit(0);
	}
	(void)wait(NULL);
}

static void times(void)
{
	struct timespec set[2] = { { 1000000000, 123456789 }, { 1111111111, 987654321 } };
	struct stat st;
	int fd = made("t", "x");
	say("set", futimens(fd, set));
	must(stat("t", &st), "stat");
	printf("%ld.%09ld %ld.%09ld\n", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
	       (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	must(write(fd, "y", 1), "write");
	must(fsync(fd), "fsync");
	must(stat("t", &st), "stat");
	printf("changed by a write %d\n", st.st_mtim.tv_sec > 1700000000);
	struct timespec now;
	must(clock_gettime(CLOCK_REALTIME, &now), "clock");
	long off = (long)(now.tv_sec - st.st_mtim.tv_sec);
	printf("near now %d\n", off > -5 && off < 5);
}

static void syncs(void)
{
	int fd = made("s", "x"), dir = open(".", O_RDONLY | O_DIRECTORY);
	say("fsync", fsync(fd));
	say("fdatasync", fdatasync(fd));
	say("of a folder", fsync(dir));
	say("syncfs", syncfs(fd));
	say("range", sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	sync();
	say("O_SYNC", write(open("s", O_WRONLY | O_SYNC), "y", 1));
	say("fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ? -1 : 0);
}

static void nodes(void)
{
	say("fifo", mknod("n1", S_IFIFO | 0600, 0));
	say("socket", mknod("n2", S_IFSOCK | 0600, 0));
	say("file", mknod("n3", S_IFREG | 0600, 0));
	say("null", mknod("n4", S_IFCHR | 0600, makedev(1, 3)));
	say("disk", mknod("n5", S_IFBLK | 0600, makedev(8, 0)));
}

static void copies(void)
{
	char text[16] = "";
	int in = made("in", "copied text"), out = made("out", "");
	loff_t zero = 0, to = 0;
	say("copy_file_range", copy_file_range(in, &zero, out, &to, 11, 0));
	must(pread(out, text, 11, 0), "pread");
	puts(text);
	off_t from = 0;
	must(ftruncate(out, 0), "ftruncate");
	must(lseek(out, 0, SEEK_SET), "lseek");
	printf("sendfile %zd\n", sendfile(out, in, &from, 11));
	int p[2];
	must(pipe(p), "pipe");
	zero = 0;
	printf("splice %zd\n", splice(in, &zero, p[1], NULL, 6, 0));
	memset(text, 0, sizeof(text));
	must(read(p[0], text, 6), "read");
	puts(text);
}

static void opens(void)
{
	(void)close(made("f", "x"));
	must(symlink("f", "l"), "symlink");
	must(symlink("loop", "loop"), "symlink");
	must(symlink("nowhere", "dangling"), "symlink");
	must(mkdir("d", 0755), "mkdir");
	say("exclusive", open("f", O_CREAT | O_EXCL | O_WRONLY, 0600));
	say("no follow", open("l", O_RDONLY | O_NOFOLLOW));
	say("a loop", open("loop", O_RDONLY));
	say("dangling", open("dangling", O_RDONLY));
	say("made through a link", open("dangling", O_CREAT | O_WRONLY, 0600));
	say("no folder", open("f", O_RDONLY | O_DIRECTORY));
	say("below a file", open("f/x", O_RDONLY));
	say("a folder to write", open("d", O_WRONLY));
	say("with a slash", open("f/", O_RDONLY));
	say("no time", open("f", O_RDONLY | O_NOATIME));
	say("remove a folder", unlink("d"));
	say("rmdir a file", rmdir("f"));
	char text[8] = "";
	say("readlink", readlink("l", text, sizeof(text)));
	say("handle", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
}

static void busy(void)
{
	int out = open("prog", O_CREAT | O_WRONLY | O_TRUNC, 0755),
	    in = open("/bin/probe", O_RDONLY);
	must(in, "probe");
	must(sendfile(out, in, NULL, 64 << 20), "copy");
	for (int closed = 0; closed < 2; closed++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (!closed) {
				(void)execl("prog", "prog", NULL);
				say("execute what is written", -1);
				_exit(0);
			}
			(void)execl("prog", "prog", "signals", NULL);
			_exit(9);
		}
		int status = 0;
		(void)waitpid(pid, &status, 0);
		printf("status %d\n", WEXITSTATUS(status));
		(void)close(out);
	}
	say("write what runs", open("/bin/probe", O_WRONLY));
}

static void room(void)
{
	struct statvfs s;
	must(statvfs(".", &s), "statvfs");
	printf("names %lu, room %d, files %d\n", s.f_namemax, s.f_blocks > 0 && s.f_bavail > 0,
	       s.f_files > 0);
}

static void truncates(void)
{
	char text[12];
	struct stat st;
	int fd = made("t", "0123456789");
	must(truncate("t", 4), "truncate");
	must(truncate("t", 8), "truncate");
	must(pread(fd, text, 8, 0), "pread");
	printf("%.4s zeros %d\n", text, !text[4] && !text[7]);
	must(open("t", O_WRONLY | O_TRUNC), "open");
	must(stat("t", &st), "stat");
	printf("size %d\n", (int)st.st_size);
	say("past the largest", ftruncate(fd, -1));
	printf("read at the end %zd\n", pread(fd, text, 8, 100));
	say("direct", open("t", O_RDWR | O_DIRECT));
}

static void dir_walk(void)
{
	struct stat a, b;
	must(mkdir("up", 0755), "mkdir");
	must(mkdir("up/down", 0755), "mkdir");
	must(stat("up", &a), "stat");
	must(stat("up/down/..", &b), "stat");
	printf("parent %d, links %d\n", a.st_ino == b.st_ino,
	       (int)a.st_nlink == 3 || (int)a.st_nlink == 1);
	say("root's parent", stat("/..", &a));
	must(stat("/", &b), "stat");
	printf("itself %d\n", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	must(stat("up/down", &b), "stat");
	printf("one file system %d\n", a.st_dev == b.st_dev);
	say("rmdir full", rmdir("up"));
	say("rmdir .", rmdir("up/down/."));
	must(chdir("up/down"), "chdir");
	must(rmdir("../down"), "rmdir");
	say("where", getcwd((char[64]){ 0 }, 64) ? 0 : -1);
}

const struct probe file_probes[] = {
	{ "tmpfile", tmpfile_named },
	{ "locks", locks },
	{ "maps", maps },
	{ "sparse", sparse },
	{ "allocate", allocate },
	{ "xattrs", xattrs },
	{ "file-caps", file_caps },
	{ "acl", acl },
	{ "sockets", sockets },
	{ "fifos", fifos },
	{ "notify", notify },
	{ "renames", renames },
	{ "lower", lower },
	{ "unlinked", unlinked },
	{ "links", hard_links },
	{ "append", append },
	{ "many", many },
	{ "deep", deep },
	{ "modes", modes },
	{ "rights", rights },
	{ "times", times },
	{ "syncs", syncs },
	{ "nodes", nodes },
	{ "copies", copies },
	{ "opens", opens },
	{ "busy", busy },
	{ "room", room },
	{ "truncates", truncates },
	{ "walk", dir_walk },
	{ "image-maps", image_maps },
	{ "image-attrs", image_attrs },
	{ NULL, NULL },
};
