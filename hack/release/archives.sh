#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# archives.sh VERSION FOLDER packs kubectl-extauth for each platform that .krew.yaml
# names, with the licence and, where there are such, the manual pages. The same
# sources make the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=${1:?usage: archives.sh VERSION FOLDER}
out=${2:?usage: archives.sh VERSION FOLDER}
variable=github.com/extauth-guard/extauth-guard/pkg/version.version

rm -rf "$out"
mkdir -p "$out"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
go run ./hack/generate/man "$scratch/man"
for os in linux darwin windows; do
  for arch in amd64 arm64; do
    folder=$scratch/$os-$arch
    program=kubectl-extauth
    [ "$os" != windows ] || program=$program.exe
    mkdir "$folder"
    CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -X $variable=$version" \
      -o "$folder/$program" ./cmd/kubectl-extauth
    cp LICENSE "$folder/"
    [ "$os" = windows ] || cp -r "$scratch/man" "$folder/"
    chmod -R u=rwX,go=rX "$folder"
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$folder" -cf - . | gzip -n >"$out/kubectl-extauth_${os}_$arch.tar.gz"
  done
done
(cd "$out" && sha256sum -- *.tar.gz >SHA256SUMS)
