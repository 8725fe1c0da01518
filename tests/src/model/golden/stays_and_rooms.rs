//! Rules 9 to 20: lines, stays, claims to rooms, assignments, and what of the rules the merge can see.

use super::*;

/// DBL has `count` rooms on the days 1 to 9.
fn cut(count: i64) -> Change {
    change(Action::InventorySet(nights("DBL", 1, 10, &[("capacity", Some(Value::Integer(count)))])))
}

fn lines_of(tables: &Tables, stay: &str) -> String {
    tables.reservations.iter().find(|row| &*row.stay == stay).map(|row| row.lines.join(" ")).unwrap_or_default()
}

#[test]
fn r09_a_line_belongs_to_its_property() {
    let mut log = Log::new().from("pms", [booked("a", 1, 2).set()]);
    let what = What::Changes { property: "H2".into(), changes: vec![cancel("a")] };
    log.0.push(record(1, 1, "pms", "id-1", what));
    assert_eq!(outcomes(&log.run()), "mm");
    assert_eq!(verdicts(&log.run()), ["pms:a/a accepted"]);
}

#[test]
fn r10_shared_references_link_lines_of_different_sources() {
    let log = Log::new()
        .from("pms", [booked("a", 1, 2).refs(&["v1"]).set()])
        .from("ota", [booked("b", 1, 2).refs(&["v1", "v2"]).set()])
        .from("web", [booked("c", 1, 2).refs(&["v2"]).set()]);
    assert_eq!(verdicts(&log.run())[0], "pms:a/a accepted", "ota:b and web:c never were stays of their own");
    assert_eq!(verdicts(&log.run()).len(), 1);
    assert_eq!(lines_of(&log.run(), "pms:a/a"), "pms:a/a ota:b/b web:c/c");
}

#[test]
fn r10_group_references_and_one_sources_lines_never_link() {
    let group = Log::new()
        .from("pms", [booked("a", 1, 2).refs(&["g1"]).set()])
        .from("ota", [booked("b", 2, 3).refs(&["g1"]).set()]);
    assert_eq!(verdicts(&group.run()), ["ota:b/b accepted", "pms:a/a accepted"]);
    let own = Log::new()
        .from("pms", [booked("a", 1, 2).refs(&["v"]).set()])
        .from("pms", [booked("b", 2, 3).refs(&["v"]).set()]);
    assert_eq!(verdicts(&own.run()), ["pms:a/a accepted", "pms:b/b accepted"]);
    assert!(own.run().conflicts.is_empty());
}

#[test]
fn r10_several_lines_pair_by_arrival_type_and_order() {
    let line = |name: &str, room_type: &str| booked(name, 1, 2).room_type(room_type).refs(&["v"]);
    let log = Log::new()
        .from("pms", [replace("p", [line("1", "TWN"), line("2", "DBL"), line("3", "TWN")])])
        .from("ota", [replace("o", [line("x", "DBL"), line("y", "TWN"), line("z", "TWN")])]);
    let tables = log.run();
    assert_eq!(lines_of(&tables, "pms:p/1"), "pms:p/1 ota:o/y");
    assert_eq!(lines_of(&tables, "pms:p/2"), "pms:p/2 ota:o/x");
    assert_eq!(lines_of(&tables, "pms:p/3"), "pms:p/3 ota:o/z");
    assert!(tables.conflicts.is_empty());
}

#[test]
fn r10_a_pair_without_a_reference_of_its_own_puts_the_set_in_doubt() {
    let line = |name: &str, refs: &[&str]| booked(name, 1, 2).room_type("TWN").refs(refs);
    let log = Log::new()
        .from("pms", [replace("p", [line("1", &["v1"]), line("2", &["v2"])])])
        .from("ota", [replace("o", [line("x", &["v2"]), line("y", &["v1", "v2"])])]);
    assert_eq!(conflicts(&log.run())[0], "1 link doubt link pms:p/1");
    let claims: Vec<_> = log.run().conflicts[0].claims.iter().map(|c| format!("{}:{}", c.source, c.value)).collect();
    assert_eq!(claims, ["pms:p/1", "pms:p/2", "ota:o/x", "ota:o/y"]);
    let expected = ["ota:o/x displaced", "ota:o/y displaced", "pms:p/1 accepted", "pms:p/2 accepted"];
    assert_eq!(verdicts(&log.run()), expected, "TWN has two rooms, and nothing is linked");
    let same = log.from("web", [price(100)]);
    assert_eq!(same.run().conflicts.iter().filter(|row| row.offset == 2).count(), 0, "one row per set of lines");
}

#[test]
fn r10_lines_that_share_a_reference_and_remain_single_are_in_doubt() {
    let line = |name: &str, first: i32| booked(name, first, first + 1).refs(&["v"]);
    let log = Log::new()
        .from("pms", [replace("p", [line("1", 1), line("2", 3)])])
        .from("ota", [replace("o", [line("x", 5)])]);
    assert_eq!(conflicts(&log.run()), ["1 link doubt link pms:p/1"]);
}

#[test]
fn r10_cancelled_lines_are_set_aside() {
    let line = |name: &str| booked(name, 1, 2).refs(&["v"]);
    let log = Log::new()
        .from("pms", [replace("p", [line("1").status(Status::Cancelled), line("2")])])
        .from("ota", [replace("o", [line("x")])]);
    assert_eq!(lines_of(&log.run(), "pms:p/2"), "pms:p/2 ota:o/x");
    assert_eq!(verdicts(&log.run()), ["pms:p/1 cancelled", "pms:p/2 accepted"]);
    assert!(log.run().conflicts.is_empty());
}

#[test]
fn r10_a_cancelled_line_and_an_active_one_that_remain_single_are_no_doubt() {
    // ota has cancelled one of two rooms, pms not yet: the other room stays one stay.
    let line = |name: &str| booked(name, 1, 2).room_type("TWN").refs(&["v"]);
    let log = Log::new()
        .from("pms", [replace("p", [line("1"), line("2")])])
        .from("ota", [replace("o", [line("x"), line("y").status(Status::Cancelled)])]);
    assert_eq!(verdicts(&log.run()), ["ota:o/y cancelled", "pms:p/1 accepted", "pms:p/2 accepted"]);
    assert_eq!(lines_of(&log.run(), "pms:p/1"), "pms:p/1 ota:o/x");
    assert!(log.run().conflicts.is_empty());
}

#[test]
fn r10_a_retried_line_pairs_by_its_original_order_and_is_named_by_its_retry() {
    let line = |name: &str| booked(name, 1, 2).room_type("TWN").refs(&["v"]);
    let log = Log::new()
        .tick(1)
        .from("pms", [line("2").of("p")])
        .from("ota", [line("x").of("o"), line("y").of("o")])
        .retried(0, "pms", [line("1").of("p")]);
    assert_eq!(lines_of(&log.run(), "ota:o/x"), "ota:o/x pms:p/1");
    assert_eq!(lines_of(&log.run(), "pms:p/2"), "pms:p/2 ota:o/y");
}

#[test]
fn r10_a_corrected_reference_separates_and_an_ended_id_is_merged() {
    let log = Log::new()
        .from("ota", [booked("b", 1, 2).room_type("TWN").refs(&["v9"]).set()])
        .from("pms", [booked("a", 1, 2).room_type("TWN").refs(&["v1"]).set()])
        .from("pms", [line("a").refs(&["v9"]).set()]);
    assert_eq!(verdicts(&log.run()), ["ota:b/b accepted", "pms:a/a merged"]);
    let apart = log.from("pms", [line("a").refs(&["v1"]).set()]);
    assert_eq!(verdicts(&apart.run()), ["ota:b/b accepted", "pms:a/a accepted"]);
}

#[test]
fn r11_a_stay_is_ranked_once_by_its_merged_status_and_the_source_of_it() {
    // Of web alone it would yield to ota; as the stay of pms and web it stands where pms stands.
    let log = Log::new()
        .from("web", [booked("w", 1, 2).refs(&["v"]).set()])
        .from("pms", [booked("p", 1, 2).refs(&["v"]).set()])
        .from("ota", [booked("o", 1, 2).set()]);
    assert_eq!(verdicts(&log.run()), ["ota:o/o displaced", "web:w/w accepted"]);
    assert_eq!(log.run().reservations.iter().find(|row| &*row.stay == "web:w/w").unwrap().source.as_ref(), "pms");
}

#[test]
fn r12_no_room_agrees_with_any_and_the_room_comes_from_the_highest_that_names_one() {
    let line = |name: &str| booked(name, 1, 2).refs(&["v"]);
    let log = Log::new()
        .from("pms", [line("p").set()])
        .from("web", [line("w").room("103").set()])
        .from("ota", [line("o").room("101").set()]);
    assert_eq!(stays(&log.run()), ["pms:p/p 1 DBL accepted confirmed 101"]);
    assert_eq!(conflicts(&log.run()), ["2 placement contest placement pms:p/p pms"], "two rooms are named");
    let agree = Log::new().from("pms", [line("p").set()]).from("web", [line("w").room("103").set()]);
    assert!(agree.run().conflicts.is_empty());
    let elsewhere =
        Log::new().from("pms", [line("p").set()]).from("ota", [booked("o", 1, 3).refs(&["v"]).room("101").set()]);
    assert_eq!(stays(&elsewhere.run()), ["pms:p/p 1 DBL accepted confirmed"], "its nights do not agree");
}

#[test]
fn r12_parts_that_are_not_given_keep_their_claim() {
    let log = Log::new()
        .from("pms", [booked("a", 1, 3).room("101").set()])
        .from("pms", [LineChange { departure: Some(day(2)), ..line("a") }.set()]);
    assert_eq!(stays(&log.run()), ["pms:a/a 1 DBL accepted confirmed 101"]);
    let back = log.from("pms", [line("a").room("").set()]);
    assert_eq!(stays(&back.run()), ["pms:a/a 1 DBL accepted confirmed"]);
}

/// ota:b is displaced though it stands above web:a: when it came, pms held its second night.
fn waiting() -> Log {
    Log::new()
        .from("web", [booked("a", 1, 2).set()])
        .from("pms", [booked("p", 2, 3).set()])
        .from("ota", [booked("b", 1, 3).set()])
        .from("pms", [cancel("p")])
}

#[test]
fn r13_only_nights_type_and_rank_make_a_claim_new() {
    assert_eq!(verdicts(&waiting().run()), ["ota:b/b displaced", "pms:p/p cancelled", "web:a/a accepted"]);
    let guests = waiting().from("ota", [LineChange { guests: Some(3), money: Some(euros(5)), ..line("b") }.set()]);
    assert_eq!(verdicts(&guests.run())[0], "ota:b/b displaced");
    let nights = waiting().from("ota", [LineChange { departure: Some(day(2)), ..line("b") }.set()]);
    assert_eq!(verdicts(&nights.run()), ["ota:b/b accepted", "pms:p/p cancelled", "web:a/a displaced"]);
}

#[test]
fn r13_a_cut_displaces_the_lowest() {
    let log = Log::new()
        .from("pms", [cut(2)])
        .from("web", [booked("a", 1, 3).set()])
        .from("ota", [booked("b", 2, 4).set()])
        .from("pms", [cut(1)]);
    assert_eq!(verdicts(&log.run()), ["ota:b/b accepted", "web:a/a displaced"]);
}

#[test]
fn r13_a_rule_change_decides_again_only_where_something_changed() {
    // The same order under other numbers: ota:b keeps waiting though it stands above web:a.
    let mut shifted = rules();
    shifted.capacity.insert(0, (Some(Status::NoShow), Some("pms".into())));
    assert_eq!(verdicts(&waiting().rules(shifted).run())[0], "ota:b/b displaced");
    // Another rule: it is decided again, and takes the room.
    let renamed = FixedRules { capacity_rule: "rooms-2".into(), ..rules() };
    let log = waiting().rules(renamed);
    assert_eq!(verdicts(&log.run()), ["ota:b/b accepted", "pms:p/p cancelled", "web:a/a displaced"]);
    let causes: Vec<_> =
        log.run().conflicts.iter().filter(|row| row.offset == 4).map(|row| row.cause.as_str()).collect();
    assert_eq!(causes, ["rule change", "rule change"]);
}

#[test]
fn r13_a_rule_change_that_turns_the_order_turns_the_outcome() {
    let log = Log::new().from("web", [booked("w", 1, 2).set()]).from("ota", [booked("o", 1, 2).set()]);
    assert_eq!(verdicts(&log.run()), ["ota:o/o accepted", "web:w/w displaced"]);
    let mut turned = rules();
    turned.capacity.insert(0, (None, Some("web".into())));
    assert_eq!(verdicts(&log.rules(turned).run()), ["ota:o/o displaced", "web:w/w accepted"]);
}

#[test]
fn r13_less_overbooking_is_a_cut_and_more_lets_the_displaced_in() {
    let more = || FixedRules { overbook: 1, ..rules() };
    let log = || Log::new().from("web", [booked("w", 1, 2).set()]).from("ota", [booked("o", 1, 2).set()]).rules(more());
    assert_eq!(verdicts(&log().run()), ["ota:o/o accepted", "web:w/w accepted"]);
    assert_eq!(verdicts(&log().rules(rules()).run()), ["ota:o/o accepted", "web:w/w displaced"]);
}

#[test]
fn r13_never_more_than_needed() {
    // The newcomer needs nights 1 and 2; web:long alone frees both, so web:later keeps its room.
    let log = Log::new()
        .from("web", [booked("long", 1, 3).set()])
        .from("web", [cut(2), booked("later", 1, 2).set()])
        .from("pms", [booked("second", 2, 3).set()])
        .from("pms", [booked("new", 1, 3).set()]);
    let expected =
        ["pms:new/new accepted", "pms:second/second accepted", "web:later/later accepted", "web:long/long displaced"];
    assert_eq!(verdicts(&log.run()), expected);
}

#[test]
fn r14_within_a_record_the_highest_first() {
    let log = Log::new()
        .from("pms", [cut(1)])
        .from("pms", [booked("a", 1, 2).set(), booked("b", 1, 2).status(Status::CheckedIn).set()]);
    assert_eq!(verdicts(&log.run()), ["pms:a/a displaced", "pms:b/b accepted"]);
}

#[test]
fn r14_free_rooms_go_to_the_highest_that_fits_whole() {
    let log = Log::new()
        .from("pms", [booked("p", 1, 2).set()])
        .from("pms", [booked("q", 2, 3).set()])
        .from("ota", [booked("two-nights", 1, 3).set()])
        .from("web", [booked("one-night", 1, 2).set()])
        .from("pms", [cancel("p")]);
    let expected = [
        "ota:two-nights/two-nights displaced",
        "pms:p/p cancelled",
        "pms:q/q accepted",
        "web:one-night/one-night accepted",
    ];
    assert_eq!(verdicts(&log.run()), expected);
    assert!(conflicts(&log.run()).contains(&"4 capacity promoted rooms web:one-night/one-night".to_owned()));
}

#[test]
fn r14_a_stay_whose_changed_claim_does_not_fit_is_displaced_whole() {
    let log = Log::new()
        .from("ota", [booked("a", 1, 2).set()])
        .from("pms", [booked("p", 2, 3).set()])
        .from("ota", [LineChange { departure: Some(day(3)), ..line("a") }.set()]);
    assert_eq!(
        stays(&log.run()),
        ["ota:a/a 1 DBL displaced confirmed", "ota:a/a 2 DBL displaced confirmed", "pms:p/p 2 DBL accepted confirmed"]
    );
}

#[test]
fn r14_a_stay_holds_its_rooms_if_any_of_its_lines_was_in_an_accepted_stay() {
    // web:w and ota:o are one stay; when they part, ota:o keeps the room that the stay had, though its id is new
    // and ota:c has waited longer. There is one room, so web:w cannot keep it as well.
    let log = Log::new()
        .from("web", [booked("w", 1, 2).refs(&["v"]).set()])
        .from("ota", [booked("o", 1, 2).refs(&["v"]).set()])
        .from("ota", [booked("c", 1, 2).set()]);
    assert_eq!(verdicts(&log.run()), ["ota:c/c displaced", "web:w/w accepted"]);
    let apart = log.from("web", [line("w").refs(&[]).set()]);
    assert_eq!(verdicts(&apart.run()), ["ota:c/c displaced", "ota:o/o accepted", "web:w/w displaced"]);
}

#[test]
fn r15_of_equal_priority_who_came_later_to_want_a_night_yields() {
    let log = Log::new().from("web", [booked("a", 1, 2).set()]).from("web", [booked("b", 1, 2).set()]);
    assert_eq!(verdicts(&log.run()), ["web:a/a accepted", "web:b/b displaced"]);
    let two = |then: Change| {
        let log = Log::new()
            .from("pms", [cut(2)])
            .from("web", [booked("a", 1, 3).set()])
            .from("web", [booked("b", 1, 3).set()]);
        verdicts(&log.from("web", [then]).from("pms", [cut(1)]).run())
    };
    let shorter = two(LineChange { departure: Some(day(2)), ..line("a") }.set());
    assert_eq!(shorter, ["web:a/a accepted", "web:b/b displaced"], "giving nights back changes nothing");
    let longer = two(LineChange { departure: Some(day(4)), ..line("a") }.set());
    assert_eq!(longer, ["web:a/a displaced", "web:b/b accepted"], "it came later to want the third night");
}

#[test]
fn r15_a_change_of_type_counts_and_then_the_later_first_line_yields() {
    let log = Log::new()
        .from("pms", [cut(2)])
        .from("web", [booked("a", 1, 2).room_type("TWN").set()])
        .from("web", [booked("b", 1, 2).set()])
        .from("web", [line("a").room_type("DBL").set()])
        .from("pms", [cut(1)]);
    assert_eq!(verdicts(&log.run()), ["web:a/a displaced", "web:b/b accepted"]);
    let one_record = Log::new().from("web", [booked("b", 1, 2).set(), booked("a", 1, 2).set()]);
    assert_eq!(verdicts(&one_record.run()), ["web:a/a displaced", "web:b/b accepted"]);
}

#[test]
fn r16_guests_in_the_house_are_never_displaced() {
    let log = Log::new()
        .from("pms", [booked("in", 1, 2).status(Status::CheckedIn).set()])
        .from("pms", [booked("out", 1, 2).status(Status::CheckedOut).set()])
        .from("pms", [booked("late", 1, 2).set()]);
    assert_eq!(verdicts(&log.run()), ["pms:in/in accepted", "pms:late/late displaced", "pms:out/out accepted"]);
    assert_eq!(night_of(&log.run(), "DBL", 1), "1 2 0");
    assert_eq!(conflicts(&log.run()), ["1 capacity excess excess", "2 capacity displaced rooms pms:late/late"]);
    let cut = Log::new().from("pms", [booked("in", 1, 2).status(Status::CheckedIn).set()]).from("pms", [cut(0)]);
    assert_eq!(conflicts(&cut.run()), ["1 capacity excess excess"]);
}

#[test]
fn r16_guests_in_the_house_keep_an_assigned_room_whatever_the_capacity_order_says() {
    let mut rules = rules();
    rules.capacity.remove(0);
    let log = Log::new()
        .from("pms", [booked("p", 1, 2).room_type("TWN").room("102").set()])
        .from("web", [booked("w", 1, 2).room_type("TWN").room("102").set()])
        .from("web", [line("w").status(Status::CheckedIn).set()]);
    assert_eq!(
        stays(&log.run_by(rules)),
        ["pms:p/p 1 TWN accepted confirmed", "web:w/w 1 TWN accepted checked-in 102"]
    );
}

#[test]
fn r17_the_lower_stay_loses_the_assignment_and_counts_against_its_booked_type() {
    // Room 101 is a DBL; web:w booked TWN and was given 101.
    let log = Log::new()
        .from("web", [booked("w", 1, 3).room_type("TWN").room("101").set()])
        .from("pms", [booked("p", 2, 3).room("101").set()]);
    let expected = [
        "pms:p/p 2 DBL accepted confirmed 101",
        "web:w/w 1 TWN accepted confirmed",
        "web:w/w 2 TWN accepted confirmed",
    ];
    assert_eq!(stays(&log.run()), expected);
    assert_eq!(conflicts(&log.run()), ["1 room assignment-lost room web:w/w"]);
    let over = log.from("pms", [cancel("p")]);
    assert_eq!(
        stays(&over.run())[1..],
        ["web:w/w 1 DBL accepted confirmed 101", "web:w/w 2 DBL accepted confirmed 101"]
    );
    assert_eq!(conflicts(&over.run()).len(), 1);
}

#[test]
fn r17_assignments_are_decided_among_all_stays_that_occupy_nights_before_capacity() {
    // pms:p is displaced in the end, and still it has the room before ota:o has.
    let log = Log::new()
        .from("pms", [cut(0), booked("p", 1, 2).room("101").set()])
        .from("ota", [booked("o", 1, 2).room_type("TWN").room("101").set()]);
    assert_eq!(stays(&log.run()), ["ota:o/o 1 TWN accepted confirmed", "pms:p/p 1 DBL displaced confirmed 101"]);
    let cancelled = Log::new()
        .from("pms", [booked("p", 1, 2).room("101").status(Status::Cancelled).set()])
        .from("ota", [booked("o", 1, 2).room("101").set()]);
    assert_eq!(
        stays(&cancelled.run()),
        ["ota:o/o 1 DBL accepted confirmed 101", "pms:p/p 1 DBL cancelled cancelled 101"]
    );
}

#[test]
fn r18_a_source_has_one_claim_per_room_night_and_field() {
    let log = Log::new().from("pms", [price(100), price(110)]);
    assert_eq!(price_on(&log.run(), 1).unwrap(), "110.00 EUR pms");
    assert!(log.run().conflicts.is_empty());
}

#[test]
fn r20_where_claims_agree_the_first_of_the_order_is_named() {
    let log = Log::new().from("ota", [price(100)]).from("pms", [price(100)]);
    assert_eq!(price_on(&log.run(), 1).unwrap(), "100.00 EUR pms");
    assert!(log.run().conflicts.is_empty());
}

#[test]
fn r20_close_enough_suppresses_the_row_and_the_order_still_names_the_value() {
    let cents = |n: i64| field("price", Value::Money(Money { amount: Amount(1_000_000 + n * 100), ..euros(0) }));
    let log = Log::new().from("ota", [cents(0)]).from("pms", [cents(1)]);
    assert_eq!(price_on(&log.run(), 1).unwrap(), "100.01 EUR pms");
    assert!(log.run().conflicts.is_empty());
    let far = log.from("web", [cents(-1)]);
    assert_eq!(conflicts(&far.run()), ["2 field contest price pms"], "the largest against the smallest");
}

fn failing(question: &str) -> FixedRules {
    FixedRules { failing: [question.to_owned()].into(), ..rules() }
}

#[test]
fn where_the_policy_fails_the_published_value_stays_while_someone_claims_it() {
    let log = || Log::new().from("ota", [price(100)]).from("pms", [price(120)]).rules(failing("price"));
    assert_eq!(price_on(&log().run(), 1).unwrap(), "120.00 EUR pms");
    assert_eq!(log().run().conflicts[1].rule_id.as_ref(), "!fault");
    let other = log().from("web", [price(120)]).from("pms", [price(130)]);
    assert_eq!(price_on(&other.run(), 1).unwrap(), "120.00 EUR web");
    let nobody = other.from("web", [price(140)]);
    assert_eq!(price_on(&nobody.run(), 1), None, "no decision, no value");
}

#[test]
fn where_the_policy_fails_incumbents_keep_their_rooms_and_newcomers_wait() {
    let log = Log::new()
        .from("web", [booked("w", 1, 2).set()])
        .rules(failing("rank"))
        .from("pms", [booked("p", 1, 2).set(), booked("free", 5, 6).set()]);
    assert_eq!(verdicts(&log.run()), ["pms:free/free displaced", "pms:p/p displaced", "web:w/w accepted"]);
    let well = log.rules(rules());
    assert_eq!(verdicts(&well.run())[0], "pms:free/free accepted");
}

#[test]
fn r17_an_unrelated_record_moves_nobody() {
    let log = Log::new()
        .from("pms", [booked("w", 1, 2).room("101").set()])
        .from("web", [booked("x", 1, 2).room_type("TWN").room("101").set()])
        .from("web", [booked("z", 1, 2).room_type("TWN").room("101").set()])
        .from("pms", [cancel("w")]);
    let before = stays(&log.run());
    let unrelated = change(Action::InventorySet(nights("TWN", 20, 21, &[("min_stay", Some(Value::Integer(1)))])));
    assert_eq!(stays(&log.from("ota", [unrelated]).run()), before);
}
