#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# node.sh runs a real single-node Kubernetes (kubelet, containerd, scheduler,
# kube-proxy, controller manager, kube-apiserver, etcd) in mount, network, pid,
# ipc, uts and cgroup namespaces of its own. Nothing is installed, and after
# "down" nothing of it is left but a cache.
#
#   node.sh up                 start it and wait until the node is Ready; prints KUBECONFIG=...
#   node.sh load FILE...       import images (OCI or docker archives); Pods need imagePullPolicy Never
#   node.sh restart-apiserver  kill kube-apiserver; it comes back by itself
#   node.sh down               stop it
#   node.sh packages           fetch Debian's packages, once; prints where they are unpacked
#   node.sh check              say why this machine cannot run it, if it cannot: exit code 69
#
# Needs root on Linux, cgroups v1, iproute2, openssl, curl, jq and, the first time,
# Debian's packages. EXTAUTH_NODE_DIR (/var/tmp/extauth-guard-node) keeps what was
# downloaded. One node at a time: its addresses are fixed, 10.200.0.0/24 between
# this machine (.1) and the node (.2), 10.244.0.0/24 for Pods, 10.96.0.0/16 for
# Services.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${EXTAUTH_NODE_DIR:-/var/tmp/extauth-guard-node}
state=$cache/state
logs=$state/log
pki=$state/pki
deb=$cache/deb
cgroups="cpu cpuacct cpuset memory devices freezer blkio pids systemd"
# Debian's container runtime with what it needs. CRIU's library is linked by runc.
debian="containerd runc containernetworking-plugins nftables libnftables1 libnftnl11 libmnl0 libjansson4
  libedit2 libbsd0 libmd0 libxtables12 libseccomp2 libnet1 libnl-3-200 libprotobuf-c1 conntrack
  libnetfilter-conntrack3 libnfnetlink0"

say() { echo "node: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

# libraries prints where the unpacked packages keep their libraries.
libraries() { echo "$deb/usr/lib/$(uname -m)-linux-gnu"; }

# cannot says what this machine lacks, which no change of ours could mend, and ends
# with a code of its own (EX_UNAVAILABLE), so that callers can leave the suite out.
cannot() {
  say "this machine cannot run it: $*"
  exit 69
}

check() {
  local missing=() program controller lacks
  [ "$(uname -s)" = Linux ] || cannot "it is no Linux"
  [ "$(id -u)" = 0 ] || cannot "needs root: it mounts, and makes network interfaces and cgroups"
  for program in ip openssl curl jq unshare nsenter flock dpkg apt-get; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [ ${#missing[@]} = 0 ] || cannot "missing: ${missing[*]} (on Debian: apt-get install iproute2 openssl curl jq util-linux)"
  for controller in cpu memory pids; do
    [ -d "/sys/fs/cgroup/$controller" ] || cannot "needs cgroups v1 under /sys/fs/cgroup, and there is no $controller$(cgroup2); on a machine with cgroups v2 use make test-e2e, with kind"
  done
  lacks=$(unshare -m -n -p -u -i -C -f --kill-child --mount-proc "$0" probe 2>&1) ||
    cannot "in namespaces of its own, ${lacks:-it may not make any (unshare failed)}"
}

# cgroup2 says so where the machine has version 2 only.
cgroup2() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo ": it has version 2 only"
  fi
}

# probe tries, in namespaces that go with it, what inside.sh and the programs of the
# node do first, and prints what does not work.
probe() {
  local controller options scratch
  exec 2>/dev/null
  mount --make-rprivate / || lack "it may not mount"
  mount -t sysfs sysfs /sys || lack "it may not mount sysfs"
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup || lack "it may not mount over /sys/fs/cgroup"
  for controller in $cgroups; do
    mkdir "/sys/fs/cgroup/$controller"
    options=$controller
    [ "$controller" != systemd ] || options=none,name=systemd
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$controller" || lack "cgroups v1 have no controller $controller that could be mounted"
  done
  mount --bind /proc/version /proc/sys/kernel/panic || lack "it may not mount over files in /proc/sys"
  scratch=$(mkdir -p "$cache" && mktemp -d "$cache/probe.XXXXXX") || lack "nothing can be written to $cache (EXTAUTH_NODE_DIR names another)"
  mkdir "$scratch"/{lower,upper,work,merged}
  mount -t overlay -o "lowerdir=$scratch/lower,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$scratch/merged" || {
    rm -rf "$scratch"
    lack "the file system of $cache cannot hold overlays (EXTAUTH_NODE_DIR names another)"
  }
  umount "$scratch/merged"
  rm -rf "$scratch"
  ip link add probe0 type veth peer name probe1 || lack "it may not make network interfaces of the kind veth"
  ip link add probe2 type bridge || lack "it may not make network interfaces of the kind bridge"
}

lack() {
  echo "$*"
  exit 1
}

# fetch unpacks the packages, once.
fetch() {
  [ ! -x "$deb/usr/bin/containerd" ] || return 0
  say "fetching Debian's containerd, runc, CNI plugins and nftables"
  local debs=$cache/debs
  mkdir -p "$debs"
  # apt downloads as a user of its own if it can.
  chmod 755 "$cache" "$debs"
  # shellcheck disable=SC2086 # a list
  (cd "$debs" && apt-get update -qq && apt-get download -qq $debian) >&2
  mkdir -p "$deb.new"
  for file in "$debs"/*.deb; do dpkg -x "$file" "$deb.new"; done
  rm -rf "$deb" "$debs"
  mv "$deb.new" "$deb"
}

packages() {
  fetch
  echo "$deb"
}

# pause builds the image that every Pod begins with.
pause() {
  (cd "$root" && go run ./hack/release/image -arch "$(go env GOARCH)" -commands ./hack/cluster/node/pause -entrypoint /pause -name localhost/pause:1 -out "$state/img/pause.tar") >/dev/null
}

# own_cgroup prints where in a v1 hierarchy this process is.
own_cgroup() { awk -F: -v c="$1" '$2==c||$2=="name="c{print $3}' /proc/self/cgroup | sed 's#^/$##'; }

# enter puts this process into cgroups for the node, below its own, so that the
# node is bounded as its caller is, and then becomes the node.
enter() {
  local controller group
  for controller in $cgroups; do
    group=/sys/fs/cgroup/$controller$(own_cgroup "$controller")/extauth-guard-node
    mkdir -p "$group"
    echo "$group"
    if [ "$controller" = cpuset ]; then
      cat "$group/../cpuset.cpus" >"$group/cpuset.cpus"
      cat "$group/../cpuset.mems" >"$group/cpuset.mems"
    fi
    echo $$ >"$group/cgroup.procs"
  done >"$state/cgroups"
  exec unshare -m -n -p -u -i -C -f --kill-child --mount-proc "$here/inside.sh"
}

# network connects this machine with the node.
network() {
  ip link add extauth-node type veth peer name node0 netns "$1"
  ip addr add 10.200.0.1/24 dev extauth-node
  ip link set extauth-node up
  ip route add 10.244.0.0/24 via 10.200.0.2
  ip route add 10.96.0.0/16 via 10.200.0.2
}

# first_process waits for the node's process 1 and prints its id out here.
first_process() {
  local outer=$1 init="" i
  for ((i = 0; i < 300; i++)); do
    if [ "$(cat "/proc/$outer/comm" 2>/dev/null)" = unshare ]; then
      init=$(tr -d ' ' <"/proc/$outer/task/$outer/children")
      [ -z "$init" ] || break
    fi
    sleep 0.02
  done
  echo "$init"
}

up() {
  local outer init i
  check
  [ ! -e "$state/init.pid" ] || fail "a node is up already, or was not taken down: run $0 down"
  NODE_BIN=$("$root/hack/cluster/control-plane.sh" --node)
  NODE_CACHE=$cache
  export NODE_BIN NODE_CACHE
  fetch
  mkdir -p "$logs" "$state/img"
  trap down_after_failure EXIT
  pause
  "$here/pki.sh" "$pki"
  "$0" enter >"$logs/inside.log" 2>&1 </dev/null &
  outer=$!
  echo "$outer" >"$state/unshare.pid"
  init=$(first_process "$outer")
  [ -n "$init" ] || fail "it did not start: $(tail -n 5 "$logs/inside.log")"
  echo "$init" >"$state/init.pid"
  network "$init"
  for ((i = 0; i < 1200; i++)); do
    if grep -q 'node ready' "$logs/inside.log"; then
      trap - EXIT
      echo "KUBECONFIG=$pki/admin.kubeconfig"
      return
    fi
    [ -d "/proc/$init" ] || break
    sleep 0.1
  done
  tail -n 20 "$logs"/*.log >&2
  fail "it did not become ready"
}

down_after_failure() {
  down
}

load() {
  local file
  for file in "$@"; do
    nsenter -t "$(cat "$state/init.pid")" -m -n -p env LD_LIBRARY_PATH="$(libraries)" \
      "$deb/usr/bin/ctr" -n k8s.io images import "$(realpath "$file")" >/dev/null
  done
}

restart_apiserver() {
  nsenter -t "$(cat "$state/init.pid")" -m -p bash -c "kill -9 $(cat "$state/apiserver.pid")"
}

down() {
  local outer group i
  [ -e "$state/unshare.pid" ] || {
    rm -rf "$state"
    return 0
  }
  outer=$(cat "$state/unshare.pid")
  if [ -e "$state/init.pid" ]; then
    kill -9 "$(cat "$state/init.pid")" 2>/dev/null || true
  else
    kill -9 "$outer" 2>/dev/null || true
  fi
  for ((i = 0; i < 200; i++)); do
    [ -d "/proc/$outer" ] || break
    sleep 0.05
  done
  while read -r group; do
    for ((i = 0; i < 10; i++)); do
      find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
      [ -d "$group" ] || break
      sleep 0.2
    done
  done <"$state/cgroups" || true
  ip link del extauth-node 2>/dev/null || true
  rm -rf "$state"
}

case ${1:-} in
up | down | enter | check | probe | packages) "$1" ;;
load)
  shift
  load "$@"
  ;;
restart-apiserver) restart_apiserver ;;
*)
  sed -n '/^# node.sh/,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac
