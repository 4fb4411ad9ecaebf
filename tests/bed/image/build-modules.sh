#!/bin/bash
# build-modules.sh OUTDIR
# Makes what build-image.sh takes as MODULES: linux-VERSION.tar.xz (vmlinuz and the modules
# a storage cluster can want), spl.ko.xz and zfs.ko.xz built by DKMS for just that kernel.
# Kernel, headers and zfs-dkms are Debian's, of bookworm-backports (main and contrib).
# Slow: 9 minutes on 2 idle cores, nearly all of it the DKMS build. Needs binutils here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
command -v objcopy >/dev/null || { echo "build-modules.sh needs binutils" >&2; exit 1; }
out=$(mkdir -p "${1:?usage: build-modules.sh OUTDIR}" && cd "$1" && pwd)
rm -rf --one-file-system "$out"/.modules.* # What a build left that was killed.
work=$(mktemp -d -p "$out" .modules.XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT

builder=$work/builder
# DKMS builds for each kernel whose headers are installed, when zfs-dkms is configured.
debian_root "$builder" linux-image-cloud-amd64 linux-headers-cloud-amd64 dkms zfs-dkms kmod xz-utils
shopt -s nullglob
kernels=("$builder"/boot/vmlinuz-*)
version=${kernels[-1]##*/vmlinuz-}
modules=$builder/lib/modules/$version
zfs=("$modules"/updates/dkms/zfs.ko*)
[ ${#zfs[@]} -gt 0 ] || { echo "no zfs module was built for $version" >&2; exit 1; }

[ -e "$modules/modules.dep" ] || chroot "$builder" depmod "$version"
tree=$work/tree/lib/modules/$version
mkdir -p "$tree"
cp "${kernels[-1]}" "$work/tree/vmlinuz"
cp "$modules"/modules.{builtin,builtin.modinfo,order} "$tree/"

# The modules that match, less a few large ones no test wants, with all that they depend on.
keep='^kernel/(arch/x86/crypto|block|crypto|fs|lib|mm|net|drivers/(block|cdrom|char|dax|firmware|md|nvme|scsi|target|vhost|virtio|watchdog))/|^kernel/drivers/net/(bonding|dummy|geneve|ifb|ipvlan|mac|net|tap|team|tun|veth|virtio_net|vrf|vxlan|wireguard)'
drop='/(bcachefs|orangefs|ntfs3|xprtrdma|rds|smc|tipc|hyperv|cxl)/|rdma|/(xen|hv)[-_]'
awk -F': *' -v keep="$keep" -v drop="$drop" '
  function take(m,   i, n, parts) {
    if (m in taken || m ~ /^updates/) return
    taken[m] = 1
    n = split(needs[m], parts, " ")
    for (i = 1; i <= n; i++) take(parts[i])
  }
  { needs[$1] = $2 }
  END { for (m in needs) if (m ~ keep && m !~ drop) take(m); for (m in taken) print m }
' "$modules/modules.dep" | sort >"$work/list"
(cd "$modules" && tar -c -T "$work/list") | tar -x -C "$tree"
mkdir "$work/zfs"
cp "${zfs[@]}" "$modules"/updates/dkms/spl.ko* "$work/zfs/"
find "$tree" "$work/zfs" -name '*.ko.xz' -exec xz -d {} +
# As a module loads, the kernel looks up the symbol of each function that could be traced, by a
# linear search: for zfs.ko 7 s under TCG. Without that table and spare symbols it loads in 1.5 s;
# what is lost is function tracing of modules, and signatures, which nothing here checks.
find "$tree" "$work/zfs" -name '*.ko' -exec objcopy --strip-unneeded --remove-section=__mcount_loc {} \;

# Uncompressed modules in one xz stream come out much smaller than each packed by itself.
tar -C "$work/tree" --sort=name --owner=0 --group=0 --numeric-owner -c vmlinuz lib |
  xz -9 -T1 >"$work/linux-$version.tar.xz"
for m in spl zfs; do xz -9 -c "$work/zfs/$m.ko" >"$out/$m.ko.xz"; done
{
  echo "Debian packages these files were made from:"
  chroot "$builder" dpkg-query -W "linux-image-$version" zfs-dkms
  echo "Rebuild: build-modules.sh OUTDIR. Source: Debian's linux, zfs-linux of the same versions."
  echo "Modules were changed only by the objcopy of build-modules.sh."
  (cd "$work" && sha256sum "linux-$version.tar.xz")
  (cd "$out" && sha256sum spl.ko.xz zfs.ko.xz)
} >"$out/SOURCES"
# Last: where this file is, the others are whole.
mv "$work/linux-$version.tar.xz" "$out/"
