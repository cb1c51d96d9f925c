/* SPDX-License-Identifier: Apache-2.0 */
/* create_vm_agree - what the parts of a VmConfig must agree on. Pure; in isolad. */
#include "create_vm.h"
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEVICES_MAX 18 /* windows and interrupts of a machine */

static int ids_agree(json_object *config, struct err *err)
{
	static const struct {
		const char *key, *id;
	} lists[] = {
		{ "Disks", "Id" }, { "Nets", "Id" },     { "Shares", "Tag" },
		{ "Pmem", "Id" },  { "Consoles", "Id" },
	};
	cleanup_json json_object *seen = json_object_new_object();
	for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++) {
		json_object *list = json_get(config, lists[l].key);
		for (size_t i = 0; i < json_len(list); i++) {
			const char *id =
				json_str_or(json_object_array_get_idx(list, i), lists[l].id, "");
			if (json_get(seen, id))
				return err_set(err, EINVAL, "%s[%zu].%s: %s is another device's",
					       lists[l].key, i, lists[l].id, id);
			json_add_bool(seen, id, true);
		}
	}
	return 0;
}

/* Each takes a place of its own on the bus; all consoles are one device. */
static int count_devices(json_object *config, struct err *err)
{
	static const char *const lists[] = { "Disks", "Nets", "Shares", "Pmem" };
	size_t n = 0;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		n += json_len(json_get(config, lists[i]));
	n += strcmp(json_str_or(config, "NetworkMode", "none"), "none") != 0;
	n += json_len(json_get(config, "Consoles")) > 0;
	n += json_get(config, "Vsock") != NULL;
	n += json_object_is_type(json_get(config, "Balloon"), json_type_object);
	n += json_object_is_type(json_get(config, "Rng"), json_type_object);
	if (n <= DEVICES_MAX)
		return 0;
	return err_set(
		err, EINVAL,
		"%zu devices (Disks, NetworkMode, Nets, Shares, Pmem, Consoles, Vsock, Balloon, Rng) are "
		"more than the %d that a VM has room for",
		n, DEVICES_MAX);
}

static bool is_endpoint_id(const char *id)
{
	return !strncmp(id, "eth", 3) && id[3] && strspn(id + 3, "0123456789") == strlen(id + 3);
}

/* Which networks there are is known in endpoints_create(). */
static int network_agrees(json_object *config, struct err *err)
{
	const char *mode = json_str_or(config, "NetworkMode", "none");
	json_object *nets = json_get(config, "Nets");
	for (size_t i = 0; i < json_len(nets); i++)
		if (is_endpoint_id(json_str_or(json_object_array_get_idx(nets, i), "Id", "")))
			return err_set(err, EINVAL,
				       "Nets[%zu].Id: eth0, eth1... are those of NetworkMode "
				       "(--network) and network connect",
				       i);
	int rc = create_check_networking(json_get(config, "NetworkingConfig"), mode, err);
	if (rc < 0 || strcmp(mode, "none") != 0)
		return rc;
	if (!json_is_zero(json_get(config, "PortBindings")))
		return err_set(err, EINVAL,
			       "PortBindings (-p): nothing can be published without a NetworkMode "
			       "(--network)");
	if (*json_str_or(config, "MacAddress", ""))
		return err_set(err, EINVAL,
			       "MacAddress (--mac-address) goes with a NetworkMode (--network)");
	return 0;
}

static int check_length(json_object *config, struct err *err)
{
	cleanup_free char *cmdline = vm_cmdline(config);
	if (!cmdline)
		return err_set(err, ENOMEM, "out of memory");
	if (strlen(cmdline) <= CMDLINE_BYTES_MAX)
		return 0;
	return err_set(err, EINVAL,
		       "Cmdline (--cmdline): with the defaults in front of it longer than %d bytes "
		       "(CmdlineDefaults false leaves them out)",
		       CMDLINE_BYTES_MAX);
}

int create_vm_agree(json_object *config, struct err *err)
{
	json_object *memory = json_get(config, "Memory"), *balloon = json_get(config, "Balloon");
	int64_t size = json_i64_or(memory, "Size", 0);
	int64_t limit = json_i64_or(json_get(config, "Limits"), "Memory", 0);
	if (!*json_str_or(config, "Kernel", ""))
		return err_set(err, EINVAL, "Kernel (--kernel) is missing");
	if (json_bool_or(config, "AutoRemove", false) &&
	    strcmp(json_str_or(json_get(config, "RestartPolicy"), "Name", "no"), "no") != 0)
		return err_set(
			err, EINVAL,
			"AutoRemove (--rm) and RestartPolicy (--restart) exclude each other");
	if (json_i64_or(balloon, "Size", 0) > size)
		return err_set(err, EINVAL,
			       "Balloon.Size (--balloon): more than Memory.Size (%lld)",
			       (long long)size);
	if (limit > 0 && limit < size)
		return err_set(err, EINVAL,
			       "Limits.Memory: less than Memory.Size (%lld); the guest would be "
			       "killed for using what it has",
			       (long long)size);
	if (json_len(json_get(config, "Shares")))
		json_add_bool(memory, "Shared", true);
	if (json_bool_or(memory, "Shared", false) && json_bool_or(memory, "Merge", false))
		return err_set(
			err, EINVAL,
			"Memory.Merge does not go with shared memory (Memory.Shared, Shares)");
	int rc = check_length(config, err);
	if (rc == 0)
		rc = network_agrees(config, err);
	if (rc == 0)
		rc = count_devices(config, err);
	return rc < 0 ? rc : ids_agree(config, err);
}
