# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For build and fetch: finished kernels in a cache folder, each in a folder named
# by the hash of all it is made of.  A result appears whole or not at all; of two
# makers of the same one waits; what was half done is gone on with.

log() { echo "kernel: $*" >&2; }
die() { log "$*"; exit 1; }

cache_default() { echo "${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/isola/kernels"; }

# The packages of those programs that are not there, as words.
lacking() { # PROGRAM:PACKAGE...
	local p missing=()
	for p in "$@"; do
		command -v "${p%%:*}" >/dev/null || missing+=("${p#*:}")
	done
	echo "${missing[*]}"
}

# The package that META stands for: linux-source -> linux-source-6.1
package_of() { # META PATTERN
	local p
	p=$(apt-cache depends --no-recommends --no-suggests --important "$1" 2>/dev/null |
		sed -nE "s/^ *Depends: ($2)\$/\1/p" | head -n 1)
	[ -n "$p" ] || die "apt knows no package $1: run 'apt-get update', or name a file with --package"
	echo "$p"
}

version_of() { # PACKAGE
	local v
	v=$(apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p')
	[ -n "$v" ] || die "apt cannot tell the version of $1: run 'apt-get update'"
	echo "$v"
}

key_of() { sha256sum | cut -c 1-16; } # of standard input

# Takes the place of the maker of $1/$2; ends the program when it is made already.
cache_begin() { # CACHE KEY: sets work and lock
	mkdir -p "$1" || die "cannot make the cache folder $1"
	work=$1/.work-$2 lock=$1/.lock-$2
	exec 9>"$lock"
	flock -n 9 || { log "another one makes it: waiting"; flock 9; }
	if [ -e "$1/$2/kernel.json" ]; then
		rm -f "$lock"
		echo "$1/$2"
		exit 0
	fi
	mkdir -p "$work"
	# apt fetches as a user of its own where it may
	chmod 755 "$work"
}

cache_end() { # CACHE KEY: $work/out becomes the result; the key may be another one
	sync -f "$work/out"
	rm -rf --one-file-system "${1:?}/$2"
	mv -T "$work/out" "$1/$2"
	rm -rf --one-file-system "$work"
	rm -f "$lock"
	echo "$1/$2"
}

# Downloads PACKAGE=VERSION into $work, once; apt checks its signature and hash.
download() { # PACKAGE VERSION: prints the file
	local f
	f=$work/$1_${2//:/%3a}.deb
	if [ ! -e "$f" ]; then
		log "downloading $1 $2"
		rm -rf "$work/dl"
		mkdir -m 777 "$work/dl"
		(cd "$work/dl" && apt-get -qq -o Acquire::Retries=3 download "$1=$2" \
			2> >(grep -v 'unsandboxed' >&2)) ||
			die "cannot download $1 $2: look at apt's sources and the network"
		mv "$work"/dl/*.deb "$f"
		rm -rf "$work/dl"
	fi
	echo "$f"
}
