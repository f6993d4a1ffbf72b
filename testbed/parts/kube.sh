# all of Kubernetes of one version as one program, and agnhost from the same sources
# shellcheck shell=bash

MINOR=${ARG%.*}

inputs() {
  echo "$ARG"
  files "go/kube-$MINOR"
}
outputs() {
  echo "file programs/kube-$ARG"
  [ "$ARG" != "$KUBE_NEWEST" ] || printf 'file %s\n' programs/agnhost bin/kubectl
}

build() {
  local p=k8s.io/component-base/version v
  v="-X $p.gitVersion=v$ARG -X $p.gitMajor=1 -X $p.gitMinor=${MINOR#*.} -X $p.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=v$ARG"
  go_build "kube-$MINOR" . "programs/kube-$ARG" "$v"
  if [ "$ARG" = "$KUBE_NEWEST" ]; then
    go_build "kube-$MINOR" k8s.io/kubernetes/test/images/agnhost programs/agnhost
    ln -sfn "../programs/kube-$ARG" "$CACHE/bin/kubectl"
  fi
}
