#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Tests the daemon and leak helpers of tests/lib.sh with a stand-in for isolad:
# each kind of leak must be found, and nothing else taken for one.
. "$(dirname "$0")/../lib.sh"
need_root
ISOLA_BUILD=$T/b
mkdir -p "$ISOLA_BUILD"
cp "$ISOLA_SRC/tests/runner/stand-in.py" "$ISOLA_BUILD/isolad"

# Runs what is meant to fail; its results go to $got and do not count.
judge() {
	local n=$tap_n failed=$tap_failed rc=0
	"$@" >"$T/got" 2>&1 || rc=$?
	got=$(cat "$T/got")
	tap_n=$n tap_failed=$failed
	return $rc
}

expect_leak() { # KIND PATTERN UNDO...
	local kind=$1 pattern=$2
	shift 2
	leak_mark
	api POST "/leak/$kind" >/dev/null
	ISOLA_TIME_SCALE=0 judge leak_check "$kind"
	like "$got" "^not ok .*$pattern" "a $kind left behind is found"
	"$@" >/dev/null 2>&1
	leak_check "a $kind that went away is none"
}
kill_leaked() {
	local p
	for p in $(pgrep -fx 'sleep 1000'); do
		[ "$(readlink "/proc/$p/ns/net")" = "$(readlink "/proc/$NETNS_PID/ns/net")" ] &&
			kill "$p"
	done
}

check "isolad starts" start_isolad
leak_mark
like "$(api GET /_ping)" $'OK\n200$' "it answers"
leak_check "a request leaves nothing"
sleep 300 & mine=$!
leak_check "the script's own children are no leak"
kill $mine
wait $mine 2>/dev/null

expect_leak process 'process [0-9]+ sleep 1000' kill_leaked
expect_leak mount "mount $T/state/m" umount "$T/state/m"
if [ -n "$(cgroup2_root)" ]; then
	expect_leak cgroup 'cgroup leaked' rmdir "$(cgroup2_root)/$CGROUP/leaked"
else
	skip "a cgroup left behind is found" "cgroup2 is not mounted"
fi
expect_leak file 'file run/leaked' rmdir "$T/run/leaked"
expect_leak link 'link veth' in_net ip link del veth7

first=$(readlink "/proc/$ISOLAD_PID/ns/net")
isnt "$first" "$(readlink /proc/self/ns/net)" "it has a network namespace of its own"
check "it stops" stop_isolad
check "it starts again" start_isolad --exit 3
is "$(readlink "/proc/$ISOLAD_PID/ns/net")" "$first" "and finds its network namespace again"
judge stop_isolad
like "$got" "^not ok .*exit status 3" "an end with an error is a failure"
judge start_isolad --die 1
like "$? $got" "^1 .*told to die" "a daemon that does not come is shown"
check "it starts once more" start_isolad
stop_isolad KILL
is $? 137 "it can be killed"
finish
