//! The tests that every storage passes, on every backend; [`crate::suite!`] makes them tests of a program.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "these are tests"
)]

pub mod copies;
pub mod faults;
pub mod snapshots;
pub mod streams;
pub mod volumes;

/// Makes a test of each function of the suite. `$bench` gives an `Option<Bench>`; none is a skip that was told.
#[macro_export]
macro_rules! suite {
    ($bench:path) => {
        $crate::suite!($bench, volumes:
            create_is_idempotent_and_names_the_difference,
            disks_and_file_trees,
            protection_names_and_sizes,
            an_older_epoch_is_refused,
            two_creates_at_once_make_one_volume,
            what_is_open_is_noticed,
            configurations_and_removal_are_checked);
        $crate::suite!($bench, snapshots:
            snapshots_keep_content_and_identity,
            file_trees_have_snapshots_where_the_storage_can,
            holds_and_clones_stand_in_the_way,
            clones_stand_alone_where_the_storage_can,
            an_attached_volume_is_snapshotted_where_the_storage_can);
        $crate::suite!($bench, copies:
            copies_are_whole_then_incremental_and_never_over_writes,
            an_interrupted_copy_goes_on_or_starts_anew,
            a_copy_that_does_not_fit_leaves_nothing);
        $crate::suite!($bench, faults:
            a_daemon_killed_before_it_answers_makes_the_volume_again,
            no_space_leaves_nothing_behind,
            a_backend_that_is_gone_says_so_and_comes_back,
            another_backend_in_its_place_is_noticed);
    };
    ($bench:path, $module:ident: $($test:ident),*) => {
        $(
            #[test]
            fn $test() {
                if let Some(bench) = $bench() {
                    $crate::suite::$module::$test(&bench);
                }
            }
        )*
    };
}
