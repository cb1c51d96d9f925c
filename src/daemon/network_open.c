/* SPDX-License-Identifier: Apache-2.0 */
/* network_open - networks' records on the disk, read when isolad starts, and the default
 * network's, made where there is none. isolad, loop thread; network_save() anywhere. */
#include "network_priv.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include "isolad.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD_BYTES_MAX ((size_t)1024 * 1024)

int network_save(int dir_fd, const char *id, json_object *record, struct err *err)
{
	char name[ID_SIZE + 8];
	(void)snprintf(name, sizeof(name), "%s.json", id);
	return json_write_atomic(dir_fd, name, record, FD_SYNC_YES, err);
}

static void load_one(struct isolad *d, const char *file)
{
	size_t n = strlen(file);
	cleanup_json json_object *doc = NULL;
	struct err e = ERR_INIT;
	if (n != ID_SIZE - 1 + 5 || strcmp(file + n - 5, ".json") != 0)
		return;
	struct network *net = network_new(d);
	if (!net)
		return;
	memcpy(net->id, file, ID_SIZE - 1);
	int rc = json_read_file(d->networks.dir_fd, file, RECORD_BYTES_MAX, &doc, &e);
	if (rc == 0)
		rc = network_load(net, doc, &e);
	if (rc == 0 && network_by_name(d, net->name))
		rc = err_set(&e, EEXIST, "another network has the name %s", net->name);
	if (rc == 0) {
		struct list *at = &d->networks.all;
		list_for_each (node, &d->networks.all) {
			if (container_of(node, struct network, node)->created_ns > net->created_ns)
				break;
			at = node;
		}
		list_add_head(at, &net->node);
		return;
	}
	log_error(NULL, "a network's record cannot be used and is left as it is: networks/%s: %s",
		  file, e.text);
	network_free(net);
}

static int load_all(struct isolad *d, struct err *err)
{
	int fd = openat(d->networks.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int rc = err_sys(err, "cannot read the folder of networks");
		fd_close(&fd);
		return rc;
	}
	for (struct dirent *entry; (entry = readdir(dir));)
		load_one(d, entry->d_name);
	(void)closedir(dir);
	return 0;
}

static int make_default(struct isolad *d, struct err *err)
{
	cleanup_free struct net_prefix *host = NULL;
	size_t n = 0;
	struct err ignored = ERR_INIT;
	struct network *net = network_new(d);
	if (!net || id_new(net->id) < 0 || !(net->name = strdup(NETWORK_DEFAULT))) {
		if (net)
			network_free(net);
		return err_set(err, ENOMEM, "out of memory");
	}
	list_add_head(&d->networks.all, &net->node);
	net->created_ns = num_now_ns();
	net->labels = json_object_new_object();
	network_name_bridge(net, true);
	(void)net_host_prefixes(NULL, &host, &n, &ignored);
	int rc = network_choose_subnet(net, true, host, n, err);
	if (rc < 0)
		return rc;
	cleanup_json json_object *record = network_record(net);
	return network_save(d->networks.dir_fd, net->id, record, err);
}

int networks_open(struct isolad *d, struct err *err)
{
	struct networks *all = &d->networks;
	if (mkdirat(d->roots.state_fd, "networks", 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make the folder of networks");
	all->dir_fd = openat(d->roots.state_fd, "networks",
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (all->dir_fd < 0)
		return err_sys(err, "cannot open the folder of networks");
	all->net = net_new();
	if (!all->net)
		return err_set(err, ENOMEM, "out of memory");
	fd_sweep_temp(all->dir_fd);
	int rc = load_all(d, err);
	if (rc == 0 && !network_by_name(d, NETWORK_DEFAULT))
		rc = make_default(d, err);
	return rc < 0 ? err_prefix(err, "networks") : 0;
}
