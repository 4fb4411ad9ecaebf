#!/bin/bash
# Makes Rust's standard library for wasm32-unknown-unknown where the toolchain lacks that target:
# builds it once, with the installed stable rustc, from the std source of the same version.
#
#   sysroot=$(tools/wasm-std.sh)
#
# Prints the directory to hand to rustc as --sysroot, or nothing where the target is installed.
# The source is the first of these that is there:
#   $CAIRN_VENDOR/rust-std-VERSION.tar.xz   (default: ../shared/vendor beside this repository)
#   Debian's rust-src package of exactly this version, from the mirror that apt already uses
# The result is kept in $CAIRN_CACHE/wasm-std (default: ~/.cache/cairn/wasm-std), about 150 MB.
# Leans on cargo's internals (-Zbuild-std, __CARGO_TESTS_ONLY_SRC_ROOT): the toolchain is pinned.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo" # so that rustup reads rust-toolchain.toml
target=wasm32-unknown-unknown
cache=${CAIRN_CACHE:-$HOME/.cache/cairn}/wasm-std
version=$(rustc -V | cut -d' ' -f2)
host=$(rustc -vV | sed -n 's/^host: //p')
toolchain=$(rustc --print sysroot)
vendored=${CAIRN_VENDOR:-$repo/../shared/vendor}/rust-std-$version.tar.xz
say() { echo "wasm-std: $*" >&2; }

compgen -G "$toolchain/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null && exit 0

# The commit is part of the key: two compilers of one version don't read each other's libraries.
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
sysroot=$cache/$version-${commit:0:9}-1 # the last number goes up when this script builds otherwise
lib=$sysroot/lib/rustlib/$target/lib

# The host's own libraries are linked in, for build scripts and procedural macros.
link_host() { ln -sfn "$toolchain/lib/rustlib/$host" "$sysroot/lib/rustlib/$host"; }
finish() { link_host; echo "$sysroot"; exit 0; }

[ ! -e "$lib/.complete" ] || finish
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ ! -e "$lib/.complete" ] || finish

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
source_root=$work/source

from_vendor() {
  say "taking the source of std $version from $vendored"
  mkdir -p "$source_root"
  tar -xJf "$vendored" -C "$source_root"
}

from_debian() {
  local advice="Run 'rustup target add $target' instead."
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    { say "the toolchain has no $target, and this is no Debian to take its source from. $advice"; exit 3; }
  local apt=$work/apt key=/usr/share/keyrings/debian-archive-keyring.gpg mirror package suite
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m1 -E '/debian/?$') ||
    { say "apt's sources name no Debian mirror to take the source of std from. $advice"; exit 3; }
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,parts,download}
  for suite in trixie-backports forky sid experimental; do
    echo "deb [signed-by=$key] $mirror $suite main"
  done >"$apt/sources.list"
  local options=(-qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/parts"
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o Acquire::Languages=none
    -o APT::Sandbox::User=root -o Acquire::Retries=3)
  say "looking for Debian's source of Rust $version"
  apt-get "${options[@]}" update >&2
  package=$(apt-cache "${options[@]}" madison rust-src | awk -F'|' '{gsub(/ /,"",$2); print $2}' |
    grep -m1 "^$version+" || true)
  [ -n "$package" ] || { say "no Debian suite has the source of Rust $version. $advice"; exit 3; }
  (cd "$apt/download" && apt-get "${options[@]}" download "rust-src=$package" >&2)
  mkdir -p "$work/unpacked" "$source_root"
  dpkg-deb --fsys-tarfile "$apt"/download/*.deb |
    tar -x -C "$work/unpacked" --wildcards './usr/src/*/library/*' --exclude='*/library/vendor/*'
  mv "$work"/unpacked/usr/src/*/library "$source_root/"
}

if [ -e "$vendored" ]; then from_vendor; else from_debian; fi
[ -e "$source_root/library/std/Cargo.toml" ] ||
  { say "the source of std $version has no library/std: delete $vendored and try again"; exit 3; }

say "building std $version for $target (about a minute, once)"
mkdir -p "$work/empty/src"
: >"$work/empty/src/lib.rs"
printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$work/empty/Cargo.toml"
# Panic messages name files as the official library does, not as they lie here.
official=/rustc/$commit
flags=$(printf '%s\x1f' -Cembed-bitcode=yes -Zforce-unstable-if-unmarked)--remap-path-prefix=$source_root=$official
(
  cd "$work/empty"
  RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-$version} RUSTC_BOOTSTRAP=1 \
    __CARGO_TESTS_ONLY_SRC_ROOT=$source_root/library CARGO_TARGET_DIR=$work/target \
    CARGO_ENCODED_RUSTFLAGS=$flags \
    CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=false \
    cargo build -q --release --target "$target" -Zbuild-std=std,panic_abort,proc_macro >&2
)
rm -rf "$sysroot"
mkdir -p "$lib"
for file in "$work/target/$target"/release/deps/lib*.{rlib,rmeta}; do
  case ${file##*/} in libempty-*) ;; *) cp "$file" "$lib/" ;; esac
done
touch "$lib/.complete"
finish
