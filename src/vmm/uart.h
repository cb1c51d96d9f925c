/* SPDX-License-Identifier: Apache-2.0 */
/* uart - the registers of a 16550A (National Semiconductor PC16550D), without host
 * side: who owns it takes sent bytes and raises the interrupt. No lock of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define UART_RX_MAX 64U /* more than the 16 of the chip: nobody can tell */

struct uart {
	uint8_t ier, lcr, mcr, scratch, dll, dlm;
	bool fifo;         /* FCR bit 0 */
	bool thre_pending; /* "transmitter empty" was not reported yet */
	bool blocked;      /* the other side takes nothing now: transmitter is busy */
	uint8_t raised;    /* causes that already made an edge */
	uint8_t rx[UART_RX_MAX];
	unsigned int rx_first, rx_count;
};

void uart_init(struct uart *uart);
/* Register @reg (0-7) as the guest reads it. */
uint8_t uart_read(struct uart *uart, unsigned int reg);
/* True when the guest sends @value (the caller puts it out). */
bool uart_write(struct uart *uart, unsigned int reg, uint8_t value);
/* A byte comes in; false when there is no room. */
bool uart_receive(struct uart *uart, uint8_t byte);
static inline unsigned int uart_room(const struct uart *uart)
{
	return UART_RX_MAX - uart->rx_count;
}
/* Output goes on, or does not. */
void uart_set_blocked(struct uart *uart, bool blocked);
/* True when an enabled cause has come up since the last call: the line gets an
 * edge. Ask after every call of the others. */
bool uart_take_edge(struct uart *uart);
