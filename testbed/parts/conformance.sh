# the image of Kubernetes' conformance tests under its public name; optional, since only the heavy checks run it
# shellcheck shell=bash

CONFORMANCE=registry.k8s.io/conformance:v$KUBE_NEWEST

needs() { echo base "kube@$KUBE_NEWEST"; }
inputs() {
  echo "$CONFORMANCE"
  files go/conformance
}
outputs() {
  printf 'file programs/%s\n' e2e.test ginkgo go-runner
  echo "image $CONFORMANCE"
}

build() {
  local p=k8s.io/component-base/version v
  v="-X $p.gitVersion=v$KUBE_NEWEST -X $p.gitMajor=1 -X $p.gitMinor=$(cut -d. -f2 <<< "$KUBE_NEWEST") -X $p.gitTreeState=clean"
  # the tests are a test binary, which go build does not make
  (cd "$TESTBED/go/conformance" &&
    CGO_ENABLED=0 go test -c -mod=readonly -trimpath -ldflags "-s -w $v" -o "$CACHE/programs/e2e.test" k8s.io/kubernetes/test/e2e)
  go_build conformance github.com/onsi/ginkgo/v2/ginkgo programs/ginkgo
  go_build conformance k8s.io/kubernetes/test/conformance/image/go-runner programs/go-runner
  # what its own Dockerfile sets, and the same paths; cluster/ of the sources is left out
  image "$BASE" "$CONFORMANCE" \
    'ENV E2E_FOCUS="\[Conformance\]" E2E_SKIP="" E2E_PROVIDER=local E2E_PARALLEL=1 E2E_VERBOSITY=4 RESULTS_DIR=/tmp/results KUBECONFIG=""
    ENTRYPOINT ["kubeconformance"]' \
    "$CACHE/programs/e2e.test=/usr/local/bin/e2e.test" "$CACHE/programs/ginkgo=/usr/local/bin/ginkgo" \
    "$CACHE/programs/kube-$KUBE_NEWEST=/usr/local/bin/kubectl" \
    "$CACHE/programs/go-runner=/usr/local/bin/kubeconformance" "$CACHE/programs/go-runner=/gorunner"
}
