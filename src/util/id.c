/* SPDX-License-Identifier: Apache-2.0 */
/* id - see include/isola/id.h. */
#include "isola/id.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static bool is_hex(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isdigit((unsigned char)text[i]) && (text[i] < 'a' || text[i] > 'f'))
			return false;
	return true;
}

int id_new(char ret[ID_SIZE])
{
	unsigned char raw[32];
	do {
		if (getrandom(raw, sizeof(raw), 0) != sizeof(raw))
			return -errno;
		for (size_t i = 0; i < sizeof(raw); i++)
			(void)sprintf(ret + 2 * i, "%02x", raw[i]);
	} while (strspn(ret, "0123456789") >= ID_SHORT_LEN);
	return 0;
}

bool id_is_prefix(const char *text)
{
	size_t n = strnlen(text, ID_SIZE);
	return n > 0 && n < ID_SIZE && is_hex(text, n);
}

static bool all_of(const char *text, size_t max, const char *extra)
{
	size_t n = strnlen(text, max + 1);
	if (n == 0 || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 0x80 || (!isalnum(c) && !strchr(extra, c)))
			return false;
	}
	return true;
}

bool id_is_name(const char *text)
{
	return all_of(text, 255, "_.-") && isalnum((unsigned char)text[0]) && text[1];
}

bool id_is_container_id(const char *text)
{
	return all_of(text, 255, "_.+-") && text[0] != '.';
}

bool id_is_digest(const char *text)
{
	return !strncmp(text, "sha256:", 7) && strlen(text) == 7 + 64 && is_hex(text + 7, 64);
}

static const char *const adjectives[] = {
	"able",   "brave", "bright",  "calm",  "clear",  "clever", "cool",   "crisp",
	"deep",   "eager", "early",   "fair",  "fast",   "fine",   "firm",   "fresh",
	"gentle", "glad",  "good",    "grand", "great",  "happy",  "hardy",  "keen",
	"kind",   "light", "lively",  "loyal", "lucky",  "merry",  "mild",   "neat",
	"noble",  "open",  "patient", "plain", "proud",  "quick",  "quiet",  "rapid",
	"ready",  "rich",  "sharp",   "shy",   "silent", "smart",  "smooth", "snug",
	"solid",  "spry",  "steady",  "still", "strong", "sunny",  "sure",   "swift",
	"tidy",   "tough", "true",    "vivid", "warm",   "wise",   "witty",  "young",
};

static const char *const nouns[] = {
	"alder", "aspen",   "badger",  "basalt",  "bay",    "beech", "birch",  "bison",
	"brook", "canyon",  "cedar",   "cliff",   "comet",  "coral", "crane",  "creek",
	"delta", "dune",    "eagle",   "ember",   "falcon", "fern",  "fjord",  "flint",
	"fox",   "glacier", "granite", "grove",   "harbor", "hawk",  "hazel",  "heron",
	"hill",  "island",  "ivy",     "juniper", "lagoon", "lake",  "larch",  "lynx",
	"maple", "marsh",   "meadow",  "mesa",    "moss",   "oak",   "orca",   "osprey",
	"otter", "peak",    "pine",    "quartz",  "raven",  "reef",  "ridge",  "river",
	"robin", "sage",    "slate",   "spruce",  "stone",  "tern",  "willow", "wren",
};

void id_make_name(unsigned int attempt, char *ret, size_t size)
{
	unsigned short r[2] = { 0 };
	(void)getrandom(r, sizeof(r), GRND_NONBLOCK);
	const char *a = adjectives[r[0] % (sizeof(adjectives) / sizeof(adjectives[0]))];
	const char *n = nouns[r[1] % (sizeof(nouns) / sizeof(nouns[0]))];
	if (attempt == 0)
		(void)snprintf(ret, size, "%s_%s", a, n);
	else
		(void)snprintf(ret, size, "%s_%s%u", a, n, attempt);
}
