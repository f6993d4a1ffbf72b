# the two root file systems as Docker images
# shellcheck shell=bash

needs() { echo rootfs; }
outputs() { printf 'image %s:latest\n' "$BASE" "$NODE"; }

build() {
  docker import "$CACHE/node.tar" "$NODE:latest"
  docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$CACHE/base.tar" "$BASE:latest"
}
