/* SPDX-License-Identifier: Apache-2.0 */
/* image - the image store on disk and how isolad talks to isola-image.
 *
 * Under the state folder (default /var/lib/isola):
 *
 *   images/             an OCI image layout (image-spec, image-layout.md): oci-layout,
 *                       index.json, blobs/sha256/...; index.json is the only truth
 *                       about names: annotation "org.opencontainers.image.ref.name"
 *                       holds the full reference ("docker.io/library/busybox:latest").
 *                       Every image has a descriptor for each name, or a bare one
 *                       without the annotation; its "digest" is a record's "manifest".
 *                       skopeo and umoci read it: "oci:<state>/images:<full name>"
 *   layers/<chain>/fs   one unpacked layer each; <chain> = hex of the OCI chain id
 *                       (image-spec config.md), so shared layers exist once.
 *                       Complete, or not there. Beside it layer.json: { "version": 1,
 *                       "diff_id", "size" (bytes of the files), "names"?, "file_bytes"?
 *                       (what a walk of the tree must find) }
 *   layers/<chain>/root.erofs  the merged tree of an image with that layer on top, for
 *                       guests: a read-only EROFS file system of whole 2 MiB, made on first
 *                       use; whole, or not there. Beside it root.json: { "version": 1,
 *                       "digest", "size" }
 *   records/<hex>.json  IMAGE_RECORD, one per image, <hex> = config digest
 *   tmp/                a folder for each running job
 *   quarantine/         what `verify --repair` took out of the way; nobody reads it
 *
 * Only isola-image parses image bytes. isolad reads index.json and the records,
 * both written by isola-image, with bounds as if they were foreign.
 *
 * IMAGE_RECORD: { "version": 1, "id": "sha256:<config digest>",
 *   "manifest": "sha256:...", "manifest_type", "manifest_size",
 *   "created_ns" (0 = not told), "size" (unpacked bytes of the files),
 *   "architecture"?, "os", "variant"?, "author"?, "comment"?,
 *   "layers": ["<chain hex>", ...] (what to stack, bottom first; without those that
 *             an opaque mark on a root folder hides: overlayfs would show them),
 *   "diff_ids": ["sha256:...", ...] (all), "blobs": ["sha256:...", ...] (all it needs),
 *   "squeezed"?: { "<digest of a plain blob>": { "digest","size" } } (its gzip form, as
 *             it was pushed),
 *   "history": [{ "created_ns","created_by"?,"comment"?,"author"?,"empty_layer"? }],
 *   "built"?: { "parent": "sha256:..." or "", "key": "sha256:..." } (a step of a build made
 *             it from that image; the key says how: docs/build.md, "The cache"),
 *   "config": { "User","Env","Entrypoint","Cmd","WorkingDir","Labels",
 *               "ExposedPorts","Volumes","StopSignal","Healthcheck","Shell",
 *               "OnBuild" } }
 * with "config" cut down to these keys (those the image has) and type-checked.
 *
 * The root folder of a container's own layer hides those below: give it mode and
 * owner of layers/<topmost>/fs.
 *
 * isola-image's command line:
 *   isola-image load   --state DIR                   archive on stdin
 *   isola-image import --state DIR [--ref REF] [--message M] [--change INSTR]...
 *                      [--platform os/arch[/variant]]   rootfs tar on stdin
 *   isola-image pull   --state DIR --ref REF [--platform os/arch[/variant]]
 *                      [--registries FILE]   X-Registry-Auth's text on stdin, or nothing
 *   isola-image push   --state DIR --ref REF [--all-tags] [--registries FILE]   likewise
 *   isola-image login  --state DIR --server HOST [--registries FILE]   likewise
 *   isola-image tag    --state DIR ID REF            ID = all 64 digits
 *   isola-image untag  --state DIR REF
 *   isola-image delete --state DIR ID...             all names, blobs, layers that
 *                      nobody else uses
 *   isola-image check  --state DIR                   removes leftovers (start-up);
 *                      running jobs are left alone
 *   isola-image verify --state DIR [--deep] [--repair]   compares every blob with its
 *                      digest, every layer with its shape, with --deep each file of it
 *                      with the layer's blob, references with what is there; mends what it can, moves the broken away, removes what
 *                      no image needs
 *   isola-image root   --state DIR ID                layers/<chain>/root.erofs, by the host's
 *                      mkfs.erofs (src/image/mkfs.h), unless it is there
 *   isola-image commit --state DIR                   COMMIT_SPEC (src/image/commit.c) on
 *                      descriptor 3
 *   isola-image build  --state DIR                   src/image/build.h: asks on standard
 *                      output, is answered on descriptor 3; context on stdin
 *   isola-image save   --state DIR                   SAVE_SPEC (src/image/commit.h) on
 *                      descriptor 3; the archive goes to a socket (src/image/out.h)
 *   isola-image cp-... PATH                          files of a container (src/image/copy.h)
 * For all: --max-bytes SIZE (of an archive, or a layer unpacked; default 64g),
 * --max-entries N (of a layer; 4000000), also ISOLA_IMAGE_MAX_BYTES and
 * ISOLA_IMAGE_MAX_ENTRIES in the environment; --require-landlock; --parent PID: the end
 * of this parent cancels the job.
 * SIGTERM cancels a job, which then cleans up behind itself; what a SIGKILL leaves
 * is for check.
 *
 * Progress on stdout, one JSON object a line in Docker's stream form:
 *   {"status":"Loading layer","id":"<12 hex>","progressDetail":{"current","total"}}
 *   {"stream":"Loaded image: busybox:latest\n"}     load, for each name
 *   {"stream":"Loaded image ID: sha256:...\n"}      load, an image without a name
 *   {"status":"sha256:..."}                         import
 *   {"progressDetail":{},"aux":{"Tag","Digest","Size"}}   push, for each tag
 *   {"errorDetail":{"message"},"error","errno"}   last line when it failed
 *   {"aux":{"ID":"sha256:...","Refs":["..."]}}     last line when it worked
 * "Refs" are full names: load: those given (with "Images": [{"ID","Refs"}] for
 * each image; so has push); tag, untag: those it has now; delete: those it had, and "Freed" (bytes
 * of files and blobs); login: {"Status","IdentityToken"} alone. check:
 * {"aux":{"Removed":{"Records","Names","Blobs","Layers","Jobs"}}}. verify:
 * {"aux":{"Problems":[{"Kind","Object","Text","Repaired"}] (the first 200), "Found",
 * "Left" (of them not repaired), "Images","Blobs","Layers","Roots","BlobBytes"}} (bytes of
 * root images, too); it works also when it finds problems. root: {"ID","Digest","Size",
 * "Made" (else it was there)}.
 * Exit code 0, or 1 after an error line. Nothing half-made stays. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stddef.h>

#define IMAGE_REF_MAX 512
/* What isolad reads; a config beyond it is refused. */
#define IMAGE_RECORD_BYTES_MAX (5 * 1024 * 1024)

/* Docker's reference grammar with defaults filled in: "busybox" ->
 * "docker.io/library/busybox:latest"; a digest ("name@sha256:...") is kept.
 * -EINVAL with the reason. @ret of IMAGE_REF_MAX bytes. Pure text. In
 * src/image/reference.c, which isolad links too. */
int image_ref_normalize(const char *text, char *ret, size_t size, struct err *err);

/* Names without a host are at @host from now on, of this process; without "library/",
 * unless that is docker.io. -EINVAL when it would not be read as a host. isolad's, from the
 * registries file; isola-image gets full names, and reads archives by Docker's rule. */
int image_ref_set_default(const char *host, struct err *err);
const char *image_ref_default(void);

/* The inverse for people: "docker.io/library/busybox:latest" -> "busybox:latest". */
void image_ref_familiar(const char *full, char *ret, size_t size);

/* Is an image (its IMAGE_RECORD) for platform @want ("linux/arm/v7", "arm64")? -ENOENT
 * when not, with the image's own platform as the text; -EINVAL when @want is none. In
 * src/image/platform.c, which isolad links too. */
int image_platform_check(const char *want, json_object *record, struct err *err);

/* The path of this host's mkfs.erofs, or NULL. In src/image/mkfs_find.c, which isolad links
 * too. */
const char *image_mkfs(void);

/* "linux/amd64"; static. */
const char *image_platform_of_host(void);
