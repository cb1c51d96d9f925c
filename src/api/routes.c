/* SPDX-License-Identifier: Apache-2.0 */
/* routes - the table of everything isolad answers. A row is a route; literal
 * patterns stand before those with variables that would also fit. Kept equal to
 * docs/openapi.json by tests/unit/api/test_openapi.c. */
#include "routes.h"

#include "router.h"

#include <http_parser.h>

/* clang-format off */
const struct route routes[] = {
	/* system */
	{ HTTP_GET,    "/_ping", system_ping, "Is the daemon there? The headers tell its API version" },
	{ HTTP_HEAD,   "/_ping", system_ping, "The same, headers only" },
	{ HTTP_GET,    "/version", system_get_version, "Versions of the daemon and its parts" },
	{ HTTP_GET,    "/info", system_get_info, "The host, limits it can enforce, counts" },
	{ HTTP_GET,    "/events", events_stream, "What happens, as it happens",
	  .query = "since,until,filters", .open_ended = true },
	{ HTTP_GET,    "/metrics", metrics_get, "Prometheus text: containers as cAdvisor names them, and the daemon" },
	{ HTTP_GET,    "/openapi.json", system_get_openapi, "This API, as OpenAPI 3.1" },

	/* containers */
	{ HTTP_GET,    "/containers/json", containers_list, "List containers",
	  .query = "all,limit,size,filters" },
	{ HTTP_POST,   "/containers/create", containers_create, "Create a container",
	  .body = BODY_JSON, .query = "name,platform" },
	{ HTTP_POST,   "/containers/prune", containers_prune, "Remove all stopped containers",
	  .query = "filters" },
	{ HTTP_GET,    "/containers/{id}/json", containers_inspect, "Inspect a container",
	  .query = "size" },
	{ HTTP_GET,    "/containers/{id}/top", containers_top, "List its processes",
	  .query = "ps_args" },
	{ HTTP_GET,    "/containers/{id}/logs", containers_logs, "Its output so far, and as it comes",
	  .query = "follow,stdout,stderr,since,until,timestamps,tail,details" },
	{ HTTP_GET,    "/containers/{id}/stats", containers_stats, "What it uses, once or every second",
	  .query = "stream,one-shot", .open_ended = true },
	{ HTTP_POST,   "/containers/{id}/start", containers_start, "Start it",
	  .body = BODY_JSON, .query = "detachKeys", .refuses = "checkpoint,checkpoint-dir" },
	{ HTTP_POST,   "/containers/{id}/stop", containers_stop, "Stop it: signal, wait, kill",
	  .query = "signal,t" },
	{ HTTP_POST,   "/containers/{id}/restart", containers_restart, "Stop and start it",
	  .query = "signal,t" },
	{ HTTP_POST,   "/containers/{id}/kill", containers_kill, "Send it a signal",
	  .query = "signal" },
	{ HTTP_POST,   "/containers/{id}/pause", containers_pause, "Freeze all its processes" },
	{ HTTP_POST,   "/containers/{id}/unpause", containers_unpause, "Thaw them" },
	{ HTTP_POST,   "/containers/{id}/wait", containers_wait, "Wait until it stops",
	  .query = "condition", .open_ended = true },
	{ HTTP_POST,   "/containers/{id}/resize", containers_resize, "Resize its terminal",
	  .query = "h,w" },
	{ HTTP_POST,   "/containers/{id}/attach", containers_attach, "Connect to its stdin, stdout, stderr",
	  .query = "detachKeys,logs,stream,stdin,stdout,stderr" },
	{ HTTP_POST,   "/containers/{id}/update", containers_update, "Change its limits and restart policy",
	  .body = BODY_JSON },
	{ HTTP_POST,   "/containers/{id}/rename", containers_rename, "Rename it",
	  .query = "name" },
	{ HTTP_POST,   "/containers/{id}/exec", containers_exec, "Prepare a command to run in it",
	  .body = BODY_JSON },
	{ HTTP_DELETE, "/containers/{id}", containers_remove, "Remove it",
	  .query = "v,force", .refuses = "link" },

	/* exec */
	{ HTTP_POST,   "/exec/{id}/start", execs_start, "Run a prepared command",
	  .body = BODY_JSON },
	{ HTTP_POST,   "/exec/{id}/resize", execs_resize, "Resize its terminal",
	  .query = "h,w" },
	{ HTTP_GET,    "/exec/{id}/json", execs_inspect, "Inspect it: is it running, its exit code" },

	/* images */
	{ HTTP_GET,    "/images/json", images_list, "List images",
	  .query = "all,filters,digests", .refuses = "shared-size,manifests" },
	{ HTTP_POST,   "/images/load", images_load, "Load images from an archive",
	  .body = BODY_STREAM, .query = "quiet", .refuses = "platform" },
	{ HTTP_POST,   "/images/create", images_create, "Import a root file system as an image",
	  .body = BODY_STREAM, .query = "fromSrc,fromImage,repo,tag,message,changes,platform" },
	{ HTTP_POST,   "/images/prune", images_prune, "Remove unused images",
	  .query = "filters" },
	{ HTTP_GET,    "/images/{name*}/json", images_inspect, "Inspect an image",
	  .refuses = "manifests" },
	{ HTTP_POST,   "/images/{name*}/tag", images_tag, "Give an image another name",
	  .query = "repo,tag" },
	{ HTTP_DELETE, "/images/{name*}", images_remove, "Remove a name, and the image with its last one",
	  .query = "force,noprune" },

	/* networks and volumes: what there is of them without managing any */
	{ HTTP_GET,    "/networks", networks_list, "List networks: none and host",
	  .query = "filters" },
	{ HTTP_GET,    "/networks/{id}", networks_inspect, "Inspect a network",
	  .query = "verbose,scope" },
	{ HTTP_GET,    "/volumes", volumes_list, "List volumes: there are none",
	  .query = "filters" },
	{ HTTP_GET,    "/volumes/{name}", volumes_inspect, "Inspect a volume: there is none" },
};
const size_t n_routes = sizeof(routes) / sizeof(routes[0]);

const struct unsupported_route unsupported_routes[] = {
	{ "/auth", "logging in to a registry" },
	{ "/build", "building images" },
	{ "/build/prune", "building images" },
	{ "/commit", "making images from containers" },
	{ "/configs", "Swarm configs" },
	{ "/configs/{id*}", "Swarm configs" },
	{ "/containers/{id}/archive", "copying files to and from containers" },
	{ "/containers/{id}/attach/ws", "attaching by WebSocket" },
	{ "/containers/{id}/changes", "listing a container's changed files" },
	{ "/containers/{id}/export", "exporting a container's files" },
	{ "/distribution/{name*}", "asking registries" },
	{ "/grpc", "BuildKit sessions" },
	{ "/images/get", "saving images" },
	{ "/images/search", "searching registries" },
	{ "/images/{name*}/get", "saving images" },
	{ "/images/{name*}/history", "image history" },
	{ "/images/{name*}/push", "pushing images" },
	{ "/networks/create", "creating networks" },
	{ "/networks/prune", "managing networks" },
	{ "/networks/{id}", "managing networks" },
	{ "/networks/{id}/connect", "connecting containers to networks" },
	{ "/networks/{id}/disconnect", "connecting containers to networks" },
	{ "/nodes", "Swarm" },
	{ "/nodes/{id*}", "Swarm" },
	{ "/plugins", "plugins" },
	{ "/plugins/{name*}", "plugins" },
	{ "/secrets", "Swarm secrets" },
	{ "/secrets/{id*}", "Swarm secrets" },
	{ "/services", "Swarm services" },
	{ "/services/{id*}", "Swarm services" },
	{ "/session", "BuildKit sessions" },
	{ "/swarm", "Swarm" },
	{ "/swarm/{verb}", "Swarm" },
	{ "/system/df", "disk usage" },
	{ "/tasks", "Swarm tasks" },
	{ "/tasks/{id*}", "Swarm tasks" },
	{ "/volumes/create", "creating volumes" },
	{ "/volumes/prune", "managing volumes" },
	{ "/volumes/{name}", "managing volumes" },
};
const size_t n_unsupported_routes = sizeof(unsupported_routes) / sizeof(unsupported_routes[0]);
/* clang-format on */
