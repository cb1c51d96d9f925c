/* SPDX-License-Identifier: Apache-2.0 */
/* memslots - see memslots.h. isola-vmm, until the jail is closed. */
#include "memslots.h"

#include "thread.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define STACK_BYTES (64 * 1024)

struct memslots {
	struct memory *memory;
	int vm_fd;
	pthread_t thread;
	bool started;
	int rc; /* the thread's, as is err, until it is joined */
	struct err err;
};

static void *thread_main(void *arg)
{
	struct memslots *s = arg;
	s->rc = memory_give_to_kvm(s->memory, s->vm_fd, &s->err);
	return NULL;
}

int memslots_begin(struct memory *memory, int vm_fd, struct memslots **ret, struct err *err)
{
	struct memslots *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ENOMEM, "out of memory");
	s->memory = memory;
	s->vm_fd = vm_fd;
	s->started = thread_start(&s->thread, STACK_BYTES, NULL, thread_main, s) == 0;
	if (!s->started) /* it is only slower so */
		(void)thread_main(s);
	*ret = s;
	return 0;
}

int memslots_end(struct memslots *slots, struct err *err)
{
	if (!slots)
		return 0;
	if (slots->started)
		(void)pthread_join(slots->thread, NULL);
	int rc = slots->rc;
	if (rc < 0)
		(void)err_copy(err, &slots->err);
	free(slots);
	return rc;
}
