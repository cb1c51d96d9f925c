/* SPDX-License-Identifier: Apache-2.0 */
/* io - ports and memory at every width, memory functions, time. */
#include "kit.h"

#define TSC_MAX_PER_MS 5000000ULL

uint32_t port_read(uint16_t port, unsigned int width)
{
	return width == 1 ? inb(port) : width == 2 ? inw(port) : inl(port);
}

void port_write(uint16_t port, uint32_t v, unsigned int width)
{
	if (width == 1)
		outb(port, (uint8_t)v);
	else if (width == 2)
		outw(port, (uint16_t)v);
	else
		outl(port, v);
}

void port_read_many(uint16_t port, void *buf, size_t count, unsigned int width)
{
	if (width == 1)
		__asm__ volatile("rep insb" : "+D"(buf), "+c"(count) : "d"(port) : "memory");
	else if (width == 2)
		__asm__ volatile("rep insw" : "+D"(buf), "+c"(count) : "d"(port) : "memory");
	else
		__asm__ volatile("rep insl" : "+D"(buf), "+c"(count) : "d"(port) : "memory");
}

void port_write_many(uint16_t port, const void *buf, size_t count, unsigned int width)
{
	if (width == 1)
		__asm__ volatile("rep outsb" : "+S"(buf), "+c"(count) : "d"(port) : "memory");
	else if (width == 2)
		__asm__ volatile("rep outsw" : "+S"(buf), "+c"(count) : "d"(port) : "memory");
	else
		__asm__ volatile("rep outsl" : "+S"(buf), "+c"(count) : "d"(port) : "memory");
}

uint64_t mmio_read(uint64_t addr, unsigned int width)
{
	uint64_t v = 0;
	if (width == 1)
		__asm__ volatile("movb (%1), %b0" : "+r"(v) : "r"(addr) : "memory");
	else if (width == 2)
		__asm__ volatile("movw (%1), %w0" : "+r"(v) : "r"(addr) : "memory");
	else if (width == 4)
		__asm__ volatile("movl (%1), %k0" : "+r"(v) : "r"(addr) : "memory");
	else
		__asm__ volatile("movq (%1), %0" : "+r"(v) : "r"(addr) : "memory");
	return v;
}

void mmio_write(uint64_t addr, uint64_t v, unsigned int width)
{
	if (width == 1)
		__asm__ volatile("movb %b0, (%1)" ::"r"(v), "r"(addr) : "memory");
	else if (width == 2)
		__asm__ volatile("movw %w0, (%1)" ::"r"(v), "r"(addr) : "memory");
	else if (width == 4)
		__asm__ volatile("movl %k0, (%1)" ::"r"(v), "r"(addr) : "memory");
	else
		__asm__ volatile("movq %0, (%1)" ::"r"(v), "r"(addr) : "memory");
}

void *memset(void *to, int c, size_t n)
{
	void *p = to;
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *p = to;
	__asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n)::"memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;
	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

bool within_ms(uint64_t *since, unsigned int ms)
{
	uint64_t now = rdtsc();
	if (!*since)
		*since = now;
	return now - *since < ms * TSC_MAX_PER_MS / 2;
}

void wait_ms(unsigned int ms)
{
	uint64_t start = rdtsc();
	while (rdtsc() - start < ms * TSC_MAX_PER_MS)
		__asm__ volatile("pause");
}
