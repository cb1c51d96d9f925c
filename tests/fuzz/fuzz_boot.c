/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_boot - a foreign kernel image goes through the whole loader. The first byte
 * chooses how much memory there is and whether there is an initrd; the rest is the
 * image. Whatever is accepted must lie within the memory. */
#include "vmm/boot.h"
#include "vmm/vm.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define INITRD_BYTES 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int make_file(const void *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	assert(fd >= 0);
	ssize_t n = write(fd, data, size);
	assert(n == (ssize_t)size);
	(void)n;
	return fd;
}

static struct memory *make_memory(uint8_t choice)
{
	static const uint64_t mib[] = { 1, 2, 17, 64, 3072, 3073, 5120, 20 };
	const struct memory_args args = { .size_bytes = mib[choice & 7] << 20, .page_bytes = 4096 };
	struct memory *memory = NULL;
	struct err err = ERR_INIT;
	int rc = memory_new(&args, &memory, &err);
	assert(rc == 0);
	(void)rc;
	return memory;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t zeros[INITRD_BYTES];
	struct boot_entry entry;
	struct err err = ERR_INIT;
	struct span span;
	if (size == 0)
		return 0;
	struct vm vm = { .memory = make_memory(data[0]) };
	int kernel = make_file(data + 1, size - 1);
	int initrd = data[0] & 8 ? make_file(zeros, sizeof(zeros)) : -1;
	int rc = boot_load(&vm, kernel, initrd, "quiet", 0xe0000, &entry, &err);
	if (rc == 0) {
		assert(memory_span(vm.memory, entry.rip, 1, false, &span) == 0);
		assert(entry.rip >= 0x100000);
		assert(boot_kind_name(entry.kind));
	} else {
		assert(err.code == -rc && err.text[0] != '\0');
	}
	close(kernel);
	if (initrd >= 0)
		close(initrd);
	memory_free(vm.memory);
	return 0;
}
