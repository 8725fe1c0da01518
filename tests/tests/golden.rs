//! Golden cases: one folder per kind of rule and per situation of the merge, each run in every way there is.
//!
//! See `concord_tests::pipeline::golden` for how a case is written and refreshed.

use std::path::PathBuf;

use concord::event::{self, Parsed};
use concord_tests::pipeline::files::golden_dir;
use concord_tests::pipeline::golden::Input;
use concord_tests::pipeline::{golden, key, with_clickhouse};

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

/// The cases deliver a card's number in every way that the formats know, and in what is no message at all.
#[test]
fn no_card_reaches_the_log() {
    const CARD: &[u8] = b"4444333322221111";
    let holds = |bytes: &[u8]| bytes.windows(CARD.len()).any(|window| window == CARD);
    let files =
        |folder: PathBuf| std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("entry").path());
    let tries = |folder: &PathBuf| {
        folder.is_dir() && files(folder.clone()).any(|file| holds(&std::fs::read(file).expect("a file")))
    };
    let cases: Vec<PathBuf> = files(golden_dir()).filter(tries).collect();
    assert!(cases.len() >= 8, "only these cases try a card: {cases:?}");
    for folder in cases {
        let mut events = 0;
        for record in Input::read(&folder).partitions.into_iter().flatten() {
            assert!(!holds(&record.value), "{}: a record", folder.display());
            if let Parsed::Event(event) = event::parse(&record.value, &key()) {
                assert!(!holds(&event.data), "{}: an event's data", folder.display());
                events += 1;
            }
        }
        assert!(events > 5, "{}: {events} events", folder.display());
    }
}
