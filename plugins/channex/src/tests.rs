//! Booking revisions of Channex, and what is wrong with others.

use concord_plugin::testing;

use super::Channex;

const FEED: &str = r#"{"data":[{"type":"booking_revision","id":"r1","attributes":{"id":"r1","property_id":"p-1","booking_id":"b-1","unique_id":"BDC-9996013801",
    "ota_reservation_code":"9996013801","ota_name":"Booking.com","status":"new","currency":"GBP","amount":"220.00","arrival_date":"2026-03-01","departure_date":"2026-03-03",
    "inserted_at":"2026-02-01T12:00:00.250000","guarantee":{"card_number":"4444333322221111","cvv":"123"},"customer":{"name":"Ольга","surname":"李"},
    "notes":"4444 3333 2222 1111",
    "rooms":[{"booking_room_id":"br-1","room_type_id":"t-1","checkin_date":"2026-03-01","checkout_date":"2026-03-03","amount":"120.00","occupancy":{"adults":2,"children":1,"infants":0}},
             {"booking_room_id":"br-2","room_type_id":"t-2","days":{"2026-03-01":"50.10","2026-03-02":49.90},"occupancy":{"adults":"1"}}]}},
    {"type":"booking_revision","id":"r2","attributes":{"id":"r2","property_id":"p-2","booking_id":"b-2","ota_name":"Expedia","ota_reservation_code":7,"status":"cancelled","inserted_at":"2026-02-01T12:00:01Z","rooms":[]}}]}"#;

fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    testing::told_parts::<Channex>(settings, &testing::delivery("application/json", body))
}

fn refused(body: &str) -> String {
    parts("{}", body).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("taken: {body}"))
}

#[test]
fn a_feed_of_two_hotels() {
    let parts: Vec<_> = parts("{}", FEED).into_iter().map(Result::unwrap).collect();
    assert_eq!(
        parts[0],
        [
            "at p-1",
            "reservation @2026-02-01T12:00:00Z b-1",
            "  br-1 confirmed 2026-03-01/2026-03-03 t-1 120.00 GBP 3 guests booking:booking-com:9996013801 booking:channex:BDC-9996013801",
            "  br-2 confirmed 2026-03-01/2026-03-03 t-2 100.00 GBP 1 guests booking:booking-com:9996013801 booking:channex:BDC-9996013801",
        ]
    );
    assert_eq!(parts[1], ["at p-2", "reservation @2026-02-01T12:00:01Z b-2"], "no room is left");
}

#[test]
fn a_room_is_cancelled_by_omission_and_by_a_flag() {
    let flagged = FEED.replace("\"booking_room_id\":\"br-2\"", "\"booking_room_id\":\"br-2\",\"is_cancelled\":true");
    assert!(
        parts("{}", &flagged)[0].clone().unwrap()[3].starts_with("  br-2 cancelled 2026-03-01/2026-03-03 t-2 booking:")
    );
    let cancelled = FEED.replace("\"new\"", "\"cancelled\"").replace("\"currency\":\"GBP\",", "");
    assert!(
        parts("{}", &cancelled)[0].clone().unwrap()[2]
            .starts_with("  br-1 cancelled 2026-03-01/2026-03-03 t-1 booking:booking-com"),
        "a currency may be missing: the nights are read all the same"
    );
    let single = r#"{"event":"booking","property_id":"p-1","payload":{"booking":{"id":"b-1","status":"modified","arrival_date":"2026-03-01","departure_date":"2026-03-02","rooms":[{"room_type_id":"t"}]}}}"#;
    assert_eq!(
        parts(r#"{"currency":"EUR"}"#, single)[0].clone().unwrap(),
        ["at p-1", "reservation b-1", "  1 confirmed 2026-03-01/2026-03-02 t"]
    );
}

#[test]
fn thin_events_say_so() {
    let thin = r#"{"event":"booking","payload":{"property_id":"p","booking_id":"b","revision_id":"r"},"property_id":"p","timestamp":"2026-02-01T12:00:00Z"}"#;
    assert!(refused(thin).contains("carries ids only: fetch the booking revision"), "{}", refused(thin));
    assert!(refused(r#"{"data":[]}"#).contains("there is nothing to read"));
}

#[test]
fn cards_stay_outside() {
    use concord_plugin::{Normalizer, json};
    let settings = Channex::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts = <Channex as Normalizer>::split(&settings, &testing::delivery("application/json", FEED)).unwrap();
    let body = String::from_utf8(parts[0].body.clone().unwrap()).unwrap();
    assert!(!body.contains("4444333322221111") && !body.contains("guarantee") && !body.contains("4444 3333"), "{body}");
    assert!(body.contains("Ольга") && !body.contains("\"b-2\""), "each part has its own booking only: {body}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (from, to, words) in [
        (
            "\"checkout_date\":\"2026-03-03\"",
            "\"checkout_date\":\"2026-03-01\"",
            "rooms[0].checkout_date: 2026-03-01 is not after the arrival",
        ),
        ("\"checkout_date\":\"2026-03-03\"", "\"checkout_date\":\"2062-03-01\"", "at most 365 are taken"),
        ("\"room_type_id\":\"t-1\",", "\"room_type_id\":null,", "the room is not mapped at Channex"),
        ("br-2", "br-1", "the room br-1 stands twice"),
        ("\"120.00\"", "\"12,00\"", "amount: \"12,00\" is not a decimal number"),
        ("\"120.00\"", "1e400", "is not a number of at most"),
        ("\"GBP\"", "\"pounds\"", "is not a currency"),
        ("\"currency\":\"GBP\",", "", "the amount has no currency"),
        ("\"new\"", "\"perhaps\"", "status: \"perhaps\" is not one of new"),
        ("\"adults\":2", "\"adults\":2.5", "is not a whole number from 0 on"),
        ("\"2026-02-01T12:00:00.250000\"", "\"yesterday\"", "inserted_at: \"yesterday\" is not an instant"),
        ("\"property_id\":\"p-1\",", "", "property_id is missing"),
    ] {
        assert!(FEED.contains(from), "{from}");
        let reason = refused(&FEED.replacen(from, to, 1));
        assert!(reason.contains(words), "{to}: {reason}");
    }
    assert!(refused(&FEED.replacen("\"cancelled\"", "\"new\"", 1)).contains("this one has none"));
}

#[test]
fn mutated_messages_are_read_or_refused() {
    testing::owes_on_mutations::<Channex>("{}", "application/json", &[FEED.into()], 20_261_124, 10_000);
}
