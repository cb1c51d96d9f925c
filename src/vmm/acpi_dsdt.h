/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_dsdt - the devices of the DSDT, see acpi_tables.h. */
#pragma once

#include "acpi_aml.h"
#include "acpi_tables.h"

void acpi_dsdt(struct aml *aml, const struct acpi_facts *facts);
