//! Logs on which the policy fails on some of the questions: what holds then (design section 4).

use super::*;

/// The rules, but for questions in whose text one of these occurs.
fn failing_on(fragments: &[&str]) -> FixedRules {
    FixedRules { failing_on: fragments.iter().map(|fragment| (*fragment).to_owned()).collect(), ..rules() }
}

/// `rule winner=value` of the last row about a field.
fn last(tables: &Tables, field: &str) -> String {
    let row = tables.conflicts.iter().rev().find(|row| &*row.field == field);
    row.map_or(String::new(), |row| format!("{} {}={}", row.rule_id, row.winner_source, row.winner_value))
}

#[test]
fn a_published_value_stays_while_somebody_claims_it() {
    // Every question in which 13 euros occur fails.
    let rules = failing_on(&["Amount(130000)"]);
    let log = Log::new().from("ota", [price(10)]).from("pms", [price(12)]).from("web", [price(13)]);
    let tables = log.run_by(rules.clone());
    assert_eq!(price_on(&tables, 1).unwrap(), "12.00 EUR pms");
    assert_eq!(last(&tables, "price"), "!fault pms=12.00 EUR");
    let moved = log.from("ota", [price(12)]).from("pms", [price(11)]);
    assert_eq!(price_on(&moved.run_by(rules.clone()), 1).unwrap(), "12.00 EUR ota", "another source claims it now");
    let gone = moved.from("ota", [price(9)]);
    let tables = gone.run_by(rules.clone());
    assert_eq!(price_on(&tables, 1), None, "nobody claims it any more, and nobody can say what holds");
    assert_eq!(last(&tables, "price"), "!fault =");
    assert_eq!(night_of(&tables, "DBL", 1), "1 0 1", "the claims are kept, and so is the row");
    let well = gone.from("web", [price(14)]);
    assert_eq!(price_on(&well.run_by(rules), 1).unwrap(), "11.00 EUR pms", "the claims were kept");
}

#[test]
fn claims_that_agree_need_nobody_but_the_source_that_was_named_stays() {
    let rules = failing_on(&["Amount(130000)"]);
    let log = Log::new().from("web", [price(13)]).from("ota", [price(13)]);
    let tables = log.run_by(rules.clone());
    assert_eq!(price_on(&tables, 1).unwrap(), "13.00 EUR web");
    assert!(tables.conflicts.is_empty());
    let fresh = Log::new().from("web", [price(11)]).from("web", [price(13)]).from("ota", [price(13)]);
    assert_eq!(price_on(&fresh.run_by(rules), 1).unwrap(), "13.00 EUR web");
}

#[test]
fn a_booking_does_not_vanish() {
    // Statuses that differ are a question that fails; the published one is claimed by nobody any more.
    let rules = failing_on(&["Status(Tentative)"]);
    let log = Log::new()
        .from("pms", [booked("p", 1, 2).refs(&["v"]).set()])
        .from("ota", [booked("o", 1, 2).refs(&["v"]).set()])
        .from("pms", [line("p").status(Status::Tentative).set()]);
    let tables = log.run_by(rules.clone());
    assert_eq!(stays(&tables), ["pms:p/p 1 DBL accepted confirmed"], "ota still says so");
    assert_eq!(last(&tables, "status"), "!fault ota=confirmed");
    let tables = log.from("ota", [cancel("o")]).run_by(rules);
    assert_eq!(stays(&tables), ["pms:p/p 1 DBL accepted tentative"], "rather one that occupies nights");
    let dates = failing_on(&["2026-03-03 DBL"]);
    let log = Log::new()
        .from("pms", [booked("p", 1, 2).refs(&["v"]).set()])
        .from("ota", [booked("o", 1, 2).refs(&["v"]).set()])
        .from("pms", [booked("p", 1, 3).set()])
        .from("ota", [booked("o", 2, 3).set()]);
    let tables = log.run_by(dates);
    assert_eq!(last(&tables, "placement"), "!fault ota=2026-03-02/2026-03-03 DBL");
    assert_eq!(stays(&tables), ["pms:p/p 2 DBL accepted confirmed"], "rather a wrong placement than none");
}

#[test]
fn the_room_that_is_published_stays() {
    let placed = |name: &str, room: &str| booked(name, 1, 2).refs(&["v"]).room(room).set();
    let rules = failing_on(&["CheckedIn", "DBL 103"]);
    let log = Log::new()
        .from("pms", [booked("p", 1, 2).refs(&["v"]).set()])
        .from("web", [placed("w", "101")])
        .from("ota", [placed("o", "103")]);
    let tables = log.run_by(rules);
    assert_eq!(stays(&tables), ["pms:p/p 1 DBL accepted confirmed 101"], "though ota stands before web");
}

#[test]
fn incumbents_keep_their_rooms_and_newcomers_wait() {
    let rules = failing_on(&["source: \"web\", status: Tentative"]);
    let log = Log::new().from("web", [booked("w", 1, 2).set()]);
    let tentative = |name: &str, first: i32, end: i32| booked(name, first, end).status(Status::Tentative).set();
    let log = log.from("web", [line("w").status(Status::Tentative).set()]);
    assert_eq!(verdicts(&log.run_by(rules.clone())), ["web:w/w accepted"], "its rank is what it was");
    let newcomer = log.from("web", [tentative("n", 5, 6)]);
    let tables = newcomer.run_by(rules.clone());
    assert_eq!(verdicts(&tables), ["web:n/n displaced", "web:w/w accepted"], "though there are rooms");
    let row = tables.conflicts.last().unwrap();
    assert_eq!((row.decision, &*row.stay), (concord::rows::Decision::Displaced, "web:n/n"));
    let later = newcomer.from("pms", [price(100)]).from("ota", [booked("o", 7, 8).set()]);
    assert_eq!(verdicts(&later.run_by(rules.clone()))[1], "web:n/n displaced", "it waits until it is ranked");
    let ranked = later.from("web", [line("n").status(Status::Confirmed).set()]);
    assert_eq!(verdicts(&ranked.run_by(rules))[1], "web:n/n accepted");
}

#[test]
fn who_can_be_ranked_again_takes_what_became_free_meanwhile() {
    let rules = FixedRules { capacity: Vec::new(), ..failing_on(&["source: \"web\", status: Tentative"]) };
    let log = Log::new()
        .from("pms", [booked("p", 1, 2).set()])
        .from("web", [booked("w", 1, 2).set()])
        .from("web", [line("w").status(Status::Tentative).set()])
        .from("pms", [cancel("p")]);
    assert_eq!(verdicts(&log.run_by(rules.clone())), ["pms:p/p cancelled", "web:w/w displaced"]);
    let ranked = log.from("web", [line("w").status(Status::Confirmed).set()]);
    assert_eq!(verdicts(&ranked.run_by(rules))[1], "web:w/w accepted", "its claim is what it was before");
}

#[test]
fn the_row_of_a_newcomer_that_waits_says_fault() {
    let rules = failing_on(&["RoomClaim"]);
    let log = Log::new().from("web", [booked("w", 1, 2).set()]);
    let tables = real::raw(&setup(), &mut rules.clone(), &log.0, &[]);
    let row = tables.conflicts.last().unwrap();
    assert_eq!((row.decision, &*row.rule_id), (concord::rows::Decision::Displaced, "!fault"));
    assert!(row.reason.contains("failed"), "{}", row.reason);
}

#[test]
fn an_incumbent_that_wants_other_nights_takes_free_rooms_and_displaces_nobody() {
    let rules = failing_on(&["source: \"pms\", status: Tentative"]);
    let log = Log::new()
        .from("pms", [booked("p", 1, 3).set()])
        .from("web", [booked("w", 5, 6).set()])
        .from("pms", [booked("p", 1, 2).status(Status::Tentative).set()]);
    assert_eq!(verdicts(&log.run_by(rules.clone()))[0], "pms:p/p accepted", "one night less");
    let onto = log.from("pms", [booked("p", 5, 6).status(Status::Tentative).set()]);
    let tables = onto.run_by(rules);
    assert_eq!(verdicts(&tables), ["pms:p/p displaced", "web:w/w accepted"], "pms would stand before web");
}

#[test]
fn guests_in_the_house_have_their_rooms_whatever_fails() {
    let rules = failing_on(&["RoomClaim"]);
    let log = Log::new()
        .from("pms", [booked("p", 1, 2).status(Status::CheckedIn).set()])
        .from("pms", [booked("q", 1, 2).status(Status::CheckedIn).set()]);
    let tables = log.run_by(rules);
    assert_eq!(verdicts(&tables), ["pms:p/p accepted", "pms:q/q accepted"]);
    assert_eq!(conflicts(&tables), ["1 capacity excess excess"]);
}

/// Rules of which the terms cannot be told.
struct NoTerms(FixedRules);

impl concord::policy::Policy for NoTerms {
    fn resolve(
        &mut self,
        contests: &[concord::policy::Contest],
    ) -> Vec<Result<concord::policy::Verdict, concord::policy::Fault>> {
        self.0.resolve(contests)
    }

    fn rank(
        &mut self,
        claims: &[concord::policy::RoomClaim],
    ) -> Vec<Result<concord::policy::Ranking, concord::policy::Fault>> {
        self.0.rank(claims)
    }

    fn terms(&mut self, _property: &str) -> Result<concord::policy::Terms, concord::policy::Fault> {
        Err(concord::policy::Fault("no terms".into()))
    }
}

#[test]
fn without_terms_nobody_comes_in_but_guests_of_the_house() {
    let log = Log::new()
        .from("web", [booked("w", 1, 2).set()])
        .from("pms", [booked("p", 1, 2).status(Status::CheckedIn).set()]);
    let tables = real::raw(&setup(), &mut NoTerms(rules()), &log.0, &[]).canonical();
    assert_eq!(verdicts(&tables), ["pms:p/p accepted", "web:w/w displaced"]);
}

#[test]
fn an_answer_that_names_no_claim_is_a_fault() {
    /// Always names the hundredth claim.
    struct Liar(FixedRules);
    impl concord::policy::Policy for Liar {
        fn resolve(
            &mut self,
            contests: &[concord::policy::Contest],
        ) -> Vec<Result<concord::policy::Verdict, concord::policy::Fault>> {
            let mut verdicts = self.0.resolve(contests);
            verdicts.iter_mut().flatten().for_each(|verdict| verdict.winner = 100);
            verdicts
        }

        fn rank(
            &mut self,
            _claims: &[concord::policy::RoomClaim],
        ) -> Vec<Result<concord::policy::Ranking, concord::policy::Fault>> {
            Vec::new()
        }

        fn terms(&mut self, property: &str) -> Result<concord::policy::Terms, concord::policy::Fault> {
            self.0.terms(property)
        }
    }
    let log = Log::new().from("ota", [price(10)]).from("pms", [price(12)]).from("web", [booked("w", 5, 6).set()]);
    let tables = real::raw(&setup(), &mut Liar(rules()), &log.0, &[]).canonical();
    assert_eq!(price_on(&tables, 1).unwrap(), "10.00 EUR ota");
    assert_eq!(last(&tables, "price"), "!fault ota=10.00 EUR");
    assert_eq!(verdicts(&tables), ["web:w/w displaced"], "ranks that do not come are faults too");
}
