//! Reservations and webhooks of Cloudbeds, and what is wrong with others.

use concord_plugin::testing;

use super::Cloudbeds;

const RESERVATION: &str = r#"{"success":true,"data":{"propertyID":"8","guestName":"José Ñandú","reservationID":"4809","dateModified":"2026-02-01 15:00:00","dateModifiedUTC":"2026-02-01 14:00:00",
    "source":"Booking.com","thirdPartyIdentifier":"999","status":"confirmed","startDate":"2026-03-01","endDate":"2026-03-04","total":300,
    "cardsOnFile":[{"cardID":"1"}],"notes":"4444333322221111",
    "assigned":[{"roomTypeID":"t1","roomID":"t1-3","roomName":"103","startDate":"2026-03-01","endDate":"2026-03-04","adults":"2","children":"0","roomTotal":"180.00","subReservationID":"4809-1"}],
    "unassigned":[{"roomTypeID":"t2","startDate":"2026-03-02","endDate":"2026-03-04","adults":1,"dailyRates":[{"date":"2026-03-02","rate":60},{"date":"2026-03-03","rate":60.5}],"subReservationID":"4809-2"}]}}"#;

const DATES: &str = r#"{"version":"1.0","event":"reservation/dates_changed","timestamp":1770000000.251234567,"propertyID":8,"propertyID_str":"8","reservationID":"4809","startDate":"2026-03-02","endDate":"2026-03-05"}"#;

fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    testing::told_parts::<Cloudbeds>(settings, &testing::delivery("application/json", body))
}

fn told(settings: &str, body: &str) -> Vec<String> {
    parts(settings, body).remove(0).unwrap_or_else(|reason| panic!("{reason}"))
}

fn refused(body: &str) -> String {
    parts(r#"{"currency":"EUR"}"#, body).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("taken: {body}"))
}

#[test]
fn a_reservation_of_two_rooms() {
    assert_eq!(
        told(r#"{"currency":"EUR"}"#, RESERVATION),
        [
            "at 8",
            "reservation @2026-02-01T14:00:00Z 4809",
            "  1 confirmed 2026-03-01/2026-03-04 t1 room \"t1-3\" 180.00 EUR 2 guests booking:booking-com:999 booking:cloudbeds:4809",
            "  2 confirmed 2026-03-02/2026-03-04 t2 room \"\" 120.5 EUR 1 guests booking:booking-com:999 booking:cloudbeds:4809",
        ]
    );
    assert!(!told("{}", RESERVATION)[2].contains("180"), "no currency, no amount");
    let dropped = RESERVATION.replace("\"unassigned\":[", "\"x\":[");
    assert_eq!(told("{}", &dropped).len(), 3, "the second room is cancelled by omission");
    let cancelled = r#"{"data":{"propertyID":8,"reservationID":4809,"status":"canceled"}}"#;
    assert_eq!(told("{}", cancelled), ["at 8", "reservation 4809"]);
}

#[test]
fn webhooks_are_partial() {
    assert_eq!(told("{}", DATES), ["at 8", "line @2026-02-02T02:40:00Z 4809: 1 2026-03-02/2026-03-05"]);
    let hook = |event: &str, more: &str| {
        told("{}", &format!(r#"{{"event":"reservation/{event}","timestamp":1770000000,"propertyID":8,"reservationID":"4809"{more}}}"#))[1].clone()
    };
    let at = "@2026-02-02T02:40:00Z 4809";
    assert_eq!(hook("status_changed", r#","status":"checked_in""#), format!("line {at}: 1 checked-in"));
    assert_eq!(hook("status_changed", r#","status":"canceled""#), format!("reservation {at}"));
    assert_eq!(hook("deleted", ""), format!("reservation {at}"));
    assert_eq!(hook("accommodation_changed", r#","roomID":"t1-4""#), format!("line {at}: 1 room \"t1-4\""));
    assert_eq!(hook("accommodation_type_changed", r#","roomTypeID":"t2""#), format!("line {at}: 1 t2"));
    assert_eq!(
        hook("created", r#","startDate":"2026-03-01","endDate":"2026-03-02""#),
        format!("line {at}: 1 confirmed 2026-03-01/2026-03-02")
    );
    for thin in [
        r#"{"event":"reservation/created","propertyID":8,"reservationID":"4809"}"#,
        r#"{"event":"reservation/notes_changed","propertyID":8,"reservationID":"4809"}"#,
    ] {
        assert!(refused(thin).contains("carries ids only: fetch reservation 4809 and send that"), "{thin}");
    }
    assert!(refused(r#"{"event":"guest/created","propertyID":8}"#).contains("is not an event of a reservation"));
}

#[test]
fn cards_stay_outside() {
    use concord_plugin::{Normalizer, json};
    let settings = Cloudbeds::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts =
        <Cloudbeds as Normalizer>::split(&settings, &testing::delivery("application/json", RESERVATION)).unwrap();
    let body = String::from_utf8(parts[0].body.clone().unwrap()).unwrap();
    assert!(!body.contains("4444333322221111") && !body.contains("cardsOnFile") && body.contains("Ñandú"), "{body}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (sample, from, to, words) in [
        (
            RESERVATION,
            "\"endDate\":\"2026-03-04\",\"adults\":\"2\"",
            "\"endDate\":\"2026-03-01\",\"adults\":\"2\"",
            "assigned[0].endDate: 2026-03-01 is not after",
        ),
        (RESERVATION, "\"roomTypeID\":\"t1\",", "", "roomTypeID is missing"),
        (RESERVATION, "4809-2", "4809-1", "the room 1 stands twice"),
        (RESERVATION, "\"confirmed\"", "\"paid\"", "status: \"paid\" is not one of not_confirmed"),
        (RESERVATION, "\"180.00\"", "\"free\"", "roomTotal: \"free\" is not a decimal number"),
        (RESERVATION, "\"propertyID\":\"8\",", "", "propertyID is missing"),
        (DATES, "1770000000.251234567", "\"NaN\"", "timestamp: \"NaN\" is not seconds since 1970"),
        (DATES, "1770000000.251234567", "99999999999999999999", "is not seconds since 1970"),
        (DATES, "2026-03-05", "2026-02-31", "endDate: \"2026-02-31\" is not a date"),
        (DATES, "2026-03-05", "2029-03-05", "at most 365 are taken"),
    ] {
        assert!(sample.contains(from), "{from}");
        let reason = refused(&sample.replacen(from, to, 1));
        assert!(reason.contains(words), "{to}: {reason}");
    }
    let bare = r#"{"data":[{"propertyID":8,"reservationID":1,"status":"confirmed"}]}"#;
    assert!(refused(bare).contains("says nothing about its rooms"));
    assert!(refused(r#"{"success":true,"data":[]}"#).contains("there is nothing to read"));
}

#[test]
fn mutated_messages_are_read_or_refused() {
    testing::owes_on_mutations::<Cloudbeds>(
        r#"{"currency":"EUR"}"#,
        "application/json",
        &[RESERVATION.into(), DATES.into()],
        20_261_124,
        10_000,
    );
}
