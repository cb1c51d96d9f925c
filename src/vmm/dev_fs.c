/* SPDX-License-Identifier: Apache-2.0 */
/* dev_fs - virtio-fs (virtio 1.2, 5.11): a shared folder, served by virtiofsd over
 * vhost-user. File requests never pass through here: this file tells virtiofsd where
 * the queues are, and carries kicks and interrupts.
 *
 * Without its back end the device needs a reset, and every reset after that fails the
 * same way: a share does not come back under a guest that has it mounted. isola-vmm,
 * loop thread. */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/list.h"

#include "device.h"
#include "vhost_user.h"
#include "virtio.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define QUEUE_SIZE 1024
#define TAG_MAX    36 /* not terminated when full (5.11.4) */
#define QUEUES_MAX 8

/* What virtio_init() adds by itself, and a back end may lack. */
#define RING_FEATURES (1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)

struct ring {
	struct fs *fs;
	unsigned int index;
	uv_poll_t call; /* data: NULL until it is to be closed */
	int kick_fd, call_fd;
	bool running;
	uint16_t base; /* where it stopped */
};

struct fs {
	struct virtio v;
	struct vhost_user backend;
	uv_poll_t poll; /* of its socket */
	int sock;
	unsigned int handles, n_rings;
	uint64_t n_calls;
	char tag[TAG_MAX];
	struct ring rings[];
};

extern const struct device_type device_fs;

static struct fs *fs_of(struct virtio *v)
{
	return container_of(v, struct fs, v);
}

static void backend_lost(struct fs *fs, const char *why)
{
	fs->backend.dead = true;
	(void)uv_poll_stop(&fs->poll);
	for (unsigned int i = 0; i < fs->n_rings; i++) {
		fs->rings[i].running = false;
		(void)uv_poll_stop(&fs->rings[i].call);
	}
	if (fs->v.active)
		virtio_fail(&fs->v, "%s", why);
}

/* Nothing is ever said unasked: readable means gone, or gone mad. */
static void on_backend(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	backend_lost(poll->data, "the back end of the share is gone");
}

static void on_call(uv_poll_t *poll, int status, int events)
{
	struct ring *r = poll->data;
	uint64_t n;
	(void)events;
	if (status < 0 || read(r->call_fd, &n, sizeof(n)) != sizeof(n) || !r->fs->v.active)
		return;
	r->fs->n_calls++;
	r->fs->v.n_interrupts++;
	r->fs->v.transport->interrupt(r->fs->v.transport, r->index);
}

static void on_kick(struct virtio *v, unsigned int index)
{
	const struct fs *fs = fs_of(v);
	const uint64_t one = 1;
	if (index < fs->n_rings && fs->rings[index].running)
		(void)write(fs->rings[index].kick_fd, &one, sizeof(one));
}

static int start_rings(struct fs *fs, struct err *err)
{
	for (unsigned int i = 0; i < fs->n_rings; i++) {
		struct ring *r = &fs->rings[i];
		if (!fs->v.queues[i].live)
			continue;
		int rc = vhost_user_start_ring(&fs->backend, i, &fs->v.queues[i], r->base,
					       r->kick_fd, r->call_fd, err);
		if (rc < 0)
			return rc;
		r->running = true;
		(void)uv_poll_start(&r->call, UV_READABLE, on_call);
	}
	return 0;
}

static int stop_rings(struct fs *fs, struct err *err)
{
	int rc = 0;
	for (unsigned int i = 0; i < fs->n_rings; i++) {
		struct ring *r = &fs->rings[i];
		if (r->running && rc == 0)
			rc = vhost_user_stop_ring(&fs->backend, i, &r->base, err);
		r->running = false;
		/* An interrupt that came meanwhile is not lost. */
		if (fs->v.active && r->call.data)
			on_call(&r->call, 0, UV_READABLE);
		(void)uv_poll_stop(&r->call);
	}
	return rc;
}

static int activate(struct virtio *v, struct err *err)
{
	struct fs *fs = fs_of(v);
	for (unsigned int i = 0; i < fs->n_rings; i++)
		fs->rings[i].base = 0;
	int rc = vhost_user_set_up(&fs->backend, v->features, v->device.vm->memory, err);
	if (rc == 0)
		rc = start_rings(fs, err);
	if (rc < 0)
		backend_lost(fs, "");
	return rc;
}

static void reset(struct virtio *v)
{
	struct fs *fs = fs_of(v);
	struct err err = ERR_INIT;
	if (fs->backend.dead)
		return;
	if (stop_rings(fs, &err) < 0) {
		vm_warn(v->device.vm, "%s: %s", v->device.id, err.text);
		backend_lost(fs, err.text);
	}
}

static void config_read(struct virtio *v, uint32_t offset, void *data, uint32_t size)
{
	const struct fs *fs = fs_of(v);
	struct virtio_fs_config config = { .num_request_queues = htole32(fs->n_rings - 1) };
	memcpy(config.tag, fs->tag, sizeof(config.tag));
	memcpy(data, (const uint8_t *)&config + offset, size);
}

static const struct virtio_type fs_virtio = {
	.id = VIRTIO_ID_FS,
	.activate = activate,
	.reset = reset,
	.kick = on_kick,
	.config_read = config_read,
};

/* --- the machine file --- */

struct fs_conf {
	const char *tag;
	struct source socket;
	int64_t queues;
};

static int conf_parse(json_object *conf, struct fs_conf *ret, struct err *err)
{
	static const char *const known[] = { "tag", "socket", "queues", NULL };
	*ret = (struct fs_conf){ .queues = 1 };
	if (machine_only(conf, known, "", err) < 0 ||
	    machine_int(conf, "", "queues", 1, QUEUES_MAX, &ret->queues, err) < 0 ||
	    json_get_str(conf, "tag", &ret->tag, err) < 0)
		return -EINVAL;
	if (!ret->tag || !*ret->tag || strlen(ret->tag) > TAG_MAX)
		return err_set(err, EINVAL, "tag: must have from 1 to %d bytes", TAG_MAX);
	int rc = source_get(conf, "socket", &ret->socket, err);
	return rc ? (rc < 0 ? rc : 0) : err_set(err, EINVAL, "socket: is missing");
}

static int check(json_object *conf, struct err *err)
{
	struct fs_conf parsed;
	return conf_parse(conf, &parsed, err);
}

static int connect_backend(const struct source *source, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	if (source->fd >= 0)
		return source_open(source, O_RDWR, err);
	if (strlen(source->path) >= sizeof(addr.sun_path))
		return err_set(err, ENAMETOOLONG, "%s: too long for the name of a socket",
			       source->path);
	memcpy(addr.sun_path, source->path, strlen(source->path));
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, "cannot connect to virtiofsd at %s", source->path);
	return take_fd(&fd);
}

static void unref(struct fs *fs)
{
	if (--fs->handles)
		return;
	fd_close(&fs->sock);
	for (unsigned int i = 0; i < fs->n_rings; i++) {
		fd_close(&fs->rings[i].kick_fd);
		fd_close(&fs->rings[i].call_fd);
	}
	free(fs);
}

static void on_poll_closed(uv_handle_t *handle)
{
	unref(handle->data);
}

static void on_call_closed(uv_handle_t *handle)
{
	unref(((struct ring *)handle->data)->fs);
}

/* Half built is fine: handles is then at 1 for the caller. */
static void fs_free(struct device *dev)
{
	if (!dev)
		return;
	struct fs *fs = container_of(dev, struct fs, v.device);
	virtio_fini(&fs->v);
	for (unsigned int i = 0; i < fs->n_rings; i++)
		if (fs->rings[i].call.data)
			uv_close((uv_handle_t *)&fs->rings[i].call, on_call_closed);
	if (fs->poll.data)
		uv_close((uv_handle_t *)&fs->poll, on_poll_closed);
	unref(fs);
}

static int ring_init(struct ring *r, uv_loop_t *loop, struct err *err)
{
	r->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->kick_fd < 0 || r->call_fd < 0)
		return err_sys(err, "cannot make an eventfd");
	int rc = uv_poll_init(loop, &r->call, r->call_fd);
	if (rc < 0)
		return err_rc(err, rc, "cannot watch a queue of the share");
	r->call.data = r;
	r->fs->handles++;
	return 0;
}

static int start(struct fs *fs, const struct fs_conf *conf, struct err *err)
{
	struct vm *vm = fs->v.device.vm;
	if (!vm->machine || !vm->machine->memory.shared)
		return err_set(err, EINVAL, "memory.shared must be true for a share");
	int rc = fs->sock = connect_backend(&conf->socket, err);
	if (rc < 0)
		return rc;
	rc = 0;
	for (unsigned int i = 0; i < fs->n_rings && rc == 0; i++)
		rc = ring_init(&fs->rings[i], &vm->loop, err);
	if (rc < 0)
		return rc;
	rc = uv_poll_init(&vm->loop, &fs->poll, fs->sock);
	if (rc < 0)
		return err_rc(err, rc, "cannot watch the back end");
	fs->poll.data = fs;
	fs->handles++;
	return virtio_init(&fs->v, vm, &device_fs, &fs_virtio, fs->n_rings, QUEUE_SIZE, 0,
			   sizeof(struct virtio_fs_config), err);
}

/* Until now the back end was being started, beside us. */
static int meet(struct device *dev, struct err *err)
{
	struct fs *fs = container_of(dev, struct fs, v.device);
	fs->backend = (struct vhost_user){ .sock = fs->sock, .timeout_ms = VHOST_USER_GREET_MS };
	int rc = vhost_user_greet(&fs->backend, fs->n_rings, err);
	fs->backend.timeout_ms = VHOST_USER_TIMEOUT_MS;
	if (rc < 0)
		return err_prefix(err, "%s", fs->v.device.id);
	fs->v.offered &= ~(RING_FEATURES & ~fs->backend.features);
	(void)uv_poll_start(&fs->poll, UV_READABLE, on_backend);
	return 0;
}

static int make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	struct fs_conf parsed;
	int rc = conf_parse(conf, &parsed, err);
	if (rc < 0)
		return rc;
	unsigned int n = 1 + (unsigned int)parsed.queues;
	struct fs *fs = calloc(1, sizeof(*fs) + n * sizeof(fs->rings[0]));
	if (!fs)
		return err_set(err, ENOMEM, "no memory for a share");
	fs->v.device.vm = vm;
	fs->sock = -1;
	fs->handles = 1; /* ours, until fs_free() */
	fs->n_rings = n;
	(void)snprintf(fs->v.device.id, sizeof(fs->v.device.id), "%s", parsed.tag);
	memcpy(fs->tag, parsed.tag, strlen(parsed.tag));
	for (unsigned int i = 0; i < n; i++)
		fs->rings[i] = (struct ring){ .fs = fs, .index = i, .kick_fd = -1, .call_fd = -1 };
	rc = start(fs, &parsed, err);
	if (rc < 0) {
		fs_free(&fs->v.device);
		return err_prefix(err, "%s", parsed.tag);
	}
	*ret = &fs->v.device;
	return 0;
}

static json_object *stats(struct device *dev)
{
	const struct fs *fs = container_of(dev, struct fs, v.device);
	json_object *o = json_object_new_object();
	json_add_bool(o, "alive", !fs->backend.dead);
	json_add_i64(o, "kicks", (int64_t)fs->v.n_kicks);
	json_add_i64(o, "interrupts", (int64_t)fs->n_calls);
	return o;
}

/* The rings come back to us; the back end finishes what it has begun first. */
static void quiesce(struct device *dev, void (*done)(void *arg), void *arg)
{
	struct fs *fs = container_of(dev, struct fs, v.device);
	struct err err = ERR_INIT;
	virtio_quiesce(&fs->v);
	if (fs->v.active && !fs->backend.dead && stop_rings(fs, &err) < 0)
		backend_lost(fs, err.text);
	done(arg);
}

static void resume(struct device *dev)
{
	struct fs *fs = container_of(dev, struct fs, v.device);
	struct err err = ERR_INIT;
	if (fs->v.active && !fs->backend.dead && start_rings(fs, &err) < 0)
		backend_lost(fs, err.text);
	virtio_resume(&fs->v);
}

const struct device_type device_fs = {
	.key = "shares",
	.many = true,
	.check = check,
	.make = make,
	.meet = meet,
	.stats = stats,
	.quiesce = quiesce,
	.resume = resume,
	.free = fs_free,
};
