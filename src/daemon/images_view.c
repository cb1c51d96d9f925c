/* SPDX-License-Identifier: Apache-2.0 */
/* images_view - images as Docker's clients read them (Docker Engine API,
 * ImageSummary and ImageInspect), and the filters of the list. isolad, loop
 * thread. */
#include "filter.h"
#include "images_priv.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define DRIVER               "overlayfs"
#define LAYER_JSON_BYTES_MAX 4096

static json_object *labels_of(const struct image *image)
{
	return json_get(json_get(image->record, "config"), "Labels");
}

static int64_t created_of(const struct image *image)
{
	return json_i64_or(image->record, "created_ns", 0);
}

/* ---- list ---- */

static const char *const list_filters[] = { "before",    "dangling", "label",
					    "reference", "since",    "until" };

struct listing {
	json_object *filters;
	int64_t before_ns, since_ns;
	bool only_dangling, only_named;
};

static int parse_limits(struct isolad *d, struct listing *l, struct err *err)
{
	const char *value;
	struct image *image;
	for (size_t i = 0; filter_value(l->filters, "before", i, &value) > 0; i++) {
		image = images_lookup(d->images, value, NULL, err);
		if (!image)
			return -err->code;
		l->before_ns = created_of(image);
	}
	for (size_t i = 0; filter_value(l->filters, "since", i, &value) > 0; i++) {
		image = images_lookup(d->images, value, NULL, err);
		if (!image)
			return -err->code;
		l->since_ns = created_of(image);
	}
	for (size_t i = 0; filter_value(l->filters, "until", i, &value) > 0; i++) {
		int64_t ns;
		if (num_parse_time(value, &ns) < 0) {
			if (num_parse_duration(value, &ns) < 0)
				return err_set(err, EINVAL, "invalid filter 'until=%.64s'", value);
			ns = num_now_ns() - ns;
		}
		l->before_ns = ns < l->before_ns ? ns : l->before_ns;
	}
	return 0;
}

static int parse_listing(struct isolad *d, json_object *filters, struct listing *ret,
			 struct err *err)
{
	struct listing l = { .filters = filters, .before_ns = INT64_MAX, .since_ns = INT64_MIN };
	const char *value;
	int rc = filter_check(filters, list_filters, sizeof(list_filters) / sizeof(list_filters[0]),
			      err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; filter_value(filters, "dangling", i, &value) > 0; i++) {
		bool yes = !strcmp(value, "true") || !strcmp(value, "1");
		if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
			return err_set(err, EINVAL, "invalid filter 'dangling=%.32s'", value);
		l.only_dangling |= yes;
		l.only_named |= !yes;
	}
	rc = parse_limits(d, &l, err);
	if (rc < 0)
		return rc;
	*ret = l;
	return 0;
}

/* A glob over the whole name or the name without its tag, '*' not beyond a '/'. */
static bool is_like(const char *pattern, void *arg)
{
	const char *ref = arg;
	char name[IMAGE_REF_MAX];
	(void)snprintf(name, sizeof(name), "%s", ref);
	char *slash = strrchr(name, '/'), *colon = strpbrk(slash ? slash : name, ":@");
	if (colon)
		*colon = '\0';
	return fnmatch(pattern, ref, FNM_PATHNAME) == 0 ||
	       fnmatch(pattern, name, FNM_PATHNAME) == 0;
}

static json_object *matching(json_object *refs, json_object *filters)
{
	json_object *out = json_object_new_array();
	for (size_t i = 0; i < json_len(refs); i++) {
		char text[IMAGE_REF_MAX];
		(void)snprintf(text, sizeof(text), "%s", json_item_str(refs, i));
		if (filter_any(filters, "reference", is_like, text))
			(void)json_object_array_add(out, json_object_new_string(text));
	}
	json_object_put(refs);
	return out;
}

static bool is_listed(const struct image *image, const struct listing *l)
{
	int64_t created = created_of(image);
	bool dangling = json_len(image->refs) == 0;
	if (image->deleting || created >= l->before_ns || created <= l->since_ns)
		return false;
	if ((l->only_dangling && !dangling) || (l->only_named && dangling))
		return false;
	return filter_all(l->filters, "label", filter_label, labels_of(image));
}

static json_object *make_summary(const struct image *image, const struct listing *l)
{
	json_object *tags = matching(image_tags(image), l->filters);
	json_object *digests = matching(image_digests(image), l->filters);
	if (json_get(l->filters, "reference") && !json_len(tags) && !json_len(digests)) {
		json_object_put(tags);
		json_object_put(digests);
		return NULL;
	}
	json_object *o = json_object_new_object();
	json_add_i64(o, "Containers", -1);
	json_add_i64(o, "Created", created_of(image) / 1000000000);
	json_add_str(o, "Id", image_id(image));
	json_add(o, "Labels", json_object_get(labels_of(image)));
	json_add_str(o, "ParentId", image_parent(image));
	json_add(o, "RepoDigests", digests);
	json_add(o, "RepoTags", tags);
	json_add_i64(o, "SharedSize", -1);
	json_add_i64(o, "Size", json_i64_or(image->record, "size", 0));
	return o;
}

static int compare_created(const void *a, const void *b)
{
	const struct image *const *x = a, *const *y = b;
	int64_t s = created_of(*x), t = created_of(*y);
	return s < t ? 1 : s > t ? -1 : strcmp(image_id(*x), image_id(*y));
}

/* What steps of a build are made from is shown with @all alone. */
static bool is_intermediate(struct isolad *d, const struct image *image)
{
	return json_len(image->refs) == 0 && image_has_children(d->images, image);
}

json_object *image_list(struct isolad *d, bool all, json_object *filters, struct err *err)
{
	struct listing l = { .filters = NULL };
	if (parse_listing(d, filters, &l, err) < 0)
		return NULL;
	if (d->images->n > 1)
		qsort(d->images->items, d->images->n, sizeof(d->images->items[0]), compare_created);
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < d->images->n; i++) {
		const struct image *image = d->images->items[i];
		if (!is_listed(image, &l) ||
		    ((!all || l.only_dangling) && is_intermediate(d, image)))
			continue;
		json_object *o = make_summary(image, &l);
		if (o)
			(void)json_object_array_add(list, o);
	}
	return list;
}

/* ---- inspect ---- */

/* Docker shows the full set of keys, whatever the image says. */
static json_object *make_config(json_object *from)
{
	static const struct {
		const char *name;
		enum { TEXT, NO, NOTHING, EXTRA } empty;
	} keys[] = {
		{ "Hostname", TEXT },      { "Domainname", TEXT },
		{ "User", TEXT },          { "AttachStdin", NO },
		{ "AttachStdout", NO },    { "AttachStderr", NO },
		{ "ExposedPorts", EXTRA }, { "Tty", NO },
		{ "OpenStdin", NO },       { "StdinOnce", NO },
		{ "Env", NOTHING },        { "Cmd", NOTHING },
		{ "Healthcheck", EXTRA },  { "Image", TEXT },
		{ "Volumes", NOTHING },    { "WorkingDir", TEXT },
		{ "Entrypoint", NOTHING }, { "OnBuild", NOTHING },
		{ "Labels", NOTHING },     { "StopSignal", EXTRA },
		{ "Shell", EXTRA },
	};
	json_object *o = json_object_new_object();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_object *v = json_get(from, keys[i].name);
		if (v)
			json_add(o, keys[i].name, json_object_get(v));
		else if (keys[i].empty == TEXT)
			json_add_str(o, keys[i].name, "");
		else if (keys[i].empty == NO)
			json_add_bool(o, keys[i].name, false);
		else if (keys[i].empty == NOTHING)
			json_add(o, keys[i].name, NULL);
	}
	return o;
}

static json_object *make_graph_driver(struct isolad *d, json_object *record)
{
	json_object *o = json_object_new_object(), *data = json_object_new_object();
	json_object *layers = json_get(record, "layers");
	cleanup_strbuf struct strbuf lower = STRBUF_INIT, upper = STRBUF_INIT;
	size_t n = json_len(layers);
	for (size_t i = n; i-- > 0;)
		strbuf_printf(i == n - 1 ? &upper : &lower, "%s%s/layers/%s/fs",
			      i == n - 1 || !lower.len ? "" : ":", d->roots.state,
			      json_item_str(layers, i));
	if (lower.len)
		json_add_str(data, "LowerDir", lower.text);
	json_add_str(data, "UpperDir", upper.text ? upper.text : "");
	json_add(o, "Data", data);
	json_add_str(o, "Name", DRIVER);
	return o;
}

json_object *image_inspect(struct isolad *d, const char *ref, struct err *err)
{
	struct image *image = images_lookup(d->images, ref, NULL, err);
	if (!image)
		return NULL;
	json_object *record = image->record, *o = json_object_new_object();
	char created[40];
	json_add_str(o, "Id", image_id(image));
	json_add(o, "RepoTags", image_tags(image));
	json_add(o, "RepoDigests", image_digests(image));
	json_add_str(o, "Parent", image_parent(image));
	json_add_str(o, "Comment", json_str_or(record, "comment", ""));
	json_add_str(o, "Created", num_format_time(created_of(image), created, sizeof(created)));
	json_add_str(o, "DockerVersion", "");
	json_add_str(o, "Author", json_str_or(record, "author", ""));
	json_add(o, "Config", make_config(json_get(record, "config")));
	json_add_str(o, "Architecture", json_str_or(record, "architecture", ""));
	if (*json_str_or(record, "variant", ""))
		json_add_str(o, "Variant", json_str_or(record, "variant", ""));
	json_add_str(o, "Os", json_str_or(record, "os", "linux"));
	json_add_i64(o, "Size", json_i64_or(record, "size", 0));
	json_add(o, "GraphDriver", make_graph_driver(d, record));
	json_object *rootfs = json_object_new_object(), *metadata = json_object_new_object();
	json_add_str(rootfs, "Type", "layers");
	json_add(rootfs, "Layers", json_object_get(json_get(record, "diff_ids")));
	json_add(o, "RootFS", rootfs);
	json_add_str(metadata, "LastTagTime", "0001-01-01T00:00:00Z");
	json_add(o, "Metadata", metadata);
	return o;
}

/* ---- history ---- */

/* Bytes of an unpacked layer, which isola-image wrote down beside it. */
static int64_t layer_bytes(struct isolad *d, const char *chain)
{
	cleanup_json json_object *facts = NULL;
	char name[128];
	(void)snprintf(name, sizeof(name), "layers/%.64s/layer.json", chain);
	if (json_read_file(d->roots.state_fd, name, LAYER_JSON_BYTES_MAX, &facts, NULL) < 0)
		return 0;
	return json_i64_or(facts, "size", 0);
}

static json_object *make_step(const struct image *image, json_object *from, int64_t bytes, bool top)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "Id", top ? image_id(image) : "<missing>");
	json_add_i64(o, "Created", json_i64_or(from, "created_ns", 0) / 1000000000);
	json_add_str(o, "CreatedBy", json_str_or(from, "created_by", ""));
	json_add(o, "Tags", top && json_len(image->refs) ? image_tags(image) : NULL);
	json_add_i64(o, "Size", bytes);
	json_add_str(o, "Comment", json_str_or(from, "comment", ""));
	return o;
}

/* Steps with a layer take one after the other from the top. Those at the bottom that
 * an opaque root hides have no folder (IMAGE_RECORD's "layers") and count nothing. */
json_object *image_history(struct isolad *d, const char *ref, struct err *err)
{
	struct image *image = images_lookup(d->images, ref, NULL, err);
	if (!image)
		return NULL;
	json_object *list = json_object_new_array();
	json_object *steps = json_get(image->record, "history");
	json_object *layers = json_get(image->record, "layers");
	size_t left = json_len(layers);
	for (size_t i = json_len(steps); i-- > 0;) {
		json_object *step = json_object_array_get_idx(steps, i);
		bool has_layer = !json_bool_or(step, "empty_layer", false) && left > 0;
		int64_t bytes = has_layer ? layer_bytes(d, json_item_str(layers, --left)) : 0;
		(void)json_object_array_add(
			list, make_step(image, step, bytes, i + 1 == json_len(steps)));
	}
	return list;
}
