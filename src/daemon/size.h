/* SPDX-License-Identifier: Apache-2.0 */
/* size - how much a tree of files holds. */
#pragma once

#include <stdint.h>

/* Bytes of files and links below the folder @root_fd (O_PATH is enough), each inode
 * once, on its file system alone. What cannot be read counts nothing. Any thread. */
int64_t size_tree(int root_fd);
