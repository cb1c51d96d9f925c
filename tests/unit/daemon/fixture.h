/* SPDX-License-Identifier: Apache-2.0 */
/* fixture - what tests of src/daemon share: JSON in C strings, an isolad without
 * a loop, and requests made into instances as isolad does it. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/create_priv.h"
#include "daemon/isolad.h"

#define FIXTURE_ID      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define FIXTURE_DONOR   "d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0"
#define ALL_CONTROLLERS "cpuset cpu io memory hugetlb pids"

/* Parses @text with ' for "; fails the test when it is no JSON. Owned. */
json_object *js(const char *text);
/* The compact text of @o with ' for "; in a static buffer, overwritten by the
 * fourth call after it. */
const char *text_of(json_object *o);
/* Asserts that @o (borrowed) is the same document as @text. */
void assert_json(json_object *o, const char *text);

/* An isolad that holds instances and images, but runs nothing. */
struct isolad *fixture_isolad(void);
void fixture_isolad_free(struct isolad *d);

/* The environment of a host with @controllers, two CPUs, a container that can be
 * joined ("donor", in a private user namespace) and a small image. */
void fixture_env(struct create_env *env, struct isolad *d, const char *controllers);
void fixture_env_fini(struct create_env *env);

/* A registered instance made from a create body, as isolad would; its image is
 * the environment's. */
struct instance *fixture_instance(struct isolad *d, const char *name, const char *body);
