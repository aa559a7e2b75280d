#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Makes a kind cluster with Kyma's Istio and API Gateway modules, an OpenID Connect
# provider, this checkout's image and chart, and oauth2-proxy by the bootstrap job;
# runs test/e2e against it, which ends with requests at the ingress gateway; and
# takes it down. Nothing may be skipped here, so a skipped step fails the run.
#
#   hack/cluster/e2e/e2e.sh [ARGUMENTS OF GO TEST]
#   KEEP=true  leaves the cluster, with its kubeconfig in dist/e2e
#
# It needs a container engine with 8 GiB of memory, kubectl, helm, jq, curl, openssl
# and the internet. Where that is not to be had it cannot run, and nothing that it
# alone can show has been seen there; .github/workflows/e2e.yaml runs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

istio=1.30.1 # Kyma's Istio module, github.com/kyma-project/istio
api_gateway=3.10.0 # Kyma's API Gateway module, github.com/kyma-project/api-gateway
proxy_chart=10.7.0 # as in values.yaml of our chart
proxy_charts=https://github.com/oauth2-proxy/manifests/releases/download

here=hack/cluster/e2e
out=dist/e2e
kind() { go tool -modfile=hack/tools/go.mod kind "$@"; }
say() { echo "e2e: $*" >&2; }

check() {
  local missing=() program
  for program in go kubectl helm jq curl openssl; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [ ${#missing[@]} = 0 ] || {
    say "missing: ${missing[*]}"
    exit 1
  }
  engine=$(hack/release/image/engine.sh)
  [ -n "$engine" ] || {
    say "no container engine answers, neither docker nor podman, and kind needs one; make test-node needs none"
    exit 1
  }
  export KIND_EXPERIMENTAL_PROVIDER=$engine
}

# download URL prints what is there, or fails.
download() { curl --fail --silent --show-error --location --retry 3 "$1"; }

# image NAME PACKAGE [PROGRAM] packs programs and loads them into the nodes; what
# runs by itself is PROGRAM, or else the one of the image's name.
image() {
  local name=$1 package=$2 program=${3:-$1}
  go run ./hack/release/image -arch "$(go env GOARCH)" -version e2e -commands "$package" -entrypoint "/$program" \
    -name "localhost/$name:e2e" -out "$out/$name.tar" >/dev/null
  kind load image-archive "$out/$name.tar" --name extauth-guard
}

# module NAME VERSION MANAGER DEFAULT KIND installs one of Kyma's modules and waits
# until its own resource says that it is ready.
module() {
  local name=$1 version=$2 manager=$3 default=$4 kind=$5
  local from=https://github.com/kyma-project/$name/releases/download/$version
  say "Kyma's $name $version"
  download "$from/$manager" >"$out/$manager"
  download "$from/$default" >"$out/$default"
  kubectl apply --server-side -f "$out/$manager" >/dev/null
  kubectl wait --for=condition=Established "crd/$kind.operator.kyma-project.io" --timeout=1m >/dev/null
  kubectl apply -f "$out/$default" >/dev/null
  kubectl -n kyma-system wait "$kind.operator.kyma-project.io/default" --for=jsonpath='{.status.state}'=Ready --timeout=10m
}

kyma() {
  kubectl create namespace kyma-system
  kubectl label namespace kyma-system istio-injection=enabled
  module istio "$istio" istio-manager.yaml istio-default-cr.yaml istios
  module api-gateway "$api_gateway" api-gateway-manager.yaml apigateway-default-cr.yaml apigateways
}

# client makes one client and tells the provider and the bootstrap job of it.
client() {
  printf shop >"$out/client-id"
  (umask 077 && openssl rand -hex 24 | tr -d '\n' >"$out/client-secret")
  local namespace
  for namespace in oidc-provider extauth-guard; do
    kubectl create namespace "$namespace"
    kubectl -n "$namespace" create secret generic client --from-file="$out/client-id" --from-file="$out/client-secret"
  done
  kubectl apply -f $here/oidc-provider.yaml
  kubectl -n oidc-provider rollout status deployment/oidc-provider --timeout=2m
}

# install runs the chart, whose job installs oauth2-proxy and registers it. Nobody
# here can know the digest of the proxy's chart beforehand: it is taken from the
# archive of the pinned version, and what the job fetches has to be the same.
install() {
  local archive=oauth2-proxy-$proxy_chart digest
  download "$proxy_charts/$archive/$archive.tgz" >"$out/$archive.tgz"
  digest=$(sha256sum "$out/$archive.tgz" | cut -d' ' -f1)
  say "oauth2-proxy's chart $proxy_chart has the digest sha256:$digest"
  helm install extauth-guard charts/extauth-guard --namespace extauth-guard --values $here/values.yaml \
    --set "bootstrap.config.proxy.chart.digest=sha256:$digest" --wait --timeout 15m
  helm test extauth-guard --namespace extauth-guard --timeout 5m
}

# forward NAMESPACE SERVICE PORT forwards a free port of this machine and prints it.
forward() {
  local log=$out/forward-$2.log i port
  kubectl -n "$1" port-forward "service/$2" ":$3" >"$log" 2>&1 &
  echo $! >>"$out/forwards"
  for ((i = 0; i < 100; i++)); do
    port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$log")
    if [ -n "$port" ]; then
      echo "$port"
      return
    fi
    sleep 0.1
  done
  say "no port of $2 could be forwarded: $(cat "$log")"
  return 1
}

suite() {
  local domain port
  port=$(forward istio-system istio-ingressgateway 443)
  export EXTAUTH_E2E_GATEWAY=127.0.0.1:$port
  port=$(forward oidc-provider oidc-provider 8080)
  export EXTAUTH_E2E_ISSUER_ADDRESS=127.0.0.1:$port
  domain=$(kubectl -n kyma-system get gateways.networking.istio.io kyma-gateway -o json | jq -r '.spec.servers[0].hosts[0]')
  export EXTAUTH_E2E_DOMAIN=${domain#\*.} EXTAUTH_E2E_ISSUER=http://oidc-provider.oidc-provider.svc.cluster.local:8080
  EXTAUTH_E2E_JWKS=$(download "http://$EXTAUTH_E2E_ISSUER_ADDRESS/.well-known/openid-configuration" | jq -r .jwks_uri)
  EXTAUTH_E2E_CLIENT_ID=$(cat "$out/client-id")
  EXTAUTH_E2E_CLIENT_SECRET=$(cat "$out/client-secret")
  export EXTAUTH_E2E_JWKS EXTAUTH_E2E_CLIENT_ID EXTAUTH_E2E_CLIENT_SECRET EXTAUTH_E2E_APP_IMAGE=localhost/app:e2e
  go test -count=1 -timeout 30m -tags e2e -v "$@" ./test/e2e | tee "$out/suite.log"
  if grep -e '--- SKIP' "$out/suite.log"; then
    say "these were skipped, in a cluster that lacks nothing"
    return 1
  fi
}

# explain prints what a person would look at after a failure.
explain() {
  kubectl get pods,jobs,apirules,istios,apigateways -A -o wide || true
  kubectl get events -A --sort-by=.lastTimestamp | tail -n 60 || true
  local label
  for label in extauth-guard/app.kubernetes.io/component=webhook extauth-guard/app.kubernetes.io/component=bootstrap oauth2-proxy/app=oauth2-proxy; do
    kubectl -n "${label%%/*}" logs -l "${label#*/}" --all-containers --tail=50 --prefix || true
  done
  kubectl -n extauth-guard get configmap extauth-guard-bootstrap -o yaml || true
} >&2

# finish takes down what is up. It keeps the exit code.
finish() {
  local status=$?
  [ "$status" = 0 ] || explain
  if [ -f "$out/forwards" ]; then
    xargs kill <"$out/forwards" 2>/dev/null || true
  fi
  if [ "${KEEP:-}" = true ]; then
    say "the cluster stays; KUBECONFIG=$KUBECONFIG"
  else
    kind delete cluster --name extauth-guard || true
    rm -f "$out/client-secret"
  fi
  exit "$status"
}

check
rm -rf "$out"
mkdir -p "$out"
export KUBECONFIG=$PWD/$out/kubeconfig
trap finish EXIT
kind create cluster --config $here/kind.yaml --wait 3m
image extauth-guard ./cmd/... webhook
image oidc-provider ./test/harness/oidcprovider/cmd/oidc-provider
image app ./test/harness/e2e/cmd/app
kyma
client
install
suite "$@"
