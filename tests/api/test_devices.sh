#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# --device: a container with a user namespace of its own can use the node, whoever
# owns it on the host, and only as the flag says.
. "$(dirname "$0")/../lib.sh"

[ "$(id -u)" = 0 ] || skip_all "needs root"
for dev in /dev/kvm /dev/fuse /dev/loop-control; do
	(: <"$dev") 2>/dev/null && break
done
(: <"$dev") 2>/dev/null || skip_all "needs one of /dev/kvm, /dev/fuse, /dev/loop-control"
mknod -m 600 "$T/node" c $(stat -c '0x%t 0x%T' "$dev") || skip_all "needs the right to make nodes"
(: <"$T/node") 2>/dev/null || skip_all "needs a file system without nodev for its folder"
start_isolad || exit 1
busybox_tar "$T/root.tar"
ctr import "$T/root.tar" busybox >/dev/null

is "$(ctr run --rm --device "$T/node:/dev/x:r" busybox sh -c '(: </dev/x) && echo read' 2>&1 | tail -n 1)" \
	read "a node only the host's root may open can be opened"
like "$(ctr run --rm --device "$T/node:/dev/x:r" busybox sh -c '(: >>/dev/x) 2>&1')" \
	'not permitted' "but not for writing under :r"
like "$(ctr run --rm busybox sh -c 'ls /dev/x 2>&1')" 'No such file' "without the flag it is not there"
is "$(find "$T/run" -name '.isola-device*' | wc -l)" 0 "no node is left in a run folder"
stop_isolad
finish
