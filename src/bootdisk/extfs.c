/* SPDX-License-Identifier: Apache-2.0 */
/* extfs - see extfs.h. libext2fs does its I/O through an io_manager; ours reads one
 * part of the disk and never writes. */
#include "extfs.h"

#include "isola/fd.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 4096 /* entries of a folder that are looked at */

/* ---- I/O ---- */

struct window {
	const struct disk *disk;
	const struct part *part;
};

/* libext2fs opens by name; the window's address is told beside it. One thread. */
static const struct window *opening;

static errcode_t io_open(const char *name, int flags, io_channel *ret)
{
	(void)flags;
	io_channel io = calloc(1, sizeof(*io));
	struct window *w = calloc(1, sizeof(*w));
	if (!io || !w || !opening || ext2fs_get_mem(strlen(name) + 1, &io->name)) {
		free(io);
		free(w);
		return EXT2_ET_NO_MEMORY;
	}
	(void)strcpy(io->name, name);
	*w = *opening;
	io->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	extern struct struct_io_manager window_io;
	io->manager = &window_io;
	io->block_size = 1024;
	io->refcount = 1;
	io->private_data = w;
	*ret = io;
	return 0;
}

static errcode_t io_close(io_channel io)
{
	if (--io->refcount > 0)
		return 0;
	free(io->private_data);
	ext2fs_free_mem(&io->name);
	free(io);
	return 0;
}

static errcode_t io_set_blksize(io_channel io, int size)
{
	io->block_size = size;
	return 0;
}

/* A negative count is one of bytes. */
static errcode_t io_read(io_channel io, unsigned long long block, int count, void *buf)
{
	const struct window *w = io->private_data;
	uint64_t at, block_size = (uint64_t)io->block_size;
	uint64_t size = count < 0 ? (uint64_t) - (int64_t)count : (uint64_t)count * block_size;
	if (__builtin_mul_overflow(block, block_size, &at) || at > w->part->size ||
	    size > w->part->size - at || !disk_read(w->disk, w->part->start + at, buf, size))
		return EXT2_ET_SHORT_READ;
	return 0;
}

static errcode_t io_read32(io_channel io, unsigned long block, int count, void *buf)
{
	return io_read(io, block, count, buf);
}

static errcode_t io_write(io_channel io, unsigned long block, int count, const void *data)
{
	(void)io, (void)block, (void)count, (void)data;
	return EROFS;
}

static errcode_t io_flush(io_channel io)
{
	(void)io;
	return 0;
}

struct struct_io_manager window_io;
struct struct_io_manager window_io = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "part of a disk",
	.open = io_open,
	.close = io_close,
	.set_blksize = io_set_blksize,
	.read_blk = io_read32,
	.read_blk64 = io_read,
	.write_blk = io_write,
	.flush = io_flush,
};

/* ---- the file system ---- */

struct extfs {
	ext2_filsys fs;
};

struct extfs *extfs_open(const struct disk *disk, const struct part *part)
{
	const struct window w = { disk, part };
	struct extfs *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	opening = &w;
	errcode_t rc = ext2fs_open("disk", EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0,
				   &window_io, &e->fs);
	opening = NULL;
	if (rc != 0) {
		free(e);
		return NULL;
	}
	return e;
}

void extfs_close(struct extfs *fs)
{
	if (!fs)
		return;
	(void)ext2fs_free(fs->fs);
	free(fs);
}

static ext2_ino_t look_up(struct extfs *fs, ext2_ino_t dir, const char *path)
{
	ext2_ino_t ino = 0;
	return ext2fs_namei(fs->fs, EXT2_ROOT_INO, dir, path, &ino) == 0 ? ino : 0;
}

/* A regular file behind @name of folder @dir, links followed; 0 when there is none. */
static ext2_ino_t regular(struct extfs *fs, ext2_ino_t dir, const char *name)
{
	struct ext2_inode inode;
	ext2_ino_t ino = 0;
	if (ext2fs_namei_follow(fs->fs, EXT2_ROOT_INO, dir, name, &ino) != 0 ||
	    ext2fs_read_inode(fs->fs, ino, &inode) != 0 || !LINUX_S_ISREG(inode.i_mode))
		return 0;
	return ino;
}

bool extfs_is_root(struct extfs *fs)
{
	return look_up(fs, EXT2_ROOT_INO, "etc/fstab") || look_up(fs, EXT2_ROOT_INO, "sbin/init") ||
	       look_up(fs, EXT2_ROOT_INO, "usr/sbin/init");
}

/* The newest version seen so far, while a folder is walked. */
struct search {
	char version[128];
	unsigned int names;
};

static int on_entry(struct ext2_dir_entry *entry, int offset, int size, char *buf, void *arg)
{
	static const char prefix[] = "vmlinuz-";
	struct search *s = arg;
	char name[EXT2_NAME_LEN + 1];
	size_t len = (size_t)ext2fs_dirent_name_len(entry);
	(void)offset, (void)size, (void)buf;
	if (++s->names > NAMES_MAX)
		return DIRENT_ABORT;
	if (len > EXT2_NAME_LEN)
		return 0;
	memcpy(name, entry->name, len);
	name[len] = '\0';
	const char *version = name + sizeof(prefix) - 1;
	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 || !*version ||
	    strlen(version) >= sizeof(s->version) || strchr(version, '/') ||
	    (*s->version && strverscmp(version, s->version) <= 0))
		return 0;
	(void)strcpy(s->version, version);
	return 0;
}

static bool newest_in(struct extfs *fs, ext2_ino_t dir, struct extfs_kernel *ret)
{
	char name[160];
	struct search s = { .names = 0 };
	if (!dir || ext2fs_dir_iterate(fs->fs, dir, 0, NULL, on_entry, &s) != 0 || !*s.version)
		return false;
	*ret = (struct extfs_kernel){ .initrd = 0 };
	(void)strcpy(ret->version, s.version);
	(void)snprintf(name, sizeof(name), "vmlinuz-%s", s.version);
	ret->kernel = regular(fs, dir, name);
	(void)snprintf(name, sizeof(name), "initrd.img-%s", s.version);
	ret->initrd = regular(fs, dir, name);
	if (ret->initrd == 0) {
		(void)snprintf(name, sizeof(name), "initramfs-%s.img", s.version);
		ret->initrd = regular(fs, dir, name);
	}
	return ret->kernel != 0;
}

bool extfs_newest(struct extfs *fs, struct extfs_kernel *ret)
{
	return newest_in(fs, look_up(fs, EXT2_ROOT_INO, "boot"), ret) ||
	       newest_in(fs, EXT2_ROOT_INO, ret);
}

static int copy_open_file(ext2_file_t file, uint64_t max, int fd, struct err *err)
{
	char buf[65536];
	for (uint64_t total = 0;;) {
		unsigned int n = 0;
		if (ext2fs_file_read(file, buf, sizeof(buf), &n) != 0)
			return err_set(err, EIO, "a file on the disk cannot be read");
		if (n == 0)
			return 0;
		total += n;
		if (total > max)
			return err_set(err, EFBIG, "a file on the disk is larger than %llu bytes",
				       (unsigned long long)max);
		int rc = fd_write_all(fd, buf, n);
		if (rc < 0)
			return err_rc(err, rc, "cannot write what the disk holds");
	}
}

int extfs_copy(struct extfs *fs, unsigned int inode, uint64_t max, int fd, struct err *err)
{
	ext2_file_t file;
	uint64_t size = 0;
	if (ext2fs_file_open(fs->fs, inode, 0, &file) != 0)
		return err_set(err, EIO, "a file on the disk cannot be opened");
	int rc = 0;
	if (ext2fs_file_get_lsize(file, (__u64 *)&size) != 0 || size > max)
		rc = err_set(err, EFBIG, "a file on the disk is larger than %llu bytes",
			     (unsigned long long)max);
	if (rc == 0)
		rc = copy_open_file(file, max, fd, err);
	(void)ext2fs_file_close(file);
	return rc;
}
