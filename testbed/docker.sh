# the Docker daemon: used when one answers, started when none does
# shellcheck shell=bash

DOCKERD_PID=$CACHE/dockerd.pid
DOCKERD_LOG=$CACHE/dockerd.log

# bit 24 of the bounding set
has_sys_resource() {
  local set
  set=$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status)
  ((0x$set >> 24 & 1))
}

start_dockerd() {
  local options=()
  if ! has_sys_resource; then
    install -m 755 "$TESTBED/docker/runc-without-sys-resource" "$CACHE/runc"
    options=(--add-runtime "without-sys-resource=$CACHE/runc" --default-runtime without-sys-resource)
  fi
  # a daemon that was killed leaves its own pid files behind, and refuses to start because of them
  pgrep -x dockerd > /dev/null || rm -f "$DOCKERD_PID" /var/run/docker.pid /var/run/docker/containerd/containerd.pid
  setsid nohup dockerd --pidfile "$DOCKERD_PID" "${options[@]}" > "$DOCKERD_LOG" 2>&1 < /dev/null 9>&- &
  for _ in $(seq 300); do
    daemon_answers && return
    sleep 0.2
  done
  tail -20 "$DOCKERD_LOG"
  return 1
}

our_dockerd() { [ -s "$DOCKERD_PID" ] && [ "$(cat "/proc/$(cat "$DOCKERD_PID")/comm" 2> /dev/null)" = dockerd ]; }

stop_dockerd() {
  our_dockerd || return 0
  local pid
  pid=$(cat "$DOCKERD_PID")
  kill "$pid"
  for _ in $(seq 150); do
    [ -d "/proc/$pid" ] || return 0
    sleep 0.2
  done
  echo "dockerd ($pid) does not stop; its log is $DOCKERD_LOG" >&2
  return 1
}
