/* SPDX-License-Identifier: Apache-2.0 */
/* spec_sched - scheduler, ioPriority and execCPUAffinity of a process
 * (config.md "Linux Process"; sched_setattr(2), ioprio_set(2)). */
#include "spec_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NORMAL   0 /* SCHED_*, as linux/sched.h has them */
#define FIFO     1
#define RR       2
#define BATCH    3
#define IDLE     5
#define DEADLINE 6

static const struct spec_word policies[] = {
	{ "SCHED_OTHER", NORMAL }, { "SCHED_FIFO", FIFO }, { "SCHED_RR", RR },
	{ "SCHED_BATCH", BATCH },  { "SCHED_IDLE", IDLE }, { "SCHED_DEADLINE", DEADLINE },
};

/* UTIL_CLAMP_* would need values that the specification has no place for. */
static const struct spec_word flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", 0x01 }, { "SCHED_FLAG_RECLAIM", 0x02 },
	{ "SCHED_FLAG_DL_OVERRUN", 0x04 },    { "SCHED_FLAG_KEEP_POLICY", 0x08 },
	{ "SCHED_FLAG_KEEP_PARAMS", 0x10 },
};

static const struct spec_word io_classes[] = {
	{ "IOPRIO_CLASS_RT", 1 },
	{ "IOPRIO_CLASS_BE", 2 },
	{ "IOPRIO_CLASS_IDLE", 3 },
};
#define IOPRIO_CLASS_SHIFT 13

static int read_flags(struct spec_cx *cx, const struct at *at, json_object *o,
		      struct ctr_scheduler *s)
{
	char **words = NULL;
	size_t n = 0;
	int rc = spec_strv(cx, at, o, "flags", &words, &n);
	const struct at list = { .up = at, .name = "flags" };
	for (size_t i = 0; rc > 0 && i < n; i++) {
		const struct at place = { .up = &list, .index = i };
		uint64_t bit = 0;
		if (!strncmp(words[i], "SCHED_FLAG_UTIL_CLAMP_", 22))
			return spec_unsupported(cx, &place, NULL, "%.40s is not supported",
						words[i]);
		if (spec_find_word(cx, &place, NULL, "flag", flags, SPEC_N(flags), words[i], &bit) <
		    0)
			return -EINVAL;
		s->flags |= bit;
	}
	return rc < 0 ? rc : 0;
}

/* The combinations that sched_setattr(2) takes. */
static int check_scheduler(struct spec_cx *cx, const struct at *at, const struct ctr_scheduler *s)
{
	bool realtime = s->policy == FIFO || s->policy == RR;
	bool deadline = s->policy == DEADLINE;
	if (s->nice && s->policy != NORMAL && s->policy != BATCH)
		return spec_fail(cx, at, "nice", "is for SCHED_OTHER and SCHED_BATCH only");
	if (realtime && s->priority == 0)
		return spec_fail(cx, at, "priority", "must be 1 to 99 for SCHED_FIFO and SCHED_RR");
	if (!realtime && s->priority)
		return spec_fail(cx, at, "priority", "is for SCHED_FIFO and SCHED_RR only");
	if (!deadline && (s->runtime_ns || s->deadline_ns || s->period_ns))
		return spec_fail(cx, at, s->runtime_ns ? "runtime" : "period",
				 "is for SCHED_DEADLINE only");
	if (deadline && (s->runtime_ns == 0 || s->runtime_ns > s->deadline_ns ||
			 (s->period_ns && s->deadline_ns > s->period_ns)))
		return spec_fail(cx, at, "runtime",
				 "SCHED_DEADLINE needs 0 < runtime <= deadline <= period");
	return 0;
}

static int parse_scheduler(struct spec_cx *cx, const struct at *at, json_object *o,
			   struct ctr_scheduler *s)
{
	const char *policy = NULL;
	uint64_t value = 0;
	int64_t nice = 0, priority = 0;
	int rc = spec_need_str(cx, at, o, "policy", &policy);
	if (rc < 0)
		return rc;
	if (!strcmp(policy, "SCHED_ISO"))
		return spec_unsupported(cx, at, "policy", "Linux has no SCHED_ISO");
	rc = spec_find_word(cx, at, "policy", "policy", policies, SPEC_N(policies), policy, &value);
	if (rc < 0 || (rc = spec_int(cx, at, o, "nice", -20, 19, &nice)) < 0 ||
	    (rc = spec_int(cx, at, o, "priority", 0, 99, &priority)) < 0 ||
	    (rc = spec_u64(cx, at, o, "runtime", &s->runtime_ns)) < 0 ||
	    (rc = spec_u64(cx, at, o, "deadline", &s->deadline_ns)) < 0 ||
	    (rc = spec_u64(cx, at, o, "period", &s->period_ns)) < 0 ||
	    (rc = read_flags(cx, at, o, s)) < 0)
		return rc;
	s->set = true;
	s->policy = (uint32_t)value;
	s->nice = (int32_t)nice;
	s->priority = (uint32_t)priority;
	return check_scheduler(cx, at, s);
}

static int parse_ioprio(struct spec_cx *cx, const struct at *at, json_object *o, int *ret)
{
	const char *class = NULL;
	uint64_t value = 0;
	int64_t priority = 0;
	int rc = spec_need_str(cx, at, o, "class", &class);
	if (rc < 0 ||
	    (rc = spec_find_word(cx, at, "class", "class", io_classes, SPEC_N(io_classes), class,
				 &value)) < 0 ||
	    (rc = spec_int(cx, at, o, "priority", 0, 7, &priority)) < 0)
		return rc;
	*ret = (int)(value << IOPRIO_CLASS_SHIFT | (uint64_t)priority);
	return 0;
}

/* "0-3,7" */
static int read_cpus(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		     const cpu_set_t **ret)
{
	const char *text = NULL;
	int rc = spec_text(cx, at, o, key, &text);
	if (rc <= 0)
		return rc;
	cpu_set_t *set = spec_new(cx, 1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	for (const char *p = text;;) {
		char *end = NULL;
		if (*p < '0' || *p > '9')
			break;
		unsigned long first = strtoul(p, &end, 10), last = first;
		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		if (last >= CPU_SETSIZE || first > last)
			break;
		for (unsigned long cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, set);
		if (!*end) {
			*ret = set;
			return 1;
		}
		if (*end != ',')
			break;
		p = end + 1;
	}
	return spec_fail(cx, at, key, "\"%.100s\" is no list of CPUs like \"0-3,7\"", text);
}

int spec_parse_sched(struct spec_cx *cx, const struct at *at, json_object *o, struct ctr_process *p)
{
	json_object *part = NULL;
	int rc = spec_obj(cx, at, o, "scheduler", &part);
	if (rc > 0) {
		const struct at place = { .up = at, .name = "scheduler" };
		rc = parse_scheduler(cx, &place, part, &p->scheduler);
	}
	if (rc < 0 || (rc = spec_obj(cx, at, o, "ioPriority", &part)) < 0)
		return rc;
	if (rc > 0) {
		const struct at place = { .up = at, .name = "ioPriority" };
		rc = parse_ioprio(cx, &place, part, &p->ioprio);
	}
	if (rc < 0 || (rc = spec_obj(cx, at, o, "execCPUAffinity", &part)) <= 0)
		return rc;
	const struct at place = { .up = at, .name = "execCPUAffinity" };
	rc = read_cpus(cx, &place, part, "initial", &p->affinity_initial);
	if (rc < 0)
		return rc;
	rc = read_cpus(cx, &place, part, "final", &p->affinity_final);
	return rc < 0 ? rc : 0;
}
