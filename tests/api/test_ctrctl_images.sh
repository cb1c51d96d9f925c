#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ctrctl's verbs that list and show, and those of images: ps, inspect, top,
# stats, events, info, version; load, import, images, tag, rmi, prune.
. "$(dirname "$0")/../lib.sh"
need_root
need_program isolad isola-keeper isola-image ctrctl
start_isolad || { not_ok "isolad starts"; finish; }
busybox_tar "$T/root.tar"
check "import" ctr import -c 'CMD ["echo","hi"]' -c 'ENV A=1' -m note "$T/root.tar" box:one
check "a container runs" ctr run --rm box:one
leak_mark

good() { # WANTED-OUTPUT NAME ARG...
	local want=$1 name=$2
	shift 2
	run ctr "$@"
	is "$rc $out" "0 $want" "$name" "$err"
}
says() { # REGEX NAME ARG...
	local regex=$1 name=$2
	shift 2
	run ctr "$@"
	like "$rc $out" "^0 .*$regex" "$name" "$err"
}
bad() { # RC REGEX NAME ARG...
	local want=$1 regex=$2 name=$3
	shift 3
	run ctr "$@"
	like "$rc $err" "^$want .*$regex" "$name"
}

# ---------------------------------------------------------------------- import

good hi "import -c CMD" run --rm box:one
good '["A=1"]' "import -c ENV" image inspect -f '{{json .Config.Env}}' box:one
good note "import -m" image inspect -f '{{.Comment}}' box:one
run bash -c 'gzip -c "$T/root.tar" | ctr import - box:gz'
like "$rc $out" "^0 sha256:[0-9a-f]{64}$" "import - of gzip prints the id" "$err"
good ok "which runs" run --rm box:gz echo ok
if command -v zstd >/dev/null; then
	zstd -q "$T/root.tar" -o "$T/root.tar.zst"
	says "sha256:" "import of zstd" import "$T/root.tar.zst" box:zst
else
	skip "import of zstd" "no zstd here"
fi
bad 1 "/nowhere" "import of no file" import /nowhere box:x
echo "no archive at all" >"$T/junk"
bad 1 "." "import of junk" import "$T/junk" box:junk

# ------------------------------------------------------------------------ load

if command -v umoci >/dev/null && command -v skopeo >/dev/null; then
	(
		umoci init --layout "$T/oci" && umoci new --image "$T/oci:v1" &&
			umoci unpack --image "$T/oci:v1" "$T/bundle" &&
			tar -C "$T/bundle/rootfs" -xf "$T/root.tar" &&
			umoci repack --image "$T/oci:v1" "$T/bundle" &&
			umoci config --image "$T/oci:v1" --config.cmd echo --config.cmd oci &&
			umoci gc --layout "$T/oci" &&
			skopeo copy "oci:$T/oci:v1" "docker-archive:$T/docker.tar:my/app:v2" &&
			tar -C "$T/oci" -cf "$T/oci.tar" . && gzip -k "$T/docker.tar"
	) >"$T/made" 2>&1 || diag "$(cat "$T/made")"
	rm -rf "$T/bundle"
	says "Loaded image: .*my/app:v2" "load -i of a docker-archive" load -i "$T/docker.tar"
	good oci "which runs" run --rm my/app:v2
	says "Untagged: my/app:v2 *.*Deleted: sha256:" "rmi of its only name" rmi my/app:v2
	run bash -c 'ctr load <"$T/docker.tar.gz"'
	like "$rc $out" "^0 .*my/app:v2" "load of a compressed one from standard input" "$err"
	says "Loaded image" "load -i of an OCI layout folder" load -i "$T/oci"
	says "Loaded image" "load -q -i of an OCI layout as tar" load -q -i "$T/oci.tar"
	ctr rmi -f $(ctr images -q --no-trunc my/app) >/dev/null
else
	skip "load" "no umoci or skopeo here"
fi
bad 1 "/nowhere" "load of no file" load -i /nowhere
bad 1 "." "load of junk" load -i "$T/junk"

# -------------------------------------------------- images, tag, rmi, inspect

good "" "tag" tag box:one other:two
says "REPOSITORY +TAG +IMAGE ID +CREATED +SIZE" "images" images
says "other +two" "image ls" image ls
good "other two" "images NAME --format" images --format '{{.Repository}} {{.Tag}}' other
good "other:two" "images -f reference=" images -f 'reference=other:*' --format '{{.Repository}}:{{.Tag}}'
id=$(ctr image inspect -f '{{.Id}}' box:one)
good "$id" "images -q --no-trunc" images -q --no-trunc other
says "DIGEST" "images --digests" images --digests
bad 1 "mentioned|nvalid filter" "an unknown filter" images -f frob=1
good "$id" "inspect finds images, too" inspect -f '{{.Id}}' --type image other:two
good "Untagged: other:two" "rmi of one name of two" rmi other:two
bad 1 "No such image" "rmi of none" rmi other:two
bad 1 "No such image" "tag of none" tag other:two x
bad 1 "." "tag with a bad name" tag box:one 'UPPER:x'
ctr create --name user1 box:one >/dev/null
bad 1 "user1|in use|being used|is using" "rmi of what a container uses" rmi box:one
ctr rm user1 >/dev/null
# one more where zstd is
n=$(ctr images -q | sort -u | wc -l)
says "Images +$n +0 +[0-9.]+MB" "system df" system df
says '"Type":"Image Blobs"' "system df --format json" system df --format json
says "UNIQUE SIZE" "system df -v" system df -v
bad 1 "leave out --format" "system df -v --format" system df -v --format x
says "The store is good" "system check" system check
blob=$(ls "$T"/state/images/blobs/sha256/* | head -n 1)
mv "$blob" "$T/blob"
bad 1 "" "system check of a store that lacks a blob" system check
like "$out" "^Image sha256:[0-9a-f]{12} lacks blob sha256:[0-9a-f]{64}: load or pull it again" "says which"
mv "$T/blob" "$blob"
touch "$T/state/images/blobs/sha256/readme"
says "Repaired: images/blobs/sha256/readme is no blob" "system check --repair" system check --repair
says "The store is good" "the store is good again" system check
says "Total reclaimed" "system prune --volumes" system prune -f --volumes
bad 1 "say -f" "system prune without -f" system prune
ctr create --name old1 box:one >/dev/null
says "Deleted Containers:" "system prune" system prune -f
good "" "removes stopped containers" ps -aq
says "Total reclaimed space: [1-9]" "image prune -a -f" image prune -af
good "" "leaves nothing" images -q
ctr import "$T/root.tar" box:one >/dev/null
like "$(ctr image ls --help)" "^Usage: ctrctl image ls " "help of image ls names the group"
like "$(ctr image rm --help)" "Alias: ctrctl image remove" "its alias, too"
bad 125 "image frob" "an unknown command of image" image frob

# ------------------------------------------------------------- ps and friends

ctr create --name one -l k=v -l n=1 box:one true >/dev/null
ctr run --name two box:one sh -c 'exit 3'
ctr run -d --name three --hostname h3 box:one sh -c 'dd if=/dev/zero of=/f bs=1k count=64 2>/dev/null; sleep 1000' >/dev/null
says "CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +ISOLATION +NAMES" "ps" ps
good three "ps lists what runs" ps --format '{{.Names}}'
good "$(printf 'three\ntwo\none')" "ps -a, the newest first" ps -a --format '{{.Names}}'
good "$(printf 'three\ntwo')" "ps -n" ps -n 2 --format '{{.Names}}'
good three "ps -l" ps -l --format '{{.Names}}'
is "$(ctr ps -q | wc -c) $(ctr ps -q --no-trunc | wc -c)" "13 65" "ps -q, --no-trunc"
says "SIZE" "ps -s" ps -s
says "two Exited \(3\)" "ps -f status=" ps -af status=exited --format '{{.Names}} {{.Status}}'
good one "ps -f label=" ps -a -f label=k=v --format '{{.Names}}'
good "$(printf 'two\none')" "ps -f twice is or" ps -a -f name=one -f name=two --format '{{.Names}}'
good two "ps -f exited=" ps -a -f exited=3 --format '{{.Names}}'
good "$(printf 'IMAGE     NAMES\nbox:one   three')" "a table of one's own" ps --format 'table {{.Image}}\t{{.Names}}'
good '"box:one"' "a JSON format" ps -l --format '{{json .Image}}'
bad 1 "frob" "an unknown filter" ps -f frob=1
bad 125 "last" "ps -n many" ps -n many
bad 1 "." "a broken template" ps -a --format '{{.Names'
bad 125 "accepts no arguments" "ps x" ps x
good '3 "/two"' "inspect -f" inspect -f '{{.State.ExitCode}} {{json .Name}}' two
run ctr inspect one two
is "$(echo "$out" | jq length)" 2 "inspect of two is a list of two"
run ctr inspect none
is "$rc $out" "1 []" "inspect of none is an empty list"
says "PID" "top" top three
says "sleep 1000" "top shows the command" top three
says "COMMAND" "top with options of ps" top three -o pid,comm
says "three" "stats --no-stream" stats --no-stream
good three "stats --format" stats --no-stream --format '{{.Name}}' three
good three "update --restart" update --restart on-failure three
begin=$(date +%s)
ctr rename two deux
ctr rm -f three >/dev/null
sleep 0.3
run ctr events --since $((begin - 1)) --until "$(date +%s).999" --filter type=container --format '{{.Action}}'
like "$(echo $out)" "rename kill die destroy|rename .*die.* destroy" "events, with a filter and a format"
run ctr events --since $((begin - 1)) --until "$(date +%s).999" --filter event=rename
like "$out" "container rename [0-9a-f]{64} \(.*oldName=/?two" "events as Docker prints them"
says "Server Version" "info" info
good 2 "info --format" info --format '{{.Containers}}'
says "API version" "version" version
good "$(ctr --version | sed 's/.* //')" "version --format" version --format '{{.Client.Version}}'
says "Usage: ctrctl" "--help" --help
for v in run create start stop restart kill rm ps inspect logs exec attach wait pause unpause top \
	stats update rename prune images load import tag rmi events info version; do
	run ctr $v --help
	[[ "$rc $out" == "0 Usage: ctrctl $v "* ]] || break
done
is "$v $rc" "version 0" "every verb has --help"
ctr rm -f $(ctr ps -aq) >/dev/null
leak_check
finish
