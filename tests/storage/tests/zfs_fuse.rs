//! `storage-zfs` on zfs-fuse passes the suite of all storages. Needs root, /dev/fuse and zfs-fuse.

cairn_storage_tests::suite!(cairn_storage_tests::zfs_fuse);
