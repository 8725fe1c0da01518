//! Reservations as Booking.com sends them, and what is wrong with others.

use concord_plugin::{Normalizer as _, json, testing};

use super::BookingCom;

/// Two rooms and a cancellation without rooms, with a card.
const RESERVATIONS: &str = include_str!("../cases/reservations.xml");

fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    match testing::through::<BookingCom>(settings, &testing::delivery("text/xml", body)) {
        Ok(parts) => parts.into_iter().map(|said| said.map(|said| testing::told(&said))).collect(),
        Err(reason) => vec![Err(reason)],
    }
}

#[test]
fn rooms_and_cancellations() {
    let parts: Vec<_> = parts("{}", RESERVATIONS).into_iter().map(Result::unwrap).collect();
    assert_eq!(
        parts[0],
        [
            "at 375680",
            "reservation 4705950059",
            "  1799964999 confirmed 2026-03-01/2026-03-03 37568001 260.00 EUR 2 guests booking:booking-com:4705950059",
            "  1799965000 confirmed 2026-03-01/2026-03-03 37568002 160.30 EUR 3 guests booking:booking-com:4705950059",
        ]
    );
    assert_eq!(parts[1], ["at 375680", "reservation 438151297"], "no room is left");
}

#[test]
fn a_modification_leaves_a_room_out_and_a_cancellation_may_list_rooms() {
    let modified = RESERVATIONS.replace("<status>new</status>", "<status>modified</status>");
    let second = modified.rfind("<room>").unwrap()..modified.rfind("</room>").unwrap() + "</room>".len();
    let shorter = format!("{}{}", &modified[..second.start], &modified[second.end..]);
    let told = parts("{}", &shorter)[0].clone().unwrap();
    assert_eq!(told.len(), 3);
    assert!(told[2].starts_with("  1799964999 confirmed"));
    let cancelled = RESERVATIONS
        .replace("<status>new</status>", "<status>cancelled</status>")
        .replace("<currencycode>EUR</currencycode>", "");
    let told = parts("{}", &cancelled)[0].clone().unwrap();
    let rooms = [
        "  1799964999 cancelled 2026-03-01/2026-03-03 37568001",
        "  1799965000 cancelled 2026-03-01/2026-03-03 37568002",
    ];
    assert_eq!(told[2..], rooms, "a currency may be missing: the nights are read all the same");
}

#[test]
fn cards_stay_outside() {
    let settings = BookingCom::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts = BookingCom::split(&settings, &testing::delivery("text/xml", RESERVATIONS)).unwrap();
    let body = String::from_utf8(parts[0].body.clone().unwrap()).unwrap();
    assert!(!body.contains("4444333322221111") && !body.contains("cc_") && !body.contains("4444 3333"), "{body}");
    assert!(body.contains("<first_name>Δημήτρης</first_name>") && body.contains("1799964999"), "{body}");
    assert!(!body.contains("438151297"), "each part has its own reservation only");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (from, to, words) in [
        (
            "<departure_date>2026-03-03",
            "<departure_date>2026-03-01",
            "reservation/room[1]/departure_date: 2026-03-01 is not after the arrival",
        ),
        ("<departure_date>2026-03-03", "<departure_date>2062-03-03", "at most 365 are taken"),
        ("<arrival_date>2026-03-01", "<arrival_date>01/03/2026", "room[1]/arrival_date: \"01/03/2026\" is not a date"),
        ("<roomreservation_id>1799964999</roomreservation_id>", "", "room[1]: roomreservation_id is missing"),
        ("1799965000", "1799964999", "room[2]/roomreservation_id: stands twice"),
        ("<id>37568001</id>", "<id/>", "room[1]/id: is empty"),
        ("260.00", "2.6e2000", "is not a number of at most"),
        ("<status>new", "<status>maybe", "\"maybe\" is not one of new, modified, cancelled"),
        ("<currencycode>EUR", "<currencycode>eur", "is not a currency"),
        ("<numberofguests>2", "<numberofguests>two", "is not a whole number"),
    ] {
        let reason = parts("{}", &RESERVATIONS.replacen(from, to, if from == "<currencycode>EUR" { 9 } else { 1 }))[0]
            .clone()
            .unwrap_err();
        assert!(reason.contains(words), "{from}: {reason}");
    }
    for (body, words) in [
        ("<reservations/>", "there is nothing to read"),
        ("<request/>", "is not Booking.com's reservations"),
        ("<reservations><reservation><id>1</id></reservation></reservations>", "hotel_id is missing"),
    ] {
        let reason = parts("{}", body)[0].clone().unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }
    let no_rooms = RESERVATIONS.replace("<status>cancelled", "<status>modified");
    assert!(parts("{}", &no_rooms)[1].clone().unwrap_err().contains("this one has none"));
}

#[test]
fn a_summary_names_its_hotel_outside() {
    let summary = RESERVATIONS.replace("<hotel_id>375680</hotel_id>", "").replace("<status>new</status>", "");
    let told = parts(r#"{"property": "H1", "issuer": "bcom"}"#, &summary)[0].clone().unwrap();
    assert_eq!(told[0], "at H1");
    assert!(told[2].contains("confirmed") && told[2].ends_with("booking:bcom:4705950059"));
}

#[test]
fn mutated_messages_are_read_or_refused() {
    testing::owes_on_mutations::<BookingCom>("{}", "text/xml", &[RESERVATIONS.into()], 20_261_124, 10_000);
}

#[test]
fn a_hotel_that_cannot_be_told_hides_no_card() {
    let settings = BookingCom::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let nameless = RESERVATIONS.replace("<hotel_id>375680</hotel_id>", "");
    let placed = BookingCom::split(&settings, &testing::delivery("text/xml", nameless.clone())).unwrap();
    assert!(placed.iter().all(|part| part.property == concord_plugin::xml::UNPLACED));
    assert!(!String::from_utf8(placed[0].body.clone().unwrap()).unwrap().contains("4444333322221111"));
    assert!(parts("{}", &nameless)[0].clone().unwrap_err().contains("hotel_id is missing"));
}
