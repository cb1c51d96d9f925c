#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# time limit: 150 s
#
# Isola as a systemd service: installed as "meson install" would, started by
# its socket, restarted, upgraded, killed and hung under a running container,
# which must notice nothing.
. "$(dirname "$0")/../lib.sh"
need_root
[ -d /run/systemd/system ] || skip_all "booted without --systemd"
[ -e "$ISOLA_SRC/packaging/isolad.service.in" ] || skip_all "there is no packaging/isolad.service.in"
need_program isolad isola-keeper isola-image ctrctl
# shellcheck disable=SC2034
SOCK=/run/isola/isola.sock

# ------------------------------------------------------------------- helpers

# meson is not in the lab; what it would install, and where to, it wrote down.
install_all() {
	local from to
	while IFS=$'\t' read -r from to; do
		mkdir -p "${to%/*}"
		cp -a "$from" "$to" || return
		echo "$to" >>"$T/installed"
	done < <(jq -r 'to_entries[] | "\(.key)\t\(.value)"' "$ISOLA_BUILD/meson-info/intro-installed.json")
}
installed() { grep -m 1 "/$1\$" "$T/installed"; } # NAME: its path
show() { systemctl show -P "$1" isolad.service; } # PROPERTY
main_pid() { show MainPID; }
is_active() { systemctl is-active --quiet isolad.service; }
inspect() { api GET "/containers/$1/json" | head -n -1 | jq -r "$2"; } # NAME FILTER
restarted() { # OLDPID: another one, that answers
	[ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ] && is_active && isolad_ping
}
# Lines 0, 1, 2 ... without a gap or a repetition, and more of them than before.
counted=0
no_gap() {
	local n
	ctr logs count >"$T/log" 2>&1 || return
	n=$(wc -l <"$T/log")
	[ "$n" -gt "$counted" ] || { echo "no new line after $counted"; return 1; }
	counted=$n
	seq 0 $((n - 1)) | cmp - "$T/log"
}
unharmed() { # AFTER-WHAT: the container's process, its state and its log
	is "$(inspect count .State.Pid) $(inspect count .State.Running)" "$pid true" \
		"$1: the container is the same process"
	check "$1: that process lives" is_running "$pid"
	check "$1: the log has no gap" wait_for 30 no_gap
	run ctr exec count echo inside
	is "$rc $out" "0 inside" "$1: exec works" "$err"
}
give_up() {
	diag "$(systemctl status --no-pager -l isolad.service 2>&1 | tail -n 20)"
	diag "$(journalctl --no-pager -b -u isolad.service -u isolad.socket 2>&1 | tail -n 40)"
	clean_up
	finish
}
clean_up() {
	ctr rm -f count exits hog >/dev/null 2>&1
	systemctl stop isolad.socket isolad.service >/dev/null 2>&1
	xargs -r rm -f <"$T/installed"
	systemctl daemon-reload
	systemctl reset-failed >/dev/null 2>&1
}

# ----------------------------------------------------------------- installing

check "everything is installed" install_all
service=$(installed isolad.service) socket=$(installed isolad.socket)
isnt "$service" "" "with a service unit"
[ -n "$service" ] || give_up
if grep -q '\.conf$' "$T/installed"; then
	systemd-sysusers >/dev/null 2>&1
	systemd-tmpfiles --create >/dev/null 2>&1
fi
getent group isola >/dev/null || groupadd -r isola
systemctl daemon-reload
# shellcheck disable=SC2086
is "$(systemd-analyze verify --man=no $service $socket 2>&1 | grep -F isolad)" "" "systemd finds no fault"
is "$(show Type)" notify "the service reports when it is ready"
is "$(show Delegate)" yes "it owns its cgroups"
is "$(show KillMode)" process "a stop leaves payloads alone"

# ------------------------------------------------------------------- starting

if [ -n "$socket" ]; then
	check "the socket unit starts" systemctl start isolad.socket
	is "$(stat -c '%a %G' $SOCK)" "660 isola" "the group isola may use the socket, nobody else"
	is "$(systemctl is-active isolad.service)" inactive "nothing runs yet"
	check "the first request is answered" isolad_ping
	check "by a daemon that it started" is_active
else
	skip "socket activation" "there is no isolad.socket"
	check "the service starts" systemctl start isolad.service
fi
is_active || give_up
is "$(show NotifyAccess)" main "READY came from the daemon itself"
isnt "$(main_pid)" 0 "systemd knows its process"

busybox_tar "$T/root.tar"
RUN_LIMIT=60 run ctr import "$T/root.tar" busybox:lab
is "$rc" 0 "an archive becomes an image" "$err"
RUN_LIMIT=60 run ctr run -d --name count --network none busybox:lab \
	sh -c 'i=0; while :; do echo $i; i=$((i + 1)); sleep 0.1; done'
is "$rc" 0 "a container starts" "$err"
pid=$(inspect count .State.Pid)
is_running "${pid:-0}" || give_up
like "$(cat "/proc/$pid/cgroup")" "0::/.*isola" "it is in a cgroup of isola's"

RUN_LIMIT=60 run ctr run --name hog --network none -m 32m busybox:lab sh -c 'exec tail -c 200m /dev/zero'
is "$rc $(inspect hog .State.OOMKilled)" "137 true" "limits hold below the delegated cgroup" "$err"
ctr rm hog >/dev/null 2>&1
check "the log counts" wait_for 30 no_gap

# ------------------------------------------------- restart, upgrade, stop, crash

old=$(main_pid)
check "systemctl restart" systemctl restart isolad.service
check "another process answers" wait_for 10 restarted "$old"
unharmed restart

# An upgrade: another file under the same name, as a package manager does it.
for p in isolad isola-keeper isola-image; do
	f=$(installed $p)
	cp -a "$f" "$f.new" && echo >>"$f.new" && mv "$f.new" "$f"
done
old=$(main_pid)
check "systemctl restart after an upgrade" systemctl restart isolad.service
check "the new one answers" wait_for 10 restarted "$old"
is "$(stat -Lc %i "/proc/$(main_pid)/exe")" "$(stat -c %i "$(installed isolad)")" \
	"it runs from the new file"
unharmed upgrade

RUN_LIMIT=60 run ctr run -d --name exits --network none busybox:lab \
	sh -c 'trap "echo bye; exit 5" TERM; echo ready; while :; do sleep 0.1; done'
is "$rc" 0 "a second container starts" "$err"
wait_for 30 eval 'ctr logs exits | grep -q ready'
child=$(inspect exits .State.Pid)
check "systemctl stop" systemctl stop isolad.socket isolad.service
check "the container does not stop with it" is_running "$pid"
kill -TERM "$child"
check "one that ends meanwhile ends" wait_for 10 eval '! is_running $child'
check "systemctl start" systemctl start isolad.service
check "it answers" wait_for 10 isolad_ping
unharmed "stop and start"
is "$(inspect exits '.State | "\(.Status) \(.ExitCode)"')" "exited 5" \
	"the exit while nobody looked is known"
like "$(ctr logs exits 2>&1)" bye "and its last words"

old=$(main_pid)
kill -KILL "$old"
check "a killed daemon comes back" wait_for 30 restarted "$old"
unharmed "kill -9"

# The watchdog ends a daemon that hangs (SIGABRT, with SIGCONT behind it).
usec=$(show WatchdogUSec)
case $usec in
infinity | 0 | '') not_ok "the watchdog is on" "WatchdogUSec=$usec" ;;
*min* | *h*) skip "the watchdog ends a hung daemon" "it waits too long for a test: $usec" ;;
*)
	old=$(main_pid)
	kill -STOP "$old"
	check "the watchdog ends a hung daemon ($usec)" wait_for 30 restarted "$old"
	restarted "$old" || kill -CONT "$old"
	unharmed "the watchdog"
	;;
esac

is "$(journalctl --no-pager -b -q -u isolad.service | grep -c -i -E 'sanitizer|assert')" 0 \
	"no assertion in the journal"
[ $tap_failed = 0 ] || give_up
clean_up
check "no mount is left" sh -c '! grep -E "/(run|var/lib)/isola/" /proc/self/mountinfo'
check "no process is left" sh -c '! pgrep -a isola'
finish
