/* SPDX-License-Identifier: Apache-2.0 */
/* vm_console - the pseudo terminals of a VM's virtio consoles. They belong to the
 * keeper, so that whoever sits at one stays there when the VM is reset; their names
 * are in consoles.json of the run folder, {"id": "/dev/pts/N"}. */
#include "vm.h"

#include "isola/console.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int open_one(struct vm *vm, json_object *conf, json_object *names, struct err *err)
{
	struct vm_console *c = &vm->consoles[vm->n_consoles];
	struct termios before;
	unsigned int index = 0;
	char path[32];
	const char *id = json_str_or(conf, "id", "");
	if (!json_bool_or(json_get(conf, "source"), "pty", false))
		return 0;
	if (vm->n_consoles >= VM_CONSOLES_MAX || strlen(id) >= sizeof(c->id))
		return err_set(err, EINVAL, "too many, or its id is too long");
	int rc = console_open(-1, &c->master_fd, &c->slave_fd, &index, err);
	if (rc < 0)
		return rc;
	vm->n_consoles++;
	(void)strcpy(c->id, id);
	/* The guest's own terminal code edits lines and echoes. */
	rc = console_raw(c->slave_fd, &before);
	if (rc < 0)
		return err_rc(err, rc, "cannot set up the terminal");
	(void)console_resize(c->master_fd, (uint16_t)json_i64_or(conf, "rows", 0),
			     (uint16_t)json_i64_or(conf, "columns", 0));
	(void)snprintf(path, sizeof(path), "/dev/pts/%u", index);
	json_add_str(names, id, path);
	return 0;
}

int vm_consoles_open(struct vm *vm, json_object *machine, struct err *err)
{
	json_object *list = json_get(machine, "consoles");
	cleanup_json json_object *names = json_object_new_object();
	for (size_t i = 0; i < json_len(list); i++) {
		int rc = open_one(vm, json_object_array_get_idx(list, i), names, err);
		if (rc < 0)
			return err_prefix(err, "consoles[%zu]", i);
	}
	if (!vm->n_consoles)
		return 0;
	return json_write_atomic(vm->k->run_dir_fd, "consoles.json", names, FD_SYNC_NO, err);
}

const struct vm_console *vm_console_find(const struct vm *vm, const char *id)
{
	for (size_t i = 0; i < vm->n_consoles; i++)
		if (!strcmp(vm->consoles[i].id, id))
			return &vm->consoles[i];
	return NULL;
}

void vm_consoles_close(struct vm *vm)
{
	for (size_t i = 0; i < vm->n_consoles; i++) {
		fd_close(&vm->consoles[i].master_fd);
		fd_close(&vm->consoles[i].slave_fd);
	}
	vm->n_consoles = 0;
}
