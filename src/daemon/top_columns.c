/* SPDX-License-Identifier: Apache-2.0 */
/* top_columns - what ps(1) would call its columns, and which of its option sets
 * `docker top` takes. Pure, in isolad. */
#include "top.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

static long ticks_per_second(void)
{
	long hertz = sysconf(_SC_CLK_TCK);
	return hertz > 0 ? hertz : 100;
}

static void format_id(int64_t id, char *buf, size_t size)
{
	/* isolad reads no passwd file of an image; root is root everywhere. */
	if (id == 0)
		(void)snprintf(buf, size, "root");
	else if (id < 0)
		(void)snprintf(buf, size, "?");
	else
		(void)snprintf(buf, size, "%lld", (long long)id);
}

static void format_user(const struct top_process *p, char *buf, size_t size)
{
	format_id(p->uid, buf, size);
}

static void format_group(const struct top_process *p, char *buf, size_t size)
{
	format_id(p->gid, buf, size);
}

static void format_uid(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld", (long long)p->uid);
}

static void format_gid(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld", (long long)p->gid);
}

static void format_pid(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%d", (int)p->pid);
}

static void format_ppid(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%d", (int)p->stat.ppid);
}

static int64_t tenths_of_percent(int64_t part, int64_t whole)
{
	return whole > 0 ? part * 1000 / whole : 0;
}

static void format_c(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld",
		       (long long)tenths_of_percent(p->stat.cpu_ticks, p->elapsed_ticks) / 10);
}

static void format_tenths(int64_t tenths, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld.%lld", (long long)(tenths / 10), (long long)(tenths % 10));
}

static void format_pcpu(const struct top_process *p, char *buf, size_t size)
{
	format_tenths(tenths_of_percent(p->stat.cpu_ticks, p->elapsed_ticks), buf, size);
}

static void format_pmem(const struct top_process *p, char *buf, size_t size)
{
	struct sysinfo si;
	int64_t kib = sysinfo(&si) < 0 ? 0 : (int64_t)(si.totalram / 1024 * si.mem_unit);
	format_tenths(tenths_of_percent(p->stat.rss_kib, kib), buf, size);
}

/* The hour on the first day, later the day. */
static void format_start(const struct top_process *p, char *buf, size_t size)
{
	time_t start = (time_t)(p->start_ns / 1000000000), now = time(NULL);
	struct tm tm;
	(void)localtime_r(&start, &tm);
	(void)strftime(buf, size, now - start < 24 * 3600 ? "%H:%M" : "%b%d", &tm);
}

static void format_tty(const struct top_process *p, char *buf, size_t size)
{
	unsigned int major_no = major((dev_t)p->stat.tty), minor_no = minor((dev_t)p->stat.tty);
	if (!p->stat.tty)
		(void)snprintf(buf, size, "?");
	else if (major_no >= 136 && major_no <= 143) /* Unix98 slaves, devices.txt */
		(void)snprintf(buf, size, "pts/%u", (major_no - 136) * 256 + minor_no);
	else
		(void)snprintf(buf, size, "%u:%u", major_no, minor_no);
}

static void format_seconds(int64_t s, bool short_form, char *buf, size_t size)
{
	int64_t days = s / 86400;
	if (short_form && s < 3600)
		(void)snprintf(buf, size, "%02lld:%02lld", (long long)(s / 60),
			       (long long)(s % 60));
	else if (days)
		(void)snprintf(buf, size, "%lld-%02lld:%02lld:%02lld", (long long)days,
			       (long long)(s % 86400 / 3600), (long long)(s % 3600 / 60),
			       (long long)(s % 60));
	else
		(void)snprintf(buf, size, "%02lld:%02lld:%02lld", (long long)(s / 3600),
			       (long long)(s % 3600 / 60), (long long)(s % 60));
}

static void format_time(const struct top_process *p, char *buf, size_t size)
{
	format_seconds(p->stat.cpu_ticks / ticks_per_second(), false, buf, size);
}

/* "aux" has minutes and seconds only. */
static void format_bsdtime(const struct top_process *p, char *buf, size_t size)
{
	int64_t s = p->stat.cpu_ticks / ticks_per_second();
	(void)snprintf(buf, size, "%lld:%02lld", (long long)(s / 60), (long long)(s % 60));
}

static void format_etime(const struct top_process *p, char *buf, size_t size)
{
	format_seconds(p->elapsed_ticks / ticks_per_second(), true, buf, size);
}

static void format_command(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", p->command);
}

static void format_comm(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", p->stat.comm);
}

static void format_state(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%c", p->stat.state);
}

static void format_nice(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%d", p->stat.nice);
}

static void format_priority(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%d", p->stat.priority);
}

static void format_threads(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld", (long long)p->stat.threads);
}

static void format_vsz(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld", (long long)p->stat.vsz_kib);
}

static void format_rss(const struct top_process *p, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld", (long long)p->stat.rss_kib);
}

static const struct top_column columns[] = {
	{ "args", "COMMAND", format_command },
	{ "bsdtime", "TIME", format_bsdtime },
	{ "c", "C", format_c },
	{ "cmd", "CMD", format_command },
	{ "comm", "COMMAND", format_comm },
	{ "command", "COMMAND", format_command },
	{ "etime", "ELAPSED", format_etime },
	{ "gid", "GID", format_gid },
	{ "group", "GROUP", format_group },
	{ "ni", "NI", format_nice },
	{ "nlwp", "NLWP", format_threads },
	{ "pcpu", "%CPU", format_pcpu },
	{ "%cpu", "%CPU", format_pcpu },
	{ "pid", "PID", format_pid },
	{ "pmem", "%MEM", format_pmem },
	{ "%mem", "%MEM", format_pmem },
	{ "ppid", "PPID", format_ppid },
	{ "pri", "PRI", format_priority },
	{ "rss", "RSS", format_rss },
	{ "s", "S", format_state },
	{ "start", "STARTED", format_start },
	{ "start_time", "START", format_start },
	{ "stat", "STAT", format_state },
	{ "state", "S", format_state },
	{ "stime", "STIME", format_start },
	{ "time", "TIME", format_time },
	{ "tname", "TTY", format_tty },
	{ "tt", "TT", format_tty },
	{ "tty", "TT", format_tty },
	{ "ucmd", "CMD", format_comm },
	{ "uid", "UID", format_uid },
	{ "user", "USER", format_user },
	{ "vsz", "VSZ", format_vsz },
};

static const struct top_column uid_as_name = { "uid", "UID", format_user };

static const struct top_column *find_column(const char *keyword, size_t len)
{
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		if (strlen(columns[i].keyword) == len && !memcmp(columns[i].keyword, keyword, len))
			return &columns[i];
	}
	return NULL;
}

/* Names in @list separated by commas or spaces. */
static int parse_list(const char *list, const struct top_column *ret[TOP_COLUMNS_MAX],
		      struct err *err)
{
	int n = 0;
	for (const char *p = list + strspn(list, ", "); *p; p += strspn(p, ", ")) {
		size_t len = strcspn(p, ", ");
		const struct top_column *c = find_column(p, len);
		if (!c)
			return err_set(err, EINVAL, "ps: the column '%.*s' is not supported by top",
				       (int)(len > 32 ? 32 : len), p);
		if (n == TOP_COLUMNS_MAX)
			return err_set(err, EINVAL, "ps: more than %d columns", TOP_COLUMNS_MAX);
		ret[n++] = c;
		p += len;
	}
	return n ? n : err_set(err, EINVAL, "ps: -o needs a list of columns");
}

static const struct {
	const char *args, *list;
	bool names; /* UID shows names, as -f does */
} presets[] = {
	{ "", "uid pid ppid c stime tname time cmd", true },
	{ "-ef", "uid pid ppid c stime tname time cmd", true },
	{ "-Af", "uid pid ppid c stime tname time cmd", true },
	{ "-f", "uid pid ppid c stime tname time cmd", true },
	{ "-e", "pid tname time ucmd", false },
	{ "-A", "pid tname time ucmd", false },
	{ "aux", "user pid %cpu %mem vsz rss tname stat start_time bsdtime command", false },
	{ "-aux", "user pid %cpu %mem vsz rss tname stat start_time bsdtime command", false },
};

/* "-o LIST", "-eo LIST", "o LIST", "-oLIST": the part behind, or NULL. */
static const char *list_of(const char *args)
{
	static const char *const forms[] = { "-eo", "-Ao", "-o", "axo", "o " };
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (!strncmp(args, forms[i], strlen(forms[i])))
			return args + strlen(forms[i]);
	}
	return NULL;
}

int top_parse(const char *ps_args, const struct top_column *ret[TOP_COLUMNS_MAX], struct err *err)
{
	const char *args = ps_args ? ps_args + strspn(ps_args, " ") : "";
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
		if (strcmp(presets[i].args, args) != 0)
			continue;
		int n = parse_list(presets[i].list, ret, err);
		if (presets[i].names)
			ret[0] = &uid_as_name;
		return n;
	}
	const char *list = list_of(args);
	if (list)
		return parse_list(list, ret, err);
	return err_set(err, EINVAL,
		       "ps: the options '%.64s' are not supported by top: use -ef, aux or -o LIST",
		       args);
}
