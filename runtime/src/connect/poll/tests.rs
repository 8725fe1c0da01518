//! What an answer means for the next question. Over real HTTP, the integration tests ask.

use super::*;

fn settings(url: &str, cursor: Option<Cursor>) -> Poll {
    Poll {
        url: url.to_owned(),
        auth: None,
        headers: Vec::new(),
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(1),
        cursor,
        ca_file: None,
        content_type: None,
        attributes: Vec::new(),
        body_bytes: 1 << 20,
    }
}

fn by(from: CursorPlace) -> Option<Cursor> {
    Some(Cursor { from, parameter: "since[]".into(), first: Some("2026-01-01T00:00:00+01:00".into()), drain: false })
}

fn answer(pairs: &[(&str, &str)], body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: hyper::header::HeaderName = name.parse().expect("a name");
        headers.insert(name, value.parse().expect("a value"));
    }
    Answer { status: StatusCode::OK, headers, body: Bytes::from(body.to_owned()) }
}

#[test]
fn the_cursor_goes_into_the_question_whatever_it_holds() {
    let plain = settings("https://h/r?limit=10", None);
    let known = Remembered { cursor: Some("a b&c=ü".into()), ..Remembered::default() };
    assert_eq!(question(&plain, &known).expect("an address").to_string(), "https://h/r?limit=10");
    let with = settings("https://h/r?limit=10", by(CursorPlace::Pointer("/next".into())));
    let first = question(&with, &Remembered::default()).expect("an address");
    assert_eq!(first.query(), Some("limit=10&since%5B%5D=2026-01-01T00%3A00%3A00%2B01%3A00"));
    let next = question(&with, &known).expect("an address");
    assert_eq!(next.query(), Some("limit=10&since%5B%5D=a%20b%26c%3D%C3%BC"));
}

#[test]
fn a_moved_cursor_is_another_question_and_has_no_validators() {
    let with = settings("https://h/", by(CursorPlace::Pointer("/meta/next".into())));
    let at = |cursor: Option<&str>| Remembered { cursor: cursor.map(str::to_owned), ..Remembered::default() };
    let headers = [("etag", "\"e\""), ("last-modified", "Tue, 24 Nov 2026 12:00:00 GMT")];
    let moved = next(&with, &at(Some("16")), &answer(&headers, r#"{"meta":{"next":17}}"#));
    assert_eq!(moved, at(Some("17")));
    for body in [r#"{"meta":{"next":"17"}}"#, r#"{"meta":{"next":null}}"#, r#"{"meta":{"next":""}}"#, "{}", "no JSON"] {
        let stays = next(&with, &at(Some("17")), &answer(&headers, body));
        assert_eq!((stays.cursor.as_deref(), stays.etag.as_deref()), (Some("17"), Some("\"e\"")), "{body}");
        assert_eq!(stays.body, Some(sha256_hex(body.as_bytes())));
    }
    let by_header = settings("https://h/", by(CursorPlace::Header("x-next".into())));
    assert_eq!(next(&by_header, &at(None), &answer(&[("x-next", "n1")], "[]")), at(Some("n1")));
}

#[test]
fn how_long_to_wait_the_endpoint_says_or_the_failures_do() {
    let now = httpdate::parse_http_date("Tue, 24 Nov 2026 12:00:00 GMT").expect("a date");
    let after = |text: &str| retry_after(&answer(&[("retry-after", text)], "").headers, now);
    assert_eq!(after("120"), Some(Duration::from_secs(120)));
    assert_eq!(after("Tue, 24 Nov 2026 12:01:30 GMT"), Some(Duration::from_secs(90)));
    assert_eq!(after("Tue, 24 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
    assert_eq!(after("soon"), None);
    let status = |retry| PollError::Status { status: StatusCode::SERVICE_UNAVAILABLE, retry };
    let minute = Duration::from_secs(60);
    assert_eq!(pause(&status(Some(minute)), minute, 9), minute);
    assert_eq!(pause(&status(Some(minute * 10_000)), minute, 1), LONGEST);
    let pauses: Vec<u64> = [1, 2, 3, 9, 10, 40].map(|n| pause(&status(None), minute, n).as_secs()).into();
    assert_eq!(pauses, [1, 2, 4, 256, 300, 300]);
}
