# what the machine itself must have: packages, and a Go that is recent enough
# shellcheck shell=bash

PACKAGES=(debootstrap jq python3-yaml openssl iptables procps util-linux)

has_go() {
  command -v go > /dev/null && printf '%s\n' "go$GO_AT_LEAST" "$(go env GOVERSION)" | sort -CV
}

install_packages() {
  local wanted=("${PACKAGES[@]}") missing=() p
  command -v dockerd > /dev/null || wanted+=(docker.io)
  command -v go > /dev/null || wanted+=(golang-go)
  for p in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)" = installed ] || missing+=("$p")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
  fi
  has_go || fetch_go
}

# A node needs dozens of inotify instances, and the kernel's default of 128 for each user fits one run of stackgate.
raise_limits() {
  local limit=fs.inotify.max_user_instances
  [ "$(sysctl -n $limit)" -ge 512 ] || sysctl -w $limit=512 || echo "$limit stays as it is; stackgate doctor tells whether it is enough"
}

# A newer Go is a Go module like any other; an old Go can download it but does not know how to switch to it.
fetch_go() {
  local dir
  dir=$(cd / && GOFLAGS=-modcacherw go mod download -json "golang.org/toolchain@v0.0.1-go$GO.linux-$(dpkg --print-architecture)" | jq -r .Dir)
  rm -rf "$CACHE/go"
  cp -r "$dir" "$CACHE/go"
  chmod -R u+w "$CACHE/go"
  chmod +x "$CACHE"/go/bin/* "$CACHE"/go/pkg/tool/*/*
  find "$CACHE/go" -name _go.mod -execdir mv {} go.mod \;
  go version
}
