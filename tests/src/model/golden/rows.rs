//! Rules 21 to 23: what stands in the tables, and when a row is written.

use super::*;

#[test]
fn r21_a_room_night_has_a_row_from_the_first_claim_on() {
    let back = change(Action::InventorySet(nights("DBL", 1, 2, &[("price", None)])));
    let log = Log::new().from("pms", [price(100)]).from("pms", [back]);
    assert_eq!(night_of(&log.run(), "DBL", 1), "1 0 1");
    assert_eq!(price_on(&log.run(), 1), None);
    assert_eq!(night_of(&log.run(), "DBL", 2), "no row");
}

#[test]
fn r21_or_from_the_first_occupying_stay_on_also_a_displaced_one() {
    let none = change(Action::InventorySet(nights("DBL", 1, 2, &[("capacity", Some(Value::Integer(0)))])));
    let log = Log::new().from("pms", [none]).from("pms", [booked("a", 1, 3).set()]).from("pms", [cancel("a")]);
    assert_eq!(night_of(&log.run(), "DBL", 1), "0 0 0");
    assert_eq!(night_of(&log.run(), "DBL", 2), "1 0 1", "it stays");
    let never = Log::new().from("pms", [booked("a", 1, 3).status(Status::Cancelled).set()]);
    assert!(never.run().room_nights.is_empty());
}

#[test]
fn r21_available_is_the_least_of_the_known_terms() {
    let night = |name: &str, value: Value| change(Action::InventorySet(nights("SUI", 1, 2, &[(name, Some(value))])));
    let log = Log::new().from("pms", [night("min_stay", Value::Integer(2))]);
    assert_eq!(night_of(&log.run(), "SUI", 1), "- 0 -", "no term is known");
    let log = log.from("pms", [night("availability", Value::Integer(4))]);
    assert_eq!(night_of(&log.run(), "SUI", 1), "- 0 4");
    let log = log.from("pms", [night("capacity", Value::Integer(2)), booked("a", 1, 2).room_type("SUI").set()]);
    assert_eq!(night_of(&log.run(), "SUI", 1), "2 1 1");
    assert_eq!(night_of(&log.run_by(FixedRules { overbook: 3, ..rules() }), "SUI", 1), "2 1 4");
    let log = log.from("pms", [night("closed", Value::Boolean(true))]);
    assert_eq!(night_of(&log.run(), "SUI", 1), "2 1 0");
    let row = log.run().room_nights.remove(0);
    let names: Vec<_> = row.fields.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["min_stay"], "the others are columns of their own");
    let sources: Vec<_> = row.sources.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(sources, ["availability", "capacity", "closed", "min_stay"]);
}

#[test]
fn r22_one_row_per_night_also_for_cancelled_and_no_show() {
    let log = |status| Log::new().from("pms", [booked("a", 1, 3).status(status).set()]);
    let expected = ["pms:a/a 1 DBL cancelled cancelled", "pms:a/a 2 DBL cancelled cancelled"];
    assert_eq!(stays(&log(Status::Cancelled).run()), expected);
    let expected = ["pms:a/a 1 DBL no-show no-show", "pms:a/a 2 DBL no-show no-show"];
    assert_eq!(stays(&log(Status::NoShow).run()), expected);
    let first_night = log(Status::NoShow).run_by(FixedRules { no_show_keeps_first_night: true, ..rules() });
    assert_eq!(stays(&first_night), ["pms:a/a 1 DBL accepted no-show", "pms:a/a 2 DBL no-show no-show"]);
    assert_eq!((night_of(&first_night, "DBL", 1), night_of(&first_night, "DBL", 2)), ("1 1 0".into(), "no row".into()));
}

#[test]
fn r22_nights_that_a_stay_left_are_gone_and_no_placement_or_status_means_no_row() {
    let log = Log::new().from("pms", [booked("a", 1, 3).set()]).from("pms", [booked("a", 2, 4).room_type("TWN").set()]);
    assert_eq!(stays(&log.run()), ["pms:a/a 2 TWN accepted confirmed", "pms:a/a 3 TWN accepted confirmed"]);
    let bare = Log::new()
        .from("pms", [line("a").status(Status::Confirmed).set()])
        .from("pms", [LineChange { status: None, ..booked("b", 1, 2) }.set()]);
    assert!(bare.run().reservations.is_empty());
    assert_eq!(outcomes(&bare.run()), "mm");
}

#[test]
fn r22_an_id_that_ended_keeps_its_last_rows_and_they_are_replaced_when_it_returns() {
    let log = Log::new()
        .from("pms", [booked("p", 1, 2).room_type("TWN").refs(&["v"]).set()])
        .from("ota", [booked("o", 1, 3).room_type("TWN").set()])
        .from("ota", [line("o").refs(&["v"]).set()]);
    let expected =
        ["ota:o/o 1 TWN merged confirmed", "ota:o/o 2 TWN merged confirmed", "pms:p/p 1 TWN accepted confirmed"];
    assert_eq!(stays(&log.run()), expected);
    let back = log.from("ota", [LineChange { departure: Some(day(2)), ..line("o").refs(&[]) }.set()]);
    assert_eq!(stays(&back.run()), ["ota:o/o 1 TWN accepted confirmed", "pms:p/p 1 TWN accepted confirmed"]);
}

#[test]
fn r23_a_contest_has_a_row_when_claims_winner_or_rule_change_and_one_when_agreement_returns() {
    let log = Log::new()
        .from("ota", [price(100)])
        .from("pms", [price(120)])
        .from("pms", [price(120)])
        .from("web", [price(120)])
        .from("ota", [price(110)])
        .from("ota", [price(120)])
        .from("ota", [price(120)]);
    let expected = [
        "1 field contest price pms",
        "3 field contest price pms",
        "4 field contest price pms",
        "5 field agreement price pms",
    ];
    assert_eq!(conflicts(&log.run()), expected);
    let claims: Vec<_> =
        log.run().conflicts[2].claims.iter().map(|c| format!("{} {} {}", c.source, c.value, c.offset)).collect();
    assert_eq!(claims, ["ota 110.00 EUR 4", "pms 120.00 EUR 2", "web 120.00 EUR 3"]);
    let row = &log.run().conflicts[0];
    assert_eq!((&*row.winner_source, &*row.winner_value, &*row.rule_id), ("pms", "120.00 EUR", "field:price"));
    assert_eq!((row.date, &*row.room_type, &*row.stay), (day(1), "DBL", ""));
}

#[test]
fn r23_a_withdrawn_claim_ends_the_contest() {
    let back = || change(Action::Withdraw(scope(1, 2)));
    let log = Log::new().from("ota", [price(100)]).from("pms", [price(120)]).from("pms", [back()]);
    assert_eq!(conflicts(&log.run())[1], "2 field agreement price ota");
    let both =
        Log::new().from("ota", [price(100)]).from("pms", [price(120)]).from("pms", [back()]).from("ota", [back()]);
    assert_eq!(both.run().conflicts.len(), 2);
}

#[test]
fn r23_contests_of_a_stay_carry_arrival_and_counted_type() {
    let with = |line: LineChange, guests: u32| LineChange { guests: Some(guests), ..line.refs(&["v"]) }.set();
    let log = Log::new()
        .from("pms", [with(booked("p", 1, 2).room_type("TWN"), 1)])
        .from("ota", [with(booked("o", 1, 3).room_type("TWN").status(Status::Cancelled), 2)]);
    let expected = [
        "1 field contest guests pms:p/p pms",
        "1 status contest status pms:p/p ota",
        "1 placement contest placement pms:p/p pms",
    ];
    assert_eq!(conflicts(&log.run()), expected);
    assert!(log.run().conflicts.iter().all(|row| row.date == day(1) && &*row.room_type == "TWN"));
    let seqs: Vec<u32> = log.run().conflicts.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [0, 1, 2]);
    let bare = |name: &str, guests: u32| LineChange { guests: Some(guests), ..line(name).refs(&["v"]) }.set();
    let without = Log::new().from("pms", [bare("p", 1)]).from("ota", [bare("o", 2)]);
    let row = &without.run().conflicts[0];
    assert_eq!((row.date, &*row.room_type, &*row.field), (Day::EPOCH, "", "guests"));
}

#[test]
fn r23_one_row_per_displacement_and_promotion() {
    let log = Log::new()
        .from("web", [booked("a", 1, 4).set()])
        .from("pms", [booked("p", 2, 4).set()])
        .from("pms", [price(100)])
        .from("pms", [cancel("p")]);
    assert_eq!(conflicts(&log.run()), ["1 capacity displaced rooms web:a/a", "3 capacity promoted rooms web:a/a"]);
    assert!(log.run().conflicts.iter().all(|row| row.date == day(1)));
}

#[test]
fn r23_excess_when_amount_or_stays_change_and_once_when_it_ends() {
    let guest = |name: &str| booked(name, 1, 2).status(Status::CheckedIn).set();
    let log = Log::new()
        .from("pms", [guest("a")])
        .from("pms", [guest("b")])
        .from("pms", [guest("c")])
        .from("pms", [price(1)])
        .from("pms", [cancel("a")])
        .from("pms", [rooms(2)]);
    let expected = [
        "1 capacity excess excess",
        "2 capacity excess excess",
        "4 capacity excess excess",
        "5 capacity agreement excess",
    ];
    assert_eq!(conflicts(&log.run()), expected);
}

#[test]
fn r23_rows_of_one_record_are_ordered_by_kind() {
    let line = |name: &str, refs: &[&str]| booked(name, 1, 2).room_type("TWN").refs(refs);
    let log = Log::new()
        .from("ota", [price(100), booked("a", 1, 2).set(), line("b", &[]).room("102").set()])
        .from("ota", [line("x", &["v2"]).of("o"), line("y", &["v1", "v2"]).of("o")])
        .from(
            "pms",
            [
                booked("p", 1, 2).set(),
                price(110),
                booked("q", 1, 2).room_type("TWN").room("102").set(),
                line("1", &["v1"]).of("r"),
                line("2", &["v2"]).of("r"),
            ],
        );
    let kinds: Vec<_> = log.run().conflicts.iter().filter(|row| row.offset == 2).map(|row| row.kind.as_str()).collect();
    let mut sorted = log.run().conflicts.iter().filter(|row| row.offset == 2).map(|row| row.kind).collect::<Vec<_>>();
    sorted.sort();
    assert_eq!(kinds, sorted.iter().map(|kind| kind.as_str()).collect::<Vec<_>>());
    assert_eq!(kinds[..3], ["link", "field", "room"]);
    assert!(kinds[3..].iter().all(|kind| *kind == "capacity") && kinds.len() > 3);
}

#[test]
fn r21_the_rule_set_is_that_of_the_rows_last_change() {
    let mut turned = rules();
    turned.order.reverse();
    let other_day = change(Action::InventorySet(nights("DBL", 5, 6, &[("price", Some(Value::Money(euros(80))))])));
    let log = Log::new().from("ota", [price(100)]).from("pms", [price(120), other_day]).rules(turned);
    let labels: Vec<_> = log.run().room_nights.iter().map(|row| row.rule_set.to_string()).collect();
    assert_eq!(labels, ["test@2#0", "test@1#0"]);
    assert_eq!(price_on(&log.run(), 1).unwrap(), "100.00 EUR ota");
    assert_eq!(conflicts(&log.run())[1], "2 field contest price ota", "the winner changed");
    assert_eq!(&*log.run().conflicts[1].rule_set, "test@2#0");
}
