/* SPDX-License-Identifier: Apache-2.0 */
/* watchdog - see watchdog.h. isola-vmm; state belongs to the loop's thread, vCPUs
 * come by vm_call(). */
#include "watchdog.h"

#include "isola/json.h"

#include "acpi_tables.h"
#include "machine.h"
#include "vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PERIODS 30

enum action { ACTION_RESET, ACTION_POWEROFF, ACTION_NONE, ACTIONS };

static const char *const action_names[ACTIONS] = { "reset", "poweroff", "none" };

struct watchdog {
	struct vm *vm;
	enum action action;
	uint16_t periods;
	bool runs;
	uv_timer_t timer;
};

struct access {
	struct watchdog *watchdog;
	uint64_t offset;
	uint8_t *in;
	const uint8_t *out;
	unsigned int size;
};

static void feed(struct watchdog *w);

static void on_timeout(uv_timer_t *timer)
{
	struct watchdog *w = timer->data;
	unsigned int seconds = w->periods * WATCHDOG_PERIOD_MS / 1000;
	if (vm_is_paused(w->vm)) { /* it could not feed us */
		feed(w);
		return;
	}
	w->runs = false;
	switch (w->action) {
	case ACTION_RESET:
		vm_end(w->vm, VM_RESET, -1, "the watchdog was not fed for %u s", seconds);
		break;
	case ACTION_POWEROFF:
		vm_end(w->vm, VM_WATCHDOG, -1, "the watchdog was not fed for %u s", seconds);
		break;
	default:
		vm_warn(w->vm, "the watchdog was not fed for %u s", seconds);
		break;
	}
}

static void feed(struct watchdog *w)
{
	uint64_t periods = w->periods ? w->periods : 1;
	if (w->runs)
		(void)uv_timer_start(&w->timer, on_timeout, periods * WATCHDOG_PERIOD_MS, 0);
	else
		(void)uv_timer_stop(&w->timer);
}

static uint16_t periods_left(const struct watchdog *w)
{
	if (!w->runs)
		return w->periods;
	return (uint16_t)(uv_timer_get_due_in(&w->timer) / WATCHDOG_PERIOD_MS);
}

/* Two-byte registers are only that. */
static void read_register(void *arg)
{
	struct access *a = arg;
	const struct watchdog *w = a->watchdog;
	uint16_t value = 0;
	switch (a->offset) {
	case WATCHDOG_RUNS:
		value = w->runs;
		break;
	case WATCHDOG_TIMEOUT:
		value = w->periods;
		break;
	case WATCHDOG_LEFT:
		value = periods_left(w);
		break;
	}
	memcpy(a->in, &value, a->size < sizeof(value) ? a->size : sizeof(value));
}

static void write_register(void *arg)
{
	struct access *a = arg;
	struct watchdog *w = a->watchdog;
	switch (a->offset) {
	case WATCHDOG_RUNS:
		w->runs = a->out[0] & 1;
		feed(w);
		break;
	case WATCHDOG_FEED:
		feed(w);
		break;
	case WATCHDOG_TIMEOUT:
		if (a->size < sizeof(w->periods))
			break;
		memcpy(&w->periods, a->out, sizeof(w->periods));
		feed(w);
		break;
	}
}

static void on_read(void *arg, uint64_t offset, void *data, unsigned int size)
{
	struct access a = { .watchdog = arg, .offset = offset, .in = data, .size = size };
	memset(data, 0, size);
	vm_call(a.watchdog->vm, read_register, &a);
}

static void on_write(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	struct access a = { .watchdog = arg, .offset = offset, .out = data, .size = size };
	vm_call(a.watchdog->vm, write_register, &a);
}

static const struct bus_handler registers = { on_read, on_write };

static int parse_action(json_object *conf, enum action *ret, struct err *err)
{
	const char *text = action_names[ACTION_RESET];
	int rc = json_get_str(conf, "action", &text, err);
	if (rc < 0)
		return err_prefix(err, "watchdog");
	for (int i = 0; i < ACTIONS; i++)
		if (strcmp(text, action_names[i]) == 0) {
			*ret = (enum action)i;
			return 0;
		}
	return err_set(err, EINVAL, "watchdog.action: \"%.40s\" is not reset, poweroff or none",
		       text);
}

int watchdog_check(json_object *conf, struct err *err)
{
	static const char *const known[] = { "action", NULL };
	enum action action = ACTION_RESET;
	if (!conf)
		return 0;
	int rc = machine_only(conf, known, "watchdog", err);
	return rc < 0 ? rc : parse_action(conf, &action, err);
}

int watchdog_new(struct vm *vm, struct watchdog **ret, struct err *err)
{
	json_object *conf = machine_part(vm->machine, "watchdog");
	enum action action = ACTION_RESET;
	*ret = NULL;
	if (!conf)
		return 0;
	int rc = parse_action(conf, &action, err);
	if (rc < 0)
		return rc;
	struct watchdog *w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(err, ENOMEM, "out of memory");
	*w = (struct watchdog){ .vm = vm, .action = action, .periods = DEFAULT_PERIODS };
	rc = uv_timer_init(&vm->loop, &w->timer);
	if (rc < 0) {
		free(w);
		return err_rc(err, rc, "cannot make the watchdog's timer");
	}
	w->timer.data = w;
	rc = bus_add(vm->bus, BUS_PIO, ACPI_PORT_WATCHDOG, WATCHDOG_BYTES, &registers, w, err);
	if (rc < 0) {
		watchdog_free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void watchdog_free(struct watchdog *w)
{
	if (w)
		uv_close((uv_handle_t *)&w->timer, on_closed);
}
