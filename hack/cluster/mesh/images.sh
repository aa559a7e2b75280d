#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# images.sh FOLDER packs istiod, and Envoy with Istio's agent, as images
# localhost/pilot:test and localhost/proxyv2:test, which are what Istio's charts run.
# They hold the programs of istiod.sh and envoy.sh, the C library of this machine,
# with which Envoy is linked, and Debian's nft, with which the agent redirects the
# traffic of a Pod.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

out=${1:?usage: images.sh FOLDER}
arch=$(go env GOARCH)
istio=$(hack/cluster/istiod.sh)
envoy=$(hack/cluster/envoy.sh)
deb=$(hack/cluster/node/node.sh packages)

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage"/usr/{local/bin,sbin} "$stage/lib" "$stage/var/lib/istio/envoy"
cp "$envoy" "$stage/usr/local/bin/envoy"
cp "$istio/pilot-agent" "$stage/usr/local/bin/"
cp "$istio/envoy_bootstrap.json" "$stage/var/lib/istio/envoy/envoy_bootstrap_tmpl.json"
cp "$deb/usr/sbin/nft" "$stage/usr/sbin/"

# libraries prints where the libraries of a program are; the loader is one of them.
libraries() { LD_LIBRARY_PATH=$deb/usr/lib/$(uname -m)-linux-gnu ldd "$1" | sed -nE 's/^.* => (\/[^ ]+) .*$/\1/p; s/^[[:space:]]*(\/[^ ]+) \(.*$/\1/p'; }

while read -r library; do
  case $library in
  */ld-*) # where the kernel looks for it
    mkdir -p "$stage$(dirname "$library")"
    cp -L "$library" "$stage$library"
    chmod 755 "$stage$library"
    ;;
  *) mkdir -p "$stage/lib/$(uname -m)-linux-gnu" && cp -L "$library" "$stage/lib/$(uname -m)-linux-gnu/" ;;
  esac
done < <({ libraries "$envoy"; libraries "$deb/usr/sbin/nft"; } | sort -u)

pack() { go run ./hack/release/image -arch "$arch" -version test -commands "" "$@" >/dev/null; }

folders=()
for folder in "$stage"/*; do folders+=(-add "$folder=/$(basename "$folder")"); done
pack -name localhost/proxyv2:test -entrypoint /usr/local/bin/pilot-agent -user 1337:1337 "${folders[@]}" -out "$out/proxyv2.tar"
pack -name localhost/pilot:test -entrypoint /usr/local/bin/pilot-discovery -user 1337:1337 \
  -add "$istio/pilot-discovery=/usr/local/bin/pilot-discovery" -out "$out/pilot.tar"
