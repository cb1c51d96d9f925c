/* SPDX-License-Identifier: Apache-2.0 */
/* case_platform - what a PC has beside virtio: ports and addresses of all widths, the
 * serial port, keyboard controller, pvpanic, ACPI's registers, the ways to end. */
#include "kit.h"

#define COM1       0x3f8
#define HOLE       0xe0000000ULL
#define SLEEP      0x600
#define RESET      0x602
#define EVENTS     0x604
#define WATCHDOG   0x610
#define PVPANIC    0x505
#define I8042      0x64
#define DEBUG_EXIT 0xf4

static const unsigned int widths[] = { 1, 2, 4, 8 };

/* Ports that end the machine: each has a case of its own. */
static bool ends_machine(unsigned int port, unsigned int width)
{
	static const uint16_t doors[] = { I8042, DEBUG_EXIT, PVPANIC, SLEEP, RESET, 0xcf9, 0x92 };
	for (unsigned int i = 0; i < sizeof(doors) / sizeof(doors[0]); i++)
		if (port <= doors[i] && port + width > doors[i])
			return true;
	return port >= DEBUG_EXIT && port < DEBUG_EXIT + 4;
}

CASE(ports_read, "none limit=180", "exit", "every port is read, widths 1, 2 and 4")
{
	for (unsigned int w = 0; w < 3; w++)
		for (unsigned int port = 0; port + widths[w] <= 0x10000;
		     port += port < 0x1000 ? 1 : 37)
			(void)port_read((uint16_t)port, widths[w]);
	result(inb(COM1 + 5) & 0x20, "the serial port is alive");
}

CASE(ports_write, "none limit=180", "exit", "every harmless port is written, widths 1, 2 and 4")
{
	for (unsigned int w = 0; w < 3; w++)
		for (unsigned int port = 0; port + widths[w] <= 0x10000;
		     port += port < 0x1000 ? 1 : 37)
			if (!ends_machine(port, widths[w]) && (port < COM1 - 4 || port > COM1 + 8))
				port_write((uint16_t)port, 0x5a5a5a5a, widths[w]);
	result(inb(COM1 + 5) & 0x20, "the serial port is alive");
}

CASE(ports_unmapped, "none", "exit", "ports that nobody has read as ones")
{
	static const uint16_t ports[] = { 0x1000, 0x2345, 0x8000, 0xc000, 0xfff0, 0xfffc };
	for (unsigned int i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		port_write(ports[i], 0, 4);
		result(inb(ports[i]) == 0xff && inw(ports[i]) == 0xffff &&
			       inl(ports[i]) == 0xffffffff,
		       "port %x", ports[i]);
	}
}

CASE(ports_strings, "none", "exit", "string I/O of all widths, on ports that are and are none")
{
	static const uint16_t ports[] = { 0x1000, 0xfffc, COM1 + 7, EVENTS, WATCHDOG, 0x60, 0x70 };
	uint8_t *buf = take(65536, 4096);
	for (unsigned int i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		for (unsigned int w = 0; w < 3; w++) {
			memset(buf, 0x11, 5000);
			port_read_many(ports[i], buf + 1, 4096 / widths[w], widths[w]);
			result(buf[0] == 0x11 && buf[4097] == 0x11,
			       "port %x, width %u: not a byte too many", ports[i], widths[w]);
			memset(buf, 0, 4096);
			port_write_many(ports[i], buf, 4096 / widths[w], widths[w]);
		}
}

CASE(ports_strings_wild, "none", "exit|trap|kvm-error",
     "string input into the hole and over the end of RAM")
{
	port_read_many(0x1000, (void *)HOLE, 64, 4);
	port_write_many(0x1000, (void *)HOLE, 64, 4);
	port_read_many(0x1000, (void *)(ram_end - 64), 64, 4);
	result(true, "survived");
}

CASE(ports_backwards, "none", "exit", "string I/O with the direction flag set")
{
	uint8_t *buf = take(8192, 4096);
	memset(buf, 0x11, 8192);
	__asm__ volatile("std" ::: "memory");
	port_read_many(0x1000, buf + 4096, 1024, 2);
	__asm__ volatile("cld" ::: "memory");
	result(buf[4096] == 0xff && buf[0] == 0x11, "filled downwards");
}

/* ----------------------------------------------------------------------- memory */

CASE(mmio_unmapped, "none", "exit", "addresses that nobody has read as ones, at any width")
{
	static const uint64_t places[] = { HOLE,       HOLE + 0xfff, HOLE + 0x1ffd, 0xc0000000,
					   0xcffffffc, 0xfd000001,   0x1c0000000 };
	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		for (unsigned int w = 0; w < 4; w++) {
			mmio_write(places[i], 0, widths[w]);
			uint64_t v = mmio_read(places[i], widths[w]);
			result(v == ~0ULL >> (64 - 8 * widths[w]), "0x%lx, width %u: %lx",
			       places[i], widths[w], v);
		}
}

/* A page border in the middle of an access makes two of it. */
CASE(mmio_odd, "all", "exit", "accesses over the borders of pages, windows and RAM")
{
	for (uint64_t at = 0xd0000ff9; at < 0xd0001000; at++)
		for (unsigned int w = 1; w < 4; w++) {
			(void)mmio_read(at, widths[w]);
			mmio_write(at, 0, widths[w]);
		}
	for (uint64_t at = ram_end - 7; at < ram_end; at++)
		for (unsigned int w = 1; w < 4; w++) {
			mmio_write(at, 0x1122334455667788, widths[w]);
			(void)mmio_read(at, widths[w]);
		}
	result(mmio_read32(0xd0000000) == 0x74726976, "the first window is itself");
}

CASE(mmio_strings, "all", "exit|kvm-error", "string moves out of and into registers")
{
	uint8_t *buf = take(8192, 4096);
	memcpy(buf, (void *)0xd0000000, 512);
	memcpy((void *)(HOLE + 100), buf, 512);
	memcpy(buf, (void *)HOLE, 512);
	result(buf[511] == 0xff, "all ones come out of the hole");
	memset((void *)0xd0000100, 0xff, 256);
	memcpy((void *)0xd0000100, (void *)0xd0000000, 64);
	result(mmio_read32(0xd0000000) == 0x74726976, "the first window is itself");
}

CASE(mmio_locked, "all", "exit|kvm-error|trap",
     "locked and read-modify-write instructions on registers")
{
	volatile uint32_t *reg = (uint32_t *)0xd0000070;
	uint32_t v = 1;
	__asm__ volatile("lock orl %1, %0" : "+m"(*reg) : "r"(v));
	__asm__ volatile("xchgl %1, %0" : "+m"(*reg), "+r"(v));
	__asm__ volatile("lock xaddl %1, %0" : "+m"(*reg), "+r"(v));
	__asm__ volatile("incl %0" : "+m"(*reg));
	__asm__ volatile("btsl %1, %0" : "+m"(*reg) : "r"(v & 7));
	result(mmio_read32(0xd0000000) == 0x74726976, "the first window is itself");
}

CASE(mmio_code, "none", "kvm-error|trap|triple-fault", "a jump into the hole")
{
	result(true, "before");
	((void (*)(void))HOLE)();
}

CASE(mmio_stack, "none", "kvm-error|trap|triple-fault|exit", "a stack in the hole")
{
	result(true, "before");
	__asm__ volatile("movq %0, %%rsp\n\tpushq %%rax\n\tcall 1f\n1:\tud2" ::"r"(HOLE + 4096));
}

CASE(mmio_tables, "none", "kvm-error|trap|triple-fault", "page tables in the hole")
{
	result(true, "before");
	__asm__ volatile("movq %0, %%cr3\n\tud2" ::"r"(HOLE) : "memory");
}

CASE(mmio_idt, "none", "kvm-error|trap|triple-fault", "an IDT in the registers of a device")
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = { 0xfff, 0xd0000000 };
	result(true, "before");
	__asm__ volatile("lidt %0\n\tud2" ::"m"(table));
}

/* ----------------------------------------------------------------------- serial */

CASE(serial_registers, "none", "exit", "every register of the serial port, every value")
{
	for (unsigned int reg = 1; reg < 8; reg++)
		for (unsigned int v = 0; v < 256; v++) {
			outb((uint16_t)(COM1 + reg), (uint8_t)v);
			(void)inb((uint16_t)(COM1 + reg));
		}
	outb(COM1 + 3, 0x03); /* no divisor latch, 8 bits */
	outb(COM1 + 4, 0x03); /* no loop */
	outb(COM1 + 1, 0);
	outb(COM1 + 2, 0);
	result(inb(COM1 + 5) & 0x20, "it sends again");
}

CASE(serial_wide, "none", "exit", "wide accesses to the serial port")
{
	for (unsigned int reg = 0; reg < 8; reg++)
		for (unsigned int w = 0; w < 3; w++)
			(void)port_read((uint16_t)(COM1 + reg), widths[w]);
	for (unsigned int reg = 1; reg < 8; reg++)
		for (unsigned int w = 1; w < 3; w++)
			port_write((uint16_t)(COM1 + reg), 0, widths[w]);
	port_write(COM1 - 2, 0, 4);
	outb(COM1 + 3, 0x03);
	outb(COM1 + 4, 0x03);
	result(inb(COM1 + 5) & 0x20, "it sends again");
}

CASE(serial_loop, "none", "exit", "1000 bytes in loop mode")
{
	outb(COM1 + 4, 0x13);
	for (unsigned int i = 0; i < 1000; i++)
		outb(COM1, (uint8_t)i);
	for (unsigned int i = 0; i < 1000; i++)
		(void)inb(COM1);
	outb(COM1 + 4, 0x03);
	result(inb(COM1 + 5) & 0x20, "it sends again");
}

CASE(serial_fifo, "none", "exit",
     "the FIFO on, off and cleared 1000 times, with interrupts on and off")
{
	for (unsigned int i = 0; i < 1000; i++) {
		outb(COM1 + 2, (uint8_t)(i * 37));
		outb(COM1 + 1, (uint8_t)(i * 11));
		(void)inb(COM1 + 2);
		(void)inb(COM1);
	}
	outb(COM1 + 1, 0);
	outb(COM1 + 2, 0);
	result(inb(COM1 + 5) & 0x20, "it sends again");
}

CASE(serial_empty, "none", "exit", "10000 reads of an empty receiver")
{
	for (unsigned int i = 0; i < 10000; i++)
		(void)inb(COM1);
	uint8_t *buf = take(65536, 4096);
	port_read_many(COM1, buf, 65536, 1);
	result(inb(COM1 + 5) & 0x20, "it sends");
}

CASE(serial_flood, "none limit=120", "exit", "256 KiB of output, not waiting for anything")
{
	uint8_t *buf = take(65536, 4096);
	memset(buf, '.', 65536);
	for (unsigned int i = 0; i < 4; i++)
		port_write_many(COM1, buf, 65536, 1);
	wait_ms(50);
	serial_put('\n');
	result(true, "survived");
}

/* --------------------------------------------------------------- doors that close */

CASE(i8042_commands, "none", "exit", "every command of the keyboard controller but the reset")
{
	for (unsigned int v = 0; v < 256; v++)
		for (unsigned int data = 0; data < 4 && v != 0xfe; data++) {
			outb(I8042, (uint8_t)v);
			outb(0x60, (uint8_t)(v ^ data));
			(void)inb(I8042);
			(void)inb(0x60);
		}
	result(true, "survived");
}

CASE(i8042_reset, "none", "reset", "a reset by the keyboard controller")
{
	result(true, "before");
	outb(I8042, 0xfe);
	for (;;)
		__asm__ volatile("hlt");
}

CASE(acpi_reset, "none", "reset", "a reset by ACPI")
{
	result(true, "before");
	outb(RESET, 1);
	for (;;)
		__asm__ volatile("hlt");
}

CASE(acpi_off, "none", "poweroff", "power off by ACPI")
{
	result(true, "before");
	outb(SLEEP, 5 << 2 | 0x20);
	for (;;)
		__asm__ volatile("hlt");
}

CASE(pvpanic, "none", "panic", "a panic is told")
{
	result(inb(PVPANIC) & 1, "it can be told");
	outb(PVPANIC, 1);
	for (;;)
		__asm__ volatile("hlt");
}

CASE(acpi_junk, "none", "exit", "values that mean nothing to the sleep, reset and event registers")
{
	for (unsigned int v = 0; v < 256; v++) {
		if ((v & 0x20) == 0)
			outb(SLEEP, (uint8_t)v);
		outb(SLEEP + 1, (uint8_t)v);
		if (v != 1)
			outb(RESET, (uint8_t)v);
		outl(EVENTS, v * 0x01010101);
		(void)inl(EVENTS);
		(void)inb(EVENTS + 1);
	}
	for (unsigned int type = 0; type < 8; type++)
		if (type != 5)
			outb(SLEEP, (uint8_t)(type << 2 | 0x20));
	result(true, "survived");
}

CASE(pvpanic_junk, "none", "exit", "values that pvpanic does not know, 200 of those it only tells")
{
	for (unsigned int v = 0; v < 256; v += 2)
		outb(PVPANIC, (uint8_t)(v & ~1U));
	for (unsigned int i = 0; i < 200; i++)
		outb(PVPANIC, 2);
	result(true, "survived");
}

CASE(triple_fault, "none", "triple-fault|kvm-error", "a triple fault")
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };
	result(true, "before");
	__asm__ volatile("lidt %0\n\tud2" ::"m"(none));
}

CASE(int3, "none", "trap|kvm-error", "an instruction that a software KVM may not know")
{
	result(true, "before");
	__asm__ volatile("int3");
}

static void second_ends(void *arg)
{
	volatile bool *go = arg;
	while (!*go)
		__asm__ volatile("pause");
	outb(RESET, 1);
	outb(PVPANIC, 1);
	outb(I8042, 0xfe);
}

CASE(exit_twice, "none cpus=2", "exit|reset|panic|poweroff",
     "two processors end the machine at once")
{
	static volatile bool go;
	result(second_start(second_ends, (void *)&go), "a second processor");
	say("1..1\n");
	go = true;
	power_off(EXIT_GOOD);
}

CASE(watchdog_registers, "none", "exit", "the watchdog's registers where there is none")
{
	for (unsigned int reg = 0; reg < 8; reg++)
		for (unsigned int w = 0; w < 3; w++) {
			(void)port_read((uint16_t)(WATCHDOG + reg), widths[w]);
			port_write((uint16_t)(WATCHDOG + reg), 0, widths[w]);
		}
	result(inb(COM1 + 5) & 0x20, "survived");
}

CASE(watchdog_junk, "none watchdog=none", "exit",
     "the watchdog is started, stopped and fed 1000 times")
{
	for (unsigned int i = 0; i < 1000; i++) {
		outb(WATCHDOG, (uint8_t)i);
		outb(WATCHDOG + 1, (uint8_t)i);
		outw(WATCHDOG + 2, (uint16_t)(i * 65));
		(void)inw(WATCHDOG + 4);
		outl(WATCHDOG + 5, i);
		(void)inl(WATCHDOG + 6);
	}
	outb(WATCHDOG, 0);
	result(true, "survived");
}

CASE(watchdog_fires, "none watchdog=reset", "reset",
     "a guest that never yields is reset by its watchdog")
{
	result(true, "before");
	outw(WATCHDOG + 2, 1);
	outb(WATCHDOG, 1);
	for (;;)
		__asm__ volatile("pause");
}
