# images of single programs, under their public names
# shellcheck shell=bash

needs() {
  case $ARG in
    haproxy) echo base ;;
    agnhost) echo base "kube@$KUBE_NEWEST" ;;
    cluster-api) echo go@cluster-api ;;
    kindnetd) echo base go@kindnetd ;;
    *) echo "go@$ARG" ;;
  esac
}

inputs() {
  names
  [ ! -d "$TESTBED/image/$ARG" ] || files "image/$ARG"
}
outputs() { names | sed 's/^/image /'; }

names() {
  case $ARG in
    haproxy) echo "$LOAD_BALANCER" ;;
    agnhost) echo "$AGNHOST" ;;
    kindnetd) printf 'kindest/kindnetd:%s\n' "${KINDNETD_TAGS[@]}" ;;
    metrics-server) printf 'registry.k8s.io/metrics-server/metrics-server:%s\n' "${METRICS_SERVER_TAGS[@]}" ;;
    cluster-api) printf '%s\n' "$CAPI_CORE" "$CAPI_BOOTSTRAP" "$CAPI_CONTROL_PLANE" "$CAPI_DOCKER" ;;
  esac
}

build() {
  case $ARG in
    haproxy)
      image "$BASE" "$LOAD_BALANCER" 'ENTRYPOINT ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]' \
        "$TESTBED/image/haproxy/haproxy=/usr/local/sbin/haproxy" \
        "$TESTBED/image/haproxy/haproxy.cfg=/usr/local/etc/haproxy/haproxy.cfg" ;;
    agnhost) # with dig and nslookup as in the real image, because checks call them in its pods
      image "$BASE" "$AGNHOST" $'ENTRYPOINT ["/agnhost"]\nCMD ["pause"]' "$CACHE/programs/agnhost=/agnhost" "$CACHE/dns-tools=/" ;;
    kindnetd)
      image "$BASE" "$(names | head -1)" 'CMD ["/bin/kindnetd"]' "$CACHE/programs/kindnetd=/bin/kindnetd" ;;
    metrics-server)
      image scratch "$(names | head -1)" $'USER 65534\nENTRYPOINT ["/metrics-server"]' "$CACHE/programs/metrics-server=/metrics-server" ;;
    cluster-api)
      image scratch "$CAPI_CORE" $'USER 65532\nENTRYPOINT ["/manager"]' "$CACHE/programs/capi-core=/manager"
      image scratch "$CAPI_BOOTSTRAP" $'USER 65532\nENTRYPOINT ["/manager"]' "$CACHE/programs/capi-bootstrap=/manager"
      image scratch "$CAPI_CONTROL_PLANE" $'USER 65532\nENTRYPOINT ["/manager"]' "$CACHE/programs/capi-control-plane=/manager"
      # this one talks to Docker's socket, which is root's
      image scratch "$CAPI_DOCKER" 'ENTRYPOINT ["/manager"]' "$CACHE/programs/capi-docker=/manager"
      return ;;
  esac
  local name
  for name in $(names); do docker tag "$(names | head -1)" "$name"; done
}
