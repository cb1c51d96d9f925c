/* SPDX-License-Identifier: Apache-2.0 */
/* vm_seed - see vm_seed.h; cloud-init's NoCloud data source. The disk's bytes travel in
 * the request, the daemon reads none of the user's files. Runs in vmctl. */
#include "vm_seed.h"

#include "body.h"
#include "isola/base64.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "seed.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a: the instance is a new one to cloud-init when name or orders are. */
static uint64_t hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3;
	return h;
}

static void make_meta_data(struct strbuf *b, const char *name, const char *user_data)
{
	uint64_t h = hash(hash(0xcbf29ce484222325, name ? name : ""), user_data);
	strbuf_printf(b, "instance-id: isola-%016llx\n", (unsigned long long)h);
	if (name)
		strbuf_printf(b, "local-hostname: %s\n", name);
}

static int add_disk(json_object *vm, const struct strbuf *image, struct err *err)
{
	cleanup_free char *text = base64_encode(image->text, image->len);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	json_object *disks = json_get(vm, "Disks"), *disk = json_object_new_object();
	if (!disks) {
		disks = json_object_new_array();
		json_add(vm, "Disks", disks);
	}
	json_add_str(disk, "Id", "cidata");
	json_add_str(disk, "Data", text);
	json_add_bool(disk, "ReadOnly", true);
	json_object_array_add(disks, disk);
	return 0;
}

/* The file of @flag; an empty text and 0 when the flag is not given. */
static int read_flag(struct args *args, const char *flag, char **ret, struct err *err)
{
	const char *path = args_str(args, flag, NULL);
	if (!path)
		return 0;
	*ret = body_read_text(path, err);
	return *ret ? 0 : err_prefix(err, "--%s", flag);
}

int vm_seed(struct args *args, json_object *vm, struct err *err)
{
	cleanup_free char *user = NULL, *meta = NULL, *network = NULL;
	cleanup_strbuf struct strbuf made = STRBUF_INIT, image = STRBUF_INIT;
	if (read_flag(args, "cloud-init", &user, err) < 0 ||
	    read_flag(args, "meta-data", &meta, err) < 0 ||
	    read_flag(args, "network-config", &network, err) < 0)
		return -EINVAL;
	if (!user)
		return meta || network
			       ? err_set(err, EINVAL,
					 "--meta-data and --network-config go with --cloud-init")
			       : 0;
	if (!meta)
		make_meta_data(&made, args_str(args, "name", NULL), user);
	const char *meta_text = meta ? meta : made.text;
	if (!strbuf_ok(&made))
		return err_set(err, ENOMEM, "out of memory");
	struct seed_file files[3] = {
		{ "user-data", user, strlen(user) },
		{ "meta-data", meta_text, strlen(meta_text) },
	};
	size_t n = 2;
	if (network)
		files[n++] = (struct seed_file){ "network-config", network, strlen(network) };
	int rc = seed_build(files, n, &image, err);
	if (rc < 0)
		return err_prefix(err, "--cloud-init");
	return add_disk(vm, &image, err);
}
