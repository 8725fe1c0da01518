//! Bookings of a website in three formats. Sample pages and mails of others are read from beside the project, where they are there.

use concord_plugin::testing;

use super::Website;

const LODGING: &str = r#"{"@context":"https://schema.org","@graph":[
    {"@type":"WebPage","name":"Thank you"},
    {"@type":["Thing","LodgingReservation"],"reservationNumber":"W-7","reservationStatus":"https://schema.org/ReservationConfirmed","modifiedTime":"2026-02-01T12:00:00+01:00",
     "checkinTime":"2026-03-01T23:00:00-03:00","checkoutTime":{"@type":"QDateTime","@value":"2026-03-04T11:00:00-03:00"},"lodgingUnitType":{"@type":"QualitativeValue","name":"DBL"},
     "totalPrice":"330.00","priceCurrency":"EUR","numAdults":2,"numChildren":{"@type":"QuantitativeValue","value":"1"},
     "underName":{"@type":"Person","name":"Søren 김"},"reservationFor":{"@type":"Hotel","name":"Hôtel Étoile","identifier":"H1"},"paymentMethodId":"x","note":"4444333322221111"}]}"#;

const GA4: &str = r#"{"client_id":"1.2","timestamp_micros":"1770000000000000","events":[{"name":"page_view","params":{}},
    {"name":"purchase","params":{"transaction_id":"W-8","currency":"EUR","value":500.00,"hotel_id":"H1","start_date":"2026-03-01","end_date":"2026-03-03",
     "items":[{"item_id":"DBL","quantity":2,"price":150},{"item_id":"SGL","quantity":"1","price":"200.00","end_date":"2026-03-02","number_of_passengers":1}]}}]}"#;

const SEGMENT: &str = r#"{"type":"track","event":"Order Completed","messageId":"m","timestamp":"2026-02-01T12:00:00.000Z",
    "properties":{"order_id":"W-9","currency":"EUR","total":240,"check_in":"2026-03-01","check_out":"2026-03-03","products":[{"product_id":"p1","sku":"DBL","quantity":1,"price":220}]}}"#;

const SEGMENT_SETTINGS: &str = r#"{"property":"H1","keys":{"arrival":"check_in","departure":"check_out"}}"#;

fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    testing::told_parts::<Website>(settings, &testing::delivery("application/ld+json", body))
}

fn told(settings: &str, body: &str) -> Vec<String> {
    let mut parts = parts(settings, body);
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.remove(0).unwrap_or_else(|reason| panic!("{reason}"))
}

fn refused(settings: &str, body: &str) -> String {
    parts(settings, body).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("taken: {body}"))
}

#[test]
fn a_lodging_reservation() {
    let line =
        "line @2026-02-01T11:00:00Z W-7: 1 confirmed 2026-03-01/2026-03-04 DBL 330.00 EUR 3 guests booking:website:W-7";
    assert_eq!(told("{}", LODGING), ["at H1", line]);
    let node = LODGING
        .split_once("{\"@type\":[")
        .map(|(_, rest)| format!("{{\"@type\":[{}", rest.trim_end_matches("]}")))
        .unwrap();
    assert_eq!(told("{}", &node), ["at H1", line], "alone");
    assert_eq!(told("{}", &format!("[{node}]")), ["at H1", line], "in a list");
    let cancelled = LODGING.replace("ReservationConfirmed", "ReservationCancelled").replace("\"EUR\"", "null");
    assert!(
        told("{}", &cancelled)[1].contains("W-7: 1 cancelled 2026-03-01/2026-03-04 DBL booking:")
            || told("{}", &cancelled)[1].contains("W-7: 1 cancelled booking:")
    );
    let nameless = LODGING.replace(",\"identifier\":\"H1\"", "").replace("\"lodgingUnitType\"", "\"x\"");
    assert_eq!(told("{}", &nameless)[0], "at Hôtel Étoile", "the mapping makes a code of the name");
    assert_eq!(told(r#"{"property":"H2"}"#, &nameless)[0], "at H2");
    assert!(!told("{}", &nameless)[1].contains("DBL"), "a part of the placement is a partial update");
    assert!(told(r#"{"room_type":"STD"}"#, &nameless)[1].contains("STD"));
    let portal = LODGING.replace("\"totalPrice\"", "\"bookingAgent\":{\"name\":\"Booking.com\"},\"totalPrice\"");
    assert!(told("{}", &portal)[1].ends_with("booking:booking-com:W-7"));
}

#[test]
fn several_rooms_of_a_lodging_reservation() {
    let rooms = LODGING.replace(
        "\"totalPrice\"",
        r#""subReservation":[{"@type":"LodgingReservation","reservationId":"a","lodgingUnitType":"DBL"},{"lodgingUnitType":"SGL","checkoutTime":"2026-03-02","reservationStatus":"Cancelled"}],"totalPrice""#,
    );
    assert_eq!(
        told("{}", &rooms)[1..],
        [
            "reservation @2026-02-01T11:00:00Z W-7",
            "  a confirmed 2026-03-01/2026-03-04 DBL booking:website:W-7",
            "  2 cancelled 2026-03-01/2026-03-02 SGL booking:website:W-7",
        ]
    );
}

#[test]
fn purchases_of_google_analytics() {
    assert_eq!(
        told("{}", GA4),
        [
            "at H1",
            "reservation @2026-02-02T02:40:00Z W-8",
            "  1 confirmed 2026-03-01/2026-03-03 DBL 150 EUR booking:website:W-8",
            "  1.2 confirmed 2026-03-01/2026-03-03 DBL 150 EUR booking:website:W-8",
            "  2 confirmed 2026-03-01/2026-03-02 SGL 200.00 EUR 1 guests booking:website:W-8",
        ]
    );
    let refund = r#"{"events":[{"name":"refund","params":{"transaction_id":"W-8"}}]}"#;
    assert_eq!(told(r#"{"property":"H1"}"#, refund), ["at H1", "cancel W-8/1", "reservation W-8"]);
    assert!(refused("{}", &GA4.replace("\"purchase\"", "\"refund\"")).contains("a refund of single items"));
    let breakfast = GA4.replace("\"item_id\":\"DBL\"", "\"item_id\":\"DBL\",\"item_category\":\"Room\"");
    assert_eq!(told(r#"{"room_category":"room"}"#, &breakfast).len(), 4, "the other item is no room");
}

#[test]
fn orders_of_segment() {
    let expected = "  1 confirmed 2026-03-01/2026-03-03 DBL 240 EUR booking:website:W-9";
    assert_eq!(told(SEGMENT_SETTINGS, SEGMENT), ["at H1", "reservation @2026-02-01T12:00:00Z W-9", expected]);
    assert_eq!(told(SEGMENT_SETTINGS, &format!("{{\"batch\":[{SEGMENT}]}}"))[2], expected);
    let cancelled = SEGMENT.replace("Completed", "Cancelled");
    assert_eq!(told(SEGMENT_SETTINGS, &cancelled), ["at H1", "reservation @2026-02-01T12:00:00Z W-9"]);
    assert!(refused("{}", SEGMENT).contains("hotel_id is missing, and neither an attribute"));
    assert!(refused(r#"{"property":"H1"}"#, SEGMENT).contains("products[0]: start_date is missing (setting \"keys\")"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (sample, from, to, words) in [
        (LODGING, "2026-03-04T11", "2026-03-01T11", "2026-03-01 is not after the arrival"),
        (LODGING, "2026-03-04T11", "2062-03-04T11", "at most 365 are taken"),
        (LODGING, "2026-03-01T23:00:00-03:00", "1 March", "[1].checkinTime: \"1 March\" is not a date"),
        (
            LODGING,
            "https://schema.org/ReservationConfirmed",
            "https://schema.org/Maybe",
            "is not a ReservationStatusType",
        ),
        (LODGING, "\"330.00\"", "\"330,00 €\"", "is not a decimal number"),
        (LODGING, "\"EUR\"", "\"€\"", "is not a currency"),
        (LODGING, "\"reservationNumber\":\"W-7\",", "", "reservationNumber is missing"),
        (LODGING, "\"numAdults\":2", "\"numAdults\":\"two\"", "numAdults: \"two\" is not a whole number"),
        (GA4, "\"W-8\"", "null", "transaction_id is missing"),
        (GA4, "\"quantity\":2", "\"quantity\":0", "is not a number of rooms from 1 to 500"),
        (GA4, "\"price\":150", "\"price\":\"NaN\"", "is not a decimal number"),
        (GA4, "\"item_id\":\"DBL\",", "", "item_id or sku or product_id is missing"),
    ] {
        assert!(sample.contains(from), "{from}");
        let reason = refused("{}", &sample.replacen(from, to, 1));
        assert!(reason.contains(words), "{to}: {reason}");
    }
    for body in ["{}", "[]", r#"{"@type":"Hotel"}"#, r#"{"events":[{"name":"page_view","params":{}}]}"#] {
        assert!(refused("{}", body).contains("holds no booking"), "{body}");
    }
}

#[test]
fn cards_stay_outside() {
    use concord_plugin::{Normalizer, json};
    let settings = Website::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts = <Website as Normalizer>::split(&settings, &testing::delivery("application/ld+json", LODGING)).unwrap();
    let body = String::from_utf8(parts[0].body.clone().unwrap()).unwrap();
    assert!(!body.contains("4444333322221111") && !body.contains("paymentMethodId") && body.contains("김"), "{body}");
}

/// Confirmation mails and pages that KDE's kitinerary reads.
#[test]
fn samples_of_kitinerary() {
    let Some(files) = testing::samples("website", ".json") else { return };
    for (path, body) in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let outcome = parts("{}", &String::from_utf8(body).unwrap()).remove(0);
        match (&*name, outcome) {
            ("kitinerary-aohostels-aohostels_1.txt.json", Ok(told)) => assert_eq!(
                told,
                [
                    "at a&o Wien Hauptbahnhof",
                    "line AOI-XX-1234567: 1 confirmed 2018-08-10/2018-08-18 999.99 EUR booking:website:AOI-XX-1234567"
                ]
            ),
            ("kitinerary-calendarhandlerdata-hotel.json", Ok(told)) => assert_eq!(
                told,
                [
                    "at Glo Hotel Sello",
                    "line 1234567890: 1 confirmed 2017-09-19/2017-09-20 2 guests booking:booking-com:1234567890"
                ]
            ),
            (_, Err(reason)) => assert!(reason.contains("holds no booking"), "{name}: {reason}"),
            (_, Ok(told)) => panic!("{name}: {told:?}"),
        }
    }
}

#[test]
fn mutated_messages_are_read_or_refused() {
    let mut samples: Vec<Vec<u8>> = vec![LODGING.into(), GA4.into(), SEGMENT.into()];
    samples.extend(testing::samples("website", ".json").into_iter().flatten().map(|(_, body)| body));
    testing::owes_on_mutations::<Website>(SEGMENT_SETTINGS, "application/json", &samples, 20_261_124, 10_000);
}
