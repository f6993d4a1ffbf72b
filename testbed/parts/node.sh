# the node image of one Kubernetes version, with everything that its first boot would otherwise pull
# shellcheck shell=bash

KUBEADM=$CACHE/programs/kubeadm-$ARG/kubeadm

needs() {
  echo base "kube@$ARG" image@kindnetd image@metrics-server image@agnhost
  printf 'go@%s\n' pause etcd coredns
}
inputs() {
  addon_images
  files node
}
outputs() { echo "image kindest/node:v$ARG"; }

# What kubeadm of this version asks for, and nothing of any other version.
control_plane_images() {
  mkdir -p "${KUBEADM%/*}"
  ln -sfn "../kube-$ARG" "$KUBEADM" # the program goes by its name
  "$KUBEADM" config images list --kubernetes-version "v$ARG"
}

build() {
  local images name own=stackgate-testbed links program container
  images=$(control_plane_images)

  links=$(mktemp -d "$CACHE/links.XXXXXX")
  for program in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl; do ln -s kube "$links/$program"; done
  image "$BASE" "$own/kube:v$ARG" '' "$CACHE/programs/kube-$ARG=/usr/local/bin/kube" "$links=/usr/local/bin/"
  image scratch "$own/etcd" '' "$CACHE/programs/etcd=/usr/local/bin/etcd"
  image scratch "$own/coredns" 'ENTRYPOINT ["/coredns"]' "$CACHE/programs/coredns=/coredns"
  image scratch "$own/pause" $'USER 65535\nENTRYPOINT ["/pause"]' "$CACHE/programs/pause=/pause"
  for name in $images; do
    case $name in
      */etcd:* | */coredns:* | */pause:*) program=${name##*/} program=$own/${program%:*} ;;
      *) program=$own/kube:v$ARG ;;
    esac
    docker tag "$program" "$name"
  done

  rm -f "$links"/*
  for program in kubelet kubeadm kubectl; do ln -s kube "$links/$program"; done
  image "$NODE" "$own/node:v$ARG" \
    "STOPSIGNAL SIGRTMIN+3
    RUN echo v$ARG > /kind/version \
      && sed -i 's#PAUSE#$(grep /pause: <<< "$images")#' /etc/containerd/config.toml \
      && sed -i 's#KINDNETD_TAG#${KINDNETD_TAGS[-1]}#' /kind/manifests/default-cni.yaml \
      && systemctl enable containerd kubelet" \
    "$CACHE/programs/kube-$ARG=/usr/bin/kube" "$links=/usr/bin/" "$TESTBED/node/files=/"
  rm -rf "$links"

  # Images go in unpacked: a node unpacks only what it runs, and has less to copy when it is made.
  container=$(docker run -d --privileged --network none --entrypoint sleep "$own/node:v$ARG" infinity)
  # shellcheck disable=SC2064
  trap "docker rm -f $container > /dev/null" EXIT
  docker exec -d "$container" sh -c 'exec containerd > /tmp/containerd.log 2>&1'
  for _ in $(seq 50); do docker exec "$container" ctr version > /dev/null 2>&1 && break; sleep 0.2; done
  # shellcheck disable=SC2046,SC2086  # lists of names
  docker save $images $(addon_images) |
    docker exec -i "$container" ctr -n k8s.io images import --all-platforms --no-unpack -
  docker exec "$container" ctr -n k8s.io images ls -q
  docker exec "$container" sh -c 'kill $(pidof containerd); while pidof containerd; do sleep 0.1; done; rm -rf /tmp/*.log /run/containerd'
  docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint"]' --change 'CMD []' \
    --change 'ENV container=docker' "$container" "kindest/node:v$ARG"
}
