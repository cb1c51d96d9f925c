/* SPDX-License-Identifier: Apache-2.0 */
/* layer_feed - the process that reads a layer's blob for the one that unpacks it:
 * decompresses, hashes and counts, and says how far it is. A blob that still comes
 * is read as it grows. */
#pragma once

#include "isola/err.h"
#include "digest.h"
#include "layer.h"

#include <stdbool.h>
#include <stdint.h>

/* What it says, again and again; less than PIPE_BUF, so in one piece. */
struct feed_word {
	bool last;
	int32_t code;              /* the last one's: errno of a failure, with its text */
	uint64_t at;               /* bytes of the blob read so far */
	char diff_id[DIGEST_SIZE]; /* the last one's */
	char text[ERR_TEXT_BYTES];
};

/* The process's main. @data_fd: where the tar goes, @report_fd: where the words go. */
void __attribute__((noreturn))
feed_main(const struct layer_input *input, int root_fd, int data_fd, int report_fd);

/* Judges the last word: sets or compares the layer's diff id. -EPIPE without a text when
 * the process that unpacks has ended early: that one knows why. */
int feed_judge(const struct feed_word *word, const struct layer_input *input, struct layer *l,
	       struct err *err);
