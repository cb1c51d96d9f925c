/* SPDX-License-Identifier: Apache-2.0 */
/* test_uart - the 16550's registers and when its interrupt makes an edge. */
#include "vmm/uart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };

static void after_reset__transmitter_is_empty_and_no_interrupt(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	assert_int_equal(uart_read(&u, LSR), 0x60);
	assert_int_equal(uart_read(&u, IIR), 0x01);
	assert_int_equal(uart_read(&u, MSR), 0xb0);
	assert_false(uart_take_edge(&u));
}

static void send__interrupts_once_for_a_burst(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	assert_true(uart_write(&u, DATA, 'a'));
	assert_false(uart_take_edge(&u)); /* not enabled */
	uart_write(&u, IER, 0x02);
	assert_true(uart_take_edge(&u));
	assert_false(uart_take_edge(&u));
	assert_int_equal(uart_read(&u, IIR), 0x02);
	assert_int_equal(uart_read(&u, IIR), 0x01); /* the first read acknowledged */
	assert_false(uart_take_edge(&u));
	for (int i = 0; i < 16; i++) {
		assert_true(uart_write(&u, DATA, 'b'));
		assert_int_equal(uart_take_edge(&u), i == 0); /* one for the burst */
	}
	assert_int_equal(uart_read(&u, IIR), 0x02);
	assert_false(uart_take_edge(&u));
	assert_true(uart_write(&u, DATA, 'c'));
	assert_true(uart_take_edge(&u));
}

static void thre__comes_again_when_enabled_anew(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	for (int i = 0; i < 3; i++) {
		uart_write(&u, IER, 0x02);
		assert_true(uart_take_edge(&u));
		assert_int_equal(uart_read(&u, IIR) & 0xf, 0x02);
		uart_write(&u, IER, 0x00);
		assert_false(uart_take_edge(&u));
	}
}

static void receive__interrupts_until_all_is_read(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	uart_write(&u, IER, 0x01);
	assert_true(uart_receive(&u, 'x'));
	assert_true(uart_take_edge(&u));
	assert_true(uart_receive(&u, 'y'));
	assert_false(uart_take_edge(&u)); /* still the same cause */
	assert_int_equal(uart_read(&u, LSR), 0x61);
	assert_int_equal(uart_read(&u, IIR), 0x04);
	assert_int_equal(uart_read(&u, DATA), 'x');
	assert_int_equal(uart_read(&u, IIR), 0x04);
	assert_int_equal(uart_read(&u, DATA), 'y');
	assert_int_equal(uart_read(&u, IIR), 0x01);
	assert_int_equal(uart_read(&u, DATA), 0);
	assert_false(uart_take_edge(&u));
	assert_true(uart_receive(&u, 'z'));
	assert_true(uart_take_edge(&u));
}

static void receive__is_bounded(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	for (unsigned int i = 0; i < UART_RX_MAX; i++)
		assert_true(uart_receive(&u, (uint8_t)i));
	assert_false(uart_receive(&u, 0));
	assert_int_equal(uart_room(&u), 0);
	for (unsigned int i = 0; i < UART_RX_MAX; i++)
		assert_int_equal(uart_read(&u, DATA), i);
	assert_int_equal(uart_room(&u), UART_RX_MAX);
}

static void blocked__is_busy_until_output_goes_on(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	uart_write(&u, IER, 0x02);
	(void)uart_take_edge(&u);
	uart_set_blocked(&u, true);
	assert_int_equal(uart_read(&u, LSR), 0x00);
	assert_int_equal(uart_read(&u, IIR), 0x01);
	assert_false(uart_take_edge(&u));
	uart_set_blocked(&u, false);
	assert_true(uart_take_edge(&u));
	assert_int_equal(uart_read(&u, IIR), 0x02);
}

static void loopback__brings_everything_back(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	uart_write(&u, MCR, 0x1a); /* loop, OUT2, RTS: Linux' probe */
	assert_int_equal(uart_read(&u, MSR), 0x90);
	assert_false(uart_write(&u, DATA, 'q'));
	assert_int_equal(uart_read(&u, DATA), 'q');
	uart_write(&u, MCR, 0x0b);
	assert_int_equal(uart_read(&u, MSR), 0xb0);
}

static void divisor_latch__hides_data_and_ier(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	uart_write(&u, LCR, 0x80);
	assert_false(uart_write(&u, DATA, 0x0c));
	assert_false(uart_write(&u, IER, 0x01));
	assert_int_equal(uart_read(&u, DATA), 0x0c);
	assert_int_equal(uart_read(&u, IER), 0x01);
	uart_write(&u, LCR, 0x03);
	assert_int_equal(uart_read(&u, IER), 0);
	assert_int_equal(uart_read(&u, LCR), 0x03);
}

static void fifo__shows_and_clears(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	uart_write(&u, IIR, 0x01);
	assert_int_equal(uart_read(&u, IIR), 0xc1);
	(void)uart_receive(&u, 'a');
	uart_write(&u, IIR, 0x03);
	assert_int_equal(uart_read(&u, LSR), 0x60);
	uart_write(&u, IIR, 0x00);
	assert_int_equal(uart_read(&u, IIR), 0x01);
}

static void registers__keep_only_what_exists(void **state)
{
	struct uart u;
	(void)state;
	uart_init(&u);
	uart_write(&u, IER, 0xf0);
	assert_int_equal(uart_read(&u, IER), 0);
	uart_write(&u, MCR, 0xe0);
	assert_int_equal(uart_read(&u, MCR), 0);
	uart_write(&u, SCRATCH, 0x5a);
	assert_int_equal(uart_read(&u, SCRATCH), 0x5a);
	uart_write(&u, LSR, 0xff);
	uart_write(&u, MSR, 0xff);
	assert_int_equal(uart_read(&u, LSR), 0x60);
	assert_int_equal(uart_read(&u, MSR), 0xb0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_reset__transmitter_is_empty_and_no_interrupt),
		cmocka_unit_test(send__interrupts_once_for_a_burst),
		cmocka_unit_test(thre__comes_again_when_enabled_anew),
		cmocka_unit_test(receive__interrupts_until_all_is_read),
		cmocka_unit_test(receive__is_bounded),
		cmocka_unit_test(blocked__is_busy_until_output_goes_on),
		cmocka_unit_test(loopback__brings_everything_back),
		cmocka_unit_test(divisor_latch__hides_data_and_ier),
		cmocka_unit_test(fifo__shows_and_clears),
		cmocka_unit_test(registers__keep_only_what_exists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
