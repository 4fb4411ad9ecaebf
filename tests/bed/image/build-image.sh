#!/bin/bash
# build-image.sh OUTDIR MODULES
# Makes OUTDIR/{vmlinuz,initrd.gz,root.ext4}: a Debian 12 machine with OpenZFS, as the bed boots it.
# Kernel and ZFS modules come from the directory MODULES; where they are missing, build-modules.sh
# makes them there first (slow). Needs root, and writes nowhere else.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
usage="usage: build-image.sh OUTDIR MODULES"
out=$(mkdir -p "${1:?$usage}" && cd "$1" && pwd)
modules=${2:?$usage}
packages=(zfsutils-linux lvm2 thin-provisioning-tools nfs-kernel-server nfs-common lxc btrfs-progs
  xfsprogs e2fsprogs nftables iproute2 iputils-ping qemu-utils python3-minimal socat kmod udev
  mount busybox-static procps psmisc)
image_size=4G # sparse: takes what the files take

shopt -s nullglob
kernel=("$modules"/linux-*.tar.xz)
if [ ${#kernel[@]} = 0 ]; then
  "$here/build-modules.sh" "$modules"
  kernel=("$modules"/linux-*.tar.xz)
fi
version=${kernel[0]##*/linux-}
version=${version%.tar.xz}

work=$(mktemp -d -p "$out" .image.XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
debian_root "$root" "${packages[@]}"

# Modules lie unpacked: under TCG, unpacking xz costs more than reading.
tar -C "$work" -xf "${kernel[0]}"
mkdir -p "$root/usr/lib/modules" "$work/lib/modules/$version/updates"
for m in spl zfs; do xz -dc "$modules/$m.ko.xz" >"$work/lib/modules/$version/updates/$m.ko"; done
mv "$work/lib/modules/$version" "$root/usr/lib/modules/"
chroot "$root" depmod "$version"
mv "$work/vmlinuz" "$out/vmlinuz"

install -m 755 "$here/guest/vminit" "$here/guest/vmagent.py" "$here/guest/vmident" "$root/usr/sbin/"
# Nothing but vminit starts services; ZFS must not import by a stale cache file.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/etc/hostid "$root"/etc/zfs/zpool.cache
: >"$root/etc/machine-id"
printf 'none / none defaults 0 0\n' >"$root/etc/fstab"
# Compile the guest's Python once here, not slowly at each first use.
chroot "$root" python3 -m compileall -q /usr/lib/python3.11 >/dev/null 2>&1 || true

user=$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Version}' zfsutils-linux)
kmod=$(chroot "$root" modinfo -k "$version" -F version zfs)
[ "${user%%-*}" = "${kmod%%-*}" ] || echo "warning: ZFS userland $user, module $kmod" >&2

# The initrd only mounts the root disk: what is not built into the kernel for that, and busybox.
ird=$work/initrd
mkdir -p "$ird"/{bin,dev,proc,root,mod}
cp "$root/bin/busybox" "$ird/bin/busybox"
for a in sh mount insmod sleep switch_root; do ln -s busybox "$ird/bin/$a"; done
cp "$(find "$root/usr/lib/modules/$version" -name virtio_blk.ko)" "$ird/mod/"
cat >"$ird/init" <<'I'
#!/bin/sh
mount -t devtmpfs dev /dev; mount -t proc proc /proc
insmod /mod/virtio_blk.ko
while [ ! -e /dev/vda ]; do sleep 0.05; done
mount -t ext4 -o rw,noatime /dev/vda /root || exec sh
exec switch_root /root /usr/sbin/vminit
I
chmod 755 "$ird/init"
(cd "$ird" && find . | sort | cpio -o -H newc -R 0:0 --quiet) | gzip -9 >"$out/initrd.gz"

# mke2fs fills the file system from the directory: no loop device, no mount.
truncate -s "$image_size" "$work/root.ext4"
mke2fs -q -t ext4 -d "$root" -L vmroot -m 0 -E lazy_itable_init=1 "$work/root.ext4"
mv "$work/root.ext4" "$out/root.ext4"
echo "kernel $version, zfs userland $user, module $kmod"
(cd "$out" && du -h vmlinuz initrd.gz root.ext4)
