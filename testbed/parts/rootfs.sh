# the Debian root file system that nodes boot, and the small one cut out of it that programs run on
# shellcheck shell=bash

NODE_PACKAGES=(
  systemd systemd-sysv dbus containerd runc containernetworking-plugins
  iptables iproute2 conntrack ethtool socat kmod procps mount util-linux ca-certificates
)
BASE_PACKAGES=(iptables libxtables12 iproute2 haproxy dash busybox-static netbase) # a busybox shell would prefer its own ip
DNS_PACKAGES=(bind9-dnsutils bind9-host)

inputs() { echo "$DEBIAN"; }
outputs() { printf 'file %s\n' node.tar base.tar dns-tools; }

# the mirror that this machine installs from
mirror() {
  local found
  # shellcheck disable=SC2016  # apt fills these in
  found=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' | sort -u)
  { grep "^$DEBIAN " <<< "$found" || echo "$found"; } | awk 'NF { print $2; exit }'
}

# cut FROM TO PACKAGE...: the packages' own files without documentation, and the libraries that their programs load
cut_out() {
  local from=$1 to=$2
  shift 2
  mkdir -p "$to"
  {
    chroot "$from" dpkg -L "$@" | grep -v '^/usr/share/'
    # shellcheck disable=SC2016
    chroot "$from" sh -c 'dpkg -L "$@" | xargs ldd 2> /dev/null || true' sh "$@" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u |
      while read -r library; do
        echo "$library"
        chroot "$from" readlink -f "$library"
      done
  } | sed -E 's#^/(s?bin|lib|lib64)/#/usr/\1/#' | sort -u | while read -r f; do
    # a directory would bring all below it along
    if [ -h "$from$f" ] || [ -f "$from$f" ]; then echo ".$f"; fi
  done > "$to.list"
  tar -C "$from" -T "$to.list" -cf - | tar -C "$to" -xf -
  rm "$to.list"
}

make_base() {
  local root=$1 to=$2 tool dir
  cut_out "$root" "$to" "${BASE_PACKAGES[@]}"
  (cd "$root" && cp -a --parents bin sbin lib lib64 etc/passwd etc/group etc/nsswitch.conf etc/alternatives/*tables* "$to" &&
    find usr/sbin -lname '/etc/alternatives/*tables*' -exec cp -a --parents {} "$to" \;)
  install -d -m 1777 "$to/tmp"
  for tool in $(chroot "$to" busybox --list); do # stands in for every tool that is not there as itself
    for dir in bin sbin; do [ ! -h "$to/usr/$dir/$tool" ] && [ ! -e "$to/usr/$dir/$tool" ] || continue 2; done
    ln -s busybox "$to/usr/bin/$tool"
  done
  chroot "$to" sh -c 'iptables --version && ip -V && haproxy -v' # what it is for must run
}

# what checks call inside their pods: dig, nslookup and host, as far as the base does not have their files
make_dns_tools() {
  local root=$1 base=$2 to=$3 f
  cut_out "$root" "$to" "${DNS_PACKAGES[@]}"
  find "$to" ! -type d -printf '%P\n' | while read -r f; do
    case $f in
      */dig | */nslookup | */host) ;; # the base has busybox by these names
      etc/* | */bin/*) rm "$to/$f" ;;
      *) [ ! -e "$base/$f" ] || rm "$to/$f" ;;
    esac
  done
}

build() {
  local root=$CACHE/rootfs base=$CACHE/base unit f
  rm -rf "$root"
  debootstrap --variant=minbase \
    --include="$(IFS=,; echo "${NODE_PACKAGES[*]},${BASE_PACKAGES[*]},${DNS_PACKAGES[*]}")" "$DEBIAN" "$root" "$(mirror)"

  rm -rf "$base" "$CACHE/dns-tools"
  make_base "$root" "$base"
  tar -C "$base" -cf "$CACHE/base.tar" .
  make_dns_tools "$root" "$base" "$CACHE/dns-tools"
  rm -rf "$base"

  # a node is no login machine, and the less it starts the sooner it is up
  chroot "$root" dpkg --purge haproxy busybox-static "${DNS_PACKAGES[@]}"
  rm -f "$root"/usr/lib/*/libicu* # came with the DNS tools, and weighs more than all of them
  for unit in systemd-udevd systemd-logind getty@ console-getty systemd-remount-fs systemd-hwdb-update \
    systemd-journal-catalog-update systemd-update-utmp systemd-update-done systemd-timesyncd \
    e2scrub_reap apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer systemd-pstore; do
    case $unit in *.timer) f=$unit ;; *) f=$unit.service ;; esac
    ln -sf /dev/null "$root/etc/systemd/system/$f"
  done
  ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
  mkdir -p "$root/opt/cni"
  ln -sfn /usr/lib/cni "$root/opt/cni/bin"
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/* "$root"/var/log/* \
    "$root"/usr/share/{doc,man,locale,info,i18n} "$root"/usr/lib/udev/hwdb* "$root"/etc/machine-id "$root"/tmp/*
  tar -C "$root" -cf "$CACHE/node.tar" .
  rm -rf "$root"
}
