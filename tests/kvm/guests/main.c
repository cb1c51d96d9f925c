/* SPDX-License-Identifier: Apache-2.0 */
/* main - where a test guest begins in C: command line, RAM, memory of our own, the
 * case that was asked for. */
#include "kit.h"

#define BOOT_E820_ENTRIES 0x1e8
#define BOOT_CMDLINE      0x228
#define BOOT_E820_TABLE   0x2d0
#define E820_RAM          1
#define ARENA_START       0x1000000

char cmdline[2048];
uint64_t ram_end, ram_high_end;
bool booted_by_pvh;
static uint64_t arena = ARENA_START;

extern const struct guest_case cases_start[], cases_end[];

_Noreturn void guest_main(uint64_t boot_params, uint64_t start_info);

static uint64_t peek(uint64_t addr, unsigned int width)
{
	return mmio_read(addr, width);
}

static void keep_cmdline(uint64_t addr)
{
	for (size_t i = 0; addr && i + 1 < sizeof(cmdline) && peek(addr + i, 1); i++)
		cmdline[i] = (char)peek(addr + i, 1);
}

static void keep_ram(uint64_t entry)
{
	uint64_t start = peek(entry, 8), end = start + peek(entry + 8, 8);
	if (peek(entry + 16, 4) != E820_RAM)
		return;
	if (start < 0x100000000 && end > ram_end)
		ram_end = end;
	if (start >= 0x100000000 && end > ram_high_end)
		ram_high_end = end;
}

static void read_boot_params(uint64_t params)
{
	keep_cmdline(peek(params + BOOT_CMDLINE, 4));
	for (uint64_t i = 0; i < peek(params + BOOT_E820_ENTRIES, 1); i++)
		keep_ram(params + BOOT_E820_TABLE + i * 20);
}

static void read_start_info(uint64_t info)
{
	booted_by_pvh = true;
	keep_cmdline(peek(info + 24, 8));
	for (uint64_t i = 0; i < peek(info + 48, 4) && i < 128; i++)
		keep_ram(peek(info + 40, 8) + i * 24);
}

static bool starts_with(const char *s, const char *key, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] != key[i])
			return false;
	return true;
}

const char *option(const char *key, size_t *ret_len)
{
	size_t n = strlen(key);
	for (const char *s = cmdline; *s; s++) {
		if ((s != cmdline && s[-1] != ' ') || !starts_with(s, key, n) || s[n] != '=')
			continue;
		const char *value = s + n + 1;
		size_t len = 0;
		while (value[len] && value[len] != ' ')
			len++;
		*ret_len = len;
		return value;
	}
	return NULL;
}

static uint64_t number(const char *s, size_t len)
{
	uint64_t v = 0;
	unsigned int base = 10;
	if (len > 2 && s[0] == '0' && s[1] == 'x') {
		base = 16;
		s += 2;
		len -= 2;
	}
	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		v = v * base + (unsigned int)(c >= 'a' ? c - 'a' + 10 : c - '0');
	}
	return v;
}

uint64_t option_number(const char *key, uint64_t otherwise)
{
	size_t len;
	const char *s = option(key, &len);
	return s ? number(s, len) : otherwise;
}

void *take(size_t size, size_t align)
{
	arena = (arena + align - 1) & ~(uint64_t)(align - 1);
	void *p = (void *)arena;
	arena += size;
	if (arena > ram_end) {
		note("the guest's own memory is used up");
		power_off(EXIT_BAD);
	}
	return p;
}

void *take_mark(void)
{
	return (void *)arena;
}

void take_release(void *mark)
{
	memset(mark, 0, arena - (uint64_t)mark);
	arena = (uint64_t)mark;
}

_Noreturn void power_off(uint8_t code)
{
	outb(0xf4, code);
	for (;;)
		__asm__ volatile("cli; hlt");
}

_Noreturn void guest_main(uint64_t boot_params, uint64_t start_info)
{
	traps_load();
	if (boot_params)
		read_boot_params(boot_params);
	else
		read_start_info(start_info);
	size_t len = 0;
	const char *name = option("case", &len);
	for (const struct guest_case *c = cases_start; name && c < cases_end; c++) {
		if (strlen(c->name) != len || !starts_with(name, c->name, len))
			continue;
		c->run();
		finish();
	}
	note("no such case: command line \"%s\"", cmdline);
	power_off(EXIT_BAD);
}
