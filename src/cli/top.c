/* SPDX-License-Identifier: Apache-2.0 */
/* top - the processes of a container. Runs in ctrctl. */
#include "format.h"
#include "isola/json.h"
#include "verbs.h"

int verb_top(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf tail = STRBUF_INIT, joined = STRBUF_INIT;
	cleanup_json json_object *doc = NULL, *rows = json_object_new_array();
	strbuf_puts(&tail, "/top");
	for (int i = 1; i < args->argc; i++)
		strbuf_printf(&joined, "%s%s", i > 1 ? " " : "", args->argv[i]);
	if (joined.len)
		client_target_query(&tail, "ps_args", joined.text);
	if (cli_call(cli, "GET", args->argv[0], tail.text, NULL, &doc, &err) < 0)
		return cli_fail(cli, 1, &err);
	json_object *titles = json_get(doc, "Titles"), *list = json_get(doc, "Processes");
	struct column columns[25] = { { NULL, NULL } };
	size_t n = json_len(titles) < 24 ? json_len(titles) : 24;
	for (size_t c = 0; c < n; c++)
		columns[c].title = columns[c].field = json_item_str(titles, c);
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *row = json_object_new_object();
		for (size_t c = 0; c < n; c++)
			json_add_str(row, columns[c].field,
				     json_item_str(json_object_array_get_idx(list, i), c));
		json_object_array_add(rows, row);
	}
	return format_rows(cli, NULL, columns, n, rows);
}
