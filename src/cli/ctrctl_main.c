/* SPDX-License-Identifier: Apache-2.0 */
/* ctrctl - containers and images from the command line, with Docker's verbs,
 * flags and exit codes, over isolad's socket. The verbs are the rows below. */
#include "create_flags.h"
#include "ctr_kind.h"
#include "publish.h"
#include "pull.h"
#include "verbs.h"

#include "isola/json.h"

#include <stdio.h>
#include <string.h>

#define FLAGS(...)                                                                                 \
	(const struct flag *const[])                                                               \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static const struct verb image_verbs[] = {
	{ "ls", "list", "[NAME]", "list images", NULL, FLAGS(flags_images), 0, 1, false,
	  verb_images },
	{ "inspect", NULL, "IMAGE...", "show everything about images", NULL, FLAGS(flags_format), 1,
	  -1, false, verb_image_inspect },
	{ "build", NULL, "CONTEXT|-", "build an image from a Dockerfile", NULL, FLAGS(flags_build),
	  1, 1, false, verb_build },
	{ "history", NULL, "IMAGE", "show how an image came to be", NULL, FLAGS(flags_history), 1,
	  1, false, verb_history },
	{ "pull", NULL, "NAME[:TAG|@DIGEST]", "get an image from a registry", NULL,
	  FLAGS(flags_pull), 1, 1, false, verb_pull },
	{ "push", NULL, "NAME[:TAG]", "send an image to a registry", NULL, FLAGS(flags_push), 1, 1,
	  false, verb_push },
	{ "load", NULL, "", "add images from an archive or OCI layout", NULL, FLAGS(flags_load), 0,
	  0, false, verb_load },
	{ "save", NULL, "IMAGE...", "write images to one archive", NULL, FLAGS(flags_save), 1, -1,
	  false, verb_save },
	{ "import", NULL, "FILE|- [NAME[:TAG]]", "make an image of a root file system archive",
	  NULL, FLAGS(flags_import), 1, 2, false, verb_import },
	{ "tag", NULL, "IMAGE NAME[:TAG]", "give an image one more name", NULL, FLAGS(flags_none),
	  2, 2, false, verb_tag },
	{ "rm", "remove", "IMAGE...", "remove images", NULL, FLAGS(flags_rmi), 1, -1, false,
	  verb_rmi },
	{ "prune", NULL, "", "remove images nobody needs", NULL,
	  FLAGS(flags_prune, flags_prune_all), 0, 0, false, verb_image_prune },
	{ .name = NULL },
};

/* The words behind "image" are dispatched again, so none is parsed here. */
static int verb_image(struct cli *cli, struct args *args)
{
	return cli_dispatch(cli, "image", image_verbs, args->argc, args->argv);
}

static const struct verb network_verbs[] = {
	{ "ls", "list", "", "list networks", NULL, FLAGS(flags_network_ls), 0, 0, false,
	  verb_network_ls },
	{ "inspect", NULL, "NETWORK...", "show everything about networks", NULL,
	  FLAGS(flags_format), 1, -1, false, verb_network_inspect },
	{ "create", NULL, "NETWORK", "make a network",
	  "  ctrctl network create --subnet 10.5.0.0/24 db\n", FLAGS(flags_network_create), 1, 1,
	  false, verb_network_create },
	{ "connect", NULL, "NETWORK CONTAINER", "put a container into one more network", NULL,
	  FLAGS(flags_network_connect), 2, 2, false, verb_network_connect },
	{ "disconnect", NULL, "NETWORK CONTAINER", "take a container out of a network", NULL,
	  FLAGS(flags_network_disconnect), 2, 2, false, verb_network_disconnect },
	{ "tap", NULL, "NETWORK -- COMMAND [ARG...]", "run a VM of your own in a network",
	  "  ctrctl network tap blue -- qemu-system-x86_64 ... \\\n"
	  "      -netdev tap,id=n0,fd={fd} -device virtio-net-pci,netdev=n0,mac={mac}\n",
	  FLAGS(flags_network_tap), 2, -1, false, verb_network_tap },
	{ "rm", "remove", "NETWORK...", "remove networks", NULL, FLAGS(flags_none), 1, -1, false,
	  verb_network_rm },
	{ "prune", NULL, "", "remove networks no container is in", NULL, FLAGS(flags_network_prune),
	  0, 0, false, verb_network_prune },
	{ .name = NULL },
};

static int verb_network(struct cli *cli, struct args *args)
{
	return cli_dispatch(cli, "network", network_verbs, args->argc, args->argv);
}

static const struct verb volume_verbs[] = {
	{ "create", NULL, "[NAME]", "make a volume",
	  "  ctrctl volume create data && ctrctl run -d -v data:/var/lib/db db\n",
	  FLAGS(flags_volume_create), 0, 1, false, verb_volume_create },
	{ "ls", "list", "", "list volumes", "  ctrctl volume ls -qf dangling=true\n",
	  FLAGS(flags_volume_ls), 0, 0, false, verb_volume_ls },
	{ "inspect", NULL, "VOLUME...", "show everything about volumes", NULL, FLAGS(flags_format),
	  1, -1, false, verb_volume_inspect },
	{ "snapshot", NULL, "VOLUME NAME | ls VOLUME | rm VOLUME NAME...",
	  "keep a second copy of a volume's files",
	  "  ctrctl volume snapshot data monday && ctrctl volume snapshot ls data\n",
	  FLAGS(flags_volume_snapshot), 2, -1, false, verb_volume_snapshot },
	{ "restore", NULL, "VOLUME SNAPSHOT", "put a snapshot's files in the volume's place", NULL,
	  FLAGS(flags_none), 2, 2, false, verb_volume_restore },
	{ "clone", NULL, "VOLUME NEW", "make a new volume with the same files",
	  "  ctrctl volume clone --snapshot monday data test\n", FLAGS(flags_volume_clone), 2, 2,
	  false, verb_volume_clone },
	{ "rm", "remove", "VOLUME...", "remove volumes and what is in them", NULL,
	  FLAGS(flags_volume_rm), 1, -1, false, verb_volume_rm },
	{ "prune", NULL, "", "remove anonymous volumes that no container uses", NULL,
	  FLAGS(flags_prune, flags_volume_prune), 0, 0, false, verb_volume_prune },
	{ .name = NULL },
};

static int verb_volume(struct cli *cli, struct args *args)
{
	return cli_dispatch(cli, "volume", volume_verbs, args->argc, args->argv);
}

static const struct verb system_verbs[] = {
	{ "df", NULL, "", "show what the disk is used for", NULL, FLAGS(flags_df), 0, 0, false,
	  verb_system_df },
	{ "check", NULL, "", "check the image store",
	  "  ctrctl system check || ctrctl system check --repair\n", FLAGS(flags_check), 0, 0,
	  false, verb_system_check },
	{ "prune", NULL, "", "remove stopped containers, networks and images nobody needs", NULL,
	  FLAGS(flags_prune, flags_prune_all, flags_system_prune), 0, 0, false, verb_system_prune },
	{ "events", NULL, "", "show what happens, as it happens", NULL, FLAGS(flags_events), 0, 0,
	  false, verb_events },
	{ "info", NULL, "", "show the daemon and its host", NULL, FLAGS(flags_format), 0, 0, false,
	  verb_info },
	{ .name = NULL },
};

static int verb_system(struct cli *cli, struct args *args)
{
	return cli_dispatch(cli, "system", system_verbs, args->argc, args->argv);
}

static const struct verb verbs[] = {
	{ "run", NULL, "IMAGE [COMMAND] [ARG...]", "create a container and run it",
	  "  ctrctl run --rm busybox echo hello\n"
	  "  ctrctl run -it --rm busybox sh\n"
	  "  ctrctl run --rm -v data:/data busybox ls /data\n"
	  "  ctrctl run -d --name web --memory 64m --restart always busybox httpd -f\n",
	  FLAGS(flags_run, flags_create, flags_create_pull, flags_resources), 1, -1, true,
	  verb_run },
	{ "create", NULL, "IMAGE [COMMAND] [ARG...]", "create a container, do not run it",
	  "  id=$(ctrctl create -i busybox cat); echo hi | ctrctl start -ai $id\n",
	  FLAGS(flags_create, flags_create_pull, flags_resources), 1, -1, true, verb_create },
	{ "start", NULL, "CONTAINER...", "run created or stopped containers", NULL,
	  FLAGS(flags_start), 1, -1, false, verb_start },
	{ "stop", NULL, "CONTAINER...", "ask containers to end, then kill them", NULL,
	  FLAGS(flags_stop), 1, -1, false, verb_stop },
	{ "restart", NULL, "CONTAINER...", "stop and start containers", NULL, FLAGS(flags_stop), 1,
	  -1, false, verb_restart },
	{ "kill", NULL, "CONTAINER...", "send a signal", "  ctrctl kill -s HUP web\n",
	  FLAGS(flags_kill), 1, -1, false, verb_kill },
	{ "rm", NULL, "CONTAINER...", "remove containers", NULL, FLAGS(flags_rm), 1, -1, false,
	  verb_rm },
	{ "ps", "ls", "", "list containers",
	  "  ctrctl ps -a --filter status=exited --format '{{.Names}} {{.Status}}'\n",
	  FLAGS(flags_ps, flags_ps_size), 0, 0, false, verb_ps },
	{ "inspect", NULL, "NAME...", "show everything about containers or images",
	  "  ctrctl inspect -f '{{.State.Pid}}' web\n", FLAGS(flags_inspect), 1, -1, false,
	  verb_inspect },
	{ "logs", NULL, "CONTAINER", "show the output so far", "  ctrctl logs -f --since 10m web\n",
	  FLAGS(flags_logs), 1, 1, false, verb_logs },
	{ "exec", NULL, "CONTAINER COMMAND [ARG...]", "run one more process in a container",
	  "  ctrctl exec -it web sh\n", FLAGS(flags_exec), 2, -1, true, verb_exec },
	{ "attach", NULL, "CONTAINER", "connect to a running container", NULL, FLAGS(flags_attach),
	  1, 1, false, verb_attach },
	{ "wait", NULL, "CONTAINER...", "wait for the end, print exit codes", NULL,
	  FLAGS(flags_none), 1, -1, false, verb_wait },
	{ "pause", NULL, "CONTAINER...", "freeze all processes", NULL, FLAGS(flags_none), 1, -1,
	  false, verb_pause },
	{ "unpause", NULL, "CONTAINER...", "thaw them", NULL, FLAGS(flags_none), 1, -1, false,
	  verb_unpause },
	{ "explain", NULL, "CONTAINER...", "show the real boundary of containers",
	  "  ctrctl explain web\n  ctrctl explain --format json web\n", FLAGS(flags_explain), 1, -1,
	  false, verb_explain },
	{ "top", NULL, "CONTAINER [PS OPTIONS]", "list a container's processes", NULL,
	  FLAGS(flags_none), 1, -1, true, verb_top },
	{ "stats", NULL, "[CONTAINER...]", "show use of resources", NULL, FLAGS(flags_stats), 0, -1,
	  false, verb_stats },
	{ "update", NULL, "CONTAINER...", "change limits, mounts and ports of containers",
	  "  ctrctl update --memory 128m --cpus 2 web\n"
	  "  ctrctl update --mount-add type=volume,src=data,dst=/srv web\n"
	  "  ctrctl update --mount-rm /srv web\n"
	  "  ctrctl update --publish-add 8443:443 --publish-rm 8080:80 web\n",
	  FLAGS(flags_resources, flags_mounts, flags_publish_live), 1, -1, false, verb_update },
	{ "rename", NULL, "CONTAINER NAME", "give a container another name", NULL,
	  FLAGS(flags_none), 2, 2, false, verb_rename },
	{ "cp", NULL, "CONTAINER:PATH PATH|- | PATH|- CONTAINER:PATH",
	  "copy files from and to a container",
	  "  ctrctl cp web:/etc/nginx .\n  tar c conf | ctrctl cp - web:/srv\n", FLAGS(flags_cp), 2,
	  2, false, verb_cp },
	{ "diff", NULL, "CONTAINER", "list files that differ from the image's", NULL,
	  FLAGS(flags_none), 1, 1, false, verb_diff },
	{ "export", NULL, "CONTAINER", "write all files as a tar archive",
	  "  ctrctl export -o web.tar web\n", FLAGS(flags_export), 1, 1, false, verb_export },
	{ "prune", NULL, "", "remove all stopped containers", NULL, FLAGS(flags_prune), 0, 0, false,
	  verb_prune },
	{ "port", NULL, "CONTAINER [PORT[/PROTO]]", "show published ports", NULL, FLAGS(flags_none),
	  1, 2, false, verb_port },
	{ "network", NULL, "ls|inspect|create|connect|disconnect|tap|rm|prune",
	  "all that concerns networks", NULL, NULL, 0, -1, true, verb_network },
	{ "images", NULL, "[NAME]", "list images", NULL, FLAGS(flags_images), 0, 1, false,
	  verb_images },
	{ "image", NULL, "ls|inspect|history|pull|push|load|save|import|tag|rm|prune",
	  "all that concerns images", NULL, NULL, 0, -1, true, verb_image },
	{ "history", NULL, "IMAGE", "show how an image came to be", NULL, FLAGS(flags_history), 1,
	  1, false, verb_history },
	{ "save", NULL, "IMAGE...", "write images to one archive",
	  "  ctrctl save -o all.tar busybox web:2\n", FLAGS(flags_save), 1, -1, false, verb_save },
	{ "build", NULL, "CONTEXT|-", "build an image from a Dockerfile",
	  "  ctrctl build -t my/app:1 .\n"
	  "  ctrctl build -f docker/Dockerfile.dev --target test --build-arg V=2 src\n"
	  "  ctrctl build -q - < Dockerfile\n",
	  FLAGS(flags_build), 1, 1, false, verb_build },
	{ "commit", NULL, "CONTAINER [NAME[:TAG]]", "make an image of a container",
	  "  ctrctl commit -c 'CMD [\"httpd\"]' web my/web:2\n", FLAGS(flags_commit), 1, 2, false,
	  verb_commit },
	{ "pull", NULL, "NAME[:TAG|@DIGEST]", "get an image from a registry",
	  "  ctrctl pull busybox\n  ctrctl pull --platform linux/arm64 registry.lan:5000/app:1\n",
	  FLAGS(flags_pull), 1, 1, false, verb_pull },
	{ "push", NULL, "NAME[:TAG]", "send an image to a registry",
	  "  ctrctl tag web registry.lan:5000/web:2 && ctrctl push registry.lan:5000/web:2\n"
	  "  ctrctl push --all-tags registry.lan:5000/web\n",
	  FLAGS(flags_push), 1, 1, false, verb_push },
	{ "login", NULL, "[SERVER]", "log in to a registry",
	  "  ctrctl login registry.lan:5000\n"
	  "  ctrctl login -u jo --password-stdin registry.lan:5000 < password\n",
	  FLAGS(flags_login), 0, 1, false, verb_login },
	{ "logout", NULL, "[SERVER]", "forget the log-in at a registry",
	  "  ctrctl logout registry.lan:5000\n", FLAGS(flags_none), 0, 1, false, verb_logout },
	{ "load", NULL, "", "add images from an archive or OCI layout",
	  "  ctrctl load -i busybox.tar\n  ctrctl load -i oci-layout-folder\n", FLAGS(flags_load),
	  0, 0, false, verb_load },
	{ "import", NULL, "FILE|- [NAME[:TAG]]", "make an image of a root file system archive",
	  "  ctrctl import -c 'CMD [\"sh\"]' rootfs.tar.gz my/base\n", FLAGS(flags_import), 1, 2,
	  false, verb_import },
	{ "tag", NULL, "IMAGE NAME[:TAG]", "give an image one more name", NULL, FLAGS(flags_none),
	  2, 2, false, verb_tag },
	{ "rmi", NULL, "IMAGE...", "remove images", NULL, FLAGS(flags_rmi), 1, -1, false,
	  verb_rmi },
	{ "events", NULL, "", "show what happens, as it happens", NULL, FLAGS(flags_events), 0, 0,
	  false, verb_events },
	{ "info", NULL, "", "show the daemon and its host", NULL, FLAGS(flags_format), 0, 0, false,
	  verb_info },
	{ "system", NULL, "df|check|prune|events|info", "all that concerns the daemon and its disk",
	  NULL, NULL, 0, -1, true, verb_system },
	{ "volume", NULL, "create|ls|inspect|snapshot|restore|clone|rm|prune",
	  "all that concerns volumes", NULL, NULL, 0, -1, true, verb_volume },
	{ "version", NULL, "", "show versions of client and daemon", NULL, FLAGS(flags_format), 0,
	  0, false, verb_version },
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	const struct kind kind = ctr_kind();
	return cli_main("ctrctl",
			"Runs OCI images as containers, through the daemon isolad.\n"
			"Verbs, flags and exit codes are Docker's.",
			&kind, verbs, argc, argv);
}
