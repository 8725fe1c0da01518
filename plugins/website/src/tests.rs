//! Bookings of a website in its formats. Sample pages and mails of others are read from beside the project, where they are there.

use concord_plugin::{Normalizer, json, testing};

use super::Website;

/// In a graph beside other things; the hotel by reference.
const LODGING: &str = r##"{"@context":"https://schema.org","@graph":[
    {"@type":"WebPage","name":"Thank you","url":"https://hotel.example/thanks"},
    {"@type":"Hotel","@id":"#hotel","name":"Hôtel Étoile","identifier":"H1","telephone":"+33 1 02030405"},
    {"@type":["Thing","schema:LodgingReservation"],"reservationNumber":"W-7","reservationStatus":"https://schema.org/ReservationConfirmed","modifiedTime":"2026-02-01T12:00:00+01:00",
     "checkinTime":"2026-03-01T23:00:00-03:00","checkoutTime":{"@type":"QDateTime","@value":"2026-03-04T11:00:00-03:00"},"lodgingUnitType":{"@type":"QualitativeValue","name":"DBL"},
     "totalPrice":"330.00","priceCurrency":"EUR","numAdults":2,"numChildren":{"@type":"QuantitativeValue","value":"1"},
     "underName":{"@type":"Person","name":"Søren 김"},"reservationFor":{"@id":"#hotel"},"paymentMethodId":"x",
     "description":"窓側の部屋 4444333322221111","cancelReservationUrl":"https://hotel.example/cancel?key=secret"}]}"##;

/// Two rooms of one number in a list, which have ids of their own.
const ROOMS: &str = r#"[
    {"@type":"LodgingReservation","reservationNumber":"W-8","reservationId":"a","checkinDate":"2026-03-01","checkoutDate":"2026-03-03","lodgingUnitType":"DBL","reservationFor":{"identifier":"H1"}},
    {"@type":"http://schema.org/LodgingReservation","reservationNumber":"W-8","reservationId":"b","checkinDate":"2026-03-01","checkoutDate":"2026-03-03","lodgingUnitType":"DBL","reservationFor":{"identifier":"H1"}}]"#;

const GA4: &str = r#"{"client_id":"1.2","timestamp_micros":"1770000000000000","events":[{"name":"page_view","params":{}},
    {"name":"purchase","params":{"transaction_id":"W-8","currency":"EUR","value":500.00,"hotel_id":"H1","start_date":"2026-03-01","end_date":"2026-03-03",
     "items":[{"item_id":"DBL","quantity":2,"price":150},{"item_id":"SGL","quantity":"1","price":"200.00","end_date":"2026-03-02","number_of_passengers":1}]}}]}"#;

/// A row of the BigQuery export.
const EXPORT: &str = r#"{"event_name":"purchase","event_timestamp":"1770000000000000","user_pseudo_id":"1.2",
    "event_params":[{"key":"currency","value":{"string_value":"EUR"}},{"key":"value","value":{"int_value":"330"}},{"key":"hotel_id","value":{"string_value":"H1"}}],
    "ecommerce":{"transaction_id":"W-8"},"items":[{"item_id":"DBL","item_variant":"(not set)","quantity":"1",
      "item_params":[{"key":"start_date","value":{"string_value":"2026-03-01"}},{"key":"end_date","value":{"string_value":"2026-03-03"}}]}]}"#;

const SEGMENT: &str = r#"{"type":"track","event":"Order Completed","messageId":"m","userId":"u","timestamp":"2026-02-01T12:00:00.000Z",
    "properties":{"order_id":"W-9","currency":"EUR","total":240,"check_in":"2026-03-01","check_out":"2026-03-03","email":"a@b.example",
      "products":[{"product_id":"p1","sku":"DBL","quantity":1,"price":220}]}}"#;

const SEGMENT_SETTINGS: &str = r#"{"property":"H1","keys":{"arrival":"check_in","departure":"check_out"}}"#;
const ROOMS_COUNTED: &str = r#"{"quantity":"rooms"}"#;

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

/// What goes into the log of a delivery.
fn bodies(body: &str) -> String {
    let settings = Website::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts = Website::split(&settings, &testing::delivery("application/ld+json", body)).unwrap();
    parts.into_iter().map(|part| String::from_utf8(part.body.unwrap()).unwrap()).collect()
}

#[test]
fn a_lodging_reservation() {
    let expected = [
        "at H1",
        "reservation @2026-02-01T11:00:00Z W-7",
        "  1 confirmed 2026-03-01/2026-03-04 DBL 330.00 EUR 3 guests booking:website:W-7",
    ];
    assert_eq!(told("{}", LODGING), expected);
    let node =
        LODGING.split_once("{\"@type\":[").map(|(_, rest)| format!("{{\"@type\":[{}", rest.trim_end_matches("]}")));
    let node = node.unwrap().replace(r##"{"@id":"#hotel"}"##, r#"{"@type":"Hotel","branchCode":"H1"}"#);
    assert_eq!(told("{}", &node), expected, "alone");
    assert_eq!(told("{}", &format!("[{node}]")), expected, "in a list");
    let cancelled = LODGING.replace("ReservationConfirmed", "ReservationCancelled").replace("\"EUR\"", "null");
    assert!(
        told("{}", &cancelled)[2].starts_with("  1 cancelled 2026-03-01/2026-03-04 DBL "),
        "without a currency: {:?}",
        told("{}", &cancelled)
    );
    let held = LODGING.replace("ReservationConfirmed", "ReservationHold");
    assert!(told("{}", &held)[2].starts_with("  1 tentative "));
    let nameless = LODGING.replace(",\"identifier\":\"H1\"", "");
    assert_eq!(told("{}", &nameless)[0], "at Hôtel Étoile", "the mapping makes a code of the name");
    assert_eq!(told(r#"{"property":"H2"}"#, &nameless)[0], "at H2");
    let typeless = LODGING.replace("\"lodgingUnitType\"", "\"x\"");
    assert!(refused("{}", &typeless).contains("lodgingUnitType is missing"));
    assert!(told(r#"{"room_type":"STD"}"#, &typeless)[2].contains("STD"));
    let described = typeless.replace("\"totalPrice\"", "\"lodgingUnitDescription\":\"Двухместный\",\"totalPrice\"");
    assert!(told("{}", &described)[2].contains("Двухместный"));
    let portal = LODGING.replace("\"totalPrice\"", "\"bookingAgent\":{\"name\":\"Booking.com\"},\"totalPrice\"");
    assert!(told("{}", &portal)[2].ends_with("booking:booking-com:W-7"));
    let price = r#"{"@type":"PriceSpecification","price":330.00,"priceCurrency":"EUR"}"#;
    let specified = LODGING.replace(r#""330.00","priceCurrency":"EUR""#, price);
    assert_eq!(told("{}", &specified), expected);
}

#[test]
fn the_night_is_that_of_the_hotel() {
    let utc = LODGING
        .replace("2026-03-01T23:00:00-03:00", "2026-02-28T23:00:00Z")
        .replace("2026-03-04T11:00:00-03:00", "2026-03-03T23:00:00Z");
    assert!(refused("{}", &utc).contains("needs the setting \"time_zone\""));
    assert!(told(r#"{"time_zone":"Europe/Madrid"}"#, &utc)[2].contains(" 2026-03-01/2026-03-04 "));
    let without = LODGING.replace("23:00:00-03:00", "23:00:00").replace("11:00:00-03:00", "11:00");
    assert!(told(r#"{"time_zone":"Asia/Tokyo"}"#, &without)[2].contains(" 2026-03-01/2026-03-04 "), "as written");
    let settings = json::parse(br#"{"time_zone":"Madrid"}"#).unwrap();
    assert!(Website::settings(settings.root()).unwrap_err().0.contains("is not a time zone"));
}

#[test]
fn several_rooms_of_one_number() {
    assert_eq!(
        told("{}", ROOMS),
        [
            "at H1",
            "line W-8: a confirmed 2026-03-01/2026-03-03 DBL booking:website:W-8",
            "line W-8: b confirmed 2026-03-01/2026-03-03 DBL booking:website:W-8",
        ],
        "each by itself"
    );
    let nothing = ROOMS.replace(r#""reservationId":"a","#, "").replace(r#""reservationId":"b","#, "");
    let differ = nothing.replacen("\"DBL\"", "\"SGL\"", 1);
    assert_eq!(
        told("{}", &differ)[1..],
        [
            "reservation W-8",
            "  1 confirmed 2026-03-01/2026-03-03 SGL booking:website:W-8",
            "  2 confirmed 2026-03-01/2026-03-03 DBL booking:website:W-8",
        ],
        "the whole booking"
    );
    let equal = nothing.replace("http://schema.org/LodgingReservation", "LodgingReservation");
    assert!(refused("{}", &equal).contains("is it one room or two?"), "{:?}", parts("{}", &equal));
    assert!(refused("{}", &ROOMS.replace("\"b\"", "\"a\"")).contains("the room a stands twice"));
    let elsewhere = ROOMS.rsplit_once("\"H1\"").map(|(before, after)| format!("{before}\"H2\"{after}")).unwrap();
    assert!(refused("{}", &elsewhere).contains("is for another hotel"));
    let two_bookings = ROOMS.replacen("W-8", "W-80", 1);
    assert_eq!(parts("{}", &two_bookings).len(), 2);
    let package = LODGING.replace(
        "\"totalPrice\"",
        r#""subReservation":[{"@type":"LodgingReservation","reservationId":"a","lodgingUnitType":"DBL"},{"lodgingUnitType":"SGL","checkoutTime":"2026-03-02","reservationStatus":"Cancelled"}],"totalPrice""#,
    );
    assert_eq!(
        told("{}", &package)[1..],
        [
            "reservation @2026-02-01T11:00:00Z W-7",
            "  a confirmed 2026-03-01/2026-03-04 DBL booking:website:W-7",
            "  2 cancelled 2026-03-01/2026-03-02 SGL booking:website:W-7",
        ]
    );
}

#[test]
fn purchases_of_google_analytics() {
    let rooms = [
        "  1 confirmed 2026-03-01/2026-03-03 DBL 150 EUR booking:website:W-8",
        "  1.2 confirmed 2026-03-01/2026-03-03 DBL 150 EUR booking:website:W-8",
        "  2 confirmed 2026-03-01/2026-03-02 SGL 200.00 EUR 1 guests booking:website:W-8",
    ];
    assert_eq!(told(ROOMS_COUNTED, GA4)[..2], ["at H1", "reservation W-8"]);
    assert_eq!(told(ROOMS_COUNTED, GA4)[2..], rooms);
    let server = r#"{"quantity":"rooms","timestamps":true}"#;
    assert_eq!(told(server, GA4)[1], "reservation @2026-02-02T02:40:00Z W-8");
    assert!(refused("{}", GA4).contains("items[0].quantity: 2 what?"));
    let nights = told(r#"{"quantity":"nights"}"#, GA4);
    assert_eq!(nights[2], "  1 confirmed 2026-03-01/2026-03-03 DBL 300 EUR booking:website:W-8");
    assert!(
        refused(r#"{"quantity":"nights"}"#, &GA4.replace("\"quantity\":2", "\"quantity\":3"))
            .contains("number of nights, 2")
    );
    let layer = r#"{"event":"purchase","ecommerce":{"transaction_id":"W-8","currency":"EUR","value":"330.00","items":[{"item_id":"DBL","location_id":"H1","start_date":"2026-03-01","end_date":"2026-03-03"}]}}"#;
    let one = "  1 confirmed 2026-03-01/2026-03-03 DBL 330.00 EUR booking:website:W-8";
    assert_eq!(told("{}", layer), ["at H1", "reservation W-8", one], "the data layer");
    assert_eq!(told("{}", EXPORT), ["at H1", "reservation W-8", &*one.replace(".00", "")], "the export");
    let refund = r#"{"events":[{"name":"refund","params":{"transaction_id":"W-8"}}]}"#;
    assert_eq!(told(r#"{"property":"H1"}"#, refund), ["at H1", "reservation W-8"]);
    assert!(refused("{}", &GA4.replace("\"purchase\"", "\"refund\"")).contains("a refund of single items"));
    let breakfast = GA4.replace("\"item_id\":\"DBL\"", "\"item_id\":\"DBL\",\"item_category\":\"Room\"");
    assert_eq!(
        told(r#"{"room_category":"room","quantity":"rooms"}"#, &breakfast).len(),
        4,
        "the other item is no room"
    );
    let hotels = GA4.replace("\"item_id\":\"SGL\"", "\"item_id\":\"SGL\",\"hotel_id\":\"H2\"");
    assert!(refused(ROOMS_COUNTED, &hotels).contains("in several hotels"));
}

#[test]
fn orders_of_segment() {
    let expected = "  1 confirmed 2026-03-01/2026-03-03 DBL 220 EUR booking:website:W-9";
    assert_eq!(told(SEGMENT_SETTINGS, SEGMENT), ["at H1", "reservation W-9", expected]);
    assert_eq!(told(SEGMENT_SETTINGS, &format!("{{\"batch\":[{SEGMENT}]}}"))[2], expected);
    let priceless = SEGMENT.replace(",\"price\":220", "");
    assert!(told(SEGMENT_SETTINGS, &priceless)[2].contains(" 240 EUR"), "the order's total");
    for event in ["Order Cancelled", "Order Refunded"] {
        let cancelled = SEGMENT.replace("Order Completed", event);
        assert_eq!(told(SEGMENT_SETTINGS, &cancelled), ["at H1", "reservation W-9"]);
    }
    assert!(refused("{}", SEGMENT).contains("hotel_id is missing, and neither an attribute"));
    assert!(
        refused(r#"{"property":"H1"}"#, SEGMENT)
            .contains("products[0]: start_date or checkin_date is missing (setting \"keys\")")
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (sample, from, to, words) in [
        (LODGING, "2026-03-04T11", "2026-03-01T11", "2026-03-01 is not after the arrival"),
        (LODGING, "2026-03-04T11", "2062-03-04T11", "at most 365 are taken"),
        (LODGING, "2026-03-01T23:00:00-03:00", "1 March", "[0].checkinTime: \"1 March\" is not a date"),
        (
            LODGING,
            "https://schema.org/ReservationConfirmed",
            "https://schema.org/Maybe",
            "is not a ReservationStatusType",
        ),
        (LODGING, "\"330.00\"", "\"330,00 €\"", "is not a decimal number"),
        (LODGING, "\"330.00\"", "NaN", "bad JSON"),
        (LODGING, "\"EUR\"", "\"€\"", "is not a currency"),
        (LODGING, "\"reservationNumber\":\"W-7\",", "", "reservationNumber is missing"),
        (
            LODGING,
            "\"reservationNumber\":\"W-7\",",
            "\"reservationNumber\":\"W-7\",\"reservationNumber\":\"W-8\",",
            "stands twice",
        ),
        (LODGING, "\"numAdults\":2", "\"numAdults\":\"two\"", "numAdults: \"two\" is not a whole number"),
        (GA4, "\"W-8\"", "null", "transaction_id or order_id is missing"),
        (GA4, "\"quantity\":2", "\"quantity\":0", "is not a number of rooms from 1 to 500"),
        (GA4, "\"price\":150", "\"price\":\"NaN\"", "is not a decimal number"),
        (GA4, "\"item_id\":\"DBL\",", "", "item_id or sku or product_id is missing"),
    ] {
        assert!(sample.contains(from), "{from}");
        let reason = refused(ROOMS_COUNTED, &sample.replacen(from, to, 1));
        assert!(reason.contains(words), "{to}: {reason}");
    }
    for body in ["{}", "[]", r#"{"@type":"Hotel"}"#, r#"{"events":[{"name":"page_view","params":{}}]}"#] {
        assert!(refused("{}", body).contains("holds no booking"), "{body}");
    }
}

#[test]
fn persons_cards_and_keys_stay_outside() {
    let lodging = bodies(LODGING);
    for hidden in ["4444333322221111", "paymentMethodId", "김", "underName", "secret", "+33", "Thank you"] {
        assert!(!lodging.contains(hidden), "{hidden}: {lodging}");
    }
    assert!(lodging.contains("窓側の部屋") && lodging.contains("Étoile"), "{lodging}");
    let segment = bodies(SEGMENT);
    assert!(!segment.contains("userId") && !segment.contains("a@b.example") && segment.contains("W-9"), "{segment}");
    let export = bodies(EXPORT);
    assert!(!export.contains("1.2") && export.contains("1770000000000000"), "an instant is no card: {export}");
    let broken = bodies(&LODGING.replace("\"@graph\"", "\"graph\""));
    assert!(!broken.contains("김") && !broken.contains("4444333322221111"), "also of what is refused: {broken}");
}

/// Confirmation mails and pages that KDE's kitinerary reads.
#[test]
fn samples_of_kitinerary() {
    let Some(files) = testing::samples("website", ".json") else { return };
    let settings = r#"{"room_type":"STD"}"#;
    for (path, body) in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let outcome = parts(settings, &String::from_utf8(body).unwrap()).remove(0);
        match (&*name, outcome) {
            ("kitinerary-aohostels-aohostels_1.txt.json", Ok(told)) => assert_eq!(
                told,
                [
                    "at a&o Wien Hauptbahnhof",
                    "reservation AOI-XX-1234567",
                    "  1 confirmed 2018-08-10/2018-08-18 STD 999.99 EUR booking:website:AOI-XX-1234567"
                ]
            ),
            ("kitinerary-calendarhandlerdata-hotel.json", Ok(told)) => assert_eq!(
                told,
                [
                    "at Glo Hotel Sello",
                    "reservation 1234567890",
                    "  1 confirmed 2017-09-19/2017-09-20 STD 2 guests booking:booking-com:1234567890"
                ]
            ),
            (_, Err(reason)) => assert!(reason.contains("holds no booking"), "{name}: {reason}"),
            (_, Ok(told)) => panic!("{name}: {told:?}"),
        }
    }
}

#[test]
fn mutated_messages_are_read_or_refused() {
    let mut samples: Vec<Vec<u8>> = [LODGING, ROOMS, GA4, EXPORT, SEGMENT].map(Into::into).to_vec();
    samples.extend(testing::samples("website", ".json").into_iter().flatten().map(|(_, body)| body));
    let settings = r#"{"property":"H1","quantity":"rooms","timestamps":true,"time_zone":"Europe/Madrid"}"#;
    testing::owes_on_mutations::<Website>(settings, "application/json", &samples, 20_261_124, 10_000);
}
