#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# isolad is killed and started again while ctrctl stays with a payload: the
# output flows, and ctrctl ends with the payload's own exit code.
. "$(dirname "$0")/../lib.sh"
need_root
need_program isolad isola-keeper isola-image ctrctl
start_isolad || { not_ok "isolad starts"; finish; }
busybox_tar "$T/root.tar"
check "an image is imported" ctr import "$T/root.tar" box
leak_mark

declare -A pid
begin() { # NAME COMMAND...: in the background, output and exit status in files
	local name=$1
	shift
	timeout -k 2 $((40 * ISOLA_TIME_SCALE)) "$ISOLA_BUILD/ctrctl" -H "unix://$SOCK" "$@" \
		>"$T/$name.out" 2>"$T/$name.err" </dev/null &
	pid[$name]=$!
}
ended() { # NAME WANT-RC WANT-OUT TEXT
	local rc=0
	wait "${pid[$1]}" || rc=$?
	is "$rc $(tr '\n' ' ' <"$T/$1.out")" "$2 $3 " "$4" "$(cat "$T/$1.err")"
}
says() { grep -q "$2" "$T/$1.out"; } # NAME TEXT
asked() { asks "$(pgrep -P "${pid[$1]}")"; } # NAME: has it sent its request?
crash() {
	stop_isolad KILL
	[ -z "${1:-}" ] || sleep "$1"
	start_isolad || not_ok "isolad starts again"
}
payload() { echo "echo one; while [ ! -e /go/$1 ]; do sleep 0.05; done; echo two; exit $2"; }
mkdir "$T/go"
GO="-v $T/go:/go"

# while isolad is away the payload goes on, and ends under the new one
begin run run $GO box sh -c "$(payload a 7)"
begin rm run --rm $GO box sh -c "$(payload a 8)"
begin restart run --restart on-failure:1 $GO box sh -c "$(payload a 0)"
ctr create --name made $GO box sh -c "$(payload a 9)" >"$T/made"
begin start start -a made
ctr run -d --name bg $GO box sh -c "while [ ! -e /go/a ]; do echo tick; sleep 0.1; done; sleep 0.2; echo two; exit 10" >/dev/null
begin attach attach --no-stdin bg
ctr run -d --name host $GO box sleep 1000 >/dev/null
begin wait wait bg
begin exec exec host sh -c "$(payload a 11)"
for n in run rm restart start exec; do
	check "$n is under way" wait_for 10 says "$n" one
done
check "so is attach" wait_for 10 says attach tick
check "so is wait" wait_for 10 asked wait
crash 0.5
crash
touch "$T/go/a"
ended run 7 "one two" "run: the payload's exit code"
ended rm 8 "one two" "run --rm: the payload's exit code"
ended restart 0 "one two" "run --restart: the payload's exit code"
ended start 9 "one two" "start -a: the payload's exit code"
rc=0
wait "${pid[attach]}" || rc=$?
is "$rc $(tail -n 1 "$T/attach.out")" "10 two" "attach: the payload's exit code" "$(cat "$T/attach.err")"
ended wait 0 10 "wait prints the exit code"
ended exec 11 "one two" "exec: the process's exit code"

# the payload ends while no isolad is there
begin gone run $GO box sh -c "$(payload b 21)"
begin gone_rm run --rm $GO box sh -c "$(payload b 22)"
for n in gone gone_rm; do wait_for 10 says "$n" one; done
stop_isolad KILL
touch "$T/go/b"
for n in gone gone_rm; do wait_for 10 says "$n" two; done
sleep 0.5
start_isolad || not_ok "isolad starts a third time"
ended gone 21 "one two" "what ended without isolad: its exit code"
ended gone_rm 22 "one two" "what ended without isolad and is removed: its exit code"

# an orderly end
begin term run $GO box sh -c "$(payload c 23)"
wait_for 10 says term one
stop_isolad TERM
start_isolad || not_ok "isolad starts after an orderly end"
touch "$T/go/c"
ended term 23 "one two" "isolad ended in order: the payload's exit code"

# it never comes back
begin never run $GO box sh -c "$(payload d 24)"
wait_for 10 says never one
stop_isolad KILL
touch "$T/go/d"
ended never 125 "one two" "without isolad ctrctl gives up with 125"
like "$(cat "$T/never.err")" "isolad went away and did not come back within 10 s" "and says why"
start_isolad || not_ok "isolad starts for the last time"
run ctr wait "$(ctr ps -lq)"
is "$out" 24 "the exit code is there still"

ctr rm -f $(ctr ps -aq) >/dev/null
leak_check
finish
