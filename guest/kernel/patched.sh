# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For fetch: those modules of Debian's kernel that our patches are for, built anew from
# Debian's sources and headers of the same version.  The kernel itself stays as it came.

# the folder in the sources, the patch, and what a .config says of it
PATCHED='
fs/fuse      fuse-submount-acl       CONFIG_FUSE_SUBMOUNT_POSIX_ACL
fs/overlayfs overlay-upper-unlinked  CONFIG_OVERLAY_FS_UPPER_UNLINKED
'

# What is missing to build modules, as words; nothing: they can be built.
patched_lacks() {
	local p missing=()
	for p in gcc:gcc make:make patch:patch xz:xz-utils objcopy:binutils; do
		command -v "${p%%:*}" >/dev/null || missing+=("${p#*:}")
	done
	echo "${missing[*]}"
}

patched_texts() { # what the result depends on, for the key
	local folder patch option
	while read -r folder patch option; do
		[ -z "$folder" ] || cat "$here/patches/$patch.patch"
	done <<<"$PATCHED"
}

# A package of exactly this version, or one that it depends on, unpacked into $work/kbuild.
patched_unpack() { # PACKAGE VERSION
	local deb
	deb=$(download "$1" "$2") && dpkg-deb -x "$deb" "$work/kbuild"
}

patched_headers() { # RELEASE VERSION: sets headers
	local p top=$work/kbuild
	headers=$top/usr/src/linux-headers-$1
	patched_unpack "linux-headers-$1" "$2" || return 1
	for p in $(apt-cache depends --important "linux-headers-$1=$2" |
		sed -nE 's/^ *Depends: (linux-(headers-.*-common|kbuild-.*))$/\1/p'); do
		patched_unpack "$p" "$2" || return 1
	done
	# it is not installed, so the other half is not where it believes
	sed -i "s#/usr/src/#$top/usr/src/#" "$headers/Makefile"
}

patched_sources() { # RELEASE VERSION FOLDER...
	local p folders=()
	p=linux-source-$(grep -oE '^[0-9]+\.[0-9]+' <<<"$1")
	patched_unpack "$p" "$2" || return 1
	folders=("${@:3}")
	mkdir -p "$work/src"
	tar -xf "$work/kbuild/usr/src/$p.tar.xz" -C "$work/src" --strip-components=1 \
		"${folders[@]/#/$p/}"
}

patched_build() { # FOLDER PATCH OPTION
	local ko
	patch -d "$work/src" -p1 -s -F0 <"$here/patches/$2.patch" || return 1
	log "building the modules of $1 with the patch $2"
	make -C "$headers" M="$work/src/$1" -j "$(nproc)" modules >"$work/log" 2>&1 </dev/null || {
		grep -nE 'error:|Error [0-9]|\*\*\*' "$work/log" | head -n 5 >&2
		return 1
	}
	for ko in "$work/src/$1"/*.ko; do
		if [ -e "$work/out/modules/${ko##*/}" ]; then
			objcopy --strip-debug "$ko" "$work/patched/${ko##*/}" || return 1
		fi
	done
	echo "$3=y" >>"$work/patched/config"
}

# Makes the patched modules in $work/patched, and there "config", which says so.
patched_make() { # RELEASE VERSION
	local missing table row
	missing=$(patched_lacks)
	if [ -n "$missing" ]; then
		log "missing packages: $missing"
		return 1
	fi
	table=$(sed '/^$/d' <<<"$PATCHED" | tr -s ' ')
	rm -rf --one-file-system "$work/kbuild" "$work/src" "$work/patched"
	mkdir -p "$work/patched"
	patched_headers "$@" || return 1
	# shellcheck disable=SC2046
	patched_sources "$@" $(cut -d ' ' -f 1 <<<"$table") || return 1
	echo "# Patches of the modules beside this file (guest/kernel/patches)" >"$work/patched/config"
	while read -r -a row; do
		patched_build "${row[@]}" || return 1
	done <<<"$table"
	rm -rf --one-file-system "$work/kbuild" "$work/src"
}
