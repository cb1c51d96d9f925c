#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ctrctl run: what each flag makes of the container, seen from inside it, and
# what a wrong or missing one says. Peer: Docker's command line reference.
. "$(dirname "$0")/../lib.sh"
need_root
need_program isolad isola-keeper isola-image ctrctl
start_isolad || { not_ok "isolad starts"; finish; }
busybox_tar "$T/root.tar"
check "an image is imported" ctr import -c 'ENV IMG=1' "$T/root.tar" box
check "a container runs" ctr run --rm box true
leak_mark

inside() { # WANT NAME FLAG... -- COMMAND...: what the payload prints
	local want=$1 name=$2 flags=()
	shift 2
	while [ "$1" != -- ]; do flags+=("$1"); shift; done
	shift
	run ctr run --rm "${flags[@]}" box "$@"
	is "$rc $out" "0 $want" "$name" "$err"
}
refused() { # REGEX NAME ARG...: exit status 125 and a message
	local regex=$1 name=$2
	shift 2
	run ctr "$@"
	like "$rc $err" "^125 .*$regex" "$name"
}
first() { # NAME FIELD-REGEX FLAG... -- : what inspect tells of a created one
	local name=$1 path=$2 want=$3
	shift 3
	run ctr create --name cc "$@" box true
	if [ $rc != 0 ]; then
		not_ok "$name" "$err"
		return
	fi
	is "$(ctr inspect cc | jq -cS ".[0] | $path")" "$want" "$name"
	ctr rm cc >/dev/null
}

# ------------------------------------------------------------ the environment

printf '# a comment\n\nA=file\nB=two words\nHOMELESS\nC\n' >"$T/env"
export C=ours
inside "flag file 1 two words ours |" "-e and --env-file" \
	--env-file "$T/env" -e A=flag -e D=file -- \
	sh -c 'echo $A $D $IMG $B $C "|$HOMELESS" | tr -d "\n" | sed "s/ *|$/ |/"'
inside "ours" "-e NAME passes our own value" -eC -- sh -c 'echo $C'
inside "/tmp" "-w" -w /tmp -- pwd
inside "/made/here" "-w makes the folder" --workdir=/made/here -- pwd
inside "1000 1001" "-u by number" -u 1000:1001 -- sh -c 'echo $(id -u) $(id -g)'
inside "65534 65534" "-u by name" --user nobody -- sh -c 'echo $(id -u) $(id -g)'
inside "0 4242" "--group-add" --group-add 4242 -- id -G
inside "x y" "--entrypoint" --entrypoint /bin/echo -- x y
inside "guest" "--hostname" -h guest -- hostname
inside "dom.example" "--domainname" --domainname dom.example -- cat /proc/sys/kernel/domainname
inside "10.0.0.9" "--add-host" --add-host db:10.0.0.9 -- sed -n 's/[[:space:]].*db$//p' /etc/hosts
inside "nameserver 9.9.9.9 options ndots:3 search a.example" "--dns, --dns-option, --dns-search" \
	--dns 9.9.9.9 --dns-option ndots:3 --dns-search a.example -- \
	sh -c 'for k in nameserver options search; do grep ^$k /etc/resolv.conf; done | xargs'

# ---------------------------------------------------------------------- files

mkdir "$T/vol" && echo host >"$T/vol/file" && chmod -R a+rwX "$T/vol"
inside "host" "-v" -v "$T/vol:/v" -- cat /v/file
inside "ro" "-v ...:ro" -v "$T/vol:/v:ro" -- sh -c 'echo x 2>/dev/null >/v/file || echo ro'
inside "host" "--mount type=bind" --mount "type=bind,src=$T/vol,dst=/v,readonly" -- cat /v/file
inside "1024 1777" "--mount type=tmpfs" \
	--mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777 -- \
	sh -c 'echo $(df -k /t | tail -n 1 | sed "s/ \+/ /g" | cut -d" " -f2) $(stat -c %a /t)'
inside "tmpfs" "--tmpfs" --tmpfs /t:size=64k -- sh -c 'grep " /t " /proc/mounts | cut -d" " -f1'
inside "ro rw" "--read-only leaves a tmpfs writable" --read-only --tmpfs /t -- \
	sh -c 'echo $(touch /x 2>/dev/null && echo rw || echo ro) $(touch /t/x && echo rw)'
inside "8192" "--shm-size" --shm-size 8m -- \
	sh -c 'df -k /dev/shm | tail -n 1 | sed "s/ \+/ /g" | cut -d" " -f2'
(cd "$T" && run ctr run --rm -v ./vol:/v box cat /v/file && echo "$out" >"$T/rel")
is "$(cat "$T/rel")" host "-v with a relative path"
refused "mount.*target is missing" "--mount without a target" run --mount type=bind,src=/x box true
refused "unknown option .*bogus" "--mount with an unknown option" run --mount bogus=1 box true
refused "/nowhere" "--mount of what is not there" run --rm --mount type=bind,src=/nowhere,dst=/x box true
refused "no volume name" "-v with a name that is none" run -v a%b:/x box true

# --------------------------------------------------------------------- rights

caps() { printf 'sed -n "s/^CapEff:\t//p" /proc/self/status'; }
inside "0000000000000000" "--cap-drop ALL" --cap-drop ALL -- sh -c "$(caps)"
inside "0000000000002000" "--cap-add" --cap-drop ALL --cap-add NET_RAW -- sh -c "$(caps)"
inside "1" "--security-opt no-new-privileges" --security-opt no-new-privileges -- \
	sed -n 's/^NoNewPrivs:\t//p' /proc/self/status
inside "2" "a seccomp filter is the default" -- sed -n 's/^Seccomp:\t//p' /proc/self/status
inside "0" "seccomp=unconfined" --security-opt seccomp=unconfined -- \
	sed -n 's/^Seccomp:\t//p' /proc/self/status
cat >"$T/profile.json" <<'END'
{"defaultAction": "SCMP_ACT_ALLOW",
 "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}
END
inside "refused" "seccomp=FILE" --security-opt "seccomp=$T/profile.json" -- \
	sh -c 'mkdir /x 2>/dev/null || echo refused'
refused "security-opt.*nowhere" "a profile that is not there" \
	run --security-opt seccomp=/nowhere box true
inside "0 yes" "--privileged" --privileged -- \
	sh -c 'echo $(sed -n "s/^Seccomp:\t//p" /proc/self/status) $([ -e /dev/kmsg ] && echo yes)'
inside "100 200" "--ulimit" --ulimit nofile=100:200 -- sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)'
refused "ulimit.*want name=soft" "a bad --ulimit" run --ulimit nofile box true
inside "500" "--oom-score-adj" --oom-score-adj 500 -- cat /proc/self/oom_score_adj

# ----------------------------------------------------------------- namespaces

ns() { readlink "/proc/self/ns/$1"; }
inside "lo" "no network but lo is the default" -- sh -c 'ls /sys/class/net | xargs'
inside "lo" "--network none" --network none -- sh -c 'ls /sys/class/net | xargs'
inside "$(in_net readlink /proc/self/ns/net)" "--network host" --network host -- readlink /proc/self/ns/net
inside "$(ns pid)" "--pid host" --pid host -- readlink /proc/self/ns/pid
inside "$(ns ipc)" "--ipc host" --ipc host -- readlink /proc/self/ns/ipc
inside "$(ns uts)" "--uts host" --uts host -- readlink /proc/self/ns/uts
inside "$(ns user)" "--userns host" --userns host -- readlink /proc/self/ns/user
inside "$(ns cgroup)" "--cgroupns host" --cgroupns host -- readlink /proc/self/ns/cgroup
run ctr run --rm box readlink /proc/self/ns/user
isnt "$out" "$(ns user)" "a user namespace of its own is the default"
inside "33" "--sysctl" --sysctl kernel.shm_rmid_forced=1 --sysctl net.ipv4.ip_default_ttl=33 -- \
	cat /proc/sys/net/ipv4/ip_default_ttl
refused "kernel.pid_max" "a sysctl of the whole host" run --sysctl kernel.pid_max=9 box true
inside "1 2" "--init is process 1" --init -- sh -c 'echo $(cat /proc/1/stat | cut -d" " -f1) $$'

# ------------------------------------------------- what inspect tells of them

first "-l, --label-file" '.Config.Labels | [.a, .b, .c]' '["1","","x y"]' \
	-l a=1 --label b --label-file <(echo 'c=x y')
first "--restart" .HostConfig.RestartPolicy '{"MaximumRetryCount":3,"Name":"on-failure"}' \
	--restart on-failure:3
first "--stop-signal, --stop-timeout" '[.Config.StopSignal, .Config.StopTimeout]' '["HUP",3]' \
	--stop-signal HUP --stop-timeout 3
first "--log-opt" .HostConfig.LogConfig.Config '{"max-file":"2","max-size":"10k"}' \
	--log-opt max-size=10k --log-opt max-file=2
first "--log-driver" .HostConfig.LogConfig.Type '"none"' --log-driver none
first "--expose" '.Config.ExposedPorts | keys' '["53/udp","80/tcp"]' --expose 80 --expose 53/udp
first "--no-healthcheck" .Config.Healthcheck.Test '["NONE"]' --no-healthcheck
first "--annotation" .HostConfig.Annotations.k '"v"' --annotation k=v
first "--runtime and --isolation" .HostConfig.Runtime '"ctr"' --runtime ctr --isolation container
first "-i alone" '[.Config.OpenStdin, .Config.Tty]' '[true,false]' -i
rm -f "$T/cid"
first "--cidfile" '.Id | length' 64 --cidfile "$T/cid"
is "$(wc -c <"$T/cid")" 64 "--cidfile holds the id"
refused "cidfile.*exists already" "--cidfile never overwrites" create --cidfile "$T/cid" box true

# ---------------------------------------------------------------- what is not

for f in "link a" "gpus all" \
	"link-local-ip 1.2.3.4" "kernel-memory 1m" "cgroup-parent /x"; do
	# shellcheck disable=SC2086
	refused "--${f% *} is not supported yet: .{12}" "--${f% *} says why not" run --$f box true
done
refused "-p.*NetworkMode .--network. none" "-p without a network" run --network none -p 80:80 box true
refused "--pull takes missing, always or never, not \"often\"" "a bad --pull" run --pull often box true
refused "--all-tags is not supported yet: one tag" "pull -a" pull -a box
refused "--platform a/b/c/d: must be os/arch" "a bad --platform" run --platform a/b/c/d box true
refused "only linux images" "another system" run --platform windows/amd64 box true
refused "platform \(linux/[a-z0-9/]+\) does not match the specified platform \(linux/s390x\)" \
	"an image of another platform" run --pull never --platform linux/s390x box true
refused "unknown flag: --bogus" "an unknown flag" run --bogus box true
refused "unknown shorthand flag: 'z' in -itz" "an unknown letter" run -itz box true
refused "flag needs an argument: --env" "a flag without its value" run --env
refused "requires at least 1 argument" "no image" run
refused "--memory takes a size.*\"lots\"" "a bad size" run --memory lots box true
refused "--cpus takes a number" "a bad number of CPUs" run --cpus many box true
refused "--stop-timeout takes a whole number" "a bad number" run --stop-timeout x box true
refused "--rm takes true or false" "a bad yes or no" run --rm=maybe box true
refused "--network" "an unknown network" run --network lan box true
refused "--ipc" "--ipc container:" run --ipc container:x box true
refused "--isolation.*vm" "microVMs are not there yet" run --isolation vm box true
refused "AutoRemove.*restart policy" "--rm and --restart exclude each other" run --rm --restart always box true
refused "--log-driver" "an unknown log driver" run --log-driver syslog box true
refused "--cap-add" "an unknown capability" run --cap-add FLYING box true
for f in "memory 64m" "cpus 0.5" "pids-limit 9" "cpu-shares 99" "memory-reservation 32m" \
	"cpuset-cpus 0" "blkio-weight 100"; do
	n=${f% *}
	case $n in m*) c=memory ;; cpuset*) c=cpuset ;; c*) c=cpu ;; p*) c=pids ;; b*) c=io ;; esac
	if has_controller $c; then
		skip "--$n is refused without its controller" "the controller is here"
	else
		# shellcheck disable=SC2086
		refused "--$n" "--$n is refused without its controller" run --rm --$f box true
	fi
done
run ctr ps -aq
is "$out" "" "what was refused left no container"
ctr rm -f $(ctr ps -aq) >/dev/null 2>&1
leak_check
finish
