/* SPDX-License-Identifier: Apache-2.0 */
/* dev_pmem - virtio-pmem: a read-only image as memory of the guest (virtio 1.2, 5.19).
 *
 * The file is mapped shared, so that all VMs that have it and the host share one copy
 * in the page cache, and the guest (with DAX) keeps none of its own. The guest cannot
 * write it: neither we nor KVM map it writable. A file that shrinks meanwhile ends the
 * VM, nothing else. isola-vmm; mapped before the jail, requests on the loop. */
#include "isola/fd.h"
#include "isola/json.h"

#include "machine.h"
#include "memory.h"
#include "virtio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define QUEUE_SIZE 64
#define IOVS       (QUEUE_SIZE + 8)
/* What Linux takes as memory comes in sections of this size. */
#define SECTION_BYTES  (2ULL << 20)
#define FILE_BYTES_MAX (1ULL << 40)

struct pmem {
	struct virtio v; /* first */
	int fd;          /* for its lock */
	struct virtio_pmem_config config;
	uint64_t file_bytes, n_flushes;
};

extern const struct device_type device_pmem;

static int parse(json_object *conf, const char **ret_id, struct source *ret, struct err *err)
{
	static const char *const known[] = { "id", "source", "readonly", NULL };
	bool readonly = true;
	const char *id = NULL;
	int rc = machine_only(conf, known, "", err);
	if (rc < 0)
		return rc;
	if ((rc = json_get_str(conf, "id", &id, err)) < 0 ||
	    (rc = json_get_bool(conf, "readonly", &readonly, err)) < 0)
		return rc;
	if (!id)
		return err_set(err, EINVAL, "id: is missing");
	if (!readonly)
		return err_set(err, EINVAL,
			       "readonly: pmem is for read-only images; a disk can be written");
	rc = source_get(conf, "source", ret, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, EINVAL, "source: is missing");
	*ret_id = id;
	return 0;
}

static int pmem_check(json_object *conf, struct err *err)
{
	struct source source;
	const char *id = NULL;
	return parse(conf, &id, &source, err);
}

/* ---- requests ---- */

static bool serve_one(struct pmem *p)
{
	struct virtq *q = &p->v.queues[0];
	struct iovec iov[IOVS];
	struct virtq_chain chain;
	struct virtio_pmem_req req;
	virtq_chain_init(&chain, iov, IOVS);
	int rc = virtq_pop(q, &chain);
	if (rc == 0)
		return false;
	if (rc < 0 || chain_read(&chain, 0, &req, sizeof(req)) < sizeof(req) ||
	    chain.write_bytes < sizeof(struct virtio_pmem_resp)) {
		virtio_fail(&p->v, "not a valid request");
		return false;
	}
	/* What cannot be written is always flushed. */
	const struct virtio_pmem_resp resp = { .ret = req.type != VIRTIO_PMEM_REQ_TYPE_FLUSH };
	virtq_push(q, chain.head, (uint32_t)chain_write(&chain, 0, &resp, sizeof(resp)));
	p->n_flushes++;
	return true;
}

static void on_kick(struct virtio *v, unsigned int index)
{
	struct virtq *q = &v->queues[index];
	unsigned int n = 0;
	do {
		virtq_disable_kicks(q);
		while (n < VIRTQ_DRAIN_MAX && serve_one((struct pmem *)v))
			n++;
	} while (n < VIRTQ_DRAIN_MAX && !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET) &&
		 virtq_enable_kicks(q));
	if (n == VIRTQ_DRAIN_MAX)
		virtio_again(v, index);
	virtio_publish(v, index);
}

static void on_config_read(struct virtio *v, uint32_t offset, void *data, uint32_t size)
{
	memcpy(data, (const uint8_t *)&((struct pmem *)v)->config + offset, size);
}

static const struct virtio_type pmem_type = { .id = VIRTIO_ID_PMEM,
					      .kick = on_kick,
					      .config_read = on_config_read };

/* ---- the device ---- */

static int measure(struct pmem *p, struct err *err)
{
	struct stat st;
	if (fstat(p->fd, &st) < 0)
		return err_sys(err, "cannot look at the image");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, EINVAL,
			       "the image is neither a regular file nor a block device");
	off_t end = lseek(p->fd, 0, SEEK_END);
	if (end < 0)
		return err_sys(err, "cannot find the size of the image");
	if (end == 0 || (uint64_t)end > FILE_BYTES_MAX)
		return err_set(err, EINVAL,
			       "an image of %lld bytes: from 1 byte to 1 TiB is possible",
			       (long long)end);
	p->file_bytes = (uint64_t)end;
	return 0;
}

/* Others may read it, nobody may take it as a disk to write to. */
static int take_lock(const struct pmem *p, struct err *err)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	if (fcntl(p->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(err, EBUSY, "the image is in use: another VM writes to it");
	return err_sys(err, "cannot lock the image");
}

/* The file, and behind its last page zeroes to the end of the section. */
static int map(struct pmem *p, struct vm *vm, struct err *err)
{
	uint64_t size = (p->file_bytes + SECTION_BYTES - 1) / SECTION_BYTES * SECTION_BYTES;
	uint8_t *host =
		mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host == MAP_FAILED)
		return err_sys(err, "cannot reserve %llu bytes of addresses",
			       (unsigned long long)size);
	if (mmap(host, p->file_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, p->fd, 0) == MAP_FAILED) {
		int rc = err_sys(err, "cannot map the image");
		(void)munmap(host, size);
		return rc;
	}
	gpa_t start;
	int rc = memory_add_file(vm->memory, host, size, true, &start, err);
	if (rc < 0) {
		(void)munmap(host, size);
		return rc;
	}
	p->config = (struct virtio_pmem_config){ .start = start, .size = size };
	return 0;
}

static void pmem_free(struct device *dev)
{
	struct pmem *p = (struct pmem *)dev;
	if (!p)
		return;
	virtio_fini(&p->v);
	fd_close(&p->fd);
	free(p);
}

static int build(struct pmem *p, struct vm *vm, const struct source *source, struct err *err)
{
	/* not to wait for the other end if it is a FIFO */
	int rc = p->fd = source_open(source, O_RDONLY | O_NONBLOCK, err);
	if (rc < 0 || (rc = measure(p, err)) < 0 || (rc = take_lock(p, err)) < 0 ||
	    (rc = map(p, vm, err)) < 0)
		return rc;
	return virtio_init(&p->v, vm, &device_pmem, &pmem_type, 1, QUEUE_SIZE, 0, sizeof(p->config),
			   err);
}

static int pmem_make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	struct source source;
	const char *id = NULL;
	int rc = parse(conf, &id, &source, err);
	if (rc < 0)
		return rc;
	struct pmem *p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "out of memory");
	p->fd = -1;
	(void)snprintf(p->v.device.id, sizeof(p->v.device.id), "%s", id);
	rc = build(p, vm, &source, err);
	if (rc < 0) {
		pmem_free(&p->v.device);
		return err_prefix(err, "%s", id);
	}
	*ret = &p->v.device;
	return 0;
}

static json_object *pmem_stats(struct device *dev)
{
	const struct pmem *p = (const struct pmem *)dev;
	json_object *o = json_object_new_object();
	json_add_i64(o, "size_bytes", (int64_t)p->file_bytes);
	json_add_i64(o, "flushes", (int64_t)p->n_flushes);
	return o;
}

static void pmem_quiesce(struct device *dev, void (*done)(void *arg), void *arg)
{
	virtio_quiesce(&((struct pmem *)dev)->v);
	done(arg);
}

static void pmem_resume(struct device *dev)
{
	virtio_resume(&((struct pmem *)dev)->v);
}

const struct device_type device_pmem = { .key = "pmem",
					 .many = true,
					 .check = pmem_check,
					 .make = pmem_make,
					 .stats = pmem_stats,
					 .quiesce = pmem_quiesce,
					 .resume = pmem_resume,
					 .free = pmem_free };
