# programs that build straight from their modules: lines of «package, output, linker flags» per folder of go/
# shellcheck shell=bash

programs() {
  local c=sigs.k8s.io/cluster-api v
  case $ARG in
    pause | kindnetd | coredns) echo ". programs/$ARG" ;;
    etcd) echo "go.etcd.io/etcd/server/v3 programs/etcd" ;;
    metrics-server) echo "sigs.k8s.io/metrics-server/cmd/metrics-server programs/metrics-server" ;;
    kind) echo "sigs.k8s.io/kind bin/kind" ;;
    kustomize) echo "sigs.k8s.io/kustomize/kustomize/v5 bin/kustomize" ;;
    helm) echo "helm.sh/helm/v3/cmd/helm bin/helm -X helm.sh/helm/v3/internal/version.version=v$HELM" ;;
    cluster-api)
      v="-X $c/version.gitVersion=v$CLUSTER_API -X $c/version.gitMajor=1 -X $c/version.gitMinor=$(cut -d. -f2 <<< "$CLUSTER_API")"
      echo "$c programs/capi-core $v"
      echo "$c/bootstrap/kubeadm programs/capi-bootstrap $v"
      echo "$c/controlplane/kubeadm programs/capi-control-plane $v"
      echo "$c/test/infrastructure/docker programs/capi-docker $v"
      echo "$c/cmd/clusterctl bin/clusterctl $v" ;;
    *) echo "no program is called $ARG" >&2; return 1 ;;
  esac
}

inputs() {
  programs
  files "go/$ARG"
}
outputs() { programs | while read -r _ output _; do echo "file $output"; done; }
build() {
  programs | while read -r package output flags; do go_build "$ARG" "$package" "$output" "$flags"; done
}
