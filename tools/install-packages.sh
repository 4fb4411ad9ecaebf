#!/bin/bash
# Installs on Debian 12 what building and testing Cairn needs besides Rust. Needs root.
#
#   tools/install-packages.sh             installs what is missing
#   tools/install-packages.sh --missing   only prints it: names on one line, nothing if all is there
#
# QEMU comes from bookworm-backports: under the emulation of bookworm's own 7.2, Linux 6.12 panics
# while it boots. Both QEMU packages must be of one suite. The machine's own apt sources stay as
# they are. No service is left running or enabled by what is installed here.
set -euo pipefail
packages=(gcc libc6-dev zfs-fuse fuse mount nftables iproute2 mmdebstrap e2fsprogs busybox-static
  cpio xz-utils util-linux btrfs-progs python3-minimal minisign)
qemu=(qemu-system-x86 qemu-utils)
qemu_at_least=1:10
say() { echo "install-packages: $*" >&2; }

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  if [ "${1:-}" != --missing ]; then
    say "this is no Debian: install the like of: ${packages[*]} ${qemu[*]} (QEMU 10 or later)"
    exit 1
  fi
  say "this is no Debian: cannot tell which packages are missing"
  exit 0
fi

installed=$(dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\n' "${packages[@]}" "${qemu[@]}" 2>/dev/null || true)
version() { awk -v package="$1" '$1 == package && $2 == "installed" { print $3; exit }' <<<"$installed"; }
missing=()
for package in "${packages[@]}"; do [ -n "$(version "$package")" ] || missing+=("$package"); done
missing_qemu=()
for package in "${qemu[@]}"; do
  dpkg --compare-versions "$(version "$package")" ge "$qemu_at_least" || missing_qemu+=("$package")
done

if [ "${1:-}" = --missing ]; then
  echo "${missing[@]}" "${missing_qemu[@]}"
  exit 0
fi
[ ${#missing[@]} -gt 0 ] || [ ${#missing_qemu[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || { say "needs root to install ${missing[*]} ${missing_qemu[*]}: run: sudo $0"; exit 1; }

export DEBIAN_FRONTEND=noninteractive
options=(-y -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)

# zfs-fuse's package starts a daemon for the whole machine and enables it at boot. Tests start
# their own, apart from it; nobody asked for this one.
quiet_zfs_fuse() {
  if [ -d /run/systemd/system ]; then
    systemctl disable --now zfs-fuse.service >/dev/null 2>&1 || say "could not stop zfs-fuse.service"
  else
    /etc/init.d/zfs-fuse stop >/dev/null 2>&1 || say "could not stop the zfs-fuse daemon"
    update-rc.d zfs-fuse disable >/dev/null 2>&1 || true
  fi
}

if [ ${#missing[@]} -gt 0 ]; then
  apt-get -qq update || say "could not refresh all package lists; trying with what there is"
  apt-get "${options[@]}" install "${missing[@]}" >/dev/null
  case " ${missing[*]} " in *" zfs-fuse "*) quiet_zfs_fuse ;; esac
fi

[ ${#missing_qemu[@]} -gt 0 ] || exit 0
. /etc/os-release
if [ "${VERSION_CODENAME:-}" = bookworm ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m1 -E '/debian/?$') ||
    { say "apt's sources name no Debian mirror to take QEMU 10 from bookworm-backports"; exit 1; }
  key=/usr/share/keyrings/debian-archive-keyring.gpg
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/parts" "$work/lists/partial"
  for suite in bookworm bookworm-backports; do
    echo "deb [signed-by=$key] $mirror $suite main"
  done >"$work/sources.list"
  options+=(-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/parts"
    -o Dir::State::lists="$work/lists" -o APT::Sandbox::User=root -t bookworm-backports)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" install "${qemu[@]}" >/dev/null
else
  apt-get "${options[@]}" install "${qemu[@]}" >/dev/null
  have=$(dpkg-query -W -f '${Version}' qemu-system-x86)
  dpkg --compare-versions "$have" ge "$qemu_at_least" ||
    { say "this machine's QEMU is $have, but ${qemu_at_least#*:} or later is needed"; exit 1; }
fi
