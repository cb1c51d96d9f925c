#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ctrctl's verbs along the life of containers: create, start, stop, restart,
# kill, wait, pause, rename, update, rm, prune; policies, exit codes, signals.
. "$(dirname "$0")/../lib.sh"
need_root
need_program isolad isola-keeper isola-image ctrctl
start_isolad || { not_ok "isolad starts"; finish; }
busybox_tar "$T/root.tar"
check "an image is imported" ctr import -c 'CMD ["sh"]' "$T/root.tar" box
check "a container runs" ctr run --rm box true
leak_mark

traps() { # NAME CODE SIGNAL FLAG...: a container that ends with CODE on SIGNAL, once it does
	local name=$1 code=$2 sig=$3
	shift 3
	ctr run -d --name "$name" "$@" box \
		sh -c "trap 'exit $code' $sig; echo ready; while :; do sleep 0.05; done" >/dev/null
	wait_for 10 eval "ctr logs $name | grep -q ready"
}
state() { ctr inspect -f "{{.State.$2}}" "$1"; } # NAME FIELD
is_state() { [ "$(state "$1" Status)" = "$2" ]; }
good() { # WANTED-OUTPUT NAME ARG...
	local want=$1 name=$2
	shift 2
	run ctr "$@"
	is "$rc $out" "0 $want" "$name" "$err"
}
bad() { # RC REGEX NAME ARG...
	local want=$1 regex=$2 name=$3
	shift 3
	run ctr "$@"
	like "$rc $err" "^$want .*$regex" "$name"
}

# ---------------------------------------------------------------- exit codes

bad 3 "" "the payload's exit code" run --rm box sh -c 'exit 3'
bad 137 "" "128 and the signal that killed it" run --rm --init box sh -c 'kill -9 $$'
bad 143 "" "and its own signal, under --init" run --rm --init box sh -c 'kill -TERM $$'
bad 127 "nope.*not found" "no such command" run --rm box nope
bad 127 "/nope" "no such file" run --rm box /nope
bad 126 "/etc/passwd.*denied" "not executable" run --rm box /etc/passwd
bad 126 "/tmp" "a folder" run --rm box /tmp
bad 125 "nosuch.*ctrctl pull" "no such image, and how to get one" run --pull never --rm nosuch
bad 125 "nosuch" "create, too" create --pull never nosuch
bad 125 "No such image: nosuch.*docker.io: no such host" "else it is pulled" create nosuch
bad 125 "No such image: sha256:00" "but for an id" create "sha256:$(printf %064d 0)"
bad 125 "/nowhere" "a mount's source is missing" run --rm --mount type=bind,src=/nowhere,dst=/x box true
bad 125 "requires at least 1" "stop without a name" stop
bad 125 "did you mean \"start\"" "a mistyped verb" strat
bad 1 "No such container: gone" "start without such a container" start gone
for v in stop restart kill rm wait pause unpause logs attach top; do
	bad 1 "No such container: gone" "$v without such a container" $v gone
done
bad 1 "No such container: gone" "exec without such a container" exec gone true
bad 1 "No such container: gone" "rename without such a container" rename gone new
bad 1 "No such container" "update without such a container" update --restart no gone
run env -u DOCKER_HOST "$ISOLA_BUILD/ctrctl" -H "$T/no.sock" ps
like "$rc $err" "^1 .*$T/no.sock.*isolad" "no daemon: which socket, and what to do"
run env -u DOCKER_HOST "$ISOLA_BUILD/ctrctl" -H "$T/no.sock" run box
is "$rc" 125 "no daemon: run ends with 125"
run env -u DOCKER_HOST "$ISOLA_BUILD/ctrctl" -H tcp://1.2.3.4:1 ps
like "$rc $err" "^125 .*tcp" "another scheme is refused"
run env ISOLA_SOCKET="$SOCK" "$ISOLA_BUILD/ctrctl" ps -q
is "$rc" 0 "ISOLA_SOCKET names the socket" "$err"
run env DOCKER_HOST="unix://$SOCK" "$ISOLA_BUILD/ctrctl" ps -q
is "$rc" 0 "DOCKER_HOST does, too" "$err"

# ------------------------------------------------------------- create, start

good "$(printf 'one\ntwo')" "start -a shows the output" start -a "$(ctr create --name c1 box sh -c 'echo one; echo two')"
good c1 "start prints the name" start c1
out=$(printf 'in\nput\n' | ctr start -ai "$(ctr create -i box cat)" | tr '\n' ' ')
is "$out" "in put " "start -ai passes standard input on"
ctr create --name c2 box sh -c 'exit 4' >/dev/null
bad 4 "" "start -a ends with the exit code" start -a c2
bad 125 "takes one container" "start -a takes one" start -a c1 c2
bad 125 "c1.*in use|already in use" "a name is taken" create --name c1 box
ctr create --name c3 box nope >/dev/null
bad 1 "nope.*not found" "start of what cannot run" start c3
ctr rm c1 c2 c3 >/dev/null

# ------------------------------------------------------- stop, restart, kill

traps s1 5 TERM
good s1 "stop" stop s1
is "$(state s1 ExitCode)" 5 "stop: the payload ends as it likes"
good s1 "stop of what does not run" stop s1
traps s2 6 USR1 --stop-signal USR1
ctr stop s2 >/dev/null
is "$(state s2 ExitCode)" 6 "--stop-signal"
ctr run -d --name s3 --stop-timeout 1 box sleep 1000 >/dev/null
begin=$SECONDS
ctr stop s3 >/dev/null
is "$(state s3 ExitCode)" 137 "who ignores it is killed"
check "after --stop-timeout, not after the usual 10 s" [ $((SECONDS - begin)) -lt 10 ]
good s3 "restart" restart -t 0 s3
is "$(state s3 Running)" true "restart: it runs"
pid=$(state s3 Pid)
ctr restart -t 0 s3 >/dev/null
isnt "$(state s3 Pid)" "$pid" "restart: as another process"
bad 1 "pecify at least|cannot remove" "rm of what runs" rm s3
good s3 "stop -t 0" stop -t 0 s3
good "$(printf 's1\ns2\ns3')" "rm of several" rm s1 s2 s3
traps k1 7 HUP
good k1 "kill -s" kill -s HUP k1
good 7 "wait prints the exit code" wait k1
bad 1 "not running" "kill of what does not run" kill k1
bad 1 "Invalid signal: FROB|nvalid signal" "an unknown signal" kill -s FROB k1
ctr run -d --name k2 box sleep 1000 >/dev/null
good k2 "kill" kill k2
good "$(printf '7\n137')" "wait for two" wait k1 k2
bad 1 "No such container: gone" "rm of one that is not there" rm k1 gone k2
run ctr inspect k2
is "$rc" 1 "goes on with the others"
ctr rm -f "$(ctr ps -aq)" >/dev/null

# --------------------------------------------------- pause, rename, policies

ctr run -d --name pp box sh -c 'while :; do echo x; sleep 0.02; done' >/dev/null
good pp "pause" pause pp
good paused "inspect says paused" inspect -f '{{.State.Status}}' pp
nothing_new() { # what was in the pipe may come yet
	local n
	n=$(ctr logs pp | wc -l)
	sleep 0.5
	[ "$(ctr logs pp | wc -l)" = "$n" ]
}
check "nothing runs" wait_for 10 nothing_new
bad 1 "paused" "exec in it is refused" exec pp true
bad 1 "paused" "attach, too" attach pp
bad 1 "already paused" "pause again" pause pp
good pp "unpause" unpause pp
bad 1 "not paused" "unpause again" unpause pp
good "" "rename" rename pp qq
good true "by its new name" inspect -f '{{.State.Running}}' qq
bad 1 "p" "not by its old one" inspect pp
good qq "rm -f of what runs" rm -f qq
ctr run -d --name rr --restart on-failure:2 box sh -c 'echo x; exit 9' >/dev/null
check "a crash loop ends after its retries" wait_for 15 eval \
	'is_state rr exited && [ "$(ctr inspect -f "{{.RestartCount}}" rr)" = 2 ]'
is "$(ctr logs rr | wc -l) $(state rr ExitCode)" "3 9" "it ran three times"
good rr "update --restart" update --restart no rr
good no "it is another policy" inspect -f '{{.HostConfig.RestartPolicy.Name}}' rr
bad 1 "at least one flag" "update of nothing" update rr
ctr run -d --name al --restart always box sleep 0.2 >/dev/null
check "always means always" wait_for 15 eval '[ "$(ctr inspect -f "{{.RestartCount}}" al)" -ge 2 ]'
ctr stop -t 0 al >/dev/null
sleep 0.5
is "$(state al Status)" exited "until it is stopped"
ctr run -d --rm --name rmd box sleep 0.2 >/dev/null
check "-d --rm removes it at its end" wait_for 10 eval '! ctr inspect rmd'

# ------------------------------------------------------------------- signals

ctr_background() { # ARG...
	: >"$T/bg" # or what the last one said is found
	"$ISOLA_BUILD/ctrctl" -H "unix://$SOCK" "$@" >>"$T/bg" 2>&1 </dev/null &
	client=$!
}
ctr_background run --name sp box sh -c 'trap "echo got; exit 12" INT; echo ready; while :; do sleep 0.05; done'
wait_for 10 grep -q ready "$T/bg"
kill -INT $client
wait $client
is "$? $(tail -n 1 "$T/bg")" "12 got" "ctrl-c reaches the payload"
ctr_background run --name sn --sig-proxy=false box sh -c 'while :; do echo ready; sleep 0.1; done'
wait_for 10 grep -q ready "$T/bg"
kill -TERM $client
wait $client
is "$? $(state sn Running)" "143 true" "--sig-proxy=false: it ends ctrctl alone"
ctr_background attach --no-stdin sn
wait_for 10 grep -q ready "$T/bg"
kill -TERM $client
ctr kill sn >/dev/null
wait $client
is $? 137 "attach ends with the exit code"

bad 1 "-f" "prune asks, or wants -f" prune
ctr run -d --name left box sleep 1000 >/dev/null
run ctr prune -f
like "$rc $out" "^0 .*Total reclaimed space" "prune -f" "$err"
good left "prune leaves what runs" ps -a --format '{{.Names}}'
ctr rm -f left >/dev/null
leak_check
finish
