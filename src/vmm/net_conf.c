/* SPDX-License-Identifier: Apache-2.0 */
/* net_conf - see net_conf.h. */
#include "net_conf.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/mac.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define IFACE_PATH "/sys/class/net/"

int net_conf_mac(const char *text, uint8_t *ret, struct err *err)
{
	int rc = mac_parse(text, ret);
	if (rc == -EADDRNOTAVAIL)
		return err_set(err, EINVAL, "mac: %s is no address of one interface", text);
	return rc < 0 ? err_set(err, EINVAL, "mac: \"%.32s\" is not like 02:00:00:00:00:01", text)
		      : 0;
}

static int parse_taps(json_object *conf, struct net_conf *ret, struct err *err)
{
	json_object *taps = json_get(conf, "tap");
	size_t n = json_len(taps);
	if (!json_object_is_type(taps, json_type_array)) {
		int rc = source_get(conf, "tap", &ret->taps[0], err);
		ret->n_taps = rc > 0;
		return rc < 0 ? rc : 0;
	}
	if (n < 1 || n > NET_PAIRS_MAX)
		return err_set(err, EINVAL, "tap: must have from 1 to %d queues", NET_PAIRS_MAX);
	for (size_t i = 0; i < n; i++)
		if (source_read(json_object_array_get_idx(taps, i), "tap", &ret->taps[i], err) < 0)
			return -EINVAL;
	ret->n_taps = (unsigned int)n;
	return 0;
}

/* By hand an interface is named by its folder; then we open as many queues as asked. */
static int check_taps(const struct net_conf *conf, struct err *err)
{
	bool named = conf->n_taps == 1 && conf->taps[0].path;
	for (unsigned int i = 0; i < conf->n_taps; i++) {
		const char *path = conf->taps[i].path;
		if (path && (!named || strncmp(path, IFACE_PATH, strlen(IFACE_PATH)) != 0))
			return err_set(err, EINVAL,
				       "tap: a path is one like " IFACE_PATH
				       "tap0, of one interface");
	}
	if (conf->queues != conf->n_taps && !named)
		return err_set(err, EINVAL, "queues: %lld, but there are %u descriptors in tap",
			       (long long)conf->queues, conf->n_taps);
	return 0;
}
int net_conf_parse(json_object *conf, struct net_conf *ret, struct err *err)
{
	static const char *const known[] = { "id",      "tap",    "socket",  "mac",
					     "mtu",     "queues", "offload", "rate_rx",
					     "rate_tx", "spare",  "acpi",    NULL };
	const char *mac = NULL;
	int64_t mtu = 0;
	*ret = (struct net_conf){ .offload = true };
	int rc = machine_only(conf, known, "", err);
	if (rc < 0 || (rc = json_get_str(conf, "id", &ret->args.id, err)) < 0 ||
	    (rc = json_get_str(conf, "mac", &mac, err)) < 0 ||
	    (rc = json_get_bool(conf, "offload", &ret->offload, err)) < 0 ||
	    (rc = json_get_bool(conf, "spare", &ret->spare, err)) < 0 ||
	    (rc = json_get_bool(conf, "acpi", &ret->acpi, err)) < 0 ||
	    (rc = machine_int(conf, "", "mtu", NET_MTU_MIN, UINT16_MAX, &mtu, err)) < 0 ||
	    (rc = source_get(conf, "socket", &ret->socket, err)) < 0)
		return rc;
	bool has_socket = rc > 0;
	ret->args.mtu = (uint16_t)mtu;
	rc = parse_taps(conf, ret, err);
	if (rc < 0)
		return rc;
	if (has_socket + (ret->n_taps > 0) + ret->spare != 1)
		return err_set(err, EINVAL, "must have either tap or socket, or be spare");
	if (ret->acpi && !ret->spare)
		return err_set(err, EINVAL, "acpi: is for a place that is spare");
	ret->queues = ret->n_taps > 1 ? ret->n_taps : 1;
	rc = machine_int(conf, "", "queues", 1, ret->n_taps ? NET_PAIRS_MAX : 1, &ret->queues, err);
	if (rc < 0 || (ret->n_taps && (rc = check_taps(ret, err)) < 0))
		return rc;
	if (!ret->args.id || !*ret->args.id || strlen(ret->args.id) > 63)
		return err_set(err, EINVAL, "id: must have from 1 to 63 bytes");
	if (mac && (rc = net_conf_mac(mac, ret->args.mac, err)) < 0)
		return rc;
	if (ratelimit_parse(json_get(conf, "rate_rx"), &ret->args.rx, err) < 0)
		return err_prefix(err, "rate_rx");
	if (ratelimit_parse(json_get(conf, "rate_tx"), &ret->args.tx, err) < 0)
		return err_prefix(err, "rate_tx");
	return 0;
}
int net_conf_open(const struct net_conf *conf, struct net_backend **ret, struct err *err)
{
	int fds[NET_PAIRS_MAX];
	unsigned int n = (unsigned int)conf->queues;
	int rc = 0;
	if (!conf->n_taps) {
		int fd = source_open(&conf->socket, O_RDWR, err);
		return fd < 0 ? fd : net_stream_new(fd, ret, err);
	}
	if (conf->taps[0].path) {
		rc = net_tap_open(conf->taps[0].path + strlen(IFACE_PATH), n, fds, err);
		return rc < 0 ? rc : net_tap_new(fds, n, conf->offload, ret, err);
	}
	for (unsigned int i = 0; i < n; i++) {
		fds[i] = rc < 0 ? -1 : source_open(&conf->taps[i], O_RDWR, err);
		rc = fds[i] < 0 ? -EBADF : rc;
	}
	if (rc == 0)
		return net_tap_new(fds, n, conf->offload, ret, err);
	for (unsigned int i = 0; i < n; i++)
		fd_close(&fds[i]);
	return rc;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	/* FNV-1a; the end counts, so that "a", "bc" is not "ab", "c" */
	do
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3ULL;
	while (*text++);
	return hash;
}

void net_conf_make_mac(const char *vm_id, const char *id, uint8_t ret[6])
{
	uint64_t hash = hash_text(hash_text(0xcbf29ce484222325ULL, vm_id), id);
	hash ^= hash >> 29;
	for (int i = 0; i < 6; i++)
		ret[i] = (uint8_t)(hash >> 8 * i);
	/* of our own making, of one interface */
	ret[0] = (uint8_t)((ret[0] & 0xfc) | 2);
}
