//! Golden cases: one folder per kind of rule and per situation of the merge, each run in every way there is.
//!
//! See `concord_tests::pipeline::golden` for how a case is written and refreshed.

use concord_tests::pipeline::files::golden_dir;
use concord_tests::pipeline::{golden, with_clickhouse};

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            with_clickhouse(async |lease| golden::check(lease, stringify!($name)).await);
        })*

        /// A folder that no test runs would be forgotten.
        #[test]
        fn every_folder_is_a_case() {
            let known = [$(stringify!($name)),*];
            let entries = std::fs::read_dir(golden_dir()).expect("tests/golden");
            for entry in entries.map(|entry| entry.expect("entry")) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.path().is_dir() {
                    assert!(known.contains(&name.as_str()), "tests/golden/{name} is not in the list of cases");
                }
            }
        }
    };
}

cases! {
    apaleo
    bad_input
    booking_com
    cancel_before_booking
    capacity_cut
    capacity_order
    checked_in_excess
    cloudbeds
    cloudbeds_apaleo_website
    configuration_midway
    debezium
    delivery_ids
    doubt
    expedia
    field_rules
    group_reference
    inventory_replace
    link_and_separate
    mews
    mews_and_channex
    misrouted
    moved_between_hotels
    no_show_first_night
    no_show_release
    opentravel_bookings
    opentravel_inventory
    opera
    opera_events
    partial_placement
    redelivery
    reset
    revisions
    room_assignment
    several_rooms
    snapshot
    stay_fields
    stay_status
    unmapped
    website
    whole_replacement
    withdraw
}
