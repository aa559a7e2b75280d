#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds the image of this checkout, loads it into the nodes of a kind or k3d
# cluster, installs the chart there and waits until the webhook answers.
#
#   hack/cluster/install-dev.sh [ARGUMENTS OF HELM]
#   IMAGE  what the image is called; default localhost/extauth-guard:dev
#
# The cluster is the one that kubectl talks to. It needs Kyma's modules, as
# docs/operations.md says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

image=${IMAGE:-localhost/extauth-guard:dev}
say() { echo "install-dev: $*" >&2; }
stop() {
  say "$@"
  exit 1
}

for program in kubectl helm; do
  command -v "$program" >/dev/null || stop "$program is not installed"
done
context=$(kubectl config current-context) || stop "kubectl has no current context: choose one with kubectl config use-context"
case $context in
  kind-*) tool=kind ;;
  k3d-*) tool=k3d ;;
  *) stop "the context $context is neither of kind (kind-NAME) nor of k3d (k3d-NAME), so its nodes cannot be given an image: push one with make image and install with --set image.repository=…,image.tag=…" ;;
esac
command -v "$tool" >/dev/null || stop "the context $context is of $tool, which is not installed"
engine=$(hack/release/image/engine.sh)
[[ -n $engine ]] || stop "neither docker nor podman answers, and the image has to be built"
cluster=${context#"$tool"-}

say "building $image with $engine"
make --no-print-directory image-engine IMAGE="$image" ENGINE="$engine"
say "loading it into the nodes of $cluster"
case $tool in
  kind) KIND_EXPERIMENTAL_PROVIDER=$engine kind load docker-image "$image" --name "$cluster" ;;
  k3d) k3d image import "$image" --cluster "$cluster" ;;
esac

# A second run has the same tag, so the Pods have to be told that the image is new.
built=$("$engine" image inspect --format '{{.Id}}' "$image")
say "installing the chart, and waiting"
helm upgrade extauth-guard charts/extauth-guard --install --namespace extauth-guard --create-namespace \
  --set "image.repository=${image%:*}" --set "image.tag=${image##*:}" --set image.pullPolicy=Never \
  --set-string "podAnnotations.extauth-guard\.io/image=$built" --wait --timeout 5m "$@"
helm test extauth-guard --namespace extauth-guard
say "done: annotate something with extauth-guard.io/inject: \"true\""
