//! Reservations and business events of OPERA Cloud. Oracle's own samples are read from beside the project, where they are there.

use concord_plugin::testing;

use super::Opera;

const RESERVATION: &str = r#"{"reservations":{"reservation":[{
    "reservationIdList":[{"id":"571062","type":"Reservation"},{"id":"813595","type":"Confirmation"}],
    "externalReferences":[{"id":"999","idContext":"OTA"},{"id":"777","idContext":"Expedia"}],
    "reservationBlock":{"blockIdList":[{"id":"88","type":"Block"}]},
    "roomStay":{"arrivalDate":"2026-03-01","departureDate":"2026-03-04",
      "roomRates":[
        {"roomType":"DBL","ratePlanCode":"BAR","start":"2026-03-01","end":"2026-03-02","numberOfUnits":1,"total":{"amountBeforeTax":"200","amountAfterTax":"214.00"},
         "rates":{"rate":[{"base":{"amountBeforeTax":"100","currencyCode":"EUR"}}]},"guestCounts":{"adults":"2","children":"1"}},
        {"roomType":"DBL","start":"2026-03-03","end":"2026-03-03","total":{"amountAfterTax":107}}],
      "currentRoomInfo":{"roomId":"204","roomType":"DBL"}},
    "reservationPaymentMethods":[{"paymentCard":{"cardNumber":"4444333322221111","cvv":"123"}}],
    "comments":[{"comment":{"text":{"value":"Visa 4444 3333 2222 1111, 窓側の部屋"}}}],
    "hotelId":"HOTEL1","reservationStatus":"Reserved","createDateTime":"2026-01-28 14:33:54.0","lastModifyDateTime":"2026-01-28 17:22:35.0"}]}}"#;

const EVENT: &str = r#"{"type":"next","payload":{"data":{"newEvent":{"metadata":{"offset":"4711","uniqueEventId":"x"},
    "moduleName":"RESERVATION","eventName":"UPDATE RESERVATION","primaryKey":"571062","hotelId":"HOTEL1","timestamp":"2026-01-28 17:22:35",
    "detail":[{"elementName":"ARRIVAL DATE","newValue":"2026-03-02","oldValue":"2026-03-01"},
      {"elementName":"Departure Date","newValue":"2026-03-05 00:00:00","oldValue":"2026-03-04"},
      {"elementName":"ROOM","newValue":"","oldValue":"204"},{"elementName":"ADULTS","newValue":"2"},{"elementName":"CHILDREN","newValue":0}]}}}}"#;

fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    testing::told_parts::<Opera>(settings, &testing::delivery("application/json", body))
}

fn told(settings: &str, body: &str) -> Vec<String> {
    let mut parts = parts(settings, body);
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.remove(0).unwrap_or_else(|reason| panic!("{reason}"))
}

fn refused(body: &str) -> String {
    parts("{}", body).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("taken: {body}"))
}

#[test]
fn a_reservation_is_told_whole() {
    let settings = r#"{"issuers":{"OTA":"booking-com"}}"#;
    assert_eq!(
        told(settings, RESERVATION),
        [
            "at HOTEL1",
            "reservation @2026-01-28T17:22:35Z 571062",
            "  1 confirmed 2026-03-01/2026-03-04 DBL room \"204\" 321.00 EUR 3 guests booking:pms:813595 booking:booking-com:999 booking:expedia:777 group:pms:88",
        ]
    );
    let before_tax = RESERVATION.replace(r#","total":{"amountAfterTax":107}"#, r#","total":{"amountBeforeTax":100}"#);
    assert!(
        told(r#"{"tax":"before"}"#, &before_tax)[2].contains("300.00 EUR")
            || told(r#"{"tax":"before"}"#, &before_tax)[2].contains("300 EUR")
    );
    let one_total = RESERVATION.replace(r#","total":{"amountAfterTax":107}"#, "");
    assert!(!told("{}", &one_total)[2].contains("EUR"), "half a price is worse than none");
    assert_eq!(told(r#"{"mixed":true}"#, RESERVATION)[1], "reservation 571062");
}

#[test]
fn several_rooms_and_fewer() {
    let two = RESERVATION.replace("\"numberOfUnits\":1", "\"numberOfUnits\":\"2\"");
    let lines = told("{}", &two);
    assert!(lines[2].starts_with("  1 confirmed") && lines[3].starts_with("  1.2 confirmed"), "{lines:?}");
    assert!(!lines[2].contains("room \"204\"") && lines[2].contains("160.50 EUR"), "{lines:?}");
    assert_eq!(told("{}", RESERVATION).len(), 3, "a room that is left out is cancelled");
    assert!(refused(&RESERVATION.replace("\"numberOfUnits\":1", "\"numberOfUnits\":9000000")).contains("too many"));
}

#[test]
fn partial_updates_and_cancellations() {
    let cancelled = r#"{"reservations":{"reservation":[{"reservationIdList":[{"id":571062,"type":"Reservation"}],"hotelId":"H","reservationStatus":"Cancelled"}]}}"#;
    assert_eq!(told("{}", cancelled), ["at H", "reservation 571062"], "all rooms, known or not");
    let full = RESERVATION.replace("\"Reserved\"", "\"Canceled\"").replace("2026-03-04", "2026-03-01");
    assert!(told("{}", &full)[2].starts_with("  1 cancelled booking:pms:813595"), "whatever is wrong with the rest");
    let checked_in = r#"{"reservations":[{"reservationIdList":[{"id":"571062","type":"Reservation"}],"hotelId":"H","reservationStatus":"InHouse","roomStay":{"roomId":"101"}}]}"#;
    assert_eq!(told("{}", checked_in), ["at H", "line 571062: 1 checked-in room \"101\""]);
}

#[test]
fn events_are_partial() {
    let update = "line @[4711] 571062: 1 2026-03-02/2026-03-05 room \"\" 2 guests";
    assert_eq!(told("{}", EVENT), ["at HOTEL1", update]);
    for (name, status) in [
        ("NEW RESERVATION", "1 confirmed "),
        ("CANCEL RESERVATION", "1 cancelled "),
        ("CHECK IN", "1 checked-in "),
        ("REVERSE CHECK IN", "1 confirmed "),
        ("CHECK OUT", "1 checked-out "),
        ("NO SHOW", "1 no-show "),
        ("REINSTATE RESERVATION", "1 confirmed "),
    ] {
        assert!(told("{}", &EVENT.replace("UPDATE RESERVATION", name))[1].contains(status), "{name}");
    }
    let polled = r#"{"businessEventData":[
        {"businessEvent":{"header":{"moduleName":"Reservation","actionType":"NEW RESERVATION","actionId":"1","primaryKey":"987654","hotelId":"H"},
         "details":[{"dataElement":"CONFIRMATION NO","newValue":"5"},{"dataElement":"MY TYPE","newValue":"DBL"}]}},
        {"businessEvent":{"header":{"moduleName":"Reservation","actionType":"UPDATE RESERVATION","primaryKey":"987654","hotelId":"H"},
         "details":[{"dataElement":"NAME","newValue":"Ωνάσης"}]}},
        {"businessEvent":{"header":{"moduleName":"Profile","actionType":"NEW","primaryKey":"1","hotelId":"H"}}}]}"#;
    let parts = parts(r#"{"elements":{"MY TYPE":"room_type"}}"#, polled);
    assert_eq!(parts[0].clone().unwrap(), ["at H", "line 987654: 1 confirmed DBL booking:pms:5"]);
    assert!(parts[1].clone().unwrap_err().contains("fetch reservation 987654 and send that"), "{parts:?}");
    assert!(parts[2].clone().unwrap_err().contains("\"Profile\" is not RESERVATION"));
}

#[test]
fn cards_stay_outside() {
    use concord_plugin::{Normalizer, json};
    let settings = Opera::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts = <Opera as Normalizer>::split(&settings, &testing::delivery("application/json", RESERVATION)).unwrap();
    let body = String::from_utf8(parts[0].body.clone().unwrap()).unwrap();
    assert!(!body.contains("4444333322221111") && !body.contains("cvv") && !body.contains("4444 3333"), "{body}");
    assert!(body.contains("窓側の部屋"), "{body}");
    let broken = RESERVATION.replace("}]}}", "}]}");
    let parts = <Opera as Normalizer>::split(&settings, &testing::delivery("application/json", broken)).unwrap();
    assert!(!String::from_utf8(parts[0].body.clone().unwrap()).unwrap().contains("4444333322221111"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (from, to, words) in [
        ("2026-03-04", "2026-03-01", "roomStay: departureDate: 2026-03-01 is not after the arrival"),
        ("2026-03-04", "2062-03-01", "at most 365 are taken"),
        ("\"2026-03-01\",\"departureDate", "\"01-MAR-26\",\"departureDate", "arrivalDate: \"01-MAR-26\" is not a date"),
        ("\"Reserved\"", "\"Waitlisted\"", "on the waitlist holds no room"),
        ("\"Reserved\"", "\"Perhaps\"", "\"Perhaps\" is not one of Reserved, DueIn"),
        (
            "\"roomType\":\"DBL\",\"start\"",
            "\"roomType\":\"TWN\",\"start\"",
            "roomRates[1].roomType: the room type changes",
        ),
        ("\"ratePlanCode\"", "\"pseudoRoom\":true,\"x\"", "a pseudo room"),
        ("\"EUR\"", "\"Euro\"", "is not a currency"),
        ("\"214.00\"", "\"NaN\"", "amountAfterTax: \"NaN\" is not a decimal"),
        ("\"adults\":\"2\"", "\"adults\":-2", "guestCounts.adults: -2 is not a whole number from 0 on"),
        ("\"type\":\"Reservation\"", "\"type\":\"Other\"", "names no id of type Reservation"),
        ("\"571062\"", "\"\"", "id is missing"),
        ("\"hotelId\":\"HOTEL1\",", "", "hotelId is missing, and neither an attribute"),
        ("\"hotelId\":\"HOTEL1\",", "\"hotelId\":\"A\",\"hotelId\":\"B\",", "the key \"hotelId\" stands twice"),
    ] {
        assert!(RESERVATION.contains(from), "{from}");
        let reason = refused(&RESERVATION.replacen(from, to, 1));
        assert!(reason.contains(words), "{to}: {reason}");
    }
    for (body, words) in [
        ("[]", "is not an object"),
        ("{}", "holds no reservation and no business event"),
        (
            r#"{"reservations":[{"hotelId":"H","reservationIdList":[{"id":"1","type":"Reservation"}],"verificationOnly":true}]}"#,
            "says nothing about a room",
        ),
    ] {
        assert!(refused(body).contains(words), "{body}");
    }
}

/// Oracle's samples: one real answer; requests with `{{variables}}` in place of values.
#[test]
fn samples_of_oracle() {
    let Some(files) = testing::samples("opera", ".json") else { return };
    let mut taken = 0;
    for (path, body) in files {
        let text = String::from_utf8(body).unwrap();
        let text =
            text.replace("\"{{currentdate}}\"", "\"2026-03-01\"").replace("\"{{currentdateplus1}}\"", "\"2026-03-02\"");
        for part in parts(r#"{"property":"H"}"#, &text) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            println!("{name}: {part:?}");
            match part {
                Ok(told) => {
                    assert!(!name.contains("Block"), "{name}: {told:?}");
                    taken += 1;
                }
                Err(reason) => assert!(
                    ["bad JSON", "names no id", "holds no reservation", "says nothing about a room", "is not"]
                        .iter()
                        .any(|w| reason.contains(w)),
                    "{name}: {reason}"
                ),
            }
        }
    }
    assert!(taken >= 1, "{taken}");
}

#[test]
fn mutated_messages_are_read_or_refused() {
    let mut samples: Vec<Vec<u8>> = vec![RESERVATION.into(), EVENT.into()];
    samples.extend(testing::samples("opera", "200.json").into_iter().flatten().map(|(_, body)| body));
    testing::owes_on_mutations::<Opera>("{}", "application/json", &samples, 20_261_124, 10_000);
}
