//! Every style's documents, and what of a request they repeat.

use super::*;

const NOW: i64 = 1_795_518_000_000_000;
const REQUEST: &str = r#"<?xml version="1.0"?><!-- <x RQ> --><ota:OTA_HotelResNotifRQ xmlns:ota="http://www.opentravel.org/OTA/2003/05"
    EchoToken='abc-1' Version = "7.000"><HotelReservations/></ota:OTA_HotelResNotifRQ>"#;

fn refused(status: StatusCode) -> Outcome {
    Outcome::Refused { status, reason: "a < b & \"c\"".into() }
}

#[test]
fn opentravel_repeats_echo_and_version() {
    let asked = Asked::of(REQUEST.as_bytes());
    let good = document(ReplyStyle::Opentravel, &Outcome::Accepted { records: 1 }, &asked, NOW);
    assert_eq!(
        good.body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OTA_HotelResNotifRS xmlns=\"http://www.opentravel.org/OTA/2003/05\" \
         Version=\"7.000\" TimeStamp=\"2026-11-24T11:00:00Z\" EchoToken=\"abc-1\"><Success/></OTA_HotelResNotifRS>"
    );
    assert_eq!((good.status, good.content_type), (StatusCode::OK, "application/xml; charset=utf-8"));
    let bad = document(ReplyStyle::Opentravel, &Outcome::Rejected { reason: "no <date>".into() }, &asked, NOW);
    let errors = "<Errors><Error Type=\"3\" Code=\"450\">no &lt;date&gt;</Error></Errors>";
    assert!(bad.body.contains(errors) && !bad.body.contains("Success"), "{}", bad.body);
    assert_eq!(bad.status, StatusCode::OK);
    let stranger = document(ReplyStyle::Alpinebits, &refused(StatusCode::UNAUTHORIZED), &asked, NOW);
    assert!(stranger.body.contains("Type=\"13\" Code=\"497\""), "{}", stranger.body);
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
}

#[test]
fn a_request_in_an_envelope_is_answered_in_one() {
    for (space, content_type) in ENVELOPES {
        let request = format!(
            "<s:Envelope xmlns:s=\"{space}\"><s:Header><Security/></s:Header><s:Body>\
             <OTA_CancelRQ EchoToken=\"7\"></OTA_CancelRQ></s:Body></s:Envelope>"
        );
        let asked = Asked::of(request.as_bytes());
        let answer = document(ReplyStyle::Expedia, &Outcome::Accepted { records: 1 }, &asked, NOW);
        assert_eq!(answer.content_type, content_type);
        assert!(answer.body.contains(&format!("<s:Envelope xmlns:s=\"{space}\"><s:Header/><s:Body><OTA_CancelRS ")));
        assert!(answer.body.contains("<Success></Success></OTA_CancelRS></s:Body></s:Envelope>"));
    }
}

#[test]
fn booking_com_has_two_languages() {
    let own = Asked::of(b"<reservations><reservation/></reservations>");
    let good = document(ReplyStyle::BookingCom, &Outcome::Accepted { records: 1 }, &own, NOW);
    assert!(good.body.ends_with("<ok></ok>"));
    let bad = document(ReplyStyle::BookingCom, &refused(StatusCode::SERVICE_UNAVAILABLE), &own, NOW);
    assert!(bad.body.ends_with("<fault code=\"187\" string=\"a &lt; b &amp; &quot;c&quot;\"/>"), "{}", bad.body);
    let asked = Asked::of(REQUEST.as_bytes());
    assert!(
        document(ReplyStyle::BookingCom, &Outcome::Accepted { records: 1 }, &asked, NOW).body.contains("<Success/>")
    );
}

#[test]
fn json_and_nothing() {
    let none = Asked::default();
    let good = document(ReplyStyle::Json, &Outcome::Accepted { records: 3 }, &none, NOW);
    assert_eq!((good.content_type, good.body.as_str()), ("application/json", r#"{"status":"accepted","records":3}"#));
    let bad = document(ReplyStyle::Json, &refused(StatusCode::PAYLOAD_TOO_LARGE), &none, NOW);
    let value: serde_json::Value = serde_json::from_str(&bad.body).expect("JSON");
    assert_eq!((value["status"].as_u64(), value["detail"].as_str()), (Some(413), Some("a < b & \"c\"")));
    let rejected = Outcome::Rejected { reason: String::new() };
    for style in [ReplyStyle::Json, ReplyStyle::Empty] {
        assert_eq!(document(style, &rejected, &none, NOW).status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let empty = document(ReplyStyle::Empty, &Outcome::Accepted { records: 1 }, &none, NOW);
    assert_eq!((empty.status, empty.body.as_str()), (StatusCode::NO_CONTENT, ""));
}

#[test]
fn nothing_of_a_request_gets_into_the_answer_unescaped() {
    for body in [
        "<aRQ EchoToken=\"&lt;x\">",
        "<aRQ EchoToken=\"a b\">",
        "<aRQ EchoToken=\"\">",
        "<aRQ NoEchoToken=\"a\">",
        "<aRQ EchoToken=a>",
        "<aRQ EchoToken=\"a",
        "<RQ>",
        "<é\u{301}RQ EchoToken=\"a\">",
        "",
        "<",
        "no XML RQ",
    ] {
        let asked = Asked::of(body.as_bytes());
        let unclosed = body.ends_with("\"a");
        assert!(asked.echo.is_none() || unclosed, "{body}: {asked:?}");
    }
}

#[test]
fn damaged_requests_are_answered_in_well_formed_documents() {
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap_or(0) % below
    };
    for round in 0..20_000 {
        let mut body = REQUEST.as_bytes().to_vec();
        for _ in 0..1 + random(4) {
            let at = random(body.len());
            match random(3) {
                0 => body.truncate(at.max(1)),
                1 => body[at] = b"<>\"'=&/: RQ\xff\0"[random(13)],
                _ => body.insert(at, b"<>\"'=&/: RQ\xff\0"[random(13)]),
            }
        }
        let asked = Asked::of(&body);
        let answer = document(ReplyStyle::Opentravel, &Outcome::Accepted { records: 1 }, &asked, NOW).body;
        let (opened, closed) = (answer.matches('<').count(), answer.matches('>').count());
        assert!((opened, closed) == (4, 4) && !answer.contains(['&', '\0']), "round {round}: {answer}");
        assert_eq!(answer.matches('"').count() % 2, 0, "round {round}: {answer}");
    }
}
