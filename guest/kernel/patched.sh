# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For fetch: those modules of Debian's kernel that our patches are for, built anew from
# Debian's sources and headers of the same version.  The kernel itself stays as it came.

# the folder in the sources, the patch, and what a .config says of it
PATCHED=(
	"fs/fuse fuse-submount-acl CONFIG_FUSE_SUBMOUNT_POSIX_ACL"
	"fs/overlayfs overlay-upper-unlinked CONFIG_OVERLAY_FS_UPPER_UNLINKED"
)

# The packages that are missing to build modules, as words.
patched_lacks() { lacking gcc:gcc make:make patch:patch xz:xz-utils objcopy:binutils; }

patched_texts() { # what the result depends on, for the key
	local row folder patch option
	for row in "${PATCHED[@]}"; do
		read -r folder patch option <<<"$row"
		cat "$here/patches/$patch.patch"
	done
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
	local p folders=("${@:3}")
	p=linux-source-$(grep -oE '^[0-9]+\.[0-9]+' <<<"$1")
	patched_unpack "$p" "$2" || return 1
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
	local row
	rm -rf --one-file-system "$work/kbuild" "$work/src" "$work/patched"
	mkdir -p "$work/patched"
	patched_headers "$@" && patched_sources "$@" "${PATCHED[@]%% *}" || return 1
	echo "# Patches of the modules beside this file (guest/kernel/patches)" >"$work/patched/config"
	for row in "${PATCHED[@]}"; do
		# shellcheck disable=SC2086
		patched_build $row || return 1
	done
	rm -rf --one-file-system "$work/kbuild" "$work/src"
}
