/* SPDX-License-Identifier: Apache-2.0 */
/* image - the image store on disk and how isolad talks to isola-image.
 *
 * Under the state folder (default /var/lib/isola):
 *
 *   images/             an OCI image layout (image-spec, image-layout.md): oci-layout,
 *                       index.json, blobs/sha256/...; index.json is the only truth
 *                       about names: annotation "org.opencontainers.image.ref.name"
 *                       holds the full reference ("docker.io/library/busybox:latest")
 *   layers/<chain>/fs   one unpacked layer each; <chain> = hex of the OCI chain id
 *                       (image-spec config.md), so shared layers exist once
 *   records/<hex>.json  IMAGE_RECORD, one per image, <hex> = config digest
 *   tmp/                work in progress; emptied at isolad's start
 *
 * Only isola-image parses image bytes. isolad reads index.json and the records,
 * both written by isola-image, with bounds as if they were foreign.
 *
 * IMAGE_RECORD: { "version": 1, "id": "sha256:<config digest>",
 *   "manifest": "sha256:...", "created_ns", "size" (unpacked bytes),
 *   "architecture", "os", "variant"?, "author"?, "comment"?,
 *   "layers": ["<chain hex>", ...] (bottom first), "diff_ids": ["sha256:..."],
 *   "history": [{ "created_ns","created_by","comment","empty_layer" }],
 *   "config": { "User","Env","Entrypoint","Cmd","WorkingDir","Labels",
 *               "ExposedPorts","Volumes","StopSignal","Healthcheck","Shell" } }
 * with "config" cut down to these keys and type-checked.
 *
 * isola-image's command line (each job holds an exclusive flock on
 * <state>/images/.lock while it changes names):
 *   isola-image load   --state DIR                   archive on stdin
 *   isola-image import --state DIR --ref REF [--message M] [--change INSTR]...
 *                      [--platform os/arch]          rootfs tar on stdin
 *   isola-image tag    --state DIR ID REF
 *   isola-image untag  --state DIR REF
 *   isola-image delete --state DIR ID                all names, blobs, layers that
 *                      nobody else uses
 *   isola-image check  --state DIR                   remove leftovers (start-up)
 * Progress on stdout, one JSON object a line in Docker's stream form:
 *   {"status":"Loading layer","id":"<12 hex>","progressDetail":{"current","total"}}
 *   {"stream":"Loaded image: busybox:latest\n"}
 *   {"errorDetail":{"message"},"error"}           last line when it failed
 *   {"aux":{"ID":"sha256:...","Refs":["..."]}}     last line when it worked
 * Exit code 0, or 1 after an error line. Nothing half-made stays. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stddef.h>

#define IMAGE_REF_MAX 512

/* Docker's reference grammar with defaults filled in: "busybox" ->
 * "docker.io/library/busybox:latest"; a digest ("name@sha256:...") is kept.
 * -EINVAL with the reason. @ret of IMAGE_REF_MAX bytes. Pure text. In
 * src/image/reference.c, which isolad links too. */
int image_ref_normalize(const char *text, char *ret, size_t size, struct err *err);

/* The inverse for people: "docker.io/library/busybox:latest" -> "busybox:latest". */
void image_ref_familiar(const char *full, char *ret, size_t size);
