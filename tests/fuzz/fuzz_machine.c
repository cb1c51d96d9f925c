/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_machine - the machine file, by a keeper and by hand: whatever is taken has its
 * numbers within bounds, whatever is refused says why. */
#include "isola/json.h"
#include "isola/vmm.h"

#include "vmm/machine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct machine *m)
{
	if (!m->id[0] || m->cpus < 1 || m->cpus > MACHINE_CPUS_MAX ||
	    m->cpus % (m->threads_per_core * m->cores_per_socket) ||
	    m->memory.size_bytes < MEMORY_MIN_BYTES || m->memory.size_bytes > MEMORY_MAX_BYTES ||
	    m->memory.size_bytes % m->memory.page_bytes ||
	    strlen(m->cmdline) > MACHINE_CMDLINE_MAX || (m->jail && (!m->uid || !m->gid)) ||
	    (!m->kernel.path && m->kernel.fd < VMM_CONTROL_FD))
		abort();
}

static void parse(const uint8_t *data, size_t size, bool paths)
{
	struct err err = ERR_INIT;
	struct machine m;
	json_object *doc = NULL;
	if (size > VMM_MACHINE_BYTES_MAX ||
	    json_parse((const char *)data, size, "machine", &doc, &err) < 0)
		return;
	if (machine_parse(doc, paths, &m, &err) == 0) {
		check(&m);
		if (!paths && (m.kernel.path || m.kvm.path))
			abort();
		machine_fini(&m);
	} else if (!err.code || !err.text[0]) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse(data, size, false);
	parse(data, size, true);
	return 0;
}
