//! Each kind of rule answers as the rule set says.

use super::*;
use crate::rules::Vocabulary;

const SOURCES: [&str; 5] = ["booking-com", "expedia", "legacy", "pms", "website"];
const FIELDS: [&str; 6] = ["capacity", "availability", "closed", "price", "min_stay", "note"];

fn vocabulary() -> Vocabulary {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Vocabulary { sources: owned(&SOURCES), fields: owned(&FIELDS) }
}

fn set(text: &str) -> RuleSet {
    RuleSet::read(text, &vocabulary()).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"))
}

fn rules() -> RuleSet {
    set(r#"
        [ruleset]
        name = "test"
        version = "1"
        [groups]
        ota = ["expedia", "booking-com"]
        [classes]
        city = ["MAD*", "BCN?"]
        all = ["*"]
        [[field]]
        id = "price-city"
        fields = ["price"]
        class = "city"
        order = ["legacy", "pms", "*"]
        equal_within = "0.01"
        [[field]]
        id = "tolerant"
        fields = ["min_stay", "capacity"]
        order = ["pms", "ota", "*"]
        equal_within = 2
        [[field]]
        id = "rest"
        fields = ["*"]
        order = ["pms", "ota", "*"]
        [[stay.status]]
        id = "status-city"
        class = "city"
        order = ["cancelled@*", "*@*"]
        [[stay.status]]
        id = "status"
        order = ["checked-in@pms", "reinstated@*", "cancelled@ota", "confirmed@pms", "*@ota", "*@*"]
        [[stay.field]]
        id = "details"
        fields = ["placement", "guests"]
        order = ["pms", "ota", "website", "legacy"]
        [[stay.field]]
        id = "money"
        fields = ["*"]
        order = ["*"]
        [stay]
        no_show = "first-night"
        [[capacity]]
        id = "rooms-city"
        class = "city"
        order = ["*@*"]
        overbook = 3
        [[capacity]]
        id = "rooms"
        order = ["checked-in@pms", "confirmed@pms", "confirmed@ota", "*@website", "*@*"]
    "#)
}

fn euros(units: i64, scale: u8) -> Claimed<'static> {
    Claimed::Value(Value::Money(Decimal { units, scale }, "EUR"))
}

fn integer(number: i64) -> Claimed<'static> {
    Claimed::Value(Value::Integer(number))
}

/// Who wins, by which rule, and whether the claims agree; then the reason.
fn ask<'r>(
    rules: &'r RuleSet,
    property: &str,
    subject: Subject<'_>,
    claims: &[(&'static str, Claimed<'_>)],
) -> (&'static str, &'r str, bool, String) {
    let asked: Vec<Claim<'_>> = claims.iter().map(|(source, value)| Claim { source, value: *value }).collect();
    let verdict = rules.resolve(&Contest { property, subject, claims: &asked });
    (claims[verdict.winner].0, verdict.rule, verdict.agree, verdict.reason)
}

fn field(property: &str, name: &str, claims: &[(&'static str, Claimed<'_>)]) -> (&'static str, String, bool, String) {
    let rules = rules();
    let (winner, rule, agree, reason) = ask(&rules, property, Subject::Field(name), claims);
    (winner, rule.to_owned(), agree, reason)
}

fn status(property: &str, claims: &[(&'static str, Status)]) -> (&'static str, String, bool, String) {
    let rules = rules();
    let claims: Vec<_> = claims.iter().map(|(source, status)| (*source, Claimed::Status(*status))).collect();
    let (winner, rule, agree, reason) = ask(&rules, property, Subject::Status, &claims);
    (winner, rule.to_owned(), agree, reason)
}

#[test]
fn the_first_rule_for_field_and_class_decides() {
    let claims = [("legacy", euros(100, 0)), ("pms", euros(120, 0))];
    let (winner, rule, agree, reason) = field("MAD1", "price", &claims);
    assert_eq!((winner, rule.as_str(), agree), ("legacy", "price-city", false));
    assert_eq!(reason, "legacy comes before pms in rule \"price-city\"");
    assert_eq!(field("H1", "price", &claims).1, "rest");
    assert_eq!(field("H1", "price", &claims).0, "pms");
    assert_eq!(field("BCN1", "price", &claims).1, "price-city", "one character for the question mark");
    assert_eq!(field("BCN", "price", &claims).1, "rest");
}

#[test]
fn inside_a_group_its_list_decides_and_inside_a_star_the_name() {
    let texts = |a, b| [(a, Claimed::Value(Value::Text("a"))), (b, Claimed::Value(Value::Text("b")))];
    let (winner, _, _, reason) = field("H1", "note", &texts("booking-com", "expedia"));
    assert_eq!(
        (winner, reason.as_str()),
        ("expedia", "expedia comes before booking-com in group ota of rule \"rest\"")
    );
    let (winner, _, _, reason) = field("H1", "note", &texts("legacy", "website"));
    assert_eq!((winner, reason.as_str()), ("legacy", "legacy comes before website by name in rule \"rest\""));
    let (winner, _, _, reason) = field("H1", "note", &texts("booking-com", "pms"));
    assert_eq!((winner, reason.as_str()), ("pms", "pms comes before ota in rule \"rest\""));
    let (winner, _, _, reason) = field("H1", "note", &texts("legacy", "expedia"));
    assert_eq!((winner, reason.as_str()), ("expedia", "ota comes before legacy in rule \"rest\""));
}

#[test]
fn where_claims_agree_the_order_still_names_the_winner() {
    let (winner, rule, agree, reason) =
        field("H1", "price", &[("booking-com", euros(10_000, 2)), ("pms", euros(100, 0))]);
    assert_eq!((winner, rule.as_str(), agree), ("pms", "rest", true));
    assert_eq!(reason, "all agree; pms comes first in rule \"rest\"");
    assert_eq!(field("H1", "price", &[("pms", euros(1, 0))]).3, "only pms says so");
}

#[test]
fn close_numbers_agree() {
    let money = |low, high| {
        field("MAD1", "price", &[("legacy", euros(low, 2)), ("pms", euros(10_000, 2)), ("website", euros(high, 2))])
    };
    let (winner, rule, agree, reason) = money(10_000, 10_001);
    assert_eq!((winner, rule.as_str(), agree), ("legacy", "price-city", true));
    assert_eq!(reason, "close enough to agree; legacy comes first in rule \"price-city\"");
    assert!(!money(9_999, 10_001).2, "the largest and the smallest claim are compared");
    let currencies = [
        ("legacy", euros(10_000, 2)),
        ("pms", Claimed::Value(Value::Money(Decimal { units: 10_000, scale: 2 }, "USD"))),
    ];
    assert!(!field("MAD1", "price", &currencies).2, "another currency is another value");
    assert!(field("H1", "min_stay", &[("pms", integer(1)), ("website", integer(3))]).2);
    assert!(!field("H1", "min_stay", &[("pms", integer(1)), ("website", integer(4))]).2);
    let decimal = |units| Claimed::Value(Value::Decimal(Decimal { units, scale: 18 }));
    assert!(field("H1", "min_stay", &[("pms", decimal(i64::MIN + 1)), ("website", decimal(i64::MIN))]).2);
    assert!(!field("H1", "min_stay", &[("pms", integer(i64::MAX)), ("website", integer(i64::MIN))]).2);
    assert!(!field("H1", "min_stay", &[("pms", integer(1)), ("website", decimal(1))]).2, "kinds do not mix");
}

#[test]
fn the_status_that_holds() {
    use Status::{Cancelled, CheckedIn, Confirmed, NoShow, Reinstated, Tentative};
    let (winner, rule, agree, reason) = status("H1", &[("booking-com", Cancelled), ("pms", Confirmed)]);
    assert_eq!((winner, rule.as_str(), agree), ("booking-com", "status", false));
    assert_eq!(reason, "cancelled@ota comes before confirmed@pms in rule \"status\"");
    assert_eq!(status("H1", &[("booking-com", Cancelled), ("pms", CheckedIn)]).0, "pms");
    assert_eq!(status("H1", &[("booking-com", Cancelled), ("expedia", Cancelled), ("pms", Confirmed)]).0, "expedia");
    let (winner, .., reason) = status("H1", &[("legacy", Reinstated), ("pms", Confirmed)]);
    assert_eq!(
        (winner, reason.as_str()),
        ("legacy", "reinstated@legacy comes before confirmed@pms in rule \"status\"")
    );
    let (winner, .., reason) = status("H1", &[("legacy", Tentative), ("website", NoShow)]);
    assert_eq!((winner, reason.as_str()), ("legacy", "legacy comes before website by name in rule \"status\""));
    assert!(status("H1", &[("legacy", Cancelled), ("website", Cancelled)]).2);
    let (winner, rule, ..) = status("MAD1", &[("pms", CheckedIn), ("website", Cancelled)]);
    assert_eq!((winner, rule.as_str()), ("website", "status-city"));
}

#[test]
fn fields_of_a_stay() {
    let rules = rules();
    let claims = [("booking-com", integer(2)), ("pms", integer(3))];
    let (winner, rule, _, reason) = ask(&rules, "H1", Subject::StayField("guests"), &claims);
    assert_eq!((winner, rule), ("pms", "details"));
    assert_eq!(reason, "pms comes before ota in rule \"details\"");
    let (winner, rule, ..) = ask(&rules, "H1", Subject::StayField("money"), &claims);
    assert_eq!((winner, rule), ("booking-com", "money"));
}

#[test]
fn one_entry_is_one_level() {
    let rules = rules();
    let rank = |source, status| rules.rank(&RoomClaim { property: "H1", source, status });
    let levels = [
        rank("pms", Status::CheckedIn),
        rank("pms", Status::Confirmed),
        rank("booking-com", Status::Confirmed),
        rank("website", Status::Tentative),
        rank("legacy", Status::Confirmed),
    ]
    .map(|ranking| ranking.priority);
    assert_eq!(levels, [5, 4, 3, 2, 1]);
    assert_eq!(rank("expedia", Status::Confirmed).priority, 3, "sources of one group are equal here");
    assert_eq!(rank("nobody", Status::Confirmed).priority, 1, "a star takes sources that are gone, too");
    assert_eq!(rank("pms", Status::Confirmed).rule, "rooms");
    assert_eq!(
        rules.rank(&RoomClaim { property: "MAD1", source: "pms", status: Status::Confirmed }).rule,
        "rooms-city"
    );
}

#[test]
fn terms_of_a_property() {
    let rules = rules();
    let terms = rules.terms("MAD1");
    assert_eq!((terms.class, terms.overbook, terms.rule), ("city", 3, "rooms-city"));
    assert!(terms.no_show_keeps_first_night);
    let terms = rules.terms("H1");
    assert_eq!((terms.class, terms.overbook, terms.rule), ("all", 0, "rooms"));
}

#[test]
fn there_is_always_an_answer() {
    let none = RuleSet::default();
    let claims = [Claim { source: "b", value: integer(1) }, Claim { source: "a", value: integer(2) }];
    let verdict = none.resolve(&Contest { property: "H1", subject: Subject::Status, claims: &claims });
    assert_eq!((verdict.winner, verdict.rule, verdict.agree), (1, NO_RULE, false));
    assert_eq!(none.resolve(&Contest { property: "", subject: Subject::Status, claims: &[] }).winner, 0);
    assert_eq!(none.rank(&RoomClaim { property: "H1", source: "a", status: Status::Confirmed }).rule, NO_RULE);
    assert_eq!(none.terms("H1").rule, NO_RULE);
    let rules = rules();
    let gone = [Claim { source: "gone", value: integer(1) }, Claim { source: "website", value: integer(2) }];
    let verdict = rules.resolve(&Contest { property: "H1", subject: Subject::StayField("guests"), claims: &gone });
    assert_eq!((verdict.winner, verdict.rule), (1, "details"));
    assert_eq!(verdict.reason, "gone is not in rule \"details\"");
}
