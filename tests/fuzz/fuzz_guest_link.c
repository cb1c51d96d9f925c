/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_guest_link - what a guest says to isola-keeper. A seed is a row of writes: which
 * connection (0 control, 1-3 streams), u8; how many bytes, u16 little-endian; the bytes. */
#include "isola/fd.h"

#include "keeper/guest_link.h"

#include <stdlib.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int broken;

static void on_ready(struct guest_link *l, const char *release, uint64_t boot_us)
{
	struct err err = ERR_INIT;
	(void)boot_us;
	for (; *release; release++)
		if (*release < ' ' || *release > '~')
			abort();
	for (uint64_t i = 1; i <= 3; i++) {
		cleanup_tlv struct tlv_writer w = { 0 };
		tlv_put_u64(&w, GF_PROCESS, i);
		tlv_put_u64(&w, GF_STREAMS, i == 1 ? 7 : i == 2 ? 0 : 1);
		(void)guest_link_call(l, i == 3 ? GUEST_COPY : GUEST_EXEC, &w, 1000, NULL, NULL,
				      &err);
	}
}

static void on_stream(struct guest_link *l, uint64_t process, enum guest_stream stream, int fd)
{
	if (broken || (process != 1 && (process != 3 || stream != GUEST_STDIN)) ||
	    stream > GUEST_STDERR || !l->ready)
		abort();
	(void)close(fd);
}

static void on_exited(struct guest_link *l, uint64_t process, int status, uint64_t oom_kills)
{
	(void)l;
	(void)status;
	(void)oom_kills;
	if (broken || process < 1 || process > 3)
		abort();
}

static void on_notice(struct guest_link *l, const char *text)
{
	(void)l;
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			abort();
}

static void on_oom(struct guest_link *l, uint64_t kills)
{
	(void)l;
	if (!kills)
		abort();
}

static void on_broken(struct guest_link *l, const struct err *err)
{
	(void)l;
	if (broken++ || !err->text[0])
		abort();
}

struct pump {
	struct loop loop;
	struct timer stop;
};

static void on_stop(struct timer *timer)
{
	loop_stop(&container_of(timer, struct pump, stop)->loop);
}

static void run(struct pump *p)
{
	for (int turn = 0; turn < 4; turn++) {
		p->loop.stopped = false;
		loop_timer(&p->loop, &p->stop, 0);
		(void)loop_run(&p->loop);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct guest_link_ops ops = { on_ready,  on_stream, on_exited,
						   on_notice, on_oom,    on_broken };
	struct pump p = { .stop = { .on_time = on_stop } };
	struct guest_link l;
	struct err err = ERR_INIT;
	int fds[4] = { -1, -1, -1, -1 };
	broken = 0;
	if (loop_init(&p.loop, &err) < 0)
		return 0;
	guest_link_init(&l, &p.loop, &ops);
	while (size > 3) {
		int *fd = &fds[data[0] % 4];
		size_t n = (size_t)tlv_load(data + 1, 2);
		data += 3;
		size -= 3;
		n = n < size ? n : size;
		if (*fd < 0)
			*fd = guest_link_connect(&l, &err);
		if (*fd >= 0)
			(void)send(*fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		data += n;
		size -= n;
		run(&p);
	}
	for (int i = 0; i < 4; i++)
		fd_close(&fds[i]);
	run(&p);
	guest_link_fini(&l);
	loop_timer_stop(&p.stop);
	loop_fini(&p.loop);
	return 0;
}
