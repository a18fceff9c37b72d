#!/usr/bin/env bash
# Images beside the tools that one would use instead: push and pull of a large image beside skopeo, layers compressed
# beside pigz and zstd. Prints seconds, processor seconds and peak memory of each, taken in turns; of memory all that is
# resident, and what is the process's own (anonymous), which no other can share and the system cannot take back.
#
#     bench/image.sh STATIC_PORTEND [--rounds N] [--megabytes N]
#
# Needs docker-registry, skopeo, pigz, zstd and GNU time.
set -euo pipefail
portend=$(realpath "$1")
shift
rounds=3 megabytes=2048
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --megabytes) megabytes=$2 ;;
        *) echo "unknown: $1" >&2; exit 2 ;;
    esac
    shift 2
done
scratch=$(mktemp -d)
cd "$scratch"
registry=
finish() {
    if [[ -n $registry ]]; then kill "$registry"; fi
    rm -rf "$scratch"
}
trap finish EXIT

# take NAME COMMAND...: one measurement, as a line "NAME seconds processor-seconds KiB KiB-anonymous"
take() {
    local timer child anonymous=0 key value
    # what an earlier one left to be written is not this one's work
    sync
    /usr/bin/time -o time -f '%e %U %S %M' "${@:2}" >out 2>&1 &
    timer=$!
    # the system keeps no peak of it: looked at fifty times a second
    while kill -0 "$timer" 2>/dev/null; do
        read -r child <"/proc/$timer/task/$timer/children" || true
        while read -r key value _; do
            if [[ $key == RssAnon: ]] && ((value > anonymous)); then anonymous=$value; fi
        done <"/proc/${child:-none}/status" || true
        sleep 0.02
    done 2>/dev/null
    wait "$timer" || { cat out; exit 1; }
    awk -v name="$1" -v anonymous="$anonymous" '{printf "%s %.2f %.2f %d %d\n", name, $1, $2 + $3, $4, anonymous}' time >>results
}

# Four layers of bytes that cannot be compressed, in a layout, as plain archives. Portend pushes them as they are; skopeo
# packs them on the way, and on the way into a layout too.
layout() {
    mkdir -p image/blobs/sha256
    local blob layers= ids= size=$((megabytes * 1048576 / 4))
    add() {
        blob=$(sha256sum "$1" | cut -d' ' -f1)
        mv "$1" "image/blobs/sha256/$blob"
    }
    for number in 1 2 3 4; do
        openssl enc -aes-128-ctr -pass "pass:$number" -nosalt -pbkdf2 </dev/zero 2>/dev/null | head -c "$size" >layer || true
        add layer
        layers+="{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:$blob\",\"size\":$size},"
        ids+="\"sha256:$blob\","
    done
    printf '{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%s]}}' "${ids%,}" >config
    size=$(stat -c %s config)
    add config
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[%s]}' \
        "$blob" "$size" "${layers%,}" >manifest
    size=$(stat -c %s manifest)
    add manifest
    printf '{"imageLayoutVersion":"1.0.0"}' >image/oci-layout
    printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}' \
        "$blob" "$size" >image/index.json
}

start_registry() {
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s/store}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
        "$scratch" "$port" >registry.yml
    docker-registry serve registry.yml >/dev/null 2>&1 &
    registry=$!
    for _ in $(seq 60); do
        if curl -sf "http://127.0.0.1:$port/v2/" >/dev/null; then return; fi
        sleep 0.5
    done
    echo "the registry did not come" >&2
    exit 1
}

layout
start_registry
host=127.0.0.1:$port
pull() {
    take "pull-$1,portend" "$portend" image pull "$host/a:1" oci:pulled-portend:v1 --insecure-registry "$host" --quiet
    take "pull-$1,skopeo" skopeo --insecure-policy copy --src-tls-verify=false "docker://$host/a:1" oci:pulled-skopeo:v1
    # into a registry and a layout that have nothing: what is there already makes a copy cheap
    rm -rf pulled-* store/docker
}
for round in $(seq "$rounds"); do
    take "push,portend" "$portend" image push oci:image:v1 "$host/a:1" --insecure-registry "$host" --quiet
    pull tar
    take "push,skopeo" skopeo --insecure-policy copy --dest-tls-verify=false oci:image:v1 "docker://$host/a:1"
    pull gzip
done
rm -rf image store

# One layer: the program, and behind it its own bytes many times over with something else between, so that no window
# reaches from one copy to the next. It is still a program, so an image is built of it. What Portend's figures hold
# beyond compressing is hashing the layer twice and writing it into a layout: "none" is that alone.
for number in $(seq 20); do
    cat "$portend"
    openssl enc -aes-128-ctr -pass "pass:$number" -nosalt -pbkdf2 </dev/zero 2>/dev/null | head -c 1048576 || true
done >content
chmod +x content
build() {
    rm -rf built
    take "$1,portend" "$portend" image build --self --binary content --compression "$1" --to oci:built:v1 \
        --no-attestations --quiet
    du -bs built | awk -v name="$1,portend" '{print name, $1}' >>sizes
}
for _ in $(seq "$rounds"); do
    for form in gzip zstd none; do build "$form"; done
    take "gzip,pigz" pigz --processes 1 -6 --keep --force content
    take "zstd,zstd" zstd --quiet --force --single-thread -3 content -o content.zst
done
stat -c '%n %s' content content.gz content.zst

# the median of each
python3 - <<'PYTHON'
import collections, statistics
found = collections.defaultdict(list)
for line in open("results"):
    name, *numbers = line.split()
    found[name].append([float(number) for number in numbers])
for name, rows in found.items():
    seconds, processor, memory, anonymous = (statistics.median(column) for column in zip(*rows))
    print(f"{name:17} {seconds:8.2f} s {processor:8.2f} s CPU {memory / 1024:8.1f} MiB {anonymous / 1024:8.1f} own")
PYTHON
sort -u sizes
