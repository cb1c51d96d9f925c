/* SPDX-License-Identifier: Apache-2.0 */
/* doctor - see doctor.h: the report. */
#include "doctor.h"

#include "format.h"
#include "isola/json.h"
#include "vm_verbs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct flag flags_doctor[] = {
	{ "format", 'f', FLAG_STR, "template", "Go template, or json" },
	{ "state", 0, FLAG_STR, "dir", "folder that holds kernels/ (isolad's state folder)" },
	{ .name = NULL },
};

static const char *const words[] = {
	[FINDING_OK] = "ok",
	[FINDING_NOTE] = "note",
	[FINDING_WARN] = "warning",
	[FINDING_FAIL] = "missing",
};

void doctor_add(struct doctor *d, const char *name, enum finding status, const char *fix,
		const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object *o = json_object_new_object();
	json_add_str(o, "name", name);
	json_add_str(o, "status", words[status]);
	json_add_str(o, "text", text);
	json_add_str(o, "fix", fix ? fix : "");
	json_object_array_add(d->checks, o);
}

/* Each instruction that works is no news, nor the same advice again. */
static bool is_news(json_object *check)
{
	return strncmp(json_str_or(check, "name", ""), "guest-", 6) != 0 ||
	       strcmp(json_str_or(check, "status", ""), words[FINDING_OK]) != 0;
}

static void print_report(const struct doctor *d, const char *summary)
{
	const char *last_fix = "";
	for (size_t i = 0; i < json_len(d->checks); i++) {
		json_object *o = json_object_array_get_idx(d->checks, i);
		const char *fix = json_str_or(o, "fix", "");
		if (!is_news(o))
			continue;
		printf("%-8s ", json_str_or(o, "status", ""));
		help_wrap(json_str_or(o, "text", ""), 9);
		if (*fix && strcmp(fix, last_fix) != 0) {
			printf("%9s-> ", "");
			help_wrap(fix, 12);
			last_fix = fix;
		}
	}
	printf("\n%s\n", summary);
}

int verb_doctor(struct cli *cli, struct args *args)
{
	cleanup_json json_object *doc = json_object_new_object();
	struct doctor d = { .cli = cli, .args = args, .checks = json_object_new_array() };
	json_add(doc, "checks", d.checks);
	for (size_t i = 0; doctor_checks[i]; i++)
		doctor_checks[i](&d);
	const char *summary = d.broken ? "Linux guests cannot run on this machine."
				       : "Linux guests can run on this machine.";
	json_add_bool(doc, "linuxGuests", !d.broken);
	json_add_str(doc, "summary", summary);
	const char *format = args_str(args, "format", NULL);
	if (!format)
		print_report(&d, summary);
	else if (format_document(cli, format, doc) != 0)
		return 1;
	return d.broken;
}
