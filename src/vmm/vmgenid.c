/* SPDX-License-Identifier: Apache-2.0 */
/* vmgenid - see vmgenid.h. isola-vmm. */
#include "vmgenid.h"

#include "isola/num.h"

#include "acpi_tables.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int vmgenid_parse(const char *text, uint8_t ret[16])
{
	/* A GUID's first three fields are little endian. */
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	uint8_t id[16];
	for (unsigned int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (*text++ != '-')
				return -EINVAL;
		int high = num_hex_digit(text[0]);
		int low = high < 0 ? -1 : num_hex_digit(text[1]);
		if (low < 0)
			return -EINVAL;
		id[order[i]] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text != '\0')
		return -EINVAL;
	memcpy(ret, id, sizeof(id));
	return 0;
}

int vmgenid_write(const struct memory *memory, const char *uuid, struct err *err)
{
	uint8_t id[16];
	if (uuid && vmgenid_parse(uuid, id) < 0)
		return err_set(err, EINVAL, "vmgenid: \"%.40s\" is not a UUID", uuid);
	if (!uuid && getrandom(id, sizeof(id), 0) != sizeof(id))
		return err_sys(err, "cannot get random bytes");
	if (memory_write(memory, ACPI_VMGENID, id, sizeof(id)) < 0)
		return err_set(err, E2BIG, "the VM's memory has no room for VMGenID");
	return 0;
}
