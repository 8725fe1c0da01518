//! Bookings as Expedia sends them, and what is wrong with others.

use concord_plugin::{Normalizer as _, json, testing};

use super::Expedia;

/// The newest transaction comes first: a cancellation, the modification before it, and another booking.
const BOOKINGS: &str = include_str!("../cases/bookings.xml");

/// Several rooms in one booking, in a SOAP envelope, other names.
const HOTWIRE: &str = include_str!("../cases/several_rooms.xml");

fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    match testing::through::<Expedia>(settings, &testing::delivery("text/xml", body)) {
        Ok(parts) => parts.into_iter().map(|said| said.map(|said| testing::told(&said))).collect(),
        Err(reason) => vec![Err(reason)],
    }
}

#[test]
fn transactions_come_oldest_first() {
    let parts: Vec<_> = parts("{}", BOOKINGS).into_iter().map(Result::unwrap).collect();
    assert_eq!(
        parts.concat(),
        [
            "at 211",
            "reservation @2026-02-01T19:00:00Z 700",
            "  1 confirmed 2026-03-01/2026-03-03 223 209.90 USD 1 guests booking:expedia:700",
            "at 211",
            "reservation @2026-02-02T00:00:00Z 619",
            "  1 confirmed 2026-03-01/2026-03-03 222 230.00 USD 3 guests booking:expedia:619 booking:pms:P-1",
            "at 211",
            "reservation @2026-02-03T00:00:00Z 619",
            "  1 cancelled 2026-03-01/2026-03-03 222",
        ]
    );
}

#[test]
fn several_rooms_and_no_offset() {
    let told = parts(r#"{"utc_offset": "-07:00", "issuer": "Hotwire"}"#, HOTWIRE)[0].clone().unwrap();
    assert_eq!(
        told,
        [
            "at 34323",
            "reservation @2026-02-01T17:00:00Z 586",
            "  1 confirmed 2026-10-23/2026-10-25 STANDARD 50.0 AUD booking:hotwire:586",
            "  1.2 confirmed 2026-10-23/2026-10-25 STANDARD 50.0 AUD booking:hotwire:586",
        ]
    );
}

#[test]
fn cards_stay_outside() {
    let settings = Expedia::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts = Expedia::split(&settings, &testing::delivery("text/xml", BOOKINGS)).unwrap();
    for part in parts {
        let body = String::from_utf8(part.body.unwrap()).unwrap();
        assert!(!body.contains("4444") && !body.contains("PaymentCard") && !body.contains("seriesCode"), "{body}");
        assert_eq!(body.matches("<Booking ").count(), 1, "{body}");
    }
}

#[test]
fn a_poor_cancellation_is_one() {
    let body = r#"<BookingRetrievalRS><Bookings><Booking id="1" type="Cancel" createDateTime="2026-02-03T00:00:00Z"><Hotel id="2"/></Booking></Bookings></BookingRetrievalRS>"#;
    assert_eq!(parts("{}", body)[0].clone().unwrap()[1..], ["reservation @2026-02-03T00:00:00Z 1", "  1 cancelled"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (from, to, words) in [
        ("id=\"619\" type=\"Modify\"", "id=\"\" type=\"Modify\"", "Bookings/Booking: the attribute id is missing"),
        ("type=\"Modify\"", "type=\"Change\"", "Booking/@type: \"Change\" is not one of Book, Modify, Cancel"),
        ("2026-02-02T00:00:00Z", "yesterday", "@createDateTime: \"yesterday\" is not an instant"),
        ("230.00", "NaN", "Total/@amountAfterTaxes: \"NaN\" is not a decimal number"),
        ("currency=\"USD\"", "currency=\"$\"", "is not a currency"),
        ("adult=\"2\" child", "adult=\"4294967295\" child", "too many to count"),
        (
            "roomTypeID=\"222\" ratePlanID=\"333A\"><StayDate arrival=\"2026-03-01\" departure=\"2026-03-03\"/><GuestCount adult=\"2\" child",
            "roomTypeID=\"222\" ratePlanID=\"333A\"><StayDate arrival=\"2026-03-03\" departure=\"2026-03-01\"/><GuestCount adult=\"2\" child",
            "StayDate/@departure: 2026-03-01 is not after the arrival",
        ),
    ] {
        assert!(BOOKINGS.contains(from), "{from}");
        let outcomes = parts("{}", &BOOKINGS.replace(from, to));
        let reasons: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
        assert!(reasons.iter().any(|reason| reason.contains(words)), "{from}: {reasons:?}");
    }
    for (body, words) in [
        ("<BookingRetrievalRS><Bookings/></BookingRetrievalRS>", "there is nothing to read"),
        (
            "<BookingRetrievalRS><Error code='1001'>Authentication failed</Error></BookingRetrievalRS>",
            "reports an error: Authentication failed",
        ),
        ("<BookingRetrievalRQ/>", "is not Expedia's BookingRetrievalRS"),
    ] {
        let reason = parts("{}", body)[0].clone().unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }
    let rooms = HOTWIRE.replace("numberOfRooms=\"2\"", "numberOfRooms=\"0\"");
    assert!(parts("{}", &rooms)[0].clone().unwrap_err().contains("a number of rooms from 1 to 100"));
}

#[test]
fn mutated_messages_are_read_or_refused() {
    let samples = [BOOKINGS, HOTWIRE].map(|text| text.as_bytes().to_vec());
    testing::owes_on_mutations::<Expedia>("{}", "text/xml", &samples, 20_261_124, 10_000);
}

#[test]
fn a_booking_without_a_hotel_does_not_take_the_others_with_it() {
    let one = BOOKINGS.replacen("<Hotel id=\"211\"/>", "", 1);
    let outcomes = parts("{}", &one);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
    let settings = Expedia::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let placed = Expedia::split(&settings, &testing::delivery("text/xml", one)).unwrap();
    assert_eq!(placed[2].property, concord_plugin::xml::UNPLACED);
    assert_eq!(outcomes[2].clone().unwrap_err(), "Bookings/Booking: Hotel is missing");
}
