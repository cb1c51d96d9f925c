/* SPDX-License-Identifier: Apache-2.0 */
/* signo - see include/isola/signo.h. signal(7). Used by isolad and the CLIs. */
#include "isola/signo.h"

#include "isola/num.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

/* Names that glibc spells otherwise, or that signal(7) gives as synonyms. */
static const struct {
	const char *name;
	int signo;
} aliases[] = {
	{ "CLD", SIGCHLD },
	{ "IOT", SIGABRT },
	{ "POLL", SIGIO },
};

static int parse_realtime(const char *name)
{
	static const struct {
		const char *base;
		char sign;
	} bases[] = { { "RTMIN", '+' }, { "RTMAX", '-' } };
	for (size_t i = 0; i < 2; i++) {
		if (strncasecmp(name, bases[i].base, 5))
			continue;
		int base = i ? SIGRTMAX : SIGRTMIN;
		int64_t offset;
		if (!name[5])
			return base;
		if (name[5] != bases[i].sign ||
		    num_parse_range(name + 6, 0, SIGRTMAX - SIGRTMIN, &offset) < 0)
			return -EINVAL;
		return i ? base - (int)offset : base + (int)offset;
	}
	return -EINVAL;
}

int signo_parse(const char *text)
{
	int64_t number;
	if (isdigit((unsigned char)*text))
		return num_parse_range(text, 1, SIGRTMAX, &number) < 0 ? -EINVAL : (int)number;
	const char *name = strncasecmp(text, "SIG", 3) ? text : text + 3;
	for (int s = 1; s < SIGRTMIN; s++) {
		const char *abbrev = sigabbrev_np(s);
		if (abbrev && !strcasecmp(abbrev, name))
			return s;
	}
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (!strcasecmp(aliases[i].name, name))
			return aliases[i].signo;
	}
	return parse_realtime(name);
}
