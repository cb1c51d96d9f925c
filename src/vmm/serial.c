/* SPDX-License-Identifier: Apache-2.0 */
/* serial - see serial.h. isola-vmm: registers on vCPU threads, descriptors on the
 * loop's; @lock guards uart, the output ring and the marks between them. */
#include "serial.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "machine.h"
#include "platform.h"
#include "ratelimit.h"
#include "uart.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define OUT_SLACK  64U /* what a driver may send after it saw an empty transmitter */
#define DELAY_MS   2
#define WRITE_MAX  4096U
#define WRITES_MAX 16 /* per turn of the loop */

struct serial {
	struct vm *vm;
	int irq_fd;
	int in_fd, out_fd; /* our own, or borrowed; -1: none */
	bool own_in, own_out, out_is_socket;
	bool in_ended, out_ended; /* loop thread: nothing more to expect there */

	pthread_mutex_t lock;
	struct uart uart;
	uint8_t out[SERIAL_OUT_BYTES];
	size_t out_first, out_count;
	uint64_t progress_ms; /* of the output, while it is blocked */
	uint64_t n_dropped;
	bool dropping;
	bool want_input; /* input waits until the guest has read */
	bool limited;    /* output waits for the rate limit, not for a reader */

	/* loop thread */
	bool started, polled_in, polled_out, reading, waiting;
	unsigned int n_handles;
	struct ratelimit *rate;
	uv_async_t wake;
	uv_timer_t delay;
	uv_poll_t in_poll, out_poll;
};

static uint64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void lock(struct serial *s)
{
	(void)pthread_mutex_lock(&s->lock);
}

static void unlock(struct serial *s)
{
	(void)pthread_mutex_unlock(&s->lock);
}

static void raise_irq(struct serial *s, bool edge)
{
	static const uint64_t one = 1;
	if (edge)
		(void)!write(s->irq_fd, &one, sizeof(one));
}

/* ---- the guest's side ---- */

/* Under the lock. */
static void judge_room(struct serial *s)
{
	bool full = s->out_count > SERIAL_OUT_BYTES - OUT_SLACK;
	if (full && !s->uart.blocked && !s->dropping)
		s->progress_ms = now_ms();
	uart_set_blocked(&s->uart, full && !s->dropping);
}

/* A guest that polls the transmitter has waited long enough: it goes on, and what
 * it sends is lost. One that waits for the interrupt may wait. Under the lock. */
static void lose_patience(struct serial *s)
{
	if (!s->uart.blocked || s->limited || now_ms() - s->progress_ms < SERIAL_PATIENCE_MS)
		return;
	s->dropping = true;
	uart_set_blocked(&s->uart, false);
}

/* Under the lock. Returns whether the loop must be woken. */
static bool put_byte(struct serial *s, uint8_t byte)
{
	if (s->out_count == SERIAL_OUT_BYTES) {
		s->n_dropped++;
		return false;
	}
	s->out[(s->out_first + s->out_count++) % SERIAL_OUT_BYTES] = byte;
	judge_room(s);
	return s->out_count == 1 || s->out_count == SERIAL_OUT_BYTES / 2;
}

static void read_register(void *arg, uint64_t offset, void *data, unsigned int size)
{
	struct serial *s = arg;
	memset(data, 0xff, size);
	lock(s);
	lose_patience(s);
	/* The chip has 8 bits; a wider access sees its first register. */
	*(uint8_t *)data = uart_read(&s->uart, (unsigned int)offset);
	bool wake = s->want_input && uart_room(&s->uart) >= UART_RX_MAX / 2;
	bool edge = uart_take_edge(&s->uart);
	unlock(s);
	raise_irq(s, edge);
	if (wake)
		(void)uv_async_send(&s->wake);
}

static void write_register(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	struct serial *s = arg;
	uint8_t value = *(const uint8_t *)data;
	bool wake = false;
	(void)size;
	lock(s);
	if (uart_write(&s->uart, (unsigned int)offset, value))
		wake = put_byte(s, value);
	bool edge = uart_take_edge(&s->uart);
	unlock(s);
	raise_irq(s, edge);
	if (wake)
		(void)uv_async_send(&s->wake);
}

static const struct bus_handler registers = { read_register, write_register };

/* ---- output, on the loop's thread ---- */

static ssize_t write_some(const struct serial *s, const void *buf, size_t size)
{
	ssize_t n;
	do {
		n = s->out_is_socket ? send(s->out_fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL)
				     : write(s->out_fd, buf, size);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static size_t peek_output(struct serial *s, uint8_t *buf, size_t max)
{
	lock(s);
	size_t n = s->out_count < max ? s->out_count : max;
	size_t to_end = SERIAL_OUT_BYTES - s->out_first;
	size_t first = n < to_end ? n : to_end;
	memcpy(buf, s->out + s->out_first, first);
	memcpy(buf + first, s->out, n - first);
	unlock(s);
	return n;
}

static void drop_output(struct serial *s, size_t n)
{
	lock(s);
	s->out_first = (s->out_first + n) % SERIAL_OUT_BYTES;
	s->out_count -= n;
	s->dropping = false;
	s->progress_ms = now_ms();
	judge_room(s);
	bool edge = uart_take_edge(&s->uart);
	uint64_t n_dropped = s->n_dropped;
	s->n_dropped = 0;
	unlock(s);
	raise_irq(s, edge);
	if (n_dropped)
		vm_warn(s->vm, "serial output was not read in time: %llu bytes are lost",
			(unsigned long long)n_dropped);
}

/* The reader is gone: from now on everything is lost, at once. */
static void end_output(struct serial *s)
{
	s->out_ended = true;
	lock(s);
	s->out_count = 0;
	s->dropping = true;
	uart_set_blocked(&s->uart, false);
	bool edge = uart_take_edge(&s->uart);
	unlock(s);
	raise_irq(s, edge);
}

static void flush_output(struct serial *s);

static void on_writable(uv_poll_t *handle, int status, int events)
{
	struct serial *s = handle->data;
	(void)status; /* the write will tell */
	(void)events;
	(void)uv_poll_stop(handle);
	s->waiting = false;
	flush_output(s);
}

/* Whether @n bytes may go now; else on_rate() comes when they may. */
static bool pass_limit(struct serial *s, size_t n)
{
	bool pass = !s->rate || s->out_ended || ratelimit_take(s->rate, n, 1);
	lock(s);
	s->limited = !pass;
	unlock(s);
	return pass;
}

static void on_rate(void *arg)
{
	flush_output(arg);
}

static void flush_output(struct serial *s)
{
	uint8_t buf[WRITE_MAX];
	for (int i = 0; i < WRITES_MAX && !s->waiting; i++) {
		size_t n = peek_output(s, buf, sizeof(buf));
		if (n == 0 || !pass_limit(s, n))
			return;
		ssize_t done = s->out_fd < 0 || s->out_ended ? -EPIPE : write_some(s, buf, n);
		if (done == -EAGAIN && s->polled_out) {
			s->waiting = true;
			(void)uv_poll_start(&s->out_poll, UV_WRITABLE, on_writable);
		} else if (done <= 0) {
			end_output(s);
		} else {
			drop_output(s, (size_t)done);
		}
	}
	if (!s->waiting)
		(void)uv_async_send(&s->wake);
}

static void on_delay(uv_timer_t *timer)
{
	flush_output(timer->data);
}

/* Bytes come one by one; a moment later there is more to write at once. */
static void flush_soon(struct serial *s)
{
	lock(s);
	size_t n = s->out_count;
	unlock(s);
	if (n >= SERIAL_OUT_BYTES / 2)
		flush_output(s);
	else if (n > 0 && !uv_is_active((uv_handle_t *)&s->delay))
		(void)uv_timer_start(&s->delay, on_delay, DELAY_MS, 0);
}

/* ---- input, on the loop's thread ---- */

static void stop_input(struct serial *s)
{
	if (s->polled_in && s->reading)
		(void)uv_poll_stop(&s->in_poll);
	s->reading = false;
}

static void on_readable(uv_poll_t *handle, int status, int events);

static void take_input(struct serial *s, const uint8_t *buf, size_t n)
{
	lock(s);
	for (size_t i = 0; i < n; i++)
		(void)uart_receive(&s->uart, buf[i]); /* there was room when we read */
	bool edge = uart_take_edge(&s->uart);
	unlock(s);
	raise_irq(s, edge);
}

/* Reads what the port has room for. Only this thread adds, so room does not shrink. */
static void read_input(struct serial *s)
{
	uint8_t buf[UART_RX_MAX];
	lock(s);
	size_t room = uart_room(&s->uart);
	s->want_input = room == 0;
	unlock(s);
	if (room == 0) {
		stop_input(s);
		return;
	}
	ssize_t n = read(s->in_fd, buf, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		stop_input(s);
		s->in_ended = true;
		return;
	}
	take_input(s, buf, (size_t)n);
}

static void start_input(struct serial *s)
{
	if (s->in_fd < 0 || s->in_ended || s->reading)
		return;
	s->reading = true;
	if (s->polled_in)
		(void)uv_poll_start(&s->in_poll, UV_READABLE, on_readable);
	/* A file is always ready: it is read until the port is full, and again when
	 * the guest has made room. */
	while (!s->polled_in && s->reading)
		read_input(s);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	read_input(handle->data);
}

static void on_wake(uv_async_t *handle)
{
	struct serial *s = handle->data;
	flush_soon(s);
	lock(s);
	bool input = s->want_input && uart_room(&s->uart) > 0;
	if (input)
		s->want_input = false;
	unlock(s);
	if (input)
		start_input(s);
}

/* ---- building ---- */

int serial_check(json_object *conf, struct err *err)
{
	static const char *const known[] = { "input", "rate", NULL };
	struct ratelimit_args rate;
	bool input;
	if (!conf)
		return 0;
	int rc = machine_only(conf, known, "", err);
	if (rc == 0)
		rc = json_get_bool(conf, "input", &input, err);
	if (rc >= 0)
		rc = ratelimit_parse(json_get(conf, "rate"), &rate, err);
	return rc < 0 ? err_prefix(err, "serial") : 0;
}

static int make_limit(struct serial *s, struct err *err)
{
	json_object *rate = json_get(machine_part(s->vm->machine, "serial"), "rate");
	struct ratelimit_args args;
	if (!rate)
		return 0;
	int rc = ratelimit_parse(rate, &args, err);
	return rc < 0 ? rc : ratelimit_new(&s->vm->loop, &args, on_rate, s, &s->rate, err);
}

static int add_to_vm(struct serial *s, struct err *err)
{
	int rc = uv_timer_init(&s->vm->loop, &s->delay);
	if (rc < 0)
		return err_rc(err, rc, "cannot make the serial port's timer");
	s->delay.data = s;
	s->n_handles = 1;
	rc = uv_async_init(&s->vm->loop, &s->wake, on_wake);
	if (rc < 0)
		return err_rc(err, rc, "cannot watch the serial port");
	s->wake.data = s;
	s->n_handles = 2;
	rc = make_limit(s, err);
	return rc < 0 ? rc
		      : bus_add(s->vm->bus, BUS_PIO, PLATFORM_SERIAL_PORT, 8, &registers, s, err);
}

int serial_new(struct vm *vm, struct serial **ret, struct err *err)
{
	struct serial *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ENOMEM, "out of memory");
	s->vm = vm;
	s->in_fd = s->out_fd = -1;
	(void)pthread_mutex_init(&s->lock, NULL);
	uart_init(&s->uart);
	s->irq_fd = vm_irqfd(vm, PLATFORM_SERIAL_GSI, err);
	int rc = s->irq_fd < 0 ? s->irq_fd : add_to_vm(s, err);
	if (rc < 0) {
		serial_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

/* Non-blocking for us alone: a terminal or pipe is shared with others (a shell),
 * so it is opened anew. A file never blocks, and a new one would lose its place. */
static int own_fd(int fd, int flags, bool *ret_own)
{
	struct stat st;
	char path[32];
	*ret_own = false;
	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		int again = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (again >= 0) {
			*ret_own = true;
			return again;
		}
	}
	if (!S_ISREG(st.st_mode))
		(void)fd_set_nonblock(fd, true);
	return fd;
}

/* 1 when the loop can watch @fd, 0 when it is always ready (a file). */
static bool watch(struct serial *s, uv_poll_t *handle, int fd)
{
	if (fd < 0 || uv_poll_init(&s->vm->loop, handle, fd) < 0)
		return false;
	handle->data = s;
	s->n_handles++;
	return true;
}

int serial_start(struct serial *s, int in_fd, int out_fd, struct err *err)
{
	struct stat st;
	bool input = json_bool_or(machine_part(s->vm->machine, "serial"), "input", true);
	if (out_fd >= 0) {
		if (fstat(out_fd, &st) < 0)
			return err_sys(err, "the serial port's output");
		s->out_is_socket = S_ISSOCK(st.st_mode);
		s->out_fd = own_fd(out_fd, O_WRONLY, &s->own_out);
	}
	if (in_fd >= 0 && input)
		s->in_fd = own_fd(in_fd, O_RDONLY, &s->own_in);
	s->polled_out = watch(s, &s->out_poll, s->out_fd);
	s->polled_in = watch(s, &s->in_poll, s->in_fd);
	s->started = true;
	start_input(s);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct serial *s = handle->data;
	if (--s->n_handles > 0)
		return;
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

/* The guest's last words. */
static void drain(struct serial *s)
{
	uint8_t buf[WRITE_MAX];
	uint64_t end = now_ms() + SERIAL_PATIENCE_MS;
	while (s->started && s->out_fd >= 0 && !s->out_ended) {
		size_t n = peek_output(s, buf, sizeof(buf));
		if (n == 0)
			return;
		ssize_t done = write_some(s, buf, n);
		uint64_t now = now_ms();
		if (done > 0) {
			s->out_first = (s->out_first + (size_t)done) % SERIAL_OUT_BYTES;
			s->out_count -= (size_t)done;
		} else if (done == -EAGAIN && now < end) {
			struct pollfd p = { .fd = s->out_fd, .events = POLLOUT };
			(void)poll(&p, 1, (int)(end - now));
		} else {
			return;
		}
	}
}

void serial_free(struct serial *s)
{
	if (!s)
		return;
	drain(s);
	ratelimit_free(s->rate);
	fd_close(&s->irq_fd);
	bool own_in = s->own_in, own_out = s->own_out;
	int in_fd = s->in_fd, out_fd = s->out_fd;
	if (s->n_handles == 0) {
		(void)pthread_mutex_destroy(&s->lock);
		free(s);
		return;
	}
	if (s->polled_in)
		uv_close((uv_handle_t *)&s->in_poll, on_closed);
	if (s->polled_out)
		uv_close((uv_handle_t *)&s->out_poll, on_closed);
	if (s->wake.data)
		uv_close((uv_handle_t *)&s->wake, on_closed);
	uv_close((uv_handle_t *)&s->delay, on_closed);
	if (own_in)
		fd_close(&in_fd);
	if (own_out)
		fd_close(&out_fd);
}
