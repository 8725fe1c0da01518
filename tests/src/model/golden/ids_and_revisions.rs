//! Rules 1 to 8: duplicates, revisions, cancellations, replacements, snapshots, retries, outcomes.

use super::*;

#[test]
fn r01_a_senders_id_counts_once() {
    let log = Log::new().with_id("pms", "a", [price(100)]).with_id("pms", "a", [price(110)]);
    assert_eq!(outcomes(&log.run()), "md");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "100.00 EUR pms");
    let other = Log::new().with_id("pms", "a", [price(100)]).with_id("ota", "a", [price(110)]);
    assert_eq!(outcomes(&other.run()), "mm", "ids are a source's own");
}

#[test]
fn r01_ids_are_kept_for_a_span_of_partition_time() {
    let log = |then: i64| {
        Log::new().tick(5000).with_id("pms", "a", [price(100)]).tick(then).with_id("pms", "a", [price(110)])
    };
    assert_eq!(outcomes(&log(6000).run()), "cmcd");
    assert_eq!(outcomes(&log(6001).run()), "cmcm");
    assert_eq!(outcomes(&log(1).run()), "cmcd", "partition time never goes back");
    let early = Log::new().with_id("pms", "a", [price(100)]).tick(5000).with_id("pms", "a", [price(110)]);
    assert_eq!(outcomes(&early.run()), "mcd", "before the first tick no time has passed");
}

#[test]
fn r01_only_a_merged_id_is_remembered() {
    let log = Log::new().from("pms", [revised(5, price(100))]).with_id("pms", "a", [revised(4, price(90))]).with_id(
        "pms",
        "a",
        [revised(6, price(110))],
    );
    assert_eq!(outcomes(&log.run()), "msm");
}

#[test]
fn r01_price_100_110_100_ends_at_100_and_the_same_again_is_a_duplicate() {
    let log = Log::new()
        .hashed("pms", [price(100)])
        .hashed("pms", [price(110)])
        .hashed("pms", [price(100)])
        .hashed("pms", [price(100)]);
    assert_eq!(outcomes(&log.run()), "mmmd");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "100.00 EUR pms");
}

#[test]
fn r01_a_redelivered_booking_resurrects_nothing() {
    let log = Log::new()
        .hashed("ota", [booked("a", 1, 3).set()])
        .hashed("ota", [cancel("a")])
        .hashed("ota", [booked("a", 1, 3).set()]);
    assert_eq!(outcomes(&log.run()), "mmd");
    assert_eq!(verdicts(&log.run()), ["ota:a/a cancelled"]);
}

#[test]
fn r01_a_second_cancellation_counts() {
    let again = LineChange { guests: Some(2), ..booked("a", 1, 3) };
    let log = Log::new()
        .hashed("ota", [booked("a", 1, 3).set()])
        .hashed("ota", [cancel("a")])
        .hashed("ota", [cancel("a")])
        .hashed("ota", [again.clone().set()])
        .hashed("ota", [booked("a", 1, 3).set()])
        .hashed("ota", [again.set()])
        .hashed("ota", [cancel("a")]);
    assert_eq!(outcomes(&log.run()), "mmdmddm");
    assert_eq!(verdicts(&log.run()), ["ota:a/a cancelled"]);
}

#[test]
fn r01_a_second_cancellation_of_the_whole_counts_whatever_booked_in_between() {
    let whole = Log::new()
        .hashed("ota", [replace("a", [booked("1", 1, 3)])])
        .hashed("ota", [replace("a", [])])
        .hashed("ota", [replace("a", [])])
        .hashed("ota", [replace("a", [booked("2", 5, 6)])])
        .hashed("ota", [replace("a", [booked("1", 1, 3)])])
        .hashed("ota", [replace("a", [])]);
    assert_eq!(outcomes(&whole.run()), "mmdmdm");
    assert_eq!(verdicts(&whole.run()), ["ota:a/1 cancelled", "ota:a/2 cancelled"]);
    let line_of = |name: &str| booked(name, 1, 3).of("a");
    let by_line = Log::new()
        .hashed("ota", [replace("a", [booked("9", 5, 6)])])
        .hashed("ota", [replace("a", [])])
        .hashed("ota", [line_of("1")])
        .hashed("ota", [replace("a", [])])
        .hashed("ota", [line_of("1")])
        .hashed("ota", [replace("a", [])]);
    assert_eq!(outcomes(&by_line.run()), "mmmmdd");
    assert_eq!(verdicts(&by_line.run()), ["ota:a/1 cancelled", "ota:a/9 cancelled"]);
}

#[test]
fn r01_content_since_the_last_cancellation_is_a_duplicate_though_other_content_came_between() {
    let guests = |n: u32| LineChange { guests: Some(n), ..booked("a", 1, 3) }.set();
    let log = Log::new().hashed("ota", [guests(1)]).hashed("ota", [guests(2)]).hashed("ota", [guests(1)]);
    assert_eq!(outcomes(&log.run()), "mmd");
    assert_eq!(log.run().reservations[0].guests, Some(2));
}

#[test]
fn r02_older_is_stale_equal_content_a_duplicate_other_content_applies() {
    let log = Log::new()
        .from("pms", [revised(5, price(100))])
        .from("pms", [revised(4, price(90))])
        .from("pms", [revised(5, price(100))])
        .from("pms", [revised(5, price(105))])
        .from("pms", [revised(5, price(100))]);
    assert_eq!(outcomes(&log.run()), "msdmd");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "105.00 EUR pms");
}

#[test]
fn r02_revisions_are_per_field_and_per_source() {
    let log = Log::new()
        .from("pms", [revised(5, price(100))])
        .from("pms", [revised(4, rooms(3))])
        .from("ota", [revised(1, price(90))]);
    assert_eq!(outcomes(&log.run()), "mmm");
}

#[test]
fn r02_a_claim_without_revision_applies_and_leaves_the_highest() {
    let log =
        Log::new().from("pms", [revised(5, price(100))]).from("pms", [price(90)]).from("pms", [revised(4, price(80))]);
    assert_eq!(outcomes(&log.run()), "mms");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "90.00 EUR pms");
}

#[test]
fn r02_between_a_cancellation_and_another_status_of_equal_revision_the_cancellation_holds() {
    let status = |status| revised(5, line("a").status(status).set());
    let booking = revised(5, booked("a", 1, 3).set());
    let first = Log::new()
        .from("ota", [booking.clone()])
        .from("ota", [status(Status::Cancelled)])
        .from("ota", [status(Status::Tentative)]);
    assert_eq!(outcomes(&first.run()), "mms");
    assert_eq!(verdicts(&first.run()), ["ota:a/a cancelled"]);
    let last =
        Log::new().from("ota", [booking.clone()]).from("ota", [status(Status::Cancelled)]).from("ota", [booking]);
    assert_eq!(outcomes(&last.run()), "mmd", "content already merged at this revision");
}

#[test]
fn r02_a_reset_forgets_revisions_ids_and_contents_and_keeps_claims() {
    let log = Log::new().with_id("pms", "a", [revised(5, price(100))]).reset("pms").with_id(
        "pms",
        "a",
        [revised(1, price(90))],
    );
    assert_eq!(outcomes(&log.run()), "mcm");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "90.00 EUR pms");
    let kept = Log::new().from("pms", [revised(5, price(100))]).reset("pms");
    assert_eq!(price_on(&kept.run(), 1).unwrap(), "100.00 EUR pms");
    let other = Log::new().from("pms", [revised(5, price(100))]).reset("ota").from("pms", [revised(1, price(90))]);
    assert_eq!(outcomes(&other.run()), "mcs");
    let content = Log::new()
        .hashed("ota", [booked("a", 1, 3).set()])
        .hashed("ota", [cancel("a")])
        .reset("ota")
        .hashed("ota", [booked("a", 1, 3).set()]);
    assert_eq!(outcomes(&content.run()), "mmcm");
    assert_eq!(stays(&content.run())[0], "ota:a/a 1 DBL accepted reinstated");
}

#[test]
fn r03_a_line_born_cancelled_waits_for_a_higher_revision() {
    let log = Log::new().from("ota", [cancel("a")]).from("ota", [booked("a", 1, 2).set()]);
    assert_eq!(outcomes(&log.run()), "mm", "what else the late booking says is merged");
    assert_eq!(stays(&log.run()), ["ota:a/a 1 DBL cancelled cancelled"]);
    let log = Log::new()
        .from("ota", [revised(5, cancel("a"))])
        .from("ota", [revised(4, booked("a", 1, 2).set())])
        .from("ota", [booked("a", 1, 2).set()])
        .from("ota", [revised(6, line("a").status(Status::Confirmed).set())]);
    assert_eq!(outcomes(&log.run()), "mmmm");
    assert_eq!(stays(&log.run()), ["ota:a/a 1 DBL accepted reinstated"]);
}

#[test]
fn r03_what_comes_first_within_a_record_is_known_first() {
    let born = Log::new().from("ota", [cancel("a"), booked("a", 1, 2).set()]);
    assert_eq!(verdicts(&born.run()), ["ota:a/a cancelled"]);
    let with_more = Log::new()
        .from("ota", [booked("a", 1, 2).status(Status::Cancelled).set()])
        .from("ota", [booked("a", 1, 2).set()]);
    assert_eq!(
        stays(&with_more.run()),
        ["ota:a/a 1 DBL cancelled cancelled"],
        "what else came with the cancellation does not make it younger"
    );
}

#[test]
fn r04_confirmed_after_a_cancellation_means_reinstated() {
    let log = Log::new()
        .from("ota", [booked("a", 1, 2).set()])
        .from("ota", [cancel("a")])
        .from("ota", [line("a").status(Status::Confirmed).set()]);
    assert_eq!(stays(&log.run()), ["ota:a/a 1 DBL accepted reinstated"]);
    let later = |status| {
        let log = Log::new().from("ota", [booked("a", 1, 2).set()]).from("ota", [cancel("a")]);
        log.from("ota", [line("a").status(Status::CheckedIn).set()]).from("ota", [line("a").status(status).set()]).run()
    };
    assert_eq!(stays(&later(Status::Confirmed)), ["ota:a/a 1 DBL accepted reinstated"]);
    assert_eq!(stays(&later(Status::Tentative)), ["ota:a/a 1 DBL accepted tentative"]);
}

#[test]
fn r05_a_replacement_cancels_the_lines_it_leaves_out() {
    let log = Log::new()
        .from("pms", [replace("r", [booked("1", 1, 2), booked("2", 1, 2).room_type("TWN")])])
        .from("pms", [replace("r", [booked("1", 1, 2)])]);
    assert_eq!(verdicts(&log.run()), ["pms:r/1 accepted", "pms:r/2 cancelled"]);
}

#[test]
fn r05_an_older_record_cannot_bring_back_what_a_replacement_left_out() {
    let log = Log::new()
        .from("pms", [revised(5, replace("r", [booked("1", 1, 2)]))])
        .from("pms", [revised(4, booked("2", 4, 5).of("r"))])
        .from("pms", [booked("3", 6, 7).of("r")]);
    assert_eq!(outcomes(&log.run()), "mmm");
    assert_eq!(verdicts(&log.run()), ["pms:r/1 accepted", "pms:r/2 cancelled", "pms:r/3 accepted"]);
    let inventory = Log::new()
        .from("pms", [revised(5, change(Action::InventoryReplace { scope: scope(1, 4), nights: Vec::new() }))])
        .from("pms", [revised(4, price(100))])
        .from("pms", [revised(5, rooms(4))]);
    assert_eq!(outcomes(&inventory.run()), "msm");
    let later = inventory.from("pms", [price(90)]).from("pms", [revised(4, price(80))]);
    assert_eq!(outcomes(&later.run()), "msmms", "what is set without a revision leaves the highest");
}

#[test]
fn r05_a_replacement_speaks_about_unknown_lines_at_its_own_revision_too() {
    let known = Log::new()
        .from("pms", [revised(3, booked("2", 4, 5).of("r"))])
        .from("pms", [revised(5, replace("r", [booked("1", 1, 2)]))])
        .from("pms", [revised(5, booked("2", 4, 5).of("r"))]);
    let unknown = Log::new()
        .from("pms", [revised(5, replace("r", [booked("1", 1, 2)]))])
        .from("pms", [revised(5, booked("2", 4, 5).of("r"))]);
    assert_eq!(verdicts(&known.run()), ["pms:r/1 accepted", "pms:r/2 cancelled"]);
    assert_eq!(verdicts(&unknown.run()), ["pms:r/1 accepted", "pms:r/2 cancelled"]);
}

#[test]
fn r05_fields_not_mentioned_keep_their_claim_in_lines_and_lose_it_in_room_nights() {
    let log = Log::new()
        .from("pms", [replace("r", [LineChange { guests: Some(2), ..booked("1", 1, 2) }])])
        .from("pms", [replace("r", [line("1").status(Status::Confirmed)])]);
    assert_eq!(log.run().reservations[0].guests, Some(2));
    let log = Log::new().from("pms", [price(100), rooms(5)]).from(
        "pms",
        [change(Action::InventoryReplace {
            scope: scope(1, 4),
            nights: vec![nights("DBL", 1, 2, &[("capacity", Some(Value::Integer(4)))])],
        })],
    );
    assert_eq!(price_on(&log.run(), 1), None);
    assert_eq!(night_of(&log.run(), "DBL", 1), "4 0 4");
}

#[test]
fn r05_without_a_revision_a_replacement_is_compared_as_a_whole() {
    let (one, two) = (booked("1", 1, 2), booked("2", 1, 2).room_type("TWN"));
    let both = || [replace("r", [one.clone(), two.clone()])];
    let log = Log::new().hashed("pms", both()).hashed("pms", [replace("r", [one.clone()])]).hashed("pms", both());
    assert_eq!(outcomes(&log.run()), "mmd");
    assert_eq!(verdicts(&log.run()), ["pms:r/1 accepted", "pms:r/2 cancelled"]);
    let empty = || [replace("r", [])];
    let log = Log::new().hashed("pms", empty()).hashed("pms", empty()).hashed("pms", [booked("1", 1, 2).of("r")]);
    assert_eq!(outcomes(&log.run()), "mdm");
    assert_eq!(
        verdicts(&log.run()),
        ["pms:r/1 cancelled"],
        "the first thing known of it was its cancellation (rule 3)"
    );
    assert_eq!(outcomes(&log.hashed("pms", empty()).run()), "mdmd", "nothing was booked in between");
}

#[test]
fn r03_a_whole_cancellation_before_anything_else_is_known_holds_for_lines_that_come_later() {
    let cancelled = || replace("r", []);
    let late = |line: LineChange| Log::new().from("ota", [cancelled()]).from("ota", [replace("r", [line])]);
    let log = late(booked("1", 1, 2));
    assert_eq!(outcomes(&log.run()), "mm", "what else the late booking says is merged");
    assert_eq!(stays(&log.run()), ["ota:r/1 1 DBL cancelled cancelled"]);
    let other = log.from("ota", [replace("r", [booked("2", 1, 2)])]).from("ota", [booked("3", 1, 2).of("r")]);
    assert_eq!(verdicts(&other.run()), ["ota:r/1 cancelled", "ota:r/2 cancelled", "ota:r/3 cancelled"]);
    // All that it lists is cancelled: so is what it does not list.
    let listed = Log::new()
        .from("ota", [replace("r", [line("1").status(Status::Cancelled)])])
        .from("ota", [replace("r", [booked("1", 1, 2), booked("2", 1, 2)])]);
    assert_eq!(verdicts(&listed.run()), ["ota:r/1 cancelled", "ota:r/2 cancelled"]);
}

#[test]
fn r03_a_whole_cancellation_holds_until_a_status_of_a_higher_revision() {
    let log = Log::new().from("ota", [revised(5, replace("r", []))]);
    let lower = log.clone().from("ota", [revised(4, replace("r", [booked("1", 1, 2)]))]);
    assert_eq!(verdicts(&lower.run()), ["ota:r/1 cancelled"]);
    let without = log.clone().from("ota", [replace("r", [booked("1", 1, 2)])]);
    assert_eq!(verdicts(&without.run()), ["ota:r/1 cancelled"]);
    let placed = LineChange { status: None, ..booked("1", 1, 2) };
    let no_status = without.from("ota", [revised(6, placed.of("r"))]);
    assert_eq!(verdicts(&no_status.run()), ["ota:r/1 cancelled"]);
    let higher = no_status.from("ota", [revised(7, replace("r", [booked("1", 1, 2)]))]);
    assert_eq!(stays(&higher.run()), ["ota:r/1 1 DBL accepted reinstated"]);
    let next = higher.from("ota", [replace("r", [booked("1", 1, 2), booked("2", 1, 2).room_type("TWN")])]);
    assert_eq!(verdicts(&next.run()), ["ota:r/1 accepted", "ota:r/2 accepted"], "it is another booking now");
}

#[test]
fn r03_a_whole_cancellation_of_a_known_reservation_leaves_it_open_to_further_rooms() {
    let log = Log::new()
        .from("ota", [replace("r", [booked("1", 1, 2)])])
        .from("ota", [replace("r", [])])
        .from("ota", [replace("r", [booked("2", 1, 2)])]);
    assert_eq!(verdicts(&log.run()), ["ota:r/1 cancelled", "ota:r/2 accepted"]);
}

#[test]
fn r06_a_snapshot_withdraws_and_cancels_what_it_does_not_mention() {
    let log = Log::new()
        .from("pms", [price(100), booked("a", 1, 2).set(), booked("b", 3, 4).set()])
        .from("ota", [price(90), booked("c", 5, 6).set()])
        .from("pms", [change(Action::SnapshotBegin)])
        .from("pms", [line("a").status(Status::Confirmed).set()])
        .from("pms", [change(Action::SnapshotEnd)]);
    assert_eq!(outcomes(&log.run()), "mmmmm");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "90.00 EUR ota");
    assert_eq!(verdicts(&log.run()), ["ota:c/c accepted", "pms:a/a accepted", "pms:b/b cancelled"]);
}

#[test]
fn r06_stale_and_duplicate_records_mention_too() {
    let log = Log::new()
        .with_id("pms", "x", [revised(5, price(100))])
        .from("pms", [revised(5, booked("a", 1, 2).set())])
        .from("pms", [change(Action::SnapshotBegin)])
        .with_id("pms", "x", [revised(5, price(100))])
        .from("pms", [revised(4, line("a").status(Status::Cancelled).set())])
        .from("pms", [change(Action::SnapshotEnd)]);
    assert_eq!(outcomes(&log.run()), "mmmdsm");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "100.00 EUR pms");
    assert_eq!(verdicts(&log.run()), ["pms:a/a accepted"]);
}

#[test]
fn r06_an_end_without_a_beginning_and_a_second_beginning_are_rejected() {
    let log = Log::new()
        .from("pms", [change(Action::SnapshotEnd)])
        .from("pms", [change(Action::SnapshotBegin)])
        .from("pms", [price(100), change(Action::SnapshotBegin)])
        .from("pms", [change(Action::SnapshotEnd)])
        .from("pms", [change(Action::SnapshotEnd)]);
    assert_eq!(outcomes(&log.run()), "xmxmx");
    assert_eq!(price_on(&log.run(), 1), None);
    let kinds: Vec<_> = log.run().dead_letters.iter().map(|row| row.0).collect();
    assert_eq!(kinds, [0, 2, 4]);
}

#[test]
fn r07_a_retried_dead_letter_keeps_its_order_and_begins_its_claim_to_rooms_anew() {
    let log = Log::new().from("pms", [price(100)]).from("pms", [price(110)]).retried(0, "pms", [price(90), rooms(3)]);
    assert_eq!(outcomes(&log.run()), "mmm");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "110.00 EUR pms");
    assert_eq!(night_of(&log.run(), "DBL", 1), "3 0 3");
    // Both are confirmed by web, so of equal priority: the retry came later to want the night.
    let log = Log::new().tick(1).from("web", [booked("a", 1, 2).set()]).retried(0, "web", [booked("b", 1, 2).set()]);
    assert_eq!(verdicts(&log.run()), ["web:a/a accepted", "web:b/b displaced"]);
}

#[test]
fn r08_merged_if_anything_was_taken_else_stale_else_duplicate() {
    let log = Log::new()
        .from("pms", [revised(5, price(100)), revised(5, rooms(2))])
        .from("pms", [revised(4, price(90)), revised(6, rooms(3))])
        .from("pms", [revised(4, price(90)), revised(6, rooms(3))])
        .from("pms", [revised(5, price(100)), revised(6, rooms(3))]);
    assert_eq!(outcomes(&log.run()), "mmsd");
}

#[test]
fn r08_one_bad_value_makes_the_whole_record_a_dead_letter() {
    let long = |nights: i32| Log::new().from("pms", [price(100), booked("a", 1, 1 + nights).set()]).run();
    assert_eq!(outcomes(&long(366)), "x");
    assert!(long(366).room_nights.is_empty());
    assert_eq!(outcomes(&long(365)), "m");
    let parts = Log::new()
        .from("pms", [booked("a", 5, 7).set()])
        .from("pms", [LineChange { arrival: Some(day(7)), ..line("a") }.set()]);
    assert_eq!(outcomes(&parts.run()), "mx", "no night would be left");
    let mut instant = price(100);
    instant.revision = Some(Revision::Instant(5));
    let kinds = Log::new().from("pms", [revised(5, price(90))]).from("pms", [instant]);
    assert_eq!(outcomes(&kinds.run()), "mx", "revisions of two kinds");
}
