//! The format, document by document: what each becomes, and what is refused with which words.

use concord_plugin::{Action, Decimal, Revision, Status, Value, time};

use super::*;

fn event(body: &str) -> Event {
    Event {
        index: 0,
        id: "1".into(),
        time: None,
        property: "H1".into(),
        date: 0,
        content_type: "application/json".into(),
        attributes: vec![],
        body: body.as_bytes().to_vec(),
    }
}

fn said(body: &str) -> Said {
    Native::normalize_one(&Settings::default(), &event(body)).unwrap_or_else(|rejection| panic!("{body}: {rejection}"))
}

fn refused(body: &str) -> String {
    match Native::normalize_one(&Settings::default(), &event(body)) {
        Ok(said) => panic!("{body}: {said:?}"),
        Err(rejection) => rejection.0,
    }
}

fn split(body: &str) -> Result<Vec<Routed>, Rejection> {
    let delivery = Delivery { content_type: String::new(), attributes: vec![], body: body.as_bytes().to_vec() };
    Native::split(&Settings::default(), &delivery)
}

fn day(text: &str) -> Day {
    time::day(text).unwrap()
}

const BOOKING: &str = r#"{"property":"H1","revision":7,"reservation":{"id":"4711","lines":[{"line":"1","status":"confirmed",
    "arrival":"2026-03-01","departure":"2026-03-04","room_type":"DBL","room":"101","amount":"300.00","currency":"EUR",
    "guests":2,"references":[{"type":"ota","issuer":"booking-com","value":"999"}]}]}}"#;

#[test]
fn a_whole_reservation() {
    let said = said(BOOKING);
    assert_eq!(said.property, "H1");
    let [change] = said.changes.as_slice() else { panic!("{said:?}") };
    assert_eq!(change.revision, Some(Revision::Sequence(vec![7])));
    let Action::ReservationReplace(reservation) = &change.action else { panic!("{change:?}") };
    assert_eq!(reservation.reservation, "4711");
    let line = &reservation.lines[0];
    assert_eq!((line.line.as_str(), line.status), ("1", Some(Status::Confirmed)));
    assert_eq!((line.arrival, line.departure), (Some(day("2026-03-01")), Some(day("2026-03-04"))));
    assert_eq!((line.room_type.as_deref(), line.room.as_deref(), line.guests), (Some("DBL"), Some("101"), Some(2)));
    let money = line.money.as_ref().unwrap();
    assert_eq!((money.amount, money.currency.as_str()), (Decimal { units: 30_000, scale: 2 }, "EUR"));
    assert_eq!(line.references.as_ref().unwrap()[0].kind, "ota");
}

#[test]
fn parts_of_a_line() {
    let said = said(r#"{"property":"H1","line":{"reservation":"4711","line":"1","room":null,"references":[]}}"#);
    let Action::LineSet(set) = &said.changes[0].action else { panic!("{said:?}") };
    assert_eq!(set.line.room.as_deref(), Some(""));
    assert_eq!(set.line.references.as_deref(), Some([].as_slice()));
    assert_eq!((set.line.status, set.line.arrival, &set.line.money), (None, None, &None));
}

#[test]
fn inventory_of_every_value() {
    let said = said(
        r#"{"property":"H1","inventory":{"room_type":"DBL","nights":"2026-03-01/2026-03-04","fields":{"capacity":10,
        "closed":false,"price":{"amount":120.5,"currency":"EUR"},"min_stay":null,"score":8.25,"whole":{"decimal":"8"},
        "offset":-3,"note":"sea view"}}}"#,
    );
    let Action::InventorySet(set) = &said.changes[0].action else { panic!("{said:?}") };
    assert_eq!((set.nights.first, set.nights.end), (day("2026-03-01"), day("2026-03-04")));
    let values: Vec<_> = set.fields.iter().map(|field| field.value.clone()).collect();
    let decimal = |units, scale| Decimal { units, scale };
    assert_eq!(values[0], Some(Value::Integer(10)));
    assert_eq!(values[1], Some(Value::Boolean(false)));
    assert!(matches!(&values[2], Some(Value::Money(money)) if money.amount == decimal(1205, 1)));
    assert_eq!(values[3], None);
    assert_eq!(values[4], Some(Value::Decimal(decimal(825, 2))));
    assert_eq!(values[5], Some(Value::Decimal(decimal(8, 0))));
    assert_eq!(values[6], Some(Value::Integer(-3)));
    assert_eq!(values[7], Some(Value::Text("sea view".into())));
}

#[test]
fn several_changes_with_revisions_of_their_own() {
    let said = said(
        r#"{"property":"H1","revision":[3,154,0],"changes":[
        {"snapshot":"begin"},
        {"cancel":{"reservation":"4711","line":"2"},"revision":"2026-03-01T12:00:00.5+0100"},
        {"withdraw":{"nights":"2026-03-01/2026-03-02","fields":["price"]}},
        {"inventory_replace":{"nights":"2026-03-01/2026-04-01","room_types":["DBL"],"room_nights":[
            {"room_type":"DBL","nights":"2026-03-01/2026-04-01","fields":{"capacity":4}}]}},
        {"snapshot":"end"}]}"#,
    );
    let revisions: Vec<_> = said.changes.iter().map(|change| change.revision.clone().unwrap()).collect();
    assert_eq!(revisions[0], Revision::Sequence(vec![3, 154, 0]));
    assert_eq!(revisions[1], Revision::Instant(1_772_362_800_500_000));
    assert_eq!(said.changes[0].action, Action::SnapshotBegin);
    assert!(matches!(&said.changes[1].action, Action::LineCancel(cancel) if cancel.line == "2"));
    assert!(matches!(&said.changes[2].action, Action::Withdraw(scope) if scope.room_types.is_empty()));
    assert!(matches!(&said.changes[3].action, Action::InventoryReplace(replace) if replace.nights.len() == 1));
    assert_eq!(said.changes[4].action, Action::SnapshotEnd);
}

#[test]
fn a_delivery_is_split_by_property() {
    let parts = split(
        r#"[{"property":"H1","cancel":{"reservation":"4711","line":"1"}},
        {"property":"Hötel \"2\"","changes":[{"inventory":{"room_type":"DBL","nights":"2026-03-05/2026-03-06","fields":{"price":1.50}}},
            {"line":{"reservation":"1","line":"1","arrival":"2026-03-02"}}]},
        {"property":"H3","date":"2026-05-05","line":{"reservation":"1","line":"1","arrival":"2026-03-02"}},
        {"property":"H4","line":{"reservation":"1","line":"1","arrival":"0000-00-00"}}]"#,
    )
    .unwrap();
    let places: Vec<_> = parts.iter().map(|part| (part.property.as_str(), part.date)).collect();
    assert_eq!(places, [("H1", 0), ("Hötel \"2\"", day("2026-03-02")), ("H3", day("2026-05-05")), ("H4", 0)]);
    let second = String::from_utf8(parts[1].body.clone().unwrap()).unwrap();
    assert_eq!(said(&second).property, "Hötel \"2\"");
    assert!(second.contains("1.50"), "numbers keep their digits: {second}");
    let single = split(BOOKING).unwrap();
    assert_eq!((single[0].date, &single[0].body), (day("2026-03-01"), &None));
}

#[test]
fn the_property_may_come_from_outside() {
    let body = r#"{"snapshot":"begin"}"#;
    assert!(refused(body).contains("\"property\" is missing"));
    let settings = Settings { property: Some("S".into()) };
    let mut event = event(body);
    assert_eq!(Native::normalize_one(&settings, &event).unwrap().property, "S");
    event.attributes.push(("property".into(), "A".into()));
    assert_eq!(Native::normalize_one(&settings, &event).unwrap().property, "A");
    let delivery = Delivery { content_type: String::new(), attributes: event.attributes, body: body.into() };
    assert_eq!(Native::split(&settings, &delivery).unwrap()[0].property, "A");
}

#[test]
fn settings_are_strict() {
    let read = |text: &str| {
        let document = json::parse(text.as_bytes()).unwrap();
        Native::settings(document.root()).map(|settings| settings.property)
    };
    assert_eq!(read("{}"), Ok(None));
    assert_eq!(read(r#"{"property":"H1"}"#), Ok(Some("H1".into())));
    assert!(read(r#"{"proprety":"H1"}"#).unwrap_err().0.contains("unknown key \"proprety\""));
}

#[test]
fn refusals_name_path_and_value() {
    let line = |keys: &str| {
        format!(r#"{{"property":"H1","reservation":{{"id":"1","lines":[{{"line":"1"}},{{"line":"2",{keys}}}]}}}}"#)
    };
    let inventory = |fields: &str| {
        format!(
            r#"{{"property":"H1","inventory":{{"room_type":"D","nights":"2026-03-01/2026-03-02","fields":{{{fields}}}}}}}"#
        )
    };
    let scope = |keys: &str| format!(r#"{{"property":"H1","withdraw":{{{keys}}}}}"#);
    for (body, words) in [
        (line(r#""arrival":"0000-00-00""#), r#"reservation.lines[1].arrival: "0000-00-00" is not a date"#),
        (line(r#""arrival":"2026-02-30""#), r#""2026-02-30" is not a date"#),
        (line(r#""arrival":20260301"#), "lines[1].arrival: 20260301 is not a string"),
        (line(r#""arrival":"2026-03-04","departure":"2026-03-01""#), "departure: 2026-03-01 is not after the arrival 2026-03-04"),
        (line(r#""arrival":"2026-03-04","departure":"2026-03-04""#), "2026-03-04 is not after"),
        (line(r#""arival":"2026-03-04""#), r#"reservation.lines[1]: unknown key "arival" (known here: line, status, arrival"#),
        (line(r#""status":"booked""#), r#"status: "booked" is not a status (tentative"#),
        (line(r#""status":"reinstated""#), "found out, not sent"),
        (line(r#""amount":"1e20","currency":"EUR""#), r#"amount: "1e20" is not a number of at most 99999999999999.9999"#),
        (line(r#""amount":0.00001,"currency":"EUR""#), "amount: 0.00001 is not a number of at most four decimals"),
        (line(r#""amount":"12,50","currency":"EUR""#), r#""12,50" is not a decimal number such as"#),
        (line(r#""amount":"1","currency":"euro""#), r#"currency: "euro" is not a currency"#),
        (line(r#""amount":"1""#), "an amount needs its"),
        (line(r#""currency":"EUR""#), "a currency needs its"),
        (line(r#""guests":-1"#), "guests: -1 is not a whole number from 0"),
        (line(r#""guests":2.5"#), "guests: 2.5 is not a whole number"),
        (line(r#""guests":4294967296"#), "guests: 4294967296 is not"),
        (line(r#""room_type":"""#), r#"room_type: "" is not a code"#),
        (line(r#""room_type":"D\u0000""#), "is not a code"),
        (line(r#""references":[{"type":"ota","value":"9"}]"#), r#"references[0]: "issuer" is missing"#),
        (line(r#""line":"2""#), r#"the key "line" stands twice"#),
        (line(r#""guests":1},{"line":"2""#), r#"reservation.lines[2].line: "2" stands twice"#),
        (r#"{"property":"H1"}"#.into(), "holds no change: one of reservation, line"),
        (r#"{"property":"H1","snapshot":"begin","line":{}}"#.into(), "holds line and snapshot: several changes"),
        (r#"{"property":"H1","snapshot":"middle"}"#.into(), r#"snapshot: "middle" is not "begin" or "end""#),
        (r#"{"property":"H1","changes":[]}"#.into(), "changes: the list holds no change"),
        (r#"{"property":"H1","changes":[{"snapshot":"end","property":"H2"}]}"#.into(), r#"changes[0]: unknown key "property""#),
        (r#"{"property":"H1","changes":[{"snapshot":"end"}],"snapshot":"end"}"#.into(), "snapshot: stands beside \"changes\""),
        (r#"{"property":"H1","revision":-1,"snapshot":"end"}"#.into(), "revision: -1 is not a whole number from 0"),
        (r#"{"property":"H1","revision":1e3,"snapshot":"end"}"#.into(), "revision: 1e3 is not"),
        (r#"{"property":"H1","revision":"7","snapshot":"end"}"#.into(), r#"revision: "7" is not an instant"#),
        (r#"{"property":"H1","revision":"2026-03-01T12:00:00","snapshot":"end"}"#.into(), "with its offset"),
        (r#"{"property":"H1","revision":[],"snapshot":"end"}"#.into(), "revision: a revision has 1 to 8"),
        (r#"{"property":"H1","revision":[1,"2"],"snapshot":"end"}"#.into(), r#"revision[1]: "2" is not"#),
        (r#"{"property":"H1","date":"soon","snapshot":"end"}"#.into(), r#"date: "soon" is not a date"#),
        (r#"{"property":"","snapshot":"end"}"#.into(), r#"property: "" is not a code"#),
        (r#"[]"#.into(), "document: a list is not an object"),
        (inventory(r#""capacity":-1"#), "inventory.fields.capacity: -1 is not"),
        (inventory(r#""closed":0"#), "fields.closed: 0 is not true or false"),
        (inventory(r#""min_stay":99999999999999999999"#), "min_stay: 99999999999999999999 is not a whole number of 64 bits"),
        (inventory(r#""price":{"amount":"1"}"#), r#"fields.price: "currency" is missing"#),
        (inventory(r#""price":[1]"#), "fields.price: a list is not a value"),
        (inventory(r#""price":NaN"#), "bad JSON"),
        (scope(r#""nights":"2026-03-04/2026-03-01""#), "holds no night"),
        (scope(r#""nights":"2026-03-04""#), "withdraw.nights: \"2026-03-04\" is not nights"),
        (scope(r#""nights":"2026-03-01/2026-03-02","room_types":[]"#), "withdraw.room_types: the list is empty"),
        (
            r#"{"property":"H1","inventory_replace":{"nights":"2026-03-01/2026-03-02","room_nights":[
            {"room_type":"D","nights":"2026-03-01/2026-03-03","fields":{}}]}}"#.into(),
            "inventory_replace.room_nights[0]: lies outside",
        ),
        (
            r#"{"property":"H1","inventory_replace":{"nights":"2026-03-01/2026-03-02","fields":["price"],"room_nights":[
            {"room_type":"D","nights":"2026-03-01/2026-03-02","fields":{"closed":true}}]}}"#.into(),
            "\"closed\" is not among",
        ),
    ] {
        let reason = refused(&body);
        assert!(reason.contains(words), "{body}\n  says {reason}\n  not {words}");
    }
}

#[test]
fn what_cannot_be_routed_is_refused_at_the_door() {
    for (body, words) in [
        ("", "bad JSON"),
        ("[]", "holds no part"),
        ("[1]", "[0]: 1 is not an object"),
        (r#"[{"property":"H1","snapshot":"end"},{"snapshot":"end"}]"#, "[1]: \"property\" is missing"),
        (r#"{"property":7}"#, "property: 7 is not a code"),
        ("\"a\"", "is not an object"),
    ] {
        let reason = split(body).unwrap_err().0;
        assert!(reason.contains(words), "{body}: {reason}");
    }
}

/// Whatever bytes arrive: an answer, no panic. Cuts and flips of a good document reach every branch of the reader.
#[test]
fn broken_documents_never_panic() {
    let good = BOOKING.as_bytes();
    for at in 0..good.len() {
        for byte in [b'"', b'{', b']', b',', b'0', b'-', b'\\', 0xE9, 0] {
            let mut body = good.to_vec();
            body[at] = byte;
            let mut event = event("");
            event.body = body;
            let _answer = Native::normalize_one(&Settings::default(), &event);
            event.body.truncate(at);
            assert!(Native::normalize_one(&Settings::default(), &event).is_err());
        }
    }
}
