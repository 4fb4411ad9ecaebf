//! `storage-zfs` on zfs-fuse passes the suite of all storages. Needs root, /dev/fuse and zfs-fuse.

cairn_storage_tests::suite!(cairn_storage_tests::zfs_fuse);
cairn_storage_tests::suite!(cairn_storage_tests::zfs_fuse, streams:
    a_stream_does_not_say_where_it_is_mounted);
