#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Process 1 of the node, in namespaces of its own; called by node.sh, which says in
# NODE_BIN and NODE_CACHE where things are. Each setting is here because it fails
# without it; the reason stands beside it.
set -euo pipefail

cache=$NODE_CACHE
state=$cache/state
logs=$state/log
pki=$state/pki
deb=$cache/deb
cgroups="cpu cpuacct cpuset memory devices freezer blkio pids systemd"
export PATH=$NODE_BIN:$deb/usr/sbin:$deb/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LD_LIBRARY_PATH=$deb/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH

say() { echo "$(date +%T.%N | cut -c1-12) $*"; }

# mounts gives the node a view of its own of what its programs write to.
mounts() {
  local controller options folder
  mount --make-rprivate /
  hostname node1
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  for controller in $cgroups; do
    mkdir "/sys/fs/cgroup/$controller"
    options=$controller
    [ "$controller" != systemd ] || options=none,name=systemd
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$controller"
  done
  # The kubelet, CNI and the controller manager write to these.
  for folder in /run /var/log /var/lib /opt /usr/libexec; do mount -t tmpfs -o mode=755 node "$folder"; done
  mkdir -p "$state"/{sysctl,etcd,containerd,kubelet,cni}
  # The kubelet sets these for the whole machine; it gets files in their place.
  sysctl_file vm/overcommit_memory 1
  sysctl_file vm/panic_on_oom 0
  sysctl_file kernel/panic 10
  sysctl_file kernel/panic_on_oops 1
  mount --make-rshared /
}

sysctl_file() {
  local file
  file=$state/sysctl/$(basename "$1")
  echo "$2" >"$file"
  mount --bind "$file" "/proc/sys/$1"
}

network() {
  local i
  ip link set lo up
  for ((i = 0; i < 200; i++)); do
    ! ip link show node0 >/dev/null 2>&1 || break
    sleep 0.02
  done
  ip addr add 10.200.0.2/24 dev node0
  ip link set node0 up
  ip route add default via 10.200.0.1
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

etcd_program() {
  etcd --data-dir "$state/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 >"$logs/etcd.log" 2>&1
}

# apiserver runs kube-apiserver again whenever it ends, as a kubelet would with a
# static Pod.
apiserver() {
  while :; do
    # Without CAP_SYS_RESOURCE and DNS of the machine's names, nodes are reached by address.
    kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 --advertise-address=10.200.0.2 \
      --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
      --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.pub" \
      --service-account-signing-key-file="$pki/sa.key" --kubelet-client-certificate="$pki/admin.crt" \
      --kubelet-client-key="$pki/admin.key" --kubelet-certificate-authority="$pki/ca.crt" \
      --kubelet-preferred-address-types=InternalIP --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
      --service-cluster-ip-range=10.96.0.0/16 >>"$logs/apiserver.log" 2>&1 &
    echo $! >"$state/apiserver.pid"
    wait $! || true
    sleep 0.2
  done
}

# request asks the API server, and prints nothing while it does not answer.
request() {
  curl -s --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "https://127.0.0.1:6443$1" || true
}

# eventually TENTHS COMMAND... tries until COMMAND succeeds.
eventually() {
  local left=$1
  shift
  while ! "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 0.1
  done
}

runtime() {
  cat >"$state/cni/10-bridge.conflist" <<C
{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"/run/cni-ipam","ranges":[[{"subnet":"10.244.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}
C
  # Without CAP_SYS_RESOURCE nobody may lower an oom_score_adj, hence the restriction.
  cat >"$state/containerd.toml" <<C
version = 2
root = "$state/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$deb/usr/lib/cni"
    conf_dir = "$state/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
C
  containerd -c "$state/containerd.toml" >"$logs/containerd.log" 2>&1 &
  eventually 300 ctr version
  ctr -n k8s.io images import "$state/img/pause.tar" >/dev/null
}

# kubelet_config says what differs from a usual node: cgroups of version 1, which
# Kubernetes 1.37 runs on only when told to, and without systemd.
kubelet_config() {
  cat >"$state/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
failSwapOn: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
C
}

# proxy_config keeps kube-proxy from setting conntrack's limits for the machine.
proxy_config() {
  cat >"$state/proxy.yaml" <<C
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $pki/proxy.kubeconfig}
hostnameOverride: node1
clusterCIDR: 10.244.0.0/16
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
C
}

api_ready() { [ "$(request /readyz)" = ok ]; }

node_ready() {
  request /api/v1/nodes/node1 | jq -e '.status.conditions[]? | select(.type == "Ready" and .status == "True")'
}

mounts
network
etcd_program &
apiserver &
runtime
say "images imported"
eventually 900 api_ready || say "the API server is not ready"
say "apiserver ready"
kube-controller-manager --kubeconfig="$pki/kcm.kubeconfig" --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/sa.key" \
  --use-service-account-credentials --leader-elect=false --bind-address=127.0.0.1 >"$logs/kcm.log" 2>&1 &
kube-scheduler --kubeconfig="$pki/sched.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 >"$logs/sched.log" 2>&1 &
kubelet_config
kubelet --config="$state/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" --root-dir="$state/kubelet" \
  --hostname-override=node1 --node-ip=10.200.0.2 >"$logs/kubelet.log" 2>&1 &
proxy_config
kube-proxy --config="$state/proxy.yaml" >"$logs/proxy.log" 2>&1 &
eventually 900 node_ready && say "node ready"
while :; do wait -n || true; done
