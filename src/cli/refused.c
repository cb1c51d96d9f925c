/* SPDX-License-Identifier: Apache-2.0 */
/* refused - finds what a program has not, though a user may expect it, in the
 * program's table of reasons (struct refused, args.h). Runs in the CLIs. */
#include "args.h"

#include <string.h>

bool args_is_word(const char *words, const char *word)
{
	size_t n = strlen(word);
	if (!*word)
		return !*words;
	for (const char *p = words; *p; p += strcspn(p, " "), p += *p == ' ')
		if (strcspn(p, " ") == n && !strncmp(p, word, n))
			return true;
	return false;
}

const char *refused_why(const struct refused *table, const char *verb, const char *name, size_t len)
{
	for (const struct refused *r = table; r && r->name; r++)
		if (strlen(r->name) == len && !strncmp(r->name, name, len) &&
		    args_is_word(r->verbs, verb))
			return r->why;
	return NULL;
}

const char *refused_letter(const struct refused *table, const char *verb, char letter)
{
	for (const struct refused *r = table; r && r->name; r++)
		if (letter && r->letter == letter && args_is_word(r->verbs, verb))
			return r->name;
	return NULL;
}
