#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# time limit: 150 s
#
# Resource limits as a user sets them with ctrctl, checked against what the
# kernel counts (cgroup-v2.rst): memory, cpu, cpuset, pids, io, freezer.
. "$(dirname "$0")/../lib.sh"
need_root
need_program isolad isola-keeper isola-image ctrctl
for c in memory cpu cpuset pids io; do
	has_controller $c || skip_all "cgroup v2 has no $c controller here"
done
start_isolad || { not_ok "isolad starts"; finish; }
busybox_tar "$T/root.tar"
check "an archive becomes an image" ctr import "$T/root.tar" busybox:lab
leak_mark

# ------------------------------------------------------------------- helpers

start() { # NAME FLAG... -- COMMAND...: a detached container
	local name=$1 flags=()
	shift
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	RUN_LIMIT=60 run ctr_run -d --name "$name" "${flags[@]}" busybox:lab "$@"
	[ $rc = 0 ] || { diag "run $name: exit status $rc: $err"; return 1; }
}
ctr_run() { ctr run --network none "$@"; }
state() { # NAME FIELD: of what inspect calls State
	api GET "/containers/$1/json" | head -n -1 | jq -r ".State.$2"
}
group() { # NAME: the folder of its cgroup
	local pid
	pid=$(state "$1" Pid)
	echo "$(cgroup2_root)$(sed -n 's/^0:://p' "/proc/$pid/cgroup")"
}
# The limit may be set on the container's group or on one above it that is its alone.
knob() { # NAME FILE: the first value from the inside out that is no default
	local g v
	g=$(group "$1")
	while [ "$g" != "$(cgroup2_root)" ] && [ -e "$g/$2" ]; do
		v=$(cat "$g/$2")
		case $v in '' | max | max\ * | 0 | 100) ;; *) echo "$v"; return ;; esac
		g=${g%/*}
	done
	echo none
}
count() { sed -n "s/^$3 //p" "$(group "$1")/$2"; } # NAME FILE KEY
ended() { [ "$(state "$1" Running)" = false ]; }
usage_over() { # SECONDS NAME...: microseconds of CPU each one used in that time
	local n s=$1 before=() i=0
	shift
	for n; do before+=("$(count "$n" cpu.stat usage_usec)"); done
	sleep "$s"
	for n; do
		echo $(($(count "$n" cpu.stat usage_usec) - before[i]))
		i=$((i + 1))
	done
}
between() { # VALUE LOW HIGH NAME
	if [ "${1:-0}" -ge "$2" ] && [ "${1:-0}" -le "$3" ]; then ok "$4 ($1)"; else
		not_ok "$4" "got ${1:-nothing}, wanted $2 to $3"
	fi
}
has_flag() { run ctr run --help; [[ $out$err == *"$1"* ]]; }

# -------------------------------------------------------------------- memory

RUN_LIMIT=60 run ctr_run --name hog -m 32m busybox:lab sh -c 'exec tail -c 200m /dev/zero'
is "$rc" 137 "a hog in 32 MiB is killed: exit status 137"
is "$(state hog OOMKilled)" true "inspect says OOMKilled"
is "$(state hog ExitCode)" 137 "inspect says exit code 137"
ctr rm hog >/dev/null

RUN_LIMIT=60 run ctr_run -m 32m --rm busybox:lab sh -c 'tail -c 200m /dev/zero; echo "child $?"'
like "$out" "child 137" "a killed child leaves its parent alone"

if start calm -m 64m --memory-reservation 16m -- sleep 1000; then
	is "$(knob calm memory.max)" 67108864 "--memory becomes memory.max"
	is "$(knob calm memory.low)" 16777216 "--memory-reservation becomes memory.low"
	is "$(state calm OOMKilled)" false "who stays below is not OOMKilled"
	run ctr exec calm cat /sys/fs/cgroup/memory.max
	is "$out" 67108864 "the container sees its own limit"
	if run ctr update --help && [[ $out$err == *--memory* ]]; then
		run ctr update --memory 48m calm
		is "$rc $(knob calm memory.max)" "0 50331648" "update changes it"
	else
		skip "update changes it" "ctrctl has no update --memory"
	fi
	run ctr kill calm
else
	not_ok "a container with a memory limit starts"
fi
ctr rm -f calm >/dev/null 2>&1

run ctr_run --rm -m 6m busybox:lab true
is "$rc" 0 "6 MiB, the least Docker takes, is enough to start" "$err"
smallest=6m
for m in 4m 2m 1m 512k; do
	run ctr_run --rm -m $m busybox:lab true
	[ $rc = 0 ] || break
	smallest=$m
done
diag "smallest limit that runs true: $smallest; the next one: status $rc, $err"

# ----------------------------------------------------------------------- cpu

loop='while :; do :; done'
if start slow --cpus 0.2 -- sh -c "$loop"; then
	is "$(knob slow cpu.max)" "20000 100000" "--cpus becomes cpu.max"
	sleep 1
	between "$(usage_over 5 slow)" 600000 1400000 "--cpus 0.2 gets about 1 s of 5 s, in us"
	between "$(count slow cpu.stat nr_throttled)" 5 100000 "and is throttled"
else
	not_ok "a container with --cpus starts"
fi
ctr rm -f slow >/dev/null 2>&1

if start big --cpuset-cpus 0 --cpu-shares 1024 -- sh -c "$loop" &&
	start small --cpuset-cpus 0 --cpu-shares 256 -- sh -c "$loop"; then
	is "$(cat "$(group big)/cpuset.cpus.effective")" 0 "--cpuset-cpus 0 leaves one processor"
	run ctr exec big nproc
	is "$out" 1 "the container sees one processor"
	{ read -r b; read -r s; } < <(usage_over 6 big small)
	diag "shares 1024 used $b us, 256 used $s us"
	between $((b * 10 / (s + 1))) 18 90 "four times the shares get 1.8 to 9 times the CPU, times ten"
else
	not_ok "containers with shares start"
fi
ctr rm -f big small >/dev/null 2>&1

# ---------------------------------------------------------------------- pids

if start bomb --pids-limit 20 -- sh -c '(b() { b | b & }; b) & exec sleep 1000'; then
	is "$(knob bomb pids.max)" 20 "--pids-limit becomes pids.max"
	wait_for 10 eval '[ "$(count bomb pids.events max)" -gt 0 ]'
	between "$(count bomb pids.events max)" 1 1000000000 "a fork bomb runs into it"
	between "$(cat "$(group bomb)/pids.current")" 1 20 "and stays below"
	check "isolad answers meanwhile" isolad_ping
	run ctr kill bomb
	is "$rc" 0 "it can be killed" "$err"
	check "and is gone" wait_for 15 ended bomb
else
	not_ok "a container with --pids-limit starts"
fi
ctr rm -f bomb >/dev/null 2>&1

# ------------------------------------------------------------------------ io

# The writable layer lies on /var/tmp, the lab's disk.
disk=$(findmnt -no SOURCE -T "$T")
dd_3_mib() { # FLAG... -- DD-ARG...: sets $ms to what it took
	local flags=() t
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	t=$(date +%s%N)
	RUN_LIMIT=60 run ctr_run --rm "${flags[@]}" busybox:lab dd bs=256k count=12 "$@"
	ms=$((($(date +%s%N) - t) / 1000000))
	[ $rc = 0 ] || diag "dd: exit status $rc: $err"
}
write=(if=/dev/zero of=/x oflag=direct conv=fsync) # past all caches
read=("if=$disk" of=/dev/null iflag=direct)
if [ ! -b "$disk" ]; then
	skip "io limits" "the state folder is not on a disk"
elif ! has_flag --device-write-bps; then
	skip "--device-write-bps slows writing down" "ctrctl run has no --device-write-bps"
else
	dd_3_mib -- "${write[@]}"
	free=$ms
	dd_3_mib --device-write-bps "$disk:1mb" -- "${write[@]}"
	is "$rc" 0 "a write under --device-write-bps ends well" "$err"
	between "$((ms - free))" 1500 60000 "3 MiB at 1 MiB/s take their time (ms more than without)"
	if start writer --device-write-bps "$disk:1mb" -- sleep 1000; then
		like "$(knob writer io.max)" "wbps=1048576" "--device-write-bps becomes io.max"
	else
		not_ok "a container with --device-write-bps starts"
	fi
	ctr rm -f writer >/dev/null 2>&1
fi
if [ -b "$disk" ] && has_flag --device-read-bps; then
	dd_3_mib --device "$disk" -- "${read[@]}"
	free=$ms
	dd_3_mib --device "$disk" --device-read-bps "$disk:1mb" -- "${read[@]}"
	is "$rc" 0 "a read under --device-read-bps ends well" "$err"
	between "$((ms - free))" 1500 60000 "3 MiB read at 1 MiB/s take their time (ms more)"
else
	skip "--device-read-bps slows reading down" "no disk, or ctrctl run has no --device-read-bps"
fi

# ------------------------------------------------------------- freeze and kill

if start tick -- sh -c 'i=0; while :; do echo $i; i=$((i + 1)); done'; then
	wait_for 30 eval 'ctr logs tick | grep -q 9'
	run ctr pause tick
	is "$rc" 0 "pause" "$err"
	is "$(state tick Status)" paused "inspect says paused"
	is "$(count tick cgroup.events frozen)" 1 "the kernel says frozen"
	is "$(usage_over 1 tick)" 0 "a paused container uses no CPU"
	run ctr exec tick true
	isnt "$rc" 0 "exec in a paused container is refused"
	run ctr unpause tick
	is "$rc" 0 "unpause" "$err"
	is "$(state tick Status)" running "inspect says running"
	goes_on() { [ "$(usage_over 1 tick)" -gt 0 ]; }
	check "it goes on" wait_for 30 goes_on
	run ctr pause tick
	run ctr kill tick
	is "$rc" 0 "a paused container can be killed" "$err"
	check "and is gone" wait_for 15 ended tick
	is "$(state tick ExitCode)" 137 "with exit code 137"
else
	not_ok "a container to pause starts"
fi
ctr rm -f tick >/dev/null 2>&1

if start trap -- sh -c 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done'; then
	wait_for 30 eval 'ctr logs trap | grep -q ready'
	run ctr kill --signal TERM trap
	check "kill --signal reaches the payload" wait_for 15 ended trap
	is "$(state trap ExitCode)" 7 "which may choose its exit code"
else
	not_ok "a container that traps starts"
fi
ctr rm -f trap >/dev/null 2>&1

leak_check
stop_isolad
finish
