/* SPDX-License-Identifier: Apache-2.0 */
/* num - see include/isola/num.h. */
#include "isola/num.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int num_parse_u64(const char *text, uint64_t *ret)
{
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno)
		return -ERANGE;
	*ret = v;
	return 0;
}

int num_parse_i64(const char *text, int64_t *ret)
{
	const char *digits = text + (*text == '-');
	if (!isdigit((unsigned char)*digits))
		return -EINVAL;
	char *end;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno)
		return -ERANGE;
	*ret = v;
	return 0;
}

int num_parse_range(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	int64_t v;
	int rc = num_parse_i64(text, &v);
	if (rc < 0)
		return rc;
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

/* Parses "D[.D]" as a fixed-point number times @scale, exactly; stops at the
 * first other character and returns it through @ret_end. */
static int parse_scaled(const char *text, int64_t scale, int64_t *ret, const char **ret_end)
{
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	char *end;
	errno = 0;
	long long whole = strtoll(text, &end, 10);
	__int128 v = (__int128)whole * scale;
	if (errno || v > INT64_MAX)
		return -ERANGE;
	if (*end == '.') {
		end++;
		if (!isdigit((unsigned char)*end))
			return -EINVAL;
		__int128 unit = (__int128)scale * 1000000000;
		__int128 frac = 0;
		for (; isdigit((unsigned char)*end); end++) {
			unit /= 10;
			frac += unit * (*end - '0');
		}
		v += frac / 1000000000;
		if (v > INT64_MAX)
			return -ERANGE;
	}
	*ret = (int64_t)v;
	*ret_end = end;
	return 0;
}

int num_parse_size(const char *text, int allow_unlimited, int64_t *ret_bytes)
{
	if (allow_unlimited && !strcmp(text, "-1")) {
		*ret_bytes = -1;
		return 0;
	}
	size_t n = strspn(text, "0123456789.");
	static const char units[] = "bkmgtp";
	int64_t scale = 1;
	const char *suffix = text + n;
	if (*suffix) {
		const char *u = strchr(units, tolower((unsigned char)*suffix));
		if (!u)
			return -EINVAL;
		scale = (int64_t)1 << (10 * (u - units));
		const char *rest = suffix + 1;
		if (*rest && (u == units || (strcasecmp(rest, "b") && strcasecmp(rest, "ib"))))
			return -EINVAL;
	}
	const char *end;
	int64_t v;
	int rc = parse_scaled(text, scale, &v, &end);
	if (rc < 0)
		return rc;
	if (end != suffix)
		return -EINVAL;
	*ret_bytes = v;
	return 0;
}

int num_parse_nano(const char *text, int64_t *ret_nano)
{
	const char *end, *dot = strchr(text, '.');
	if (dot && strlen(dot + 1) > 9)
		return -EINVAL;
	int64_t v;
	int rc = parse_scaled(text, 1000000000, &v, &end);
	if (rc < 0 || *end)
		return rc < 0 ? rc : -EINVAL;
	*ret_nano = v;
	return 0;
}

static const struct {
	const char *name;
	int64_t ns;
} duration_units[] = {
	{ "ns", 1 },         { "us", 1000 },       { "ms", 1000000 },
	{ "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 },
};

static int64_t duration_unit(const char **text)
{
	for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
		size_t n = strlen(duration_units[i].name);
		if (!strncmp(*text, duration_units[i].name, n) &&
		    !isalpha((unsigned char)(*text)[n])) {
			*text += n;
			return duration_units[i].ns;
		}
	}
	return 0;
}

int num_parse_duration(const char *text, int64_t *ret_ns)
{
	int64_t sum = 0;
	if (!strcmp(text, "0")) {
		*ret_ns = 0;
		return 0;
	}
	if (!*text)
		return -EINVAL;
	while (*text) {
		const char *number = text;
		text += strspn(text, "0123456789.");
		int64_t unit = duration_unit(&text);
		if (!unit)
			return -EINVAL;
		const char *end;
		int64_t v;
		int rc = parse_scaled(number, unit, &v, &end);
		if (rc < 0)
			return rc;
		if (isdigit((unsigned char)*end) || *end == '.')
			return -EINVAL;
		if (__builtin_add_overflow(sum, v, &sum))
			return -ERANGE;
	}
	*ret_ns = sum;
	return 0;
}

int64_t num_now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct date {
	int64_t year;
	int month, day;
};

/* The date @days after 1970-01-01, proleptic Gregorian. gmtime(3) would read
 * /etc/localtime first, which is half of what a short-lived process opens.
 * Counted in years that begin in March: the leap day is then their last, and
 * months repeat with 153 days in five. */
static struct date date_of(int64_t days)
{
	days += 719468;                                            /* from 0000-03-01 */
	int64_t era = (days >= 0 ? days : days - 146096) / 146097; /* of 400 years */
	int64_t in_era = days - era * 146097;
	int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * in_year + 2) / 153;
	struct date d = { .day = (int)(in_year - (153 * month + 2) / 5 + 1),
			  .month = (int)(month < 10 ? month + 3 : month - 9) };
	d.year = year + era * 400 + (d.month <= 2);
	return d;
}

char *num_format_time(int64_t ns, char *buf, size_t size)
{
	if (ns == 0) {
		(void)snprintf(buf, size, "0001-01-01T00:00:00Z");
		return buf;
	}
	int64_t s = ns / 1000000000, frac = ns % 1000000000;
	if (frac < 0) {
		frac += 1000000000;
		s--;
	}
	int64_t days = s / 86400, rest = s % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	struct date d = date_of(days);
	(void)snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", (int)d.year, d.month,
		       d.day, (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60),
		       (int)frac);
	return buf;
}

static int parse_zone(const char *text, int64_t *ret_seconds)
{
	if (!strcmp(text, "Z") || !strcmp(text, "z")) {
		*ret_seconds = 0;
		return 0;
	}
	int h, m;
	char sign, rest;
	if (sscanf(text, "%c%2d:%2d%c", &sign, &h, &m, &rest) != 3)
		return -EINVAL;
	if ((sign != '+' && sign != '-') || h < 0 || h > 23 || m < 0 || m > 59)
		return -EINVAL;
	*ret_seconds = (sign == '-' ? -1 : 1) * (h * 3600 + m * 60);
	return 0;
}

static int parse_rfc3339(const char *text, int64_t *ret_ns)
{
	struct tm tm = { 0 };
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!p)
		return -EINVAL;
	int64_t frac = 0, zone;
	if (*p == '.') {
		int64_t unit = 100000000;
		for (p++; isdigit((unsigned char)*p); p++, unit /= 10)
			frac += unit * (*p - '0');
	}
	if (parse_zone(p, &zone) < 0)
		return -EINVAL;
	int64_t seconds = (int64_t)timegm(&tm) - zone;
	if (__builtin_mul_overflow(seconds, (int64_t)1000000000, ret_ns))
		return -ERANGE;
	*ret_ns += frac;
	return 0;
}

int num_parse_time(const char *text, int64_t *ret_ns)
{
	if (strchr(text, 'T') || strchr(text, '-')) {
		int64_t ns;
		int rc = parse_rfc3339(text, &ns);
		if (rc == 0)
			*ret_ns = ns;
		return rc;
	}
	const char *end;
	int64_t ns;
	int rc = parse_scaled(text, 1000000000, &ns, &end);
	if (rc < 0 || *end)
		return rc < 0 ? rc : -EINVAL;
	*ret_ns = ns;
	return 0;
}

/* From @below on the next row counts; @unit seconds make one. */
static const struct {
	int64_t below, unit;
	const char *one, *many;
} spans[] = {
	{ 60, 1, "1 second", "seconds" },
	{ 3600, 60, "About a minute", "minutes" },
	{ 48 * 3600, 3600, "About an hour", "hours" },
	{ 14 * 86400, 86400, NULL, "days" },
	{ 60 * 86400, 7 * 86400, NULL, "weeks" },
	{ 730 * 86400, 30 * 86400, NULL, "months" },
	{ INT64_MAX, 365 * 86400, NULL, "years" },
};

void num_format_span(int64_t seconds, char *buf, size_t size)
{
	if (seconds < 1) {
		(void)snprintf(buf, size, "Less than a second");
		return;
	}
	/* From the hours on, a half counts as a whole. */
	int64_t s = seconds < 3600 ? seconds : seconds + 1800;
	size_t i = 0;
	while (s >= spans[i].below)
		i++;
	int64_t n = (i == 1 ? seconds : s) / spans[i].unit;
	if (n == 1 && spans[i].one)
		(void)snprintf(buf, size, "%s", spans[i].one);
	else
		(void)snprintf(buf, size, "%lld %s", (long long)n, spans[i].many);
}

int num_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
