# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the benchmarks share: a private mount namespace with cgroup2 where the
# peers look for it, bundles, an isolad of one's own, and cleaning up.

SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${ISOLA_BUILD:-$SRC/build/release}
export PATH=$BUILD:$BUILD/bench:$PATH
die() { echo "bench: $*" >&2; exit 1; }

# Re-executes the script in a mount namespace of its own, where cgroup2 alone is
# at /sys/fs/cgroup: crun and runc refuse hybrid hierarchies. Nothing outside
# sees it.
private_mounts() {
	[ "$(id -u)" = 0 ] || die "needs root"
	if [ -z "${BENCH_PRIVATE:-}" ]; then
		BENCH_PRIVATE=1 exec unshare -m --propagation private "$0" "$@"
	fi
	if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
		umount -l /sys/fs/cgroup 2>/dev/null || :
		mount -t cgroup2 cgroup2 /sys/fs/cgroup || die "cannot mount cgroup2"
	fi
	D=$(mktemp -d /var/tmp/isola-bench.XXXXXX)
	# What all of them keep in /run is on a tmpfs, as /run is.
	R=$D/run
	mkdir "$R" && mount -t tmpfs -o mode=755 tmpfs "$R" || die "cannot mount a tmpfs"
	trap bench_cleanup EXIT
}

bench_cleanup() {
	set +e
	[ -z "${DAEMON:-}" ] || { kill "$DAEMON" && wait "$DAEMON"; } 2>/dev/null
	find "/sys/fs/cgroup/isola-bench-$$" -depth -type d -exec rmdir {} + 2>/dev/null
	umount -l "$R"
	rm -rf "$D"
}

# ROOTFS: busybox and its links.
make_rootfs() {
	mkdir -p "$1"/{bin,etc,proc,sys,dev,tmp}
	cp "$(command -v busybox)" "$1/bin/busybox"
	for i in sh true sleep cat echo; do ln -s busybox "$1/bin/$i"; done
	echo 'root:x:0:0:root:/:/bin/sh' >"$1/etc/passwd"
}

# BUNDLE ARGS-JSON: what `crun spec` makes, without what Debian's crun 1.8 cannot
# do as root without CAP_SYS_RESOURCE (device rules and rlimits).
make_bundle() {
	mkdir -p "$1"
	make_rootfs "$1/rootfs"
	(cd "$1" && rm -f config.json && crun spec)
	jq --argjson args "$2" '.process.terminal = false | .process.args = $args |
		del(.process.rlimits) | .linux.resources = {}' "$1/config.json" >"$1/c" &&
		mv "$1/c" "$1/config.json"
}

# Starts isolad with image busybox; containers have no network, as `crun run` gives none.
start_isolad() {
	export ISOLA_SOCKET=$D/isola.sock
	isolad --state "$D/state" --run "$R/run" --socket "$ISOLA_SOCKET" \
		--cgroup "/isola-bench-$$" --default-network none 2>"$D/isolad.log" &
	DAEMON=$!
	for _ in $(seq 200); do
		ctrctl version >/dev/null 2>&1 && break
		kill -0 "$DAEMON" || { cat "$D/isolad.log" >&2; die "isolad did not start"; }
		sleep 0.05
	done
	make_rootfs "$D/imgroot"
	tar -C "$D/imgroot" -c . | ctrctl import -c 'CMD ["/bin/true"]' - busybox >/dev/null ||
		die "import failed"
}

host_line() {
	echo "host: $(nproc) cpus, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)," \
		"Linux $(uname -r), load $(cut -d' ' -f1 /proc/loadavg);" \
		"$(crun --version | head -n 1), $(runc --version | head -n 1)"
}
