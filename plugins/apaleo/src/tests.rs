//! Reservations of Apaleo, and what is wrong with others.

use concord_plugin::testing;

use super::Apaleo;

const BOOKING: &str = r#"{"id":"XPGMSXGF","groupId":"G-1","reservations":[
    {"id":"XPGMSXGF-1","bookingId":"XPGMSXGF","status":"InHouse","property":{"id":"MUC","code":"MUC"},"unitGroup":{"id":"MUC-DBL","code":"DBL","type":"BedRoom"},
     "unit":{"id":"MUC-101","name":"101"},"totalGrossAmount":{"amount":320.00,"currency":"EUR"},"arrival":"2026-03-01T23:30:00+01:00","departure":"2026-03-04T11:00:00+01:00",
     "created":"2026-01-01T00:00:00Z","modified":"2026-02-01T10:00:00+01:00","adults":2,"childrenAges":[3,7],"channelCode":"BookingCom","externalCode":"999","groupId":"G-1",
     "primaryGuest":{"firstName":"Zoë","lastName":"Çelik"},"paymentAccount":{"accountNumber":"4444333322221111"},"comment":"4444333322221111"},
    {"id":"XPGMSXGF-2","status":"Canceled","property":{"id":"MUC"},"cancellationTime":"2026-02-01T10:00:00Z","modified":"2026-02-01T09:00:00Z"}]}"#;

fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    testing::told_parts::<Apaleo>(settings, &testing::delivery("application/json", body))
}

fn refused(body: &str) -> String {
    parts("{}", body).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("taken: {body}"))
}

#[test]
fn a_booking_of_two_rooms() {
    let parts: Vec<_> = parts("{}", BOOKING).into_iter().map(Result::unwrap).collect();
    assert_eq!(
        parts[0],
        [
            "at MUC",
            "line @2026-02-01T09:00:00Z XPGMSXGF: XPGMSXGF-1 checked-in 2026-03-01/2026-03-04 MUC-DBL room \"MUC-101\" 320.00 EUR 4 guests booking:booking-com:999 booking:apaleo:XPGMSXGF group:apaleo:G-1",
        ]
    );
    assert_eq!(
        parts[1],
        ["at MUC", "line @2026-02-01T09:00:00Z XPGMSXGF: XPGMSXGF-2 cancelled booking:apaleo:XPGMSXGF"]
    );
}

#[test]
fn a_reservation_alone() {
    let alone = r#"{"id":"A-1","bookingId":"A","status":"Confirmed","unitGroup":{"id":"T"},"arrival":"2026-03-01","departure":"2026-03-02","adults":"1","source":"Expedia","externalCode":5}"#;
    assert_eq!(
        parts(r#"{"property":"MUC","issuers":{"Expedia":"exp"}}"#, alone)[0].clone().unwrap(),
        ["at MUC", "line A: A-1 confirmed 2026-03-01/2026-03-02 T room \"\" 1 guests booking:exp:5 booking:apaleo:A"]
    );
}

#[test]
fn webhooks_say_that_they_are_thin() {
    let thin = r#"{"topic":"Reservation","type":"changed","id":"e","accountId":"ACME","propertyId":"MUC","data":{"entityId":"XPGMSXGF-1"},"timestamp":1532588500}"#;
    assert!(refused(thin).contains("carries ids only: fetch reservation XPGMSXGF-1 and send that"));
}

#[test]
fn cards_stay_outside() {
    use concord_plugin::{Normalizer, json};
    let settings = Apaleo::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts = <Apaleo as Normalizer>::split(&settings, &testing::delivery("application/json", BOOKING)).unwrap();
    let body = String::from_utf8(parts[0].body.clone().unwrap()).unwrap();
    assert!(!body.contains("4444333322221111") && !body.contains("paymentAccount") && body.contains("Çelik"), "{body}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (from, to, words) in [
        ("2026-03-04T11", "2026-03-01T11", "reservations[0].departure: 2026-03-01 is not after the arrival"),
        ("2026-03-04T11", "2062-03-01T11", "at most 365 are taken"),
        ("2026-03-01T23:30", "2026-02-30T23:30", "arrival: \"2026-02-30T23:30:00+01:00\" is not a date"),
        ("\"InHouse\"", "\"Dreaming\"", "\"Dreaming\" is not one of Tentative"),
        ("\"EUR\"", "\"\"", "the amount has no currency"),
        ("320.00", "\"320,00\"", "is not a decimal number"),
        ("\"unitGroup\":{\"id\":\"MUC-DBL\",", "\"unitGroup\":{", "unitGroup.id is missing"),
        ("\"adults\":2", "\"adults\":-1", "is not a whole number from 0 on"),
        ("\"modified\":\"2026-02-01T10:00:00+01:00\"", "\"modified\":\"soon\"", "modified: \"soon\" is not an instant"),
        ("\"property\":{\"id\":\"MUC\",", "\"property\":{", "property.id is missing"),
    ] {
        assert!(BOOKING.contains(from), "{from}");
        let reason = refused(&BOOKING.replacen(from, to, 1));
        assert!(reason.contains(words), "{to}: {reason}");
    }
    assert!(refused("{}").contains("holds no reservation of Apaleo"));
    assert!(refused(r#"{"reservations":[],"count":0}"#).contains("holds no reservation"));
}

#[test]
fn mutated_messages_are_read_or_refused() {
    testing::owes_on_mutations::<Apaleo>("{}", "application/json", &[BOOKING.into()], 20_261_124, 10_000);
}
