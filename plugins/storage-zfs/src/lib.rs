//! storage-zfs
