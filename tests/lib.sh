# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What shell tests share: TAP results, bounded commands, an isolad of one's
# own, and the search for leaks.  tests/README.md explains how to use it.
#
#   . "$(dirname "$0")/../lib.sh"

ISOLA_SRC=${ISOLA_SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
ISOLA_BUILD=${ISOLA_BUILD:-$ISOLA_SRC/build/release}
ISOLA_TIME_SCALE=${ISOLA_TIME_SCALE:-1}
WAIT_MIN=15
if [ -z "${ISOLA_TMP:-}" ]; then
	ISOLA_TMP=$(mktemp -d "${TMPDIR:-/var/tmp}/i.XXXXXXXX")
	tap_own_tmp=1
fi
export ISOLA_SRC ISOLA_BUILD ISOLA_TMP ISOLA_TIME_SCALE
T=$ISOLA_TMP                                   # short, as sockets live below it
CGROUP=${ISOLA_CGROUP:-isola-test-$$}          # below the cgroup2 mount
SOCK=$T/isola.sock
export T CGROUP SOCK
ISOLAD_PID=
ISOLAD_LOG=$T/isolad.log
NETNS_PID=                                     # holds isolad's network namespace
tap_n=0 tap_failed=0 tap_done=0

# ---------------------------------------------------------------- results

diag() { printf '%s\n' "$@" | sed 's/^/# /'; } # LINE...

ok() { # NAME
	tap_n=$((tap_n + 1))
	printf 'ok %d - %s\n' $tap_n "$1"
}

not_ok() { # NAME [DETAIL...]
	tap_n=$((tap_n + 1)) tap_failed=$((tap_failed + 1))
	printf 'not ok %d - %s\n' $tap_n "$1"
	shift
	[ $# = 0 ] || diag "$@"
	return 0
}

skip() { # NAME REASON
	tap_n=$((tap_n + 1))
	printf 'ok %d - %s # SKIP %s\n' $tap_n "$1" "$2"
}

skip_all() { # REASON: leaves the script
	tap_done=1
	tap_cleanup
	echo "$1"
	exit 77
}

is() { # GOT WANT NAME [DETAIL...]
	if [ "$1" = "$2" ]; then ok "$3"; else
		not_ok "$3" "got:    '$1'" "wanted: '$2'" "${@:4}"
	fi
}

isnt() { # GOT UNWANTED NAME [DETAIL...]
	if [ "$1" != "$2" ]; then ok "$3"; else not_ok "$3" "got: '$1'" "${@:4}"; fi
}

like() { # GOT EXTENDED-REGEX NAME [DETAIL...]
	if [[ $1 =~ $2 ]]; then ok "$3"; else
		not_ok "$3" "got:     '$1'" "pattern: '$2'" "${@:4}"
	fi
}

check() { # NAME COMMAND...: ok if it succeeds; shows what it printed if not
	local name=$1 rc=0
	shift
	"$@" >"$T/.check" 2>&1 || rc=$?     # in this shell: it may set variables
	if [ $rc = 0 ]; then ok "$name"; else
		not_ok "$name" "exit status $rc of: $*" "$(tr -d '\0' <"$T/.check")"
	fi
}

run_bounded() { # SECONDS COMMAND...: 124 if it took longer; time is scaled
	local s=$1
	shift
	if [ "$(type -t "$1")" = function ]; then # timeout(1) needs a program
		# shellcheck disable=SC2163
		export -f "$1"
		set -- bash -c '"$@"' bash "$@"
	fi
	timeout --kill-after=2 "$((s * ISOLA_TIME_SCALE))" "$@"
}

# run COMMAND...: leaves stdout in $out, stderr in $err, exit status in $rc
run() {
	rc=0
	run_bounded "${RUN_LIMIT:-30}" "$@" >"$T/.out" 2>"$T/.err" </dev/null || rc=$?
	out=$(tr -d '\0' <"$T/.out")
	err=$(tr -d '\0' <"$T/.err")
}

# wait_for SECONDS COMMAND...: until it succeeds; 1 if it never does. A bound costs
# nothing where all is well, and a busy machine needs one: it is at least WAIT_MIN.
wait_for() {
	local end=$((SECONDS + ($1 > WAIT_MIN ? $1 : WAIT_MIN) * ISOLA_TIME_SCALE + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

asks() { # PID: has a client asked by now? It waits in a read or a poll for the answer
	[[ $(cat "/proc/$1/syscall" 2>/dev/null) =~ ^(0|7|45|47|232|271|281)" " ]]
}

finish() { # the last command of every test script
	tap_done=1
	tap_cleanup
	echo "1..$tap_n"
	[ $tap_failed = 0 ]
	exit
}

tap_cleanup() {
	[ -z "$ISOLAD_PID" ] || stop_isolad
	if [ -n "$NETNS_PID" ]; then
		kill "$NETNS_PID" 2>/dev/null
		wait "$NETNS_PID" 2>/dev/null
		NETNS_PID=
	fi
	local g
	g=$(cgroup2_root)/$CGROUP
	[ ! -d "$g" ] || find "$g" -depth -type d -exec rmdir {} + 2>/dev/null
	[ -z "${tap_own_tmp:-}" ] || rm -rf --one-file-system -- "$T"
}

tap_exit() {
	local rc=$?
	[ $tap_done = 1 ] && return
	not_ok "the script ran to its end" "it left early, exit status $rc"
	tap_done=1
	tap_cleanup
	exit 1
}
trap tap_exit EXIT
trap 'exit 143' TERM

# ------------------------------------------------------------ this machine

cgroup2_root() { # the first cgroup2 mount, e.g. /sys/fs/cgroup[/unified]
	sed -nE 's/^([^ ]+ ){4}([^ ]+) .* - cgroup2 .*/\2/p' /proc/self/mountinfo | head -n 1
}

has_controller() { # NAME: can cgroup v2 limit this here?
	grep -qw "$1" "$(cgroup2_root)/cgroup.controllers" 2>/dev/null
}

need_root() { [ "$(id -u)" = 0 ] || skip_all "needs root"; }

need_program() { # NAME...: of the build folder
	local p
	for p; do
		[ -x "$ISOLA_BUILD/$p" ] || skip_all "$p is not built"
	done
}

# ------------------------------------------------------------------ isolad

# The daemon's flags, in one place.
isolad_flags() {
	printf '%s\n' --state "$T/state" --run "$T/run" --socket "$SOCK" --cgroup "$CGROUP" \
		--default-network none # a bridge is for who asks: less to wait for
}

in_net() { # COMMAND...: in the network namespace isolad runs in
	nsenter --net="/proc/$NETNS_PID/ns/net" -- "$@"
}

isolad_ping() { curl -sf -o /dev/null --max-time 2 --unix-socket "$SOCK" http://isola/_ping; }

is_running() { # PID: alive and no zombie
	local s
	s=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) && [ -n "$s" ] && [ "${s%% *}" != Z ]
}

# start_isolad [FLAG...]: in a network namespace of its own, which is kept from
# start to start.  Returns 1, with the log shown, if the daemon does not answer.
start_isolad() {
	if [ -z "$NETNS_PID" ]; then
		unshare --net -- sh -c 'ip link set lo up && exec sleep infinity' \
			</dev/null >/dev/null 2>&1 &
		export NETNS_PID=$!
		# by name: before it has unshared, its network is the machine's
		wait_for 5 grep -qx sleep "/proc/$NETNS_PID/comm"
	fi
	local flags
	mapfile -t flags < <(isolad_flags)
	mkdir -p "$T/state" "$T/run"
	# no function here: $! has to be the daemon itself
	nsenter --net="/proc/$NETNS_PID/ns/net" -- "$ISOLA_BUILD/isolad" "${flags[@]}" "$@" \
		</dev/null >>"$ISOLAD_LOG" 2>&1 &
	ISOLAD_PID=$!
	local end=$((SECONDS + 30 * ISOLA_TIME_SCALE))
	until isolad_ping; do
		if ! is_running "$ISOLAD_PID" || [ $SECONDS -ge $end ]; then
			diag "isolad does not answer on $SOCK:"
			diag "$(tail -n 40 "$ISOLAD_LOG")"
			kill -KILL "$ISOLAD_PID" 2>/dev/null
			wait "$ISOLAD_PID" 2>/dev/null
			ISOLAD_PID=
			return 1
		fi
		sleep 0.05
	done
}

# stop_isolad [SIGNAL]: returns isolad's exit status.  A daemon asked to
# terminate that fails, or takes too long, is a failed test.
stop_isolad() {
	local sig=${1:-TERM} rc=0 pid=$ISOLAD_PID end
	[ -n "$pid" ] || return 0
	ISOLAD_PID=
	end=$((SECONDS + 30 * ISOLA_TIME_SCALE))
	kill "-$sig" "$pid" 2>/dev/null
	while is_running "$pid"; do
		if [ $SECONDS -ge $end ]; then
			not_ok "isolad ends on SIG$sig" "still there, killed"
			kill -KILL "$pid"
			break
		fi
		sleep 0.02
	done
	wait "$pid" 2>/dev/null || rc=$?
	if [ "$sig" = TERM ] && [ $rc != 0 ]; then
		not_ok "isolad ends well" "exit status $rc" "$(tail -n 40 "$ISOLAD_LOG")"
	fi
	return $rc
}

ctr() { "$ISOLA_BUILD/ctrctl" -H "unix://$SOCK" "$@"; }

api() { # METHOD PATH [JSON]: prints the body, then the status on its own line
	run_bounded 30 curl -s -X "$1" -w '\n%{http_code}\n' --unix-socket "$SOCK" \
		${3:+-H 'Content-Type: application/json' -d "$3"} "http://isola$2"
}

export -f run_bounded in_net isolad_ping ctr api   # for functions that run_bounded runs

# busybox_tar FILE: a root file system of busybox and what it needs, as a tar
busybox_tar() {
	local r=$T/.rootfs a
	mkdir -p "$r"/{bin,etc,proc,sys,dev,root,var} "$r"/tmp
	chmod 1777 "$r/tmp"
	cp "$(command -v busybox)" "$r/bin/busybox"
	for a in $("$r/bin/busybox" --list); do
		[ "$a" = busybox ] || ln -sf busybox "$r/bin/$a"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' \
		>"$r/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$r/etc/group"
	tar -C "$r" --owner=0 --group=0 --sort=name -cf "$1" .
	rm -rf "$r"
}

# ------------------------------------------------------------------- leaks

# Everything of ours that could be left, one line each; lib.py does the search.
leak_list() {
	CGROUP=$CGROUP /usr/bin/python3 -B "$ISOLA_SRC/tests/lib.py" leaks \
		"$$" "${ISOLAD_PID:-0}" "${NETNS_PID:-0}"
}

leak_mark() { # remember what there is now
	leak_before=$(leak_list)
}

# leak_check [NAME]: fails if there is more than at leak_mark; what is about to
# go gets some seconds for it.
leak_check() {
	local name=${1:-nothing is left behind} more end=$((SECONDS + WAIT_MIN * ISOLA_TIME_SCALE))
	while :; do
		more=$(comm -13 <(echo "$leak_before") <(leak_list))
		[ -n "$more" ] || { ok "$name"; return 0; }
		[ $SECONDS -lt $end ] || break
		sleep 0.2
	done
	not_ok "$name" "$more"
	return 1
}
