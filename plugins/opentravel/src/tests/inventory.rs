//! Availability, restrictions and prices.

use super::{parts_with, refused, refused_with, told, told_with};

pub const COUNTS: &str = include_str!("../../cases/counts.xml");

pub const STATUSES: &str = include_str!("../../cases/statuses.xml");

pub const RATES: &str = include_str!("../../cases/rate_amounts.xml");

pub const PLANS: &str = include_str!("../../cases/rate_plans.xml");

#[test]
fn rooms_of_the_house_are_not_free_rooms() {
    let physical = r#"<OTA_HotelInvCountNotifRQ><Inventories HotelCode="H1">
        <Inventory><StatusApplicationControl Start="2026-03-01" End="2026-03-02" InvTypeCode="DBL"/>
         <InvCounts><InvCount CountType="1" Count="10"/></InvCounts></Inventory></Inventories></OTA_HotelInvCountNotifRQ>"#;
    assert_eq!(told(physical), ["at H1", "set DBL 2026-03-01/2026-03-03 capacity=10"]);
    let with_closed = physical.replace("CountType=\"1\"", "CountType=\"6\"");
    assert_eq!(told(&with_closed), ["at H1", "set DBL 2026-03-01/2026-03-03 availability=0"]);
}

#[test]
fn a_complete_set_replaces_and_closes() {
    assert_eq!(
        told(COUNTS),
        [
            "at H1",
            "replace * 2026-03-01/2299-12-31 of availability,capacity,closed",
            "  DBL 2026-03-01/2026-03-05 availability=3 capacity=10",
            "  DBL 2026-03-05/2026-03-06 availability=0 capacity=10",
            "  DBL 2026-03-06/2026-03-11 availability=3 capacity=10",
            "  DBL 2026-05-01/2026-06-01 closed=true",
            "  SGL 2026-03-07/2026-03-09 availability=1",
            "  SGL 2026-05-01/2026-06-01 closed=true",
        ]
    );
}

#[test]
fn an_update_overlays() {
    let update = COUNTS.replace(r#"<UniqueID Type="16" ID="1" Instance="CompleteSet"/>"#, "");
    let told = told(&update);
    assert_eq!(told[1], "set DBL 2026-03-01/2026-03-05 availability=3 capacity=10");
    assert!(told.iter().all(|line| !line.starts_with("replace")), "{told:?}");
}

#[test]
fn single_rooms_of_a_complete_set_add_up() {
    let room = |room: &str, count: &str| {
        format!(
            "<Inventory><StatusApplicationControl Start='2026-03-01' End='2026-03-02' InvTypeCode='DBL' InvCode='{room}'/>{count}</Inventory>"
        )
    };
    let free = "<InvCounts><InvCount CountType='2' Count='1'/></InvCounts>";
    let body = |unique: &str| {
        format!(
            "<OTA_HotelInvCountNotifRQ>{unique}<Inventories HotelCode='H1'>{}{}{}</Inventories></OTA_HotelInvCountNotifRQ>",
            room("101", free),
            room("102", ""),
            room("103", free)
        )
    };
    let complete = body("<UniqueID Type='16' ID='1' Instance='CompleteSet'/>");
    assert_eq!(told(&complete)[2], "  DBL 2026-03-01/2026-03-03 availability=2");
    assert!(refused(&body("")).contains("does not say how many rooms of its type are free"));
    let own = told_with(r#"{"rooms": "own-type"}"#, &body(""));
    assert_eq!(
        own[1..],
        [
            "set 101 2026-03-01/2026-03-03 availability=1",
            "set 102 2026-03-01/2026-03-03 availability=0",
            "set 103 2026-03-01/2026-03-03 availability=1"
        ]
    );
}

#[test]
fn statuses_limit_and_restrict() {
    let settings = r#"{"rate_plan": "BAR", "fields": {"min_stay": "min_stay", "closed_to_arrival": "cta"}}"#;
    assert_eq!(
        told_with(settings, STATUSES),
        [
            "at H1",
            "set DBL 2026-03-01/2026-03-02 availability=4 min_stay=2 cta=true",
            "set DBL 2026-03-02/2026-03-03 availability=4 closed=true min_stay=2 cta=true",
            "set DBL 2026-03-03/2026-03-04 closed=true",
            "set SGL 2026-03-09/2026-03-10 availability=-",
        ]
    );
    let reason = refused(STATUSES);
    assert!(reason.contains("/@RatePlanCode: is about the rate plan \"BAR\": name the one that counts"), "{reason}");
    let adjusted = STATUSES.replace("SetLimit", "AdjustLimit");
    assert!(refused_with(settings, &adjusted).contains("a limit is taken as it stands"));
}

#[test]
fn the_price_is_that_of_the_plan_and_the_guests() {
    let settings = r#"{"rate_plan": "BAR"}"#;
    assert_eq!(
        told_with(settings, RATES),
        ["at H1", "set DBL 2026-03-06/2026-03-08 price=120.00 EUR", "set SGL 2026-03-01/2026-03-02 price=70 EUR"]
    );
    let before = told_with(r#"{"rate_plan": "BAR", "tax": "before"}"#, RATES);
    assert_eq!(before[1], "set DBL 2026-03-06/2026-03-08 price=110.00 EUR");
    let single = told_with(r#"{"rate_plan": "BAR", "guests": 1}"#, RATES);
    assert_eq!(single[1], "set DBL 2026-03-06/2026-03-08 price=90.00 EUR");
    let none = told_with(r#"{"rate_plan": "BAR", "fields": {"price": ""}}"#, RATES);
    assert_eq!(none, ["at H1"], "a pipeline without prices takes none");
}

#[test]
fn prices_can_be_taken_back() {
    let body = r#"<OTA_HotelRateAmountNotifRQ NotifType="Remove"><RateAmountMessages HotelCode="H1"><RateAmountMessage>
        <StatusApplicationControl Start="2026-03-01" End="2026-03-02" InvTypeCode="DBL" RatePlanCode="BAR"/></RateAmountMessage>
        </RateAmountMessages></OTA_HotelRateAmountNotifRQ>"#;
    assert_eq!(told_with(r#"{"rate_plan": "BAR"}"#, body)[1..], ["set DBL 2026-03-01/2026-03-03 price=-"]);
}

#[test]
fn rate_plans_per_person_and_removed() {
    let settings = r#"{"rate_plan": "BAR", "fields": {"min_stay": "los"}}"#;
    assert_eq!(
        told_with(settings, PLANS)[1..],
        ["set DBL 2026-03-01/2026-03-03 price=121.00 EUR los=3", "set DBL 2026-03-03/2026-03-04 price=121.00 EUR"]
    );
    assert_eq!(
        told_with(r#"{"rate_plan": "OLD"}"#, PLANS)[1..],
        ["withdraw 1900-01-01".to_owned()].map(|_| "withdraw * 1900-01-01/2299-12-31 of price")
    );
    let whole = PLANS.replace("\"Overlay\"", "\"New\"");
    assert_eq!(told_with(r#"{"rate_plan": "BAR"}"#, &whole)[1], "replace * 2026-03-01/2299-12-31 of price");
    let weekly = PLANS.replace("InvTypeCode=\"DBL\" Start", "UnitMultiplier=\"7\" InvTypeCode=\"DBL\" Start");
    assert!(refused_with(settings, &weekly).contains("only prices of one night are read"));
}

#[test]
fn several_hotels_are_several_records() {
    let one = |hotel: &str| {
        format!(
            "<Inventories HotelCode='{hotel}'><Inventory><StatusApplicationControl Start='2026-03-01' End='2026-03-01' InvTypeCode='DBL'/></Inventory></Inventories>"
        )
    };
    let body = format!("<OTA_HotelInvCountNotifRQ>{}{}</OTA_HotelInvCountNotifRQ>", one("H1"), one("H2"));
    let parts: Vec<Vec<String>> = parts_with("{}", &body).into_iter().map(Result::unwrap).collect();
    assert_eq!((parts[0][0].as_str(), parts[1][0].as_str()), ("at H1", "at H2"));
}

#[test]
fn ranges_that_are_none() {
    let body = |start: &str, end: &str, count: &str| {
        format!(
            "<OTA_HotelInvCountNotifRQ><Inventories HotelCode='H1'><Inventory><StatusApplicationControl Start='{start}' End='{end}' InvTypeCode='DBL'/><InvCounts><InvCount CountType='2' Count='{count}'/></InvCounts></Inventory></Inventories></OTA_HotelInvCountNotifRQ>"
        )
    };
    for (start, end, count, words) in [
        ("2026-03-02", "2026-03-01", "1", "the last day 2026-03-01 is before the first day"),
        ("2026-03-01", "2036-03-01", "1", "at most 1900"),
        ("2026-03-01", "2299-12-31", "1", "end after 2299-12-31"),
        ("2299-12-31", "2299-12-31", "1", "end after 2299-12-31"),
        ("2026-03-01", "2026-03-01", "3000000000", "is not a number of rooms"),
        ("2026-03-01", "2026-03-01", "-1", "is not a whole number"),
        ("2026-03-01", "2026-03-01", "1.5", "is not a whole number"),
    ] {
        let reason = refused(&body(start, end, count));
        assert!(reason.contains(words), "{reason}");
    }
}
