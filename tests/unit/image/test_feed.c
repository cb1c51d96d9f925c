/* SPDX-License-Identifier: Apache-2.0 */
/* feed - what the process that decompresses a layer says is judged. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/layer_feed.h"

#include <errno.h>
#include <string.h>

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct layer_input input = { .fd = -1, .what = "layer 7" };

static void feed_judge__sets_or_compares_the_digest(void **state)
{
	struct feed_word word = { .last = true, .diff_id = DIGEST_A };
	struct layer l = LAYER_INIT;
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(feed_judge(&word, &input, &l, &err), 0);
	assert_string_equal(l.diff_id, DIGEST_A);
	assert_int_equal(feed_judge(&word, &input, &l, &err), 0);
	strcpy(l.diff_id, DIGEST_B);
	assert_int_equal(feed_judge(&word, &input, &l, &err), -EINVAL);
	assert_non_null(strstr(err.text, "wrong digest"));
	assert_non_null(strstr(err.text, "layer 7"));
	assert_string_equal(l.diff_id, DIGEST_B);
}

static void feed_judge__passes_failures_on(void **state)
{
	struct feed_word word = { .last = true, .code = EINVAL, .text = "layer 7 is damaged" };
	struct layer l = LAYER_INIT;
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(feed_judge(&word, &input, &l, &err), -EINVAL);
	assert_string_equal(err.text, "layer 7 is damaged");
	word.code = EPIPE;
	assert_int_equal(feed_judge(&word, &input, &l, &err), -EPIPE);
}

/* It may be anybody's by then: no end of a text, no errno. */
static void feed_judge__trusts_nothing(void **state)
{
	struct feed_word word;
	struct layer l = LAYER_INIT;
	struct err err = ERR_INIT;
	(void)state;
	memset(&word, 'x', sizeof(word));
	assert_int_equal(feed_judge(&word, &input, &l, &err), -EIO);
	word.code = -5;
	assert_int_equal(feed_judge(&word, &input, &l, &err), -EIO);
	word.code = 0;
	assert_int_equal(feed_judge(&word, &input, &l, &err), -EIO);
	assert_string_equal(l.diff_id, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(feed_judge__sets_or_compares_the_digest),
		cmocka_unit_test(feed_judge__passes_failures_on),
		cmocka_unit_test(feed_judge__trusts_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
