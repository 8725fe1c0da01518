//! What is masked, what is not, and that nothing else changes.

use super::*;

fn text(body: &str) -> (String, Masked) {
    let (bytes, found) = masked(&Bytes::from(body.to_owned()));
    (String::from_utf8(bytes.to_vec()).expect("text"), found)
}

#[track_caller]
fn becomes(body: &str, expected: &str, cards: u64, codes: u64) {
    assert_eq!(text(body), (expected.to_owned(), Masked { cards, codes }), "{body}");
    // Once is enough.
    assert_eq!(text(expected), (expected.to_owned(), Masked::default()), "again: {expected}");
}

#[track_caller]
fn stays(body: &str) {
    assert_eq!(text(body), (body.to_owned(), Masked::default()));
}

#[test]
fn numbers_of_every_issuer_are_masked_however_they_are_written() {
    for (body, expected) in [
        ("<n>4444333322221111</n>", "<n>************1111</n>"),
        ("4444 3333-2222 1111 thanks", "**** ****-**** 1111 thanks"),
        ("pay 4111\u{a0}1111\u{a0}1111\u{a0}1111", "pay ****\u{a0}****\u{a0}****\u{a0}1111"),
        ("card 4111\u{2011}1111\u{2011}1111\u{2011}1111.", "card ****\u{2011}****\u{2011}****\u{2011}1111."),
        (r#"{"card":"378282246310005"}"#, r#"{"card":"***********0005"}"#),
        ("3782 822463 10005", "**** ****** *0005"),
        ("3056 930902 5904", "**** ****** 5904"),
        ("5555555555554444", "************4444"),
        ("2223003122003222", "************3222"),
        ("6011111111111117", "************1117"),
        ("3530111333300000", "************0000"),
        ("6200000000000005", "************0005"),
        ("VISA4111111111111111", "VISA************1111"),
        // A date and a code behind it do not hide it.
        ("4111 1111 1111 1111 12 27", "**** **** **** 1111 12 27"),
        ("4111111111111111 1227 x", "************1111 1227 x"),
        ("n=4222222222222&x=1", "n=*********2222&x=1"),
    ] {
        becomes(body, expected, 1, 0);
    }
    becomes("4111111111111111,5555555555554444", "************1111,************4444", 2, 0);
}

#[test]
fn a_maestro_number_needs_more_than_its_digits() {
    stays("6759649826438453");
    becomes("6759 6498 2643 8453", "**** **** **** 8453", 1, 0);
    becomes(r#"{"cardNumber": "6759649826438453"}"#, r#"{"cardNumber": "************8453"}"#, 1, 0);
    becomes("<CardNumber><PlainText>6759649826438453", "<CardNumber><PlainText>************8453", 1, 0);
}

#[test]
fn what_only_looks_like_a_card_stays() {
    for body in [
        // A wrong check digit, no issuer, too long, too short, nothing.
        "4444333322221112",
        "0000000000000000",
        "12345678901234567890",
        "2026-03-01 +49 123 456",
        "",
        // A telephone number, the fraction of a number, a piece of a hash, an UUID.
        "+4222222222222",
        "0.4111111111111111",
        "e4111111111111111",
        "abcdef00-4111-1111-1111-1111abcdef00",
        // Room numbers.
        "301 302 303 304 308",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    ] {
        stays(body);
    }
}

#[test]
fn timestamps_survive() {
    // Each with every last digit, so that one in ten has a right check digit.
    for base in [1_709_251_200_000_i64, 1_795_518_000_000, 2_208_988_800_000] {
        for factor in [1, 1_000, 1_000_000] {
            for last in 0..200 {
                let number = base * factor + last;
                stays(&format!(r#"{{"source":{{"ts_ms":{number}}},"ts":"{number}","row":[{number}]}}"#));
            }
        }
    }
}

#[test]
fn json_stays_json() {
    for (body, expected, cards, codes) in [
        (r#"{"pan":4111111111111111}"#, r#"{"pan":"************1111"}"#, 1, 0),
        (r#"[4111111111111111, -4111111111111111.0]"#, r#"["************1111", "-*************111.0"]"#, 2, 0),
        (r#"{"cvv":123,"a":[1]}"#, r#"{"cvv":"***","a":[1]}"#, 0, 1),
        (r#"{"cvc": [ 123 , 4567 ]}"#, r#"{"cvc": [ "***" , "****" ]}"#, 0, 2),
        (r#"{"card_cvv2":{"value":123.0,"ok":true}}"#, r#"{"card_cvv2":{"value":"***.*","ok":true}}"#, 0, 1),
        (r#"{"note":"card: 4111111111111111, thanks"}"#, r#"{"note":"card: ************1111, thanks"}"#, 1, 0),
        (
            r#"{"note":"a\u00a04111111111111111\f4111111111111111"}"#,
            r#"{"note":"a\u00a0************1111\f************1111"}"#,
            2,
            0,
        ),
        (
            r#"{"payload":"{\"pan\":4111111111111111,\"cvv\":123,\"n\":\"4111111111111111\"}"}"#,
            r#"{"payload":"{\"pan\":\"************1111\",\"cvv\":\"***\",\"n\":\"************1111\"}"}"#,
            2,
            1,
        ),
    ] {
        becomes(body, expected, cards, codes);
        let after: serde_json::Value = serde_json::from_str(expected).expect(expected);
        if let Some(inner) = after.get("payload").and_then(|p| p.as_str()) {
            serde_json::from_str::<serde_json::Value>(inner).expect(inner);
        }
    }
}

#[test]
fn security_codes_are_masked_by_their_names() {
    for (body, expected) in [
        (r#"{"cvv":"123"}"#, r#"{"cvv":"***"}"#),
        (r#"{"securityCode" : "1234"}"#, r#"{"securityCode" : "****"}"#),
        (r#"{"security_code": "123"}"#, r#"{"security_code": "***"}"#),
        (r#"<PaymentCard CardCode="VI" SeriesCode="123"/>"#, r#"<PaymentCard CardCode="VI" SeriesCode="***"/>"#),
        ("<SeriesCode>123</SeriesCode><N>456</N>", "<SeriesCode>***</SeriesCode><N>456</N>"),
        (
            "<ota:SeriesCode x='y'>\n <ota:PlainText>123</ota:PlainText></ota:SeriesCode>",
            "<ota:SeriesCode x='y'>\n <ota:PlainText>***</ota:PlainText></ota:SeriesCode>",
        ),
        ("cvc=123&zip=4567", "cvc=***&zip=4567"),
        ("CVV: 123", "CVV: ***"),
        ("<Field name=\"cvv\">123</Field>", "<Field name=\"cvv\">***</Field>"),
        (r#"{"cardVerificationNumber":"123"}"#, r#"{"cardVerificationNumber":"***"}"#),
        ("{\"cvv\":\n  123}", "{\"cvv\":\n  \"***\"}"),
    ] {
        becomes(body, expected, 0, 1);
    }
    for body in [
        r#"{"cvv":null,"zip":"1234"}"#,
        r#"{"cvv":"","zip":"1234"}"#,
        r#"{"cvv":"12345"}"#,
        r#"{"cvv":"ABCD"}"#,
        "<cvv/><n>123</n>",
        "<cvv></cvv><n>123</n>",
        "name,cvv\n123,x",
        r#"{"card_type":"visa","rooms":"123"}"#,
    ] {
        stays(body);
    }
}

#[test]
fn a_number_in_the_place_of_a_code_is_masked_whole() {
    let (out, _) = text(r#"{"cvv":"4111 1111 1111 1111"}"#);
    assert_eq!(out, r#"{"cvv":"**** **** **** 1111"}"#);
    becomes(r#"{"cvv":["4000000000000002"]}"#, r#"{"cvv":["************0002"]}"#, 1, 0);
    becomes(r#"{"cvv":["3400 0000 0000 009"]}"#, r#"{"cvv":["**** **** ***0 009"]}"#, 1, 0);
    becomes(r#"{"cvv":["4000 0000 0000 0002"]}"#, r#"{"cvv":["**** **** **** 0002"]}"#, 1, 0);
}

#[test]
fn utf_16_is_read_and_stays_utf_16() {
    let text = "\u{feff}<C x=\"Zürich 予約 😀\"><N>4444333322221111</N><SeriesCode>123</SeriesCode></C>";
    let expected = "\u{feff}<C x=\"Zürich 予約 😀\"><N>************1111</N><SeriesCode>***</SeriesCode></C>";
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Bytes>();
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Bytes>();
    for (body, expected) in
        [(big(text), big(expected)), (little(text), little(expected)), (little(&text[3..]), little(&expected[3..]))]
    {
        assert_eq!(masked(&body), (expected, Masked { cards: 1, codes: 1 }));
    }
    let harmless = little("<C>4444333322221112</C>");
    assert_eq!(masked(&harmless), (harmless, Masked::default()));
}

#[test]
fn bytes_that_are_no_text_stay() {
    let body = Bytes::from_static(b"\xff\x004444333322221111\xfe");
    assert_eq!(masked(&body).0, &b"\xff\x00************1111\xfe"[..]);
}

#[test]
fn digits_behind_escapes_are_seen() {
    for (body, expected, cards, codes) in [
        (r#"{"n":"\u0034111111111111111"}"#, r#"{"n":"************1111"}"#, 1, 0),
        (r#"{"n":"4111\u00a01111\u20111111 111\u0031"}"#, r#"{"n":"****\u00a0****\u2011**** 111\u0031"}"#, 1, 0),
        (r#"{"cv\u0076":"\u0031\u003223"}"#, r#"{"cv\u0076":"****"}"#, 0, 1),
        (
            r#"{"p":"{\"n\":\"\\u0034111111111111111\"}","q":"\u0061\u0034"}"#,
            r#"{"p":"{\"n\":\"************1111\"}","q":"\u0061\u0034"}"#,
            1,
            0,
        ),
        (
            r#"{"xml":"\u003cSeriesCode\u003e123\u003c/SeriesCode\u003e"}"#,
            r#"{"xml":"\u003cSeriesCode\u003e***\u003c/SeriesCode\u003e"}"#,
            0,
            1,
        ),
        ("<n>&#52;1111111111111&#x31;1</n>", "<n>************11&#x31;1</n>", 1, 0),
    ] {
        becomes(body, expected, cards, codes);
    }
    stays(r#"{"a":"\u0034\u00e9\uD83D\uDE00 \u12","b":"&#52; &#; &#x110000;","c":"\u005c\u0022"}"#);
}

#[test]
fn a_name_and_its_value_side_by_side_are_a_code() {
    for (body, expected) in [
        (r#"{"name":"cvv","value":"123"}"#, r#"{"name":"cvv","value":"***"}"#),
        (r#"{"value": 123 , "type" : "cvc" }"#, r#"{"value": "***" , "type" : "cvc" }"#),
        (
            r#"[{"key":"card.cvv2","stringValue":"1234"},{"key":"zip","stringValue":"1234"}]"#,
            r#"[{"key":"card.cvv2","stringValue":"****"},{"key":"zip","stringValue":"1234"}]"#,
        ),
        (r#"{"p":"{\"name\":\"cvc\",\"value\":123}"}"#, r#"{"p":"{\"name\":\"cvc\",\"value\":\"***\"}"}"#),
        (r#"{"label":"securityCode","data":{"n":"123"}}"#, r#"{"label":"securityCode","data":{"n":"***"}}"#),
        (r#"<Field Name="cvv" Value="123"/>"#, r#"<Field Name="cvv" Value="***"/>"#),
        ("<p value='123' name='cvv'><q value='456'/></p>", "<p value='***' name='cvv'><q value='456'/></p>"),
        (
            "<name>cvv</name>\n <x:value>123</x:value><value>456</value>",
            "<name>cvv</name>\n <x:value>***</x:value><value>456</value>",
        ),
    ] {
        becomes(body, expected, 0, 1);
    }
    for body in [
        // Room types and rate plans are names as well.
        r#"{"type":"CVD","value":"123"}"#,
        r#"{"rate_plan":"BARCVC","value":120}"#,
        r#"{"room_type":"CVC","value":120}"#,
        r#"{"code":"BARCVC","value":120}"#,
        // Another object's, no code, no value.
        r#"{"card":{"name":"cvv"},"value":"123"}"#,
        r#"[{"name":"cvv"},{"value":"123"}]"#,
        r#"{"name":"cvv","value":"12345"}"#,
        r#"{"name":"cvv","nights":123}"#,
        r#"{"names":["cvv"],"value":"123"}"#,
        "<name>cvv</name><rooms>123</rooms>",
        "<name>cvv</name></p><p><name>x</name><value>123</value>",
    ] {
        stays(body);
    }
}

/// What looks like a card in every place where a change event has a position.
#[test]
fn positions_of_databases_are_no_cards() {
    let card = "4111111111111111";
    for source in [
        format!(
            r#"{{"connector":"postgresql","lsn":{card},"xmin":{card},"sequence":"[\"{card}\",\"{card}\"]","ts_us":{card}}}"#
        ),
        format!(r#"{{"connector":"mysql","pos":{card},"gtid":"0-1-{card}","ts_ns":{card},"row":0}}"#),
        format!(r#"{{"connector":"mariadb","pos":{card},"concord_epoch":{card},"file":"bin.000003"}}"#),
        format!(r#"{{"connector":"oracle","scn":"{card}"}}"#),
    ] {
        let event = format!(
            r#"{{"op":"u","after":{{"n":1}},"source":{source},"ts_ms":{card},"transaction":{{"id":"7:{card}"}}}}"#
        );
        stays(&event);
        stays(&format!(r#"{{"schema":{{}},"payload":{event}}}"#));
        stays(&format!("[{event},{event}]"));
        // The rows are read as ever, whatever their columns are called.
        let row = format!(r#"{{"lsn":{card},"note":"{card}","pos":"{card}","cvv":123}}"#);
        let masked = r#"{"lsn":"************1111","note":"************1111","pos":"************1111","cvv":"***"}"#;
        becomes(&event.replace(r#"{"n":1}"#, &row), &event.replace(r#"{"n":1}"#, masked), 3, 1);
    }
    for (body, cards) in [
        // No change event; a connector that nobody knows.
        (format!(r#"{{"lsn":{card},"ts_ms":{card}}}"#), 2),
        (format!(r#"{{"source":{{"lsn":{card}}}}}"#), 1),
        (format!(r#"{{"source":{{"connector":"pms","lsn":{card}}}}}"#), 1),
        (format!(r#"{{"x":{{"source":{{"connector":"mysql","pos":{card}}}}}}}"#), 1),
        // Other members of the block; texts that are no positions.
        (format!(r#"{{"source":{{"connector":"mysql","query":"INSERT {card}","name":"{card}","lsn":"{card}"}}}}"#), 3),
        (
            r#"{"source":{"connector":"mysql","gtid":"4111 1111 1111 1111","sequence":"card 4111111111111111"}}"#
                .into(),
            2,
        ),
        // Said twice: one of them is not what a reader takes.
        (
            format!(
                r#"{{"source":{{"connector":"mysql","pos":{card}}},"source":{{"connector":"mysql","pos":{card}}}}}"#
            ),
            2,
        ),
    ] {
        assert_eq!(text(&body).1.cards, cards, "{body}");
    }
}
