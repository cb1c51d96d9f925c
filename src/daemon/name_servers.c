/* SPDX-License-Identifier: Apache-2.0 */
/* name_servers - see name_servers.h. */
#include "name_servers.h"

#include "isola/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define BYTES_MAX ((size_t)64 * 1024)

/* The address behind "nameserver" in @line, or false. */
static bool server_of(const char *line, struct net_addr *ret)
{
	char text[NET_ADDR_TEXT];
	if (strncmp(line, "nameserver", 10) != 0 || (line[10] != ' ' && line[10] != '\t'))
		return false;
	line += 10 + strspn(line + 10, " \t");
	(void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, " \t\r\n#;"), line);
	return net_addr_parse(text, ret) == 0;
}

size_t name_servers(const char *path, struct net_addr *ret, size_t max)
{
	cleanup_free char *text = NULL;
	size_t size = 0, n = 0;
	if (fd_read_file(AT_FDCWD, path, BYTES_MAX, &text, &size, NULL) < 0)
		return 0;
	for (const char *line = text; line && n < max; line = strchr(line, '\n')) {
		line += *line == '\n';
		n += server_of(line, &ret[n]);
	}
	return n;
}
