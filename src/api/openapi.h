/* SPDX-License-Identifier: Apache-2.0 */
/* openapi - docs/openapi.json, compiled in (made by embed.py at build time). */
#pragma once

#include <stddef.h>

extern const char openapi_text[];
extern const size_t openapi_size;
