# helpers shared by up, down and check: the cache, its stamps, and how a part is read
# shellcheck shell=bash
# shellcheck disable=SC2034  # the variables are for the files that source this one

TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions
. "$TESTBED/versions"
CACHE=${STACKGATE_TESTBED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stackgate-testbed}
CONFIG=${XDG_CONFIG_HOME:-$HOME/.config}/stackgate/config.yaml
CONFIG_MARK='# written by testbed/up'
PATH=$CACHE/bin:$CACHE/go/bin:$PATH:/usr/local/go/bin
export DOCKER_BUILDKIT=0 # buildkit asks a registry about every base image, even one that is only here

KUBE_NEWEST=${KUBERNETES[-1]}
BASE=stackgate-testbed/base # what programs run on
NODE=stackgate-testbed/node # what nodes boot
LOAD_BALANCER=kindest/haproxy:$HAPROXY_TAG
CAPI_CORE=registry.k8s.io/cluster-api/cluster-api-controller:v$CLUSTER_API
CAPI_BOOTSTRAP=registry.k8s.io/cluster-api/kubeadm-bootstrap-controller:v$CLUSTER_API
CAPI_CONTROL_PLANE=registry.k8s.io/cluster-api/kubeadm-control-plane-controller:v$CLUSTER_API
CAPI_DOCKER=gcr.io/k8s-staging-cluster-api/capd-manager:v$CLUSTER_API
AGNHOST=registry.k8s.io/e2e-test-images/agnhost:$AGNHOST_TAG

# images that every node brings along beside its own control plane
addon_images() {
  printf 'kindest/kindnetd:%s\n' "${KINDNETD_TAGS[@]}"
  printf 'registry.k8s.io/metrics-server/metrics-server:%s\n' "${METRICS_SERVER_TAGS[@]}"
  echo "$AGNHOST"
}

# Every part, in build order. NAME@ARG is parts/NAME.sh with ARG.
all_parts() {
  local v
  echo rootfs
  for v in "${KUBERNETES[@]}"; do
    echo "kube@$v"
    if [ "$v" = "${KUBERNETES[0]}" ]; then printf 'go@%s\n' pause etcd coredns kindnetd metrics-server; fi
  done
  printf 'go@%s\n' kind kustomize cluster-api
  echo base
  printf 'image@%s\n' haproxy kindnetd metrics-server agnhost
  for v in "${KUBERNETES[@]}"; do echo "node@$v"; done
  echo image@cluster-api
  echo components
  echo go@helm
}

# Parts that up builds only when they are asked for by name, and check does not miss.
optional_parts() { echo conformance; }

# load PART: brings its functions into this shell
# shellcheck disable=SC2329  # they are called by name of the part
load() {
  ARG=${1#*@}
  needs() { :; }
  inputs() { :; }
  # shellcheck source=/dev/null
  . "$TESTBED/parts/${1%@*}.sh"
}

# for a part's inputs
files() { (cd "$TESTBED" && find -L "$@" -type f -print0 | sort -z | xargs -0 sha256sum); }

stamp() { echo "$CACHE/stamps/$1"; }

# key PART: what it is built from, as one hash; the keys of what it needs are part of it
key() {
  local need
  {
    files "parts/${1%@*}.sh"
    inputs
    for need in $(needs); do head -1 "$(stamp "$need")" 2> /dev/null || echo "$need is missing"; done
  } | sha256sum | cut -d' ' -f1
}

daemon_answers() { docker version --format '{{.Server.Version}}' > /dev/null 2>&1; }

# The images that Docker has, as «NAME:TAG ID», asked once; without a daemon stamps alone count.
know_images() {
  if daemon_answers; then
    DAEMON=yes
    IMAGES=$(docker image ls --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}')
  else
    DAEMON=no
  fi
}

# why_stale PART: nothing when the part is as it would be built now, else one reason
why_stale() {
  local s kind name id
  s=$(stamp "$1")
  [ -f "$s" ] || { echo 'never built'; return; }
  [ "$(head -1 "$s")" = "$(key "$1")" ] || { echo 'its inputs changed'; return; }
  while read -r kind name id; do
    case $kind in
      file) [ -e "$CACHE/$name" ] || { echo "$name is gone"; return; } ;;
      image)
        [ "$DAEMON" = no ] || grep -qxF "$name $id" <<< "$IMAGES" || { echo "image $name is gone"; return; } ;;
    esac
  done < <(tail -n +2 "$s")
}

# write_stamp PART KEY: the key as it was before the build, and what outputs names
write_stamp() {
  local kind name s
  s=$(stamp "$1")
  {
    echo "$2"
    while read -r kind name; do
      if [ "$kind" = image ]; then echo "image $name $(docker image inspect --format '{{.Id}}' "$name")"; else echo "$kind $name"; fi
    done < <(outputs)
  } > "$s.new"
  mv "$s.new" "$s"
}

# go_build FOLDER PACKAGE OUTPUT [LINKER FLAGS]: one static program from the versions that go.sum names
go_build() {
  (cd "$TESTBED/go/$1" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w ${4:-}" -o "$CACHE/$3" "$2")
}

# image BASE NAME INSTRUCTIONS SOURCE=DESTINATION...: an image of BASE, the files and the instructions
image() {
  local base=$1 name=$2 instructions=$3 context from i=0
  shift 3
  context=$(mktemp -d "$CACHE/image.XXXXXX")
  {
    echo "FROM $base"
    echo 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    for from in "$@"; do
      cp -a "${from%%=*}" "$context/$((++i))"
      if [ -d "$context/$i" ]; then echo "COPY $i/ ${from#*=}"; else echo "COPY $i ${from#*=}"; fi
    done
    echo "$instructions"
  } > "$context/Dockerfile"
  docker build -q --network none -t "$name" "$context"
  rm -rf "$context"
}
