/* SPDX-License-Identifier: Apache-2.0 */
/* uart - see uart.h. The interrupt is an edge on the I/O APIC: each cause gives one
 * when it comes up, drivers then ask until nothing is pending. isola-vmm. */
#include "uart.h"

#include <string.h>

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RECEIVED   0x01
#define IER_THRE       0x02
#define IER_BITS       0x0f
#define IIR_NONE       0x01
#define IIR_THRE       0x02
#define IIR_RECEIVED   0x04
#define IIR_FIFO       0xc0
#define FCR_ENABLE     0x01
#define FCR_CLEAR_RX   0x02
#define LCR_DIVISOR    0x80
#define MCR_BITS       0x1f
#define MCR_DTR        0x01
#define MCR_RTS        0x02
#define MCR_OUT1       0x04
#define MCR_OUT2       0x08
#define MCR_LOOP       0x10
#define LSR_DATA       0x01
#define LSR_EMPTY      0x60 /* THRE and TEMT: a sent byte is gone at once */
#define MSR_CTS        0x10
#define MSR_DSR        0x20
#define MSR_RI         0x40
#define MSR_DCD        0x80
#define DIVISOR_115200 1

void uart_init(struct uart *uart)
{
	*uart = (struct uart){ .dll = DIVISOR_115200, .thre_pending = true };
}

static uint8_t take_byte(struct uart *uart)
{
	if (uart->rx_count == 0)
		return 0;
	uint8_t byte = uart->rx[uart->rx_first];
	uart->rx_first = (uart->rx_first + 1) % UART_RX_MAX;
	uart->rx_count--;
	return byte;
}

bool uart_receive(struct uart *uart, uint8_t byte)
{
	if (uart->rx_count == UART_RX_MAX)
		return false;
	uart->rx[(uart->rx_first + uart->rx_count++) % UART_RX_MAX] = byte;
	return true;
}

/* Enabled and pending, as bits of IER. */
static uint8_t causes(const struct uart *uart)
{
	uint8_t c = 0;
	if (uart->rx_count)
		c |= IER_RECEIVED;
	if (uart->thre_pending && !uart->blocked)
		c |= IER_THRE;
	return c & uart->ier;
}

bool uart_take_edge(struct uart *uart)
{
	uint8_t now = causes(uart);
	bool edge = now & ~uart->raised;
	uart->raised = now;
	return edge;
}

static uint8_t read_iir(struct uart *uart)
{
	uint8_t c = causes(uart), iir = IIR_NONE;
	if (c & IER_RECEIVED) {
		iir = IIR_RECEIVED;
	} else if (c & IER_THRE) {
		iir = IIR_THRE;
		uart->thre_pending = false; /* reading it is the acknowledgement */
	}
	return (uint8_t)(iir | (uart->fifo ? IIR_FIFO : 0));
}

static uint8_t read_lsr(const struct uart *uart)
{
	return (uint8_t)((uart->rx_count ? LSR_DATA : 0) | (uart->blocked ? 0 : LSR_EMPTY));
}

/* In loop-back, outputs come back as inputs: drivers test by it. */
static uint8_t read_msr(const struct uart *uart)
{
	if (!(uart->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (uart->mcr & MCR_OUT1 ? MSR_RI : 0) |
			 (uart->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

uint8_t uart_read(struct uart *uart, unsigned int reg)
{
	bool divisor = uart->lcr & LCR_DIVISOR;
	switch (reg) {
	case REG_DATA:
		return divisor ? uart->dll : take_byte(uart);
	case REG_IER:
		return divisor ? uart->dlm : uart->ier;
	case REG_IIR:
		return read_iir(uart);
	case REG_LCR:
		return uart->lcr;
	case REG_MCR:
		return uart->mcr;
	case REG_LSR:
		return read_lsr(uart);
	case REG_MSR:
		return read_msr(uart);
	case REG_SCRATCH:
		return uart->scratch;
	}
	return 0xff;
}

static bool send(struct uart *uart, uint8_t value)
{
	/* The byte is gone at once. An edge only when the driver has taken note of the
	 * last one (read IIR): one for a burst, not one a byte. */
	uart->thre_pending = true;
	if (uart->mcr & MCR_LOOP) {
		(void)uart_receive(uart, value);
		return false;
	}
	return true;
}

static void write_ier(struct uart *uart, uint8_t value)
{
	/* Switched on anew, an empty transmitter reports itself again; Linux starts
	 * to send that way. */
	if ((value & IER_THRE) && !(uart->ier & IER_THRE)) {
		uart->thre_pending = true;
		uart->raised &= (uint8_t)~IER_THRE;
	}
	uart->ier = value & IER_BITS;
}

static void write_fcr(struct uart *uart, uint8_t value)
{
	bool fifo = value & FCR_ENABLE;
	if (fifo != uart->fifo || (value & FCR_CLEAR_RX))
		uart->rx_count = 0;
	uart->fifo = fifo;
}

bool uart_write(struct uart *uart, unsigned int reg, uint8_t value)
{
	bool divisor = uart->lcr & LCR_DIVISOR;
	switch (reg) {
	case REG_DATA:
		if (!divisor)
			return send(uart, value);
		uart->dll = value;
		break;
	case REG_IER:
		if (divisor)
			uart->dlm = value;
		else
			write_ier(uart, value);
		break;
	case REG_IIR:
		write_fcr(uart, value);
		break;
	case REG_LCR:
		uart->lcr = value;
		break;
	case REG_MCR:
		uart->mcr = value & MCR_BITS;
		break;
	case REG_SCRATCH:
		uart->scratch = value;
		break;
	}
	return false;
}

void uart_set_blocked(struct uart *uart, bool blocked)
{
	if (uart->blocked && !blocked)
		uart->thre_pending = true;
	uart->blocked = blocked;
}
