/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_probe - see doctor_probe.h. Runs in vmctl. */
#include "doctor_probe.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "place.h"
#include "program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBE_BYTES_MAX (256 * 1024)

static int run_probe(json_object **ret, struct err *err)
{
	char path[PATH_MAX];
	int rc = place_find("isola-vmm", path, sizeof(path), err);
	if (rc < 0)
		return rc;
	cleanup_free char *text = malloc(PROBE_BYTES_MAX);
	char *argv[] = { path, (char *)(uintptr_t) "--probe", NULL };
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	rc = program_output(argv, text, PROBE_BYTES_MAX, err);
	return rc < 0 ? rc : json_parse(text, strlen(text), "the probe's answer", ret, err);
}

/* {"name", "ok", "needed", "text", "fix"} */
static void add_check(struct doctor *d, json_object *check)
{
	bool ok = json_bool_or(check, "ok", false), needed = json_bool_or(check, "needed", false);
	doctor_add(d, json_str_or(check, "name", "probe"),
		   ok       ? FINDING_OK
		   : needed ? FINDING_FAIL
			    : FINDING_WARN,
		   json_str_or(check, "fix", NULL), "%s", json_str_or(check, "text", ""));
}

void doctor_probe(struct doctor *d)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return; /* said before */
	if (run_probe(&doc, &err) < 0) {
		d->broken = true;
		doctor_add(d, "probe", FINDING_FAIL, NULL, "KVM could not be tried: %s.", err.text);
		return;
	}
	json_object *checks = json_get(doc, "checks");
	for (size_t i = 0; i < json_len(checks); i++)
		add_check(d, json_object_array_get_idx(checks, i));
	if (!json_bool_or(doc, "linux", false))
		d->broken = true;
}
