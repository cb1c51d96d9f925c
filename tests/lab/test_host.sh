#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Is the lab a full Linux host?  What the other tests rely on, without Isola:
# when this fails, look no further.
. "$(dirname "$0")/../lib.sh"
need_root
cg=$(cgroup2_root)

now() { read -r a _ </proc/uptime; echo "$a"; }
group() { # NAME COMMAND...: in a cgroup of this test
	local g=$cg/$CGROUP-$1
	shift
	sh -c "echo \$\$ >$g/cgroup.procs; exec \"\$@\"" sh "$@"
}
event() { sed -n "s/^$3 //p" "$cg/$CGROUP-$1/$2"; }
add() { mkdir "$cg/$CGROUP-$1"; }
del() { rmdir "$cg/$CGROUP-$1"; }
set_to() { echo "$3" >"$cg/$CGROUP-$1/$2"; }

controllers() {
	local c
	[ "$(stat -fc %T "$cg")" = cgroup2fs ] || return 1
	for c in cpuset cpu io memory pids; do
		grep -qw $c "$cg/cgroup.subtree_control" || { echo "no $c"; return 1; }
	done
}
memory_max() {
	local k
	add m
	set_to m memory.max 16M
	group m sh -c 'head -c 64M /dev/zero | tail -c 64M >/dev/null'
	k=$(event m memory.events oom_kill)
	del m
	[ "$k" -ge 1 ]
}
pids_max() {
	local k
	add p
	set_to p pids.max 5
	group p sh -c 'for i in 1 2 3 4 5 6 7; do sleep 0.3 & done; wait'
	k=$(event p pids.events max)
	del p
	[ "$k" -ge 1 ]
}
cpu_max() {
	local k
	add c
	set_to c cpu.max '20000 100000'
	group c timeout 2 sh -c 'while :; do :; done'
	k=$(event c cpu.stat nr_throttled)
	del c
	[ "$k" -ge 5 ]
}
io_max() {
	local d a b
	d=$(cat /sys/block/vda/dev)
	add i
	set_to i io.max "$d wbps=1048576" || return
	a=$(now)
	group i dd if=/dev/zero of=/var/tmp/io bs=256k count=8 oflag=direct status=none
	b=$(now)
	rm -f /var/tmp/io
	del i
	echo "2 MiB at 1 MiB/s from $a to $b"
	awk "BEGIN { exit !($b - $a > 0.9) }"
}
freeze() {
	local p i
	add f
	sleep 5 & p=$!
	set_to f cgroup.procs $p
	set_to f cgroup.freeze 1
	for ((i = 0; i < 50; i++)); do
		[ "$(event f cgroup.events frozen)" = 1 ] && break
		sleep 0.1
	done
	[ "$(event f cgroup.events frozen)" = 1 ] || return
	set_to f cgroup.kill 1
	wait $p
	for ((i = 0; i < 50; i++)); do del f 2>/dev/null && return; sleep 0.1; done
	return 1
}
overlay() {
	local o=/var/tmp/ov rc=1
	mkdir -p $o/{l,u,w,m}
	echo low >$o/l/f
	mount -t overlay -o lowerdir=$o/l,upperdir=$o/u,workdir=$o/w overlay $o/m &&
		rm $o/m/f && test -c $o/u/f && echo new >$o/m/f && grep -q low $o/l/f && rc=0
	umount $o/m
	rm -r $o
	return $rc
}
user_ns() { unshare -Urpfm --mount-proc sh -c 'test $$ = 1 && test "$(id -u)" = 0'; }
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Ur id -u; }
time_ns() { unshare -Tf --boottime 100000 sh -c 'read a _ </proc/uptime; test ${a%.*} -gt 100000'; }
nat() { # namespace a - bridge - this host (nft masquerade) - namespace b
	local rc
	ip netns add a && ip netns add b
	ip link add br9 type bridge && ip addr add 10.9.0.1/24 dev br9 && ip link set br9 up
	ip link add va type veth peer name eth0 netns a
	ip link set va master br9 up
	ip -n a addr add 10.9.0.2/24 dev eth0
	ip -n a link set eth0 up
	ip -n a route add default via 10.9.0.1
	ip link add vb type veth peer name eth0 netns b
	ip addr add 10.8.0.1/24 dev vb
	ip link set vb up
	ip -n b addr add 10.8.0.2/24 dev eth0
	ip -n b link set eth0 up
	echo 1 >/proc/sys/net/ipv4/ip_forward
	nft -f - <<'N'
table ip t {
	chain post { type nat hook postrouting priority srcnat;
		ip saddr 10.9.0.0/24 oifname "vb" counter masquerade; };
}
N
	ip netns exec a ping -qc 2 -i 0.2 -W 4 10.8.0.2
	rc=$?
	nft delete table ip t
	ip netns del a
	ip netns del b
	ip link del br9
	return $rc
}
tap() { ip tuntap add tap9 mode tap vnet_hdr && ip link set tap9 up && ip link del tap9; }
kvm() { python3 -c 'import fcntl; f = open("/dev/kvm"); assert fcntl.ioctl(f, 0xae00) == 12; fcntl.ioctl(f, 0xae01, 0)'; }
delegate() {
	cat >"$T/delegate" <<'D'
g=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
mkdir "$g/x" && echo $$ >"$g/x/cgroup.procs" &&
	echo +memory >"$g/cgroup.subtree_control" && cat "$g/x/memory.max"
D
	systemd-run --wait --pipe -q -p Delegate=yes sh "$T/delegate"
}

check "cgroup v2 has all controllers" controllers
check "memory.max kills" memory_max
check "pids.max holds" pids_max
check "cpu.max throttles" cpu_max
check "io.max slows down" io_max
check "cgroup.freeze and cgroup.kill" freeze
check "overlayfs on ext4" overlay
check "user, pid and mount namespaces" user_ns
check "user namespace of nobody" nobody
check "time namespace" time_ns
check "veth, bridge, nftables NAT" nat
check "tap device" tap
check "nested KVM makes a machine" kvm
if [ -d /run/systemd/system ]; then
	check "systemd has no failed unit" systemctl is-system-running --wait
	check "systemd delegates a cgroup" delegate
else
	skip "systemd" "booted without --systemd"
fi
finish
