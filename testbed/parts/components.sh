# the manifests of the Cluster API providers, ready to apply
# shellcheck shell=bash

needs() { printf 'go@%s\n' kustomize cluster-api; }
inputs() {
  providers
  files components
}
outputs() { providers | while read -r name _; do echo "file components/$name.yaml"; done; }

# manifest, its folder in the modules, its image
providers() {
  local c=sigs.k8s.io/cluster-api
  echo "cluster-api $c config $CAPI_CORE"
  echo "bootstrap-kubeadm $c bootstrap/kubeadm/config $CAPI_BOOTSTRAP"
  echo "control-plane-kubeadm $c controlplane/kubeadm/config $CAPI_CONTROL_PLANE"
  echo "infrastructure-docker $c/test infrastructure/docker/config $CAPI_DOCKER"
}

build() {
  local name module folder image source
  mkdir -p "$CACHE/components"
  providers | while read -r name module folder image; do
    source=$(cd "$TESTBED/go/cluster-api" && go list -mod=readonly -m -f '{{.Dir}}' "$module")
    "$CACHE/bin/kustomize" build "$source/$folder/default" |
      /usr/bin/python3 "$TESTBED/components/standalone.py" "$image" "$CACHE/components/$name.yaml" \
        CLUSTER_TOPOLOGY=true EXP_MACHINE_POOL=true EXP_RUNTIME_SDK=true
  done
}
