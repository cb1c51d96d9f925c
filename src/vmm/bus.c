/* SPDX-License-Identifier: Apache-2.0 */
/* bus - see bus.h. isola-vmm: built by the main thread, read by the vCPUs'. */
#include "bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct range {
	uint64_t start, size;
	const struct bus_handler *handler;
	void *arg;
};

/* Sorted by start, free of overlaps. */
struct ranges {
	struct range *rows;
	size_t n;
};

struct bus {
	struct ranges kinds[2]; /* by enum bus_kind */
};

int bus_new(struct bus **ret, struct err *err)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	if (!bus)
		return err_set(err, ENOMEM, "out of memory");
	*ret = bus;
	return 0;
}

void bus_free(struct bus *bus)
{
	if (!bus)
		return;
	free(bus->kinds[BUS_MMIO].rows);
	free(bus->kinds[BUS_PIO].rows);
	free(bus);
}

/* How many ranges begin at or below @addr. */
static size_t count_below(const struct ranges *r, uint64_t addr)
{
	size_t low = 0, high = r->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (r->rows[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct range *find(const struct ranges *r, uint64_t addr)
{
	size_t i = count_below(r, addr);
	return i && addr - r->rows[i - 1].start < r->rows[i - 1].size ? &r->rows[i - 1] : NULL;
}

int bus_add(struct bus *bus, enum bus_kind kind, uint64_t start, uint64_t size,
	    const struct bus_handler *handler, void *arg, struct err *err)
{
	struct ranges *r = &bus->kinds[kind];
	const char *what = kind == BUS_PIO ? "I/O port" : "MMIO address";
	uint64_t last = kind == BUS_PIO ? 0xffff : UINT64_MAX;
	if (size == 0 || start > last || size - 1 > last - start)
		return err_set(err, EINVAL, "%s 0x%llx: 0x%llx bytes do not fit there", what,
			       (unsigned long long)start, (unsigned long long)size);
	size_t i = count_below(r, start);
	if (find(r, start) || (i < r->n && r->rows[i].start - start < size))
		return err_set(err, EEXIST, "%s 0x%llx is taken", what, (unsigned long long)start);
	struct range *rows = realloc(r->rows, (r->n + 1) * sizeof(*rows));
	if (!rows)
		return err_set(err, ENOMEM, "out of memory");
	r->rows = rows;
	memmove(&rows[i + 1], &rows[i], (r->n - i) * sizeof(*rows));
	rows[i] = (struct range){ start, size, handler, arg };
	r->n++;
	return 0;
}

/* How much of the access is inside. */
static unsigned int cut(const struct range *r, uint64_t addr, unsigned int size)
{
	uint64_t left = r->size - (addr - r->start);
	return left < size ? (unsigned int)left : size;
}

/* The next piece of an access: a port access that was cut to 3 bytes is no width
 * that a device knows. */
static unsigned int piece(enum bus_kind kind, unsigned int left)
{
	return kind == BUS_PIO && left == 3 ? 2 : left;
}

void bus_read(const struct bus *bus, enum bus_kind kind, uint64_t addr, void *data,
	      unsigned int size)
{
	const struct range *r = find(&bus->kinds[kind], addr);
	memset(data, 0xff, size);
	if (!r || !r->handler->read)
		return;
	unsigned int n = 0;
	for (unsigned int i = 0, end = cut(r, addr, size); i < end; i += n) {
		n = piece(kind, end - i);
		r->handler->read(r->arg, addr - r->start + i, (uint8_t *)data + i, n);
	}
}

void bus_write(const struct bus *bus, enum bus_kind kind, uint64_t addr, const void *data,
	       unsigned int size)
{
	const struct range *r = find(&bus->kinds[kind], addr);
	if (!r || !r->handler->write)
		return;
	unsigned int n = 0;
	for (unsigned int i = 0, end = cut(r, addr, size); i < end; i += n) {
		n = piece(kind, end - i);
		r->handler->write(r->arg, addr - r->start + i, (const uint8_t *)data + i, n);
	}
}
