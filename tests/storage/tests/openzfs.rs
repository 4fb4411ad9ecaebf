//! `storage-zfs` on OpenZFS 2.3 passes the suite of all storages, in one virtual machine with the daemon.
//! Needs root, /dev/net/tun, QEMU 10 and what builds the image.

cairn_storage_tests::suite!(cairn_storage_tests::openzfs);
cairn_storage_tests::suite!(cairn_storage_tests::openzfs, streams:
    a_stream_does_not_say_where_it_is_mounted);
