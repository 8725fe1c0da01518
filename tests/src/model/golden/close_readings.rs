//! Short logs on which the real merge once differed from the page, or the page had to be read twice.
//!
//! The names begin with the number of the rule.

use super::*;

fn withdraw(first: i32, end: i32) -> Change {
    change(Action::Withdraw(scope(first, end)))
}

fn replace_all(first: i32, end: i32, listed: impl Into<Vec<RoomNights>>) -> Change {
    change(Action::InventoryReplace { scope: scope(first, end), nights: listed.into() })
}

/// `source(revision)@offset` of every claim of a row.
fn claims_of(tables: &Tables, row: usize) -> Vec<String> {
    let claims = &tables.conflicts[row].claims;
    claims.iter().map(|claim| format!("{}({})@{}", claim.source, claim.revision, claim.offset)).collect()
}

#[test]
fn r01_what_came_before_the_first_tick_is_remembered_as_long_as_anything() {
    let log = Log::new().with_id("pms", "x", [price(100)]).tick(1_700_000_000_000).with_id("pms", "x", [price(110)]);
    assert_eq!(outcomes(&log.run()), "mcd", "no time has passed before the first tick");
    let late = log.tick(1_700_000_001_001).with_id("pms", "x", [price(110)]);
    assert_eq!(outcomes(&late.run()), "mcdcm");
}

#[test]
fn r01_an_id_merged_again_after_its_time_is_remembered_anew() {
    // Ids are kept in groups of 256 offsets; the second merge of `x` stands in another one than the first.
    let mut log = Log::new().tick(1).with_id("pms", "x", [price(100)]);
    while log.0.len() < 300 {
        let millis = log.0.len() as i64 * 10;
        log = log.tick(millis);
    }
    let log = log.with_id("pms", "x", [price(110)]).with_id("pms", "y", [rooms(1)]).with_id("pms", "x", [price(120)]);
    let tables = log.run();
    assert_eq!(outcomes(&tables)[300..], *"mmd");
    assert_eq!(price_on(&tables, 1).unwrap(), "110.00 EUR pms");
}

#[test]
fn r01_a_line_left_out_was_cancelled_and_its_bookings_do_not_come_back() {
    let log = Log::new()
        .hashed("ota", [booked("1", 1, 2).of("r")])
        .from("ota", [replace("r", [booked("2", 1, 2)])])
        .from("ota", [line("1").status(Status::Confirmed).of("r")])
        .from("ota", [change(Action::LineCancel { reservation: "r".into(), line: "1".into() })])
        .hashed("ota", [booked("1", 1, 2).of("r")]);
    assert_eq!(outcomes(&log.run()), "mmmmd");
}

#[test]
fn r01_a_cancellation_with_a_revision_ends_what_was_said_before_too() {
    let log = Log::new()
        .hashed("ota", [booked("a", 1, 2).set()])
        .from("ota", [revised(3, cancel("a"))])
        .from("ota", [line("a").status(Status::Confirmed).set()])
        .hashed("ota", [booked("a", 1, 2).set()]);
    assert_eq!(outcomes(&log.run()), "mmmd", "merged before a cancellation");
}

#[test]
fn r01_content_that_was_stale_was_not_merged() {
    // The dead letter of offset 1 is retried when the line has been said anew; that it was stale says nothing later on.
    let guests = |n: u32| LineChange { guests: Some(n), ..line("a") }.set();
    let log = Log::new()
        .hashed("ota", [booked("a", 1, 2).set()])
        .tick(1)
        .hashed("ota", [guests(2)])
        .retried(1, "ota", [guests(3)])
        .hashed("ota", [guests(3)]);
    assert_eq!(outcomes(&log.run()), "mcmsm");
}

#[test]
fn r01_checking_in_after_a_cancellation_is_no_reinstatement() {
    let log = Log::new()
        .hashed("pms", [booked("a", 1, 2).set()])
        .hashed("pms", [cancel("a")])
        .hashed("pms", [line("a").status(Status::CheckedIn).set()])
        .hashed("pms", [cancel("a")]);
    assert_eq!(outcomes(&log.run()), "mmmd", "the cancellation delivered again sends nobody out of the house");
}

#[test]
fn r02_a_cancellation_holds_at_its_revision_also_when_something_else_was_said_since() {
    let log = Log::new()
        .from("pms", [revised(5, booked("a", 1, 2).set())])
        .from("pms", [revised(5, cancel("a"))])
        .from("pms", [line("a").status(Status::Tentative).set()])
        .from("pms", [revised(5, line("a").status(Status::CheckedIn).set())]);
    assert_eq!(outcomes(&log.run()), "mmms");
    assert_eq!(stays(&log.run()), ["pms:a/a 1 DBL accepted tentative"]);
}

#[test]
fn r02_log_order_is_that_of_the_value_that_is_there() {
    // The price of revision 5 first stood at offset 1: what stood at 2 is newer than that, though it came after 3.
    let log = Log::new()
        .tick(1)
        .tick(2)
        .tick(3)
        .from("pms", [price(100)])
        .retried(1, "pms", [revised(5, price(110))])
        .retried(2, "pms", [price(120)]);
    assert_eq!(outcomes(&log.run()), "cccmmm");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "120.00 EUR pms");
}

#[test]
fn r03_a_sticky_cancellation_yields_to_nothing_without_a_higher_revision() {
    let log = Log::new().from("ota", [cancel("a")]).from("ota", [cancel("a")]).from("ota", [revised(1, cancel("a"))]);
    assert_eq!(outcomes(&log.run()), "msm");
    let back = log.from("ota", [booked("a", 1, 2).set()]);
    assert_eq!(stays(&back.run()), ["ota:a/a 1 DBL accepted reinstated"], "the cancellation of revision 1 was another");
}

#[test]
fn r05_a_replacement_without_a_revision_leaves_the_highest_for_lines_not_yet_known() {
    let log = Log::new()
        .from("pms", [revised(5, replace("r", [booked("1", 1, 2)]))])
        .from("pms", [replace("r", [booked("1", 1, 3)])])
        .from("pms", [revised(4, booked("2", 5, 6).of("r"))]);
    assert_eq!(verdicts(&log.run()), ["pms:r/1 accepted", "pms:r/2 cancelled"]);
    let equal = log.from("pms", [revised(5, booked("3", 5, 6).of("r"))]);
    assert_eq!(verdicts(&equal.run())[2], "pms:r/3 cancelled", "at the replacement's own revision it was left out");
    let newer = equal.from("pms", [revised(6, booked("4", 5, 6).of("r"))]);
    assert_eq!(verdicts(&newer.run())[3], "pms:r/4 accepted");
}

#[test]
fn r05_the_newest_of_several_replacements_counts_for_unknown_room_nights() {
    // The wider scope of revision 7 makes the floor of 5 needless; without a revision the log's order counts.
    let log = Log::new()
        .from("pms", [revised(5, replace_all(1, 2, []))])
        .from("pms", [revised(7, replace_all(1, 5, []))])
        .from("pms", [revised(6, price(100))])
        .from("pms", [replace_all(1, 3, [])])
        .from("pms", [revised(6, price(100))])
        .from("pms", [revised(8, price(110))]);
    assert_eq!(outcomes(&log.run()), "mmsmsm");
}

#[test]
fn r05_a_floor_of_another_kind_of_revision_cannot_be_compared() {
    let instant = |change: Change| Change { revision: Some(Revision::Instant(9)), ..change };
    let line = Log::new()
        .from("pms", [revised(5, replace("r", [booked("1", 1, 2)]))])
        .from("pms", [instant(booked("2", 1, 2).of("r"))]);
    assert_eq!(outcomes(&line.run()), "mx");
    let night = Log::new().from("pms", [revised(5, replace_all(1, 5, []))]).from("pms", [instant(price(100))]);
    assert_eq!(outcomes(&night.run()), "mx");
    assert!(night.run().room_nights.is_empty());
}

#[test]
fn r06_what_follows_the_beginning_within_its_record_is_mentioned() {
    let begin = || change(Action::SnapshotBegin);
    let end = || change(Action::SnapshotEnd);
    let log = Log::new()
        .from("pms", [price(100), booked("old", 1, 2).set(), begin(), rooms(3), booked("new", 3, 4).set()])
        .from("pms", [end()]);
    let tables = log.run();
    assert_eq!(price_on(&tables, 1), None, "said before the beginning");
    assert_eq!(night_of(&tables, "DBL", 1), "3 0 3");
    assert_eq!(verdicts(&tables), ["pms:new/new accepted", "pms:old/old cancelled"]);
    let whole = Log::new().from("pms", [price(100)]).from("pms", [begin(), rooms(3), end()]);
    assert_eq!(price_on(&whole.run(), 1), None);
    assert_eq!(night_of(&whole.run(), "DBL", 1), "3 0 3");
    let twice = whole.from("pms", [begin(), price(90)]).from("pms", [end()]);
    assert_eq!(night_of(&twice.run(), "DBL", 1), "1 0 1", "the second one did not mention the rooms");
}

#[test]
fn r07_a_retried_end_withdraws_and_cancels_nothing_newer() {
    let log = Log::new()
        .from("pms", [change(Action::SnapshotBegin)])
        .tick(1)
        .from("pms", [price(100)])
        .from("pms", [change(Action::SnapshotEnd)])
        .from("pms", [change(Action::SnapshotBegin)])
        .retried(1, "pms", [change(Action::SnapshotEnd)]);
    assert_eq!(outcomes(&log.run()), "mcmmmm");
    assert_eq!(price_on(&log.run(), 1).unwrap(), "100.00 EUR pms");
}

#[test]
fn r07_a_withdrawal_of_what_was_never_claimed_has_its_place_in_the_order() {
    let nothing = change(Action::InventorySet(nights("DBL", 1, 2, &[("price", None)])));
    let log = Log::new().tick(1).from("pms", [nothing]).retried(0, "pms", [price(100)]);
    assert_eq!(outcomes(&log.run()), "cms");
}

#[test]
fn r08_a_record_that_finds_nothing_is_merged_once() {
    let set_nothing = || change(Action::InventorySet(nights("DBL", 1, 2, &[("price", None)])));
    for nothing in [withdraw(1, 5), replace_all(1, 5, []), set_nothing()] {
        let log = Log::new().with_id("pms", "x", [nothing.clone()]).with_id("pms", "x", [nothing.clone()]);
        assert_eq!(outcomes(&log.run()), "md", "{nothing:?}");
        let revised = |n: u64| [revised(n, nothing.clone())];
        let log = Log::new().from("pms", revised(5)).from("pms", revised(5)).from("pms", revised(4));
        assert_eq!(outcomes(&log.run()), "mds", "{nothing:?}");
        assert!(log.run().room_nights.is_empty());
    }
    let lines = |n: u64| [revised(n, replace("r", []))];
    let log = Log::new().from("pms", lines(5)).from("pms", lines(5)).from("pms", lines(4)).from("pms", lines(6));
    assert_eq!(outcomes(&log.run()), "mdsm");
    let partly = Log::new()
        .from("pms", [revised(5, replace_all(1, 4, []))])
        .from("pms", [revised(4, withdraw(3, 6))])
        .from("pms", [revised(3, withdraw(2, 5))]);
    assert_eq!(outcomes(&partly.run()), "mms", "on the 4th and 5th nothing had been said");
}

#[test]
fn r08_a_bad_value_counts_also_where_it_would_be_stale() {
    let log = Log::new()
        .from("pms", [revised(5, booked("a", 1, 3).set())])
        .from("pms", [revised(4, booked("a", 3, 2).set())]);
    assert_eq!(outcomes(&log.run()), "mx");
}

#[test]
fn r10_lines_without_arrival_or_type_equal_no_other() {
    let bare = |name: &str| line(name).status(Status::Confirmed).refs(&["v"]);
    let log = Log::new()
        .from("pms", [replace("p", [booked("1", 1, 2).refs(&["v"]), bare("2")])])
        .from("ota", [replace("o", [bare("x")])]);
    assert_eq!(conflicts(&log.run()), ["1 link doubt link pms:p/1"]);
    let pair = log.from("ota", [booked("x", 1, 2).of("o")]);
    assert_eq!(lines_of(&pair.run(), "pms:p/1"), "pms:p/1 ota:o/x");
}

#[test]
fn r17_who_lost_a_room_of_another_type_does_not_get_it_back_and_lose_it_in_turn() {
    let log = Log::new()
        .from("web", [booked("x", 1, 2).room("102").set()])
        .from("web", [booked("z", 1, 2).room("102").set()])
        .from("pms", [booked("w", 1, 2).room("102").set()])
        .from("pms", [cancel("w")])
        .from("web", [LineChange { guests: Some(2), ..line("x") }.set()])
        .from("web", [LineChange { guests: Some(2), ..line("z") }.set()]);
    let rooms: Vec<String> = stays(&log.run()).into_iter().filter(|row| row.ends_with("102")).collect();
    assert_eq!(rooms, ["pms:w/w 1 TWN cancelled cancelled 102", "web:x/x 1 TWN accepted confirmed 102"]);
}

#[test]
fn r17_a_room_passes_along_a_chain_of_stays() {
    // w holds 2 to 4; x (1 to 3) clashes with it, so y (1 to 2) keeps the room; when w goes, x is before y.
    let log = Log::new()
        .from("web", [booked("x", 1, 3).room_type("TWN").room("102").set()])
        .from("web", [booked("y", 1, 2).room_type("TWN").room("102").set()])
        .from("pms", [booked("w", 2, 4).room_type("TWN").room("102").set()]);
    let holders = |tables: &Tables| -> Vec<String> {
        let held = tables.reservations.iter().filter(|row| &*row.room == "102" && row.outcome == Outcome::Accepted);
        held.map(|row| row.stay.to_string()).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    };
    assert_eq!(holders(&log.run()), ["pms:w/w", "web:y/y"]);
    assert_eq!(holders(&log.from("pms", [cancel("w")]).run()), ["web:x/x"]);
}

#[test]
fn r21_a_claim_made_and_taken_back_within_one_record_leaves_no_row() {
    let log = Log::new().from("pms", [price(100), withdraw(1, 5)]);
    assert_eq!(outcomes(&log.run()), "m");
    assert!(log.run().room_nights.is_empty(), "decisions are taken record by record");
}

#[test]
fn r22_an_id_that_ended_keeps_its_last_rows_as_they_were() {
    let log = Log::new()
        .from("ota", [booked("b", 1, 2).room_type("TWN").refs(&["v9"]).set()])
        .from("pms", [booked("a", 1, 2).room_type("TWN").refs(&["v1"]).set()])
        .from("pms", [line("a").refs(&["v9"]).set()]);
    let tables = log.run();
    let ended = tables.reservations.iter().find(|row| row.outcome == Outcome::Merged).unwrap();
    assert_eq!(ended.references.iter().map(|r| &**r).collect::<Vec<_>>(), ["voucher:x:v1"]);
}

#[test]
fn r23_a_claim_shows_the_revision_and_the_record_it_came_with() {
    let log = Log::new()
        .from("pms", [revised(5, price(100))])
        .from("ota", [price(110)])
        .from("pms", [price(120)])
        .tick(1)
        .retried(3, "ota", [price(130)]);
    let tables = log.run();
    assert_eq!(claims_of(&tables, 0), ["ota()@1", "pms(5)@0"]);
    assert_eq!(claims_of(&tables, 1), ["ota()@1", "pms()@2"], "the price of 120 came without a revision");
    assert_eq!(claims_of(&tables, 2), ["ota()@4", "pms()@2"], "the retry made the claim");
    let reset = Log::new().from("pms", [revised(5, price(100))]).reset("pms").from("ota", [price(110)]);
    assert_eq!(claims_of(&reset.run(), 0), ["ota()@2", "pms()@0"], "a revision that is forgotten is not shown");
}
