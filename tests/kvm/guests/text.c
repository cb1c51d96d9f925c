/* SPDX-License-Identifier: Apache-2.0 */
/* text - the serial port, and TAP on it. */
#include "kit.h"

#include <stdarg.h>

#define COM1     0x3f8
#define LSR      5
#define LSR_DATA 0x01
#define LSR_THRE 0x20

static unsigned int n_results, n_bad;

/* Output may stand still while the host's reader is busy; it must not for ever. */
void serial_put(char c)
{
	for (uint64_t since = 0; !(inb(COM1 + LSR) & LSR_THRE);)
		if (!within_ms(&since, PATIENCE_MS))
			power_off(EXIT_BAD);
	outb(COM1, (uint8_t)c);
}

int serial_get(void)
{
	return inb(COM1 + LSR) & LSR_DATA ? inb(COM1) : -1;
}

static void put_text(const char *s)
{
	while (*s)
		serial_put(*s++);
}

static void put_number(uint64_t v, unsigned int base, bool negative)
{
	char buf[24];
	unsigned int n = sizeof(buf);
	buf[--n] = 0;
	do {
		buf[--n] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (negative)
		buf[--n] = '-';
	put_text(buf + n);
}

static void put_integer(char kind, bool is_long, va_list *args)
{
	uint64_t v = is_long ? va_arg(*args, uint64_t) : va_arg(*args, unsigned int);
	bool negative = kind == 'd' && (is_long ? (int64_t)v < 0 : (int32_t)v < 0);
	if (negative)
		v = is_long ? -v : (uint64_t)(-(int64_t)(int32_t)v);
	put_number(v, kind == 'x' ? 16 : 10, negative);
}

static void put_format(const char *fmt, va_list *args)
{
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			serial_put(*fmt);
			continue;
		}
		bool is_long = *++fmt == 'l';
		if (is_long)
			fmt++;
		if (*fmt == 's')
			put_text(va_arg(*args, const char *));
		else if (*fmt == 'c')
			serial_put((char)va_arg(*args, int));
		else if (*fmt == '%')
			serial_put('%');
		else
			put_integer(*fmt, is_long, args);
	}
}

void say(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	put_format(fmt, &args);
	va_end(args);
}

void note(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	put_text("# ");
	put_format(fmt, &args);
	put_text("\n");
	va_end(args);
}

bool result(bool good, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	n_bad += !good;
	say("%s %u - ", good ? "ok" : "not ok", ++n_results);
	put_format(fmt, &args);
	put_text("\n");
	va_end(args);
	return good;
}

_Noreturn void finish(void)
{
	say("1..%u\n", n_results);
	power_off(n_bad || !n_results ? EXIT_BAD : EXIT_GOOD);
}
