/* SPDX-License-Identifier: Apache-2.0 */
/* layer_queue - see layer_queue.h. Runs in isola-image's jail. */
#include "layer_queue.h"

#include <errno.h>
#include <stdlib.h>

int layer_queue_init(struct layer_queue *q, struct layer *layers, size_t n, struct err *err)
{
	struct layer_work **works = calloc(n ? n : 1, sizeof(struct layer_work *));
	if (!works)
		return err_set(err, ENOMEM, "out of memory");
	*q = (struct layer_queue){ .layers = layers, .works = works, .n = n };
	return 0;
}

void layer_queue_fini(struct layer_queue *q)
{
	if (q->running)
		layers_give_up();
	for (size_t i = q->settled; q->works && i < q->begun; i++)
		layer_work_free(q->works[i]);
	free(q->works);
	q->works = NULL;
}

bool layer_queue_has_room(const struct layer_queue *q)
{
	return q->begun < q->n && q->running < LAYERS_AT_ONCE;
}

int layer_queue_add(struct layer_queue *q, const struct job *job, const struct layer_input *input,
		    struct err *err)
{
	struct layer *l = &q->layers[q->begun];
	int rc = l->present ? 0 : layer_begin(job, input, l, &q->works[q->begun], err);
	if (rc < 0)
		return rc;
	q->running += !l->present;
	q->begun++;
	return 0;
}

size_t layer_queue_fds(const struct layer_queue *q, struct pollfd ret[LAYER_QUEUE_FDS])
{
	size_t n = 0;
	for (size_t i = q->settled; i < q->begun; i++)
		if (q->works[i])
			n += layer_work_fds(q->works[i], ret + n);
	return n;
}

static int settle(struct layer_queue *q, size_t i, struct err *err)
{
	const struct layer *below = q->layers;
	int lower[STORE_LAYERS_MAX];
	size_t n_lower = 0;
	for (size_t k = i; k-- > 0;) {
		lower[n_lower++] = below[k].fs_fd;
		if (below[k].opaque)
			break;
	}
	int rc = layer_end(q->works[i], lower, n_lower, err);
	layer_work_free(q->works[i]);
	q->works[i] = NULL;
	return rc < 0 ? rc : layer_write_facts(&q->layers[i], err);
}

int layer_queue_step(struct layer_queue *q, struct err *err)
{
	for (size_t i = q->settled; i < q->begun; i++) {
		bool running = q->works[i] && layer_is_running(q->works[i]);
		int rc = running ? layer_step(q->works[i], err) : 0;
		if (rc < 0)
			return rc;
		q->running -= rc > 0;
	}
	for (; q->settled < q->begun; q->settled++) {
		struct layer_work *w = q->works[q->settled];
		if (w && layer_is_running(w))
			break;
		int rc = w ? settle(q, q->settled, err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}
