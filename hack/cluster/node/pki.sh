#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# pki.sh FOLDER makes a certificate authority for one node and one month, the
# certificates of its programs, and their kubeconfigs.
set -euo pipefail

folder=${1:?usage: pki.sh FOLDER}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

quiet() { "$@" 2>/dev/null; }

key() { quiet openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# certificate NAME SUBJECT [ALTERNATIVE NAMES]
certificate() {
  key "$1.key"
  quiet openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  {
    echo "keyUsage=critical,digitalSignature"
    echo "extendedKeyUsage=serverAuth,clientAuth"
    [ -z "${3:-}" ] || echo "subjectAltName=$3"
  } >"$1.ext"
  quiet openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt"
}

kubeconfig() {
  cat >"$1.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "https://10.200.0.2:6443", certificate-authority: $folder/ca.crt}}]
users: [{name: $1, user: {client-certificate: $folder/$1.crt, client-key: $folder/$1.key}}]
contexts: [{name: node, context: {cluster: node, user: $1}}]
current-context: node
K
}

key ca.key
quiet openssl req -x509 -new -key ca.key -days 30 -subj /CN=node-ca -addext basicConstraints=critical,CA:TRUE \
  -addext keyUsage=critical,keyCertSign,cRLSign -out ca.crt
certificate apiserver /CN=kube-apiserver \
  "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:10.96.0.1,IP:10.200.0.2,IP:127.0.0.1"
certificate admin /O=system:masters/CN=admin
certificate kubelet /O=system:nodes/CN=system:node:node1 "DNS:node1,IP:10.200.0.2"
certificate kcm /CN=system:kube-controller-manager
certificate sched /CN=system:kube-scheduler
certificate proxy /CN=system:kube-proxy
quiet openssl genrsa -out sa.key 2048
quiet openssl rsa -in sa.key -pubout -out sa.pub
for name in admin kubelet kcm sched proxy; do kubeconfig "$name"; done
