/* SPDX-License-Identifier: Apache-2.0 */
/* import - a root file system's tar on standard input becomes an image of one
 * layer, which keeps the bytes as they came. */
#include "image.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "change.h"
#include "layer.h"
#include "platform.h"
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Architecture and variant: asked for, or this host's. */
static int add_platform(json_object *config, const struct import_options *options, struct err *err)
{
	struct platform host = platform_of_host();
	char arch[64], variant[64];
	(void)snprintf(arch, sizeof(arch), "%s", host.architecture);
	(void)snprintf(variant, sizeof(variant), "%s", host.variant);
	int rc = options->platform ? platform_parse(options->platform, arch, variant, err) : 0;
	if (rc < 0)
		return rc;
	json_add_str(config, "architecture", arch);
	json_add_str(config, "os", "linux");
	if (*variant)
		json_add_str(config, "variant", variant);
	return 0;
}

/* Everything of the config but the layer: made before the archive is read, so
 * that a mistake in the command line shows at once. */
static int start_config(const struct import_options *options, json_object **ret, struct err *err)
{
	cleanup_json json_object *config = json_object_new_object();
	json_object *run = json_object_new_object(), *history = json_object_new_array();
	json_object *step = json_object_new_object();
	const char *message = options->message ? options->message : "Imported from -";
	char now[40];
	(void)num_format_time(num_now_ns(), now, sizeof(now));
	json_add_str(config, "created", now);
	int rc = add_platform(config, options, err);
	json_add_str(config, "comment", message);
	json_add(config, "config", run);
	for (size_t i = 0; rc == 0 && i < options->n_changes; i++)
		rc = change_apply(run, options->changes[i], err);
	json_add_str(step, "created", now);
	json_add_str(step, "comment", message);
	(void)json_object_array_add(history, step);
	json_add(config, "history", history);
	if (rc == 0)
		*ret = take_ptr(config);
	return rc;
}

static int finish_source(json_object *config, const struct spool *spool, const struct layer *layer,
			 struct source *src, struct err *err)
{
	json_object *rootfs = json_object_new_object(), *ids = json_object_new_array();
	json_add_str(rootfs, "type", "layers");
	(void)json_object_array_add(ids, json_object_new_string(layer->diff_id));
	json_add(rootfs, "diff_ids", ids);
	json_add(config, "rootfs", rootfs);
	const char *text = json_object_to_json_string_ext(
		config, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	src->config_text = text ? strdup(text) : NULL;
	if (!src->config_text)
		return err_set(err, ENOMEM, "out of memory");
	int rc = source_set_config(src, src->config_text, strlen(src->config_text), err);
	if (rc < 0)
		return rc;
	source_set_layer(src, 0, &spool->files[0]);
	return source_make_manifest(src, spool->job->store, spool, strlen(src->config_text), err);
}

static int unpack(const struct job *job, const struct spool *spool, const struct limits *limits,
		  struct layer *layer, struct err *err)
{
	const struct spool_file *f = &spool->files[0];
	enum stream_format format = STREAM_GZIP;
	int rc = spool_format(spool, f, &format, err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd = spool_open(spool, f, err);
	if (fd < 0)
		return fd;
	if (format == STREAM_PLAIN)
		strcpy(layer->diff_id, f->digest);
	const struct layer_input input = {
		.fd = fd,
		.what = "the archive",
		.id = f->digest,
		.size = f->size,
		.verified = format == STREAM_PLAIN,
		.need_end_mark = true,
		.bytes_max = limits->bytes,
		.entries_max = limits->entries,
	};
	return layer_unpack(job, &input, layer, err);
}

static int add(const struct job *job, const struct spool *spool, struct source *src,
	       struct layer *layer, json_object **ret_aux, struct err *err)
{
	strcpy(layer->chain, layer->diff_id);
	int rc = image_add_unpacked(job, spool, src, layer, err);
	if (rc < 0)
		return rc;
	json_object *aux = json_object_new_object();
	json_add_str(aux, "ID", src->id);
	json_add(aux, "Refs", json_copy(src->refs));
	*ret_aux = aux;
	return 0;
}

int job_import(const struct store *s, const struct limits *limits,
	       const struct import_options *options, json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	cleanup_spool struct spool spool = { 0 };
	cleanup_source struct source src = { .refs = json_object_new_array() };
	cleanup_json json_object *config = NULL;
	struct layer layer = LAYER_INIT;
	int rc = options->ref ? source_add_ref(&src, options->ref, err) : 0;
	if (rc == 0)
		rc = start_config(options, &config, err);
	if (rc == 0)
		rc = job_open(s, &job, err);
	if (rc == 0)
		rc = spool_one(&job, STDIN_FILENO, "the archive", limits->bytes, &spool, err);
	if (rc == 0)
		rc = unpack(&job, &spool, limits, &layer, err);
	if (rc == 0)
		rc = finish_source(config, &spool, &layer, &src, err);
	if (rc == 0)
		rc = add(&job, &spool, &src, &layer, ret_aux, err);
	layer_fini(s, &layer);
	if (rc == 0)
		progress_status(src.id, NULL, 0, 0);
	return rc;
}
