/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_aml - writes ACPI machine language (ACPI 6.4, 20) into a buffer: just the
 * terms that our DSDT needs.
 *
 * A writer that runs out of room remembers it (aml->full) and writes no more, so
 * only the end needs a check. Begin/end pairs nest; the returned place goes to
 * aml_end(). Names are four characters ("COM1", "_SB_"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *buf;
	size_t size, max;
	bool full;
};

void aml_init(struct aml *aml, uint8_t *buf, size_t max);
void aml_bytes(struct aml *aml, const void *bytes, size_t size);

/* Packages of terms. */
size_t aml_scope(struct aml *aml, const char *name);
size_t aml_device(struct aml *aml, const char *name);
size_t aml_method(struct aml *aml, const char *name, unsigned int n_args, bool serialized);
/* If (Local0 & @mask). */
size_t aml_if_local0(struct aml *aml, uint64_t mask);
void aml_end(struct aml *aml, size_t place);

/* Name (@name, value). */
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_string(struct aml *aml, const char *name, const char *text);
/* @id: "PNP0501". */
void aml_name_eisa(struct aml *aml, const char *name, const char *id);
void aml_name_package(struct aml *aml, const char *name, const uint64_t *values, uint8_t n);

/* Local0 = @name; Notify (@name, @value). */
void aml_local0_from(struct aml *aml, const char *name);
void aml_notify(struct aml *aml, const char *name, uint64_t value);
void aml_return(struct aml *aml, uint64_t value);
/* One 32-bit field @field over I/O port @port. */
void aml_port_field(struct aml *aml, const char *region, uint16_t port, const char *field);

/* _CRS and the descriptors in it (ACPI 6.4, 6.4). */
size_t aml_resources(struct aml *aml);
void aml_resource_io(struct aml *aml, uint16_t port, uint8_t size);
void aml_resource_memory(struct aml *aml, uint32_t start, uint32_t size);
/* Edge-triggered, active high, exclusive. */
void aml_resource_interrupt(struct aml *aml, uint32_t gsi);
void aml_resources_end(struct aml *aml, size_t place);
