/* SPDX-License-Identifier: Apache-2.0 */
/* oci_log - see oci_log.h. */
#include "oci_log.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static bool is_json(const struct oci *oci)
{
	return oci->log_format && !strcmp(oci->log_format, "json");
}

int oci_log_check(const struct oci *oci, struct err *err)
{
	const char *f = oci->log_format;
	if (f && strcmp(f, "json") && strcmp(f, "text"))
		return err_set(err, EINVAL, "--log-format is text or json, not \"%s\"", f);
	if (!oci->log)
		return 0;
	cleanup_fd int fd = open(oci->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return fd < 0 ? err_sys(err, "cannot open the log %s", oci->log) : 0;
}

static void write_line(int fd, bool json, const char *level, const char *text)
{
	char now[40];
	(void)num_format_time(num_now_ns(), now, sizeof(now));
	cleanup_json json_object *o = json_object_new_object();
	json_add_str(o, "level", level);
	json_add_str(o, "msg", text);
	json_add_str(o, "time", now);
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	if (json)
		(void)dprintf(fd, "%s\n", json_object_to_json_string_ext(o, flags));
	else
		(void)dprintf(fd, "time=\"%s\" level=%s msg=%s\n", now, level,
			      json_object_to_json_string_ext(json_get(o, "msg"), flags));
}

void oci_log(const struct oci *oci, const char *level, const char *text)
{
	bool is_error = !strcmp(level, "error");
	if (!is_error && !oci->debug)
		return;
	cleanup_fd int fd = -1;
	if (oci->log)
		fd = open(oci->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd >= 0)
		write_line(fd, is_json(oci), level, text);
	else if (is_json(oci))
		write_line(2, true, level, text);
	if (is_error && (fd >= 0 || !is_json(oci)))
		(void)dprintf(2, "isola-oci: %s\n", text);
	else if (!is_error && fd < 0 && !is_json(oci))
		write_line(2, false, level, text);
}
