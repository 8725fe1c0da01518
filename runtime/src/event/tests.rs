//! Tests of events and control records as bytes.

use super::*;
use crate::log::Offset;

/// An event with these members after the required ones.
fn event(members: &str) -> Bytes {
    let head = r#"{"specversion":"1.0","id":"i","source":"pms","type":"com.example.booking""#;
    Bytes::from(format!("{head}{members}}}"))
}

fn read(members: &str) -> Event {
    Event::parse(&event(members)).unwrap_or_else(|e| panic!("{members}: {e}"))
}

/// The message about a value that is no event.
fn refused(value: impl Into<Bytes>) -> String {
    let value = value.into();
    match Event::parse(&value) {
        Ok(event) => panic!("{value:?} was read as {event:?}"),
        Err(e) => e.to_string(),
    }
}

fn key() -> ControlKey {
    ControlKey::from_bytes(&[7; 32]).expect("32 bytes")
}

#[test]
fn json_data_stays_byte_for_byte() {
    for data in [r#"{ "b" : 1.50, "a":[1e2,"\u00e9é"] }"#, "null", "0", "\"text\"", "[]"] {
        assert_eq!(read(&format!(r#","data": {data} "#)).data, data);
        assert_eq!(read(&format!(r#","datacontenttype":"Application/Vnd.X+JSON; v=1","data":{data}"#)).data, data);
    }
}

#[test]
fn text_and_base64_data_are_decoded() {
    let xml = r#","datacontenttype":"application/xml","data":"<a>\n\u00e9</a>""#;
    assert_eq!(read(xml).data, "<a>\né</a>");
    assert_eq!(read(r#","datacontenttype":"text/plain","data":"plain""#).data, "plain");
    assert_eq!(read(r#","datacontenttype":"text/csv","data":[1, 2]"#).data, "[1, 2]");
    assert_eq!(read(r#","data_base64":"/wA=""#).data, &b"\xff\0"[..]);
    assert_eq!(read("").data, "");
}

#[test]
fn attributes_are_kept_in_byte_order() {
    let event = read(
        r#","z":"last","a1":true,"hotel":"H\u00e9","n":-12,"gone":null,"time":"2026-03-01T10:00:00.1234567+01:00""#,
    );
    let expected = [("a1", "true"), ("hotel", "Hé"), ("n", "-12"), ("z", "last")];
    assert_eq!(event.attributes, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(event.time, Some(1_772_355_600_123_456));
    assert_eq!(event.attribute("hotel"), Some("Hé"));
    assert_eq!(event.content_type(), "application/json");
}

#[test]
fn hostile_bytes_are_refused_with_the_attribute_at_fault() {
    let full = String::from_utf8(event("").to_vec()).expect("text");
    for length in 0..full.len() {
        refused(full[..length].to_owned());
    }
    assert_eq!(refused(&b"{\"id\":\"\xff\"}"[..]), "the value is not UTF-8 from byte 7 on");
    assert!(refused("[]").contains("no JSON object"));
    assert!(refused(format!("{full} x")).contains("trailing characters"));
    assert!(refused("[".repeat(1_000_000)).contains("no JSON object"));
    assert!(refused(vec![b' '; MAX_EVENT_BYTES + 1]).contains("the limit is"));
    for name in ["specversion", "id", "source", "type"] {
        let other = full.replace(&format!("\"{name}\""), "\"other\"");
        assert_eq!(refused(other), format!("attribute `{name}` is missing"));
    }
    for (from, to, message) in [
        ("\"1.0\"", "\"0.3\"", "attribute `specversion`: `0.3` is not supported"),
        ("\"1.0\"", "1.0", "attribute `specversion`: it has to be a string"),
        ("\"i\"", "\"\"", "attribute `id`: it is empty"),
        ("\"i\"", "7", "attribute `id`: it has to be a string"),
        ("\"i\"", "null", "attribute `id` is missing"),
        ("\"i\"", r#""\ud800""#, "attribute `id`: it holds half a surrogate pair"),
        ("\"i\"", r#""a\u0000""#, "attribute `id`: it holds the control character U+0000"),
    ] {
        let said = refused(full.replace(from, to));
        assert!(said.contains(message), "{said}");
    }
    let many: String = (0..MAX_ATTRIBUTES).map(|i| format!(",\"a{i}\":1")).collect();
    let deep = format!(",\"data\":{}1{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
    let abyss = format!(",\"data\":{}1{}", "[".repeat(500_000), "]".repeat(500_000));
    let long = format!(",\"a\":\"{}\"", "x".repeat(MAX_VALUE_BYTES + 1));
    for (members, message) in [
        (r#","id":"again""#, "attribute `id`: it occurs twice"),
        (r#","a":"1","a":"1""#, "attribute `a`: it occurs twice"),
        (r#","Upper":"x""#, "attribute `Upper`: a name has lower-case letters"),
        (r#","":"x""#, "attribute ``: a name has 1 to 64"),
        (r#","a":1.5"#, "attribute `a`: `1.5` is no integer"),
        (r#","a":99999999999999999999"#, "is no integer of 64 bits"),
        (r#","a":{}"#, "attribute `a`: it has to be a string, a boolean or an integer"),
        (r#","time":"yesterday""#, "attribute `time`: `yesterday` is no RFC 3339 timestamp"),
        (r#","time":"0000-01-01T00:00:00+01:00""#, "attribute `time`"),
        (r#","datacontenttype":"""#, "attribute `datacontenttype`: it is empty"),
        (r#","data":1,"data_base64":"""#, "attribute `data`: an event has either"),
        (r#","data":1,"data":2"#, "attribute `data`: it occurs twice"),
        (r#","data_base64":"?""#, "attribute `data_base64`: it is no Base64"),
        (r#","data_base64":{}"#, "attribute `data_base64`: it has to be a string"),
        (r#","datacontenttype":"text/plain","data":"\udc00""#, "attribute `data`: it holds half"),
        (&many, "more than 128 attributes"),
        (&deep, "attribute `data`: it is nested 128 deep"),
        (&abyss, "nested 500000 deep"),
        (&long, "attribute `a`: it has 65537 bytes"),
    ] {
        let said = refused(event(members));
        assert!(said.contains(message), "{said}");
    }
    read(&format!(",\"data\":{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)));
    assert_eq!(read(r#","data":{"[[":"]\"[["}"#).data, r#"{"[[":"]\"[["}"#);
}

#[test]
fn bodies_stand_as_readably_as_they_can() {
    let written = |content_type: Option<&str>, data: &[u8]| {
        let event = Event {
            source: "pms".into(),
            id: "1".into(),
            r#type: "t".into(),
            datacontenttype: content_type.map(str::to_owned),
            data: Bytes::copy_from_slice(data),
            ..Event::default()
        };
        let value = event.write().expect("written");
        assert_eq!(Event::parse(&value), Ok(event));
        let text = String::from_utf8(value.to_vec()).expect("text");
        text[text.find("\"type\":\"t\"").expect("a type") + 10..].trim_end_matches('}').to_owned()
    };
    let json = Some("application/json");
    assert_eq!(written(None, b"[1, 2]"), ",\"data\":[1, 2]");
    assert_eq!(written(json, b"[1]"), ",\"datacontenttype\":\"application/json\",\"data\":[1]");
    assert_eq!(written(json, b"[1]\n"), ",\"datacontenttype\":\"application/json\",\"data_base64\":\"WzFdCg==\"");
    assert_eq!(written(json, b"[1"), ",\"datacontenttype\":\"application/json\",\"data_base64\":\"WzE=\"");
    assert_eq!(written(None, b"\xff"), ",\"data_base64\":\"/w==\"");
    assert_eq!(
        written(Some("text/xml"), b"<a b=\"\x01\">\n"),
        r#","datacontenttype":"text/xml","data":"<a b=\"\u0001\">\n""#
    );
    assert_eq!(written(Some("image/png"), b"png"), ",\"datacontenttype\":\"image/png\",\"data_base64\":\"cG5n\"");
    assert_eq!(written(json, b""), ",\"datacontenttype\":\"application/json\"");
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    assert!(written(None, deep.as_bytes()).starts_with(",\"data_base64\""));
    let body = Bytes::from_static(b" [1]\r\n");
    assert_eq!(trim_json(&body, None), "[1]");
    assert_eq!(trim_json(&body, Some("text/plain")), body);
    assert_eq!(trim_json(&Bytes::from_static(b" \n"), None), "");
}

#[test]
fn writing_refuses_what_reading_would() {
    let good = Event { source: "pms".into(), id: "1".into(), r#type: "t".into(), ..Event::default() };
    let attributes = |pairs: &[(&str, &str)]| Event {
        attributes: pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..good.clone()
    };
    for (event, message) in [
        (Event { source: String::new(), ..good.clone() }, "attribute `source`: it is empty"),
        (Event { id: "a\nb".into(), ..good.clone() }, "attribute `id`: it holds the control character U+000A"),
        (Event { r#type: "concord.tick".into(), ..good.clone() }, "reserved"),
        (Event { time: Some(i64::MAX), ..good.clone() }, "attribute `time`"),
        (Event { datacontenttype: Some(String::new()), ..good.clone() }, "attribute `datacontenttype`"),
        (attributes(&[("Bad", "x")]), "attribute `Bad`"),
        (attributes(&[("data", "x")]), "attribute `data`: it is no extension attribute"),
        (attributes(&[("a", "x"), ("a", "y")]), "attribute `a`: it occurs twice"),
    ] {
        let said = event.write().expect_err("refused").to_string();
        assert!(said.contains(message), "{said}");
    }
}

#[test]
fn content_ids_depend_on_all_of_the_content() {
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let pair = [attribute("a", "1"), attribute("b", "2")];
    let swapped = [pair[1].clone(), pair[0].clone()];
    let id = content_id("pms", Some("text/xml"), &pair, b"body");
    assert_eq!(content_id("pms", Some("text/xml"), &swapped, b"body"), id);
    let others = [
        content_id("ota", Some("text/xml"), &pair, b"body"),
        content_id("pms", None, &pair, b"body"),
        content_id("pms", Some("text/xml"), &pair[..1], b"body"),
        content_id("pms", Some("text/xml"), &[attribute("a", "12"), attribute("b", "")], b"body"),
        content_id("pms", Some("text/xml"), &pair, b"bodY"),
    ];
    assert!(others.iter().all(|other| *other != id && is_content_id(other)));
    assert!(is_content_id(&id) && is_content_id(&format!("{id}#12")));
    for no in [
        "",
        "sha256-",
        "sha256-00",
        &id[..70],
        &id.to_uppercase(),
        &format!("{id}#"),
        &format!("{id}#x"),
        &format!("{id}0"),
    ] {
        assert!(!is_content_id(no), "{no}");
    }
}

/// One of each kind, with awkward content.
fn controls() -> Vec<Control> {
    let value = Bytes::from_static(b"{\"specversion\":\"1.0\"}");
    let wild = Bytes::from_static(b"\xff\x00 no JSON");
    let retry = |origin: Offset, key: Option<&'static [u8]>, value: &Bytes| Control::Retry {
        origin,
        key: key.map(Bytes::from_static),
        value: value.clone(),
    };
    let copy = |key: Option<&'static [u8]>, value: &Bytes| Control::Copy {
        origin_partition: 3,
        origin_offset: u64::MAX,
        key: key.map(Bytes::from_static),
        value: value.clone(),
    };
    vec![
        Control::Configuration { sequence: None, follows: None, reason: None, document: value.clone() },
        Control::Configuration {
            sequence: Some(7),
            follows: Some(3),
            reason: Some("a new season".into()),
            document: value.clone(),
        },
        Control::Plugin { digest: sha256_hex(b"x"), part: 0, parts: 1, bytes: Bytes::from_static(b"\0asm") },
        Control::Owner { instance: "host-1/4711".into() },
        Control::Tick { millis: -1 },
        Control::Reset { source: "pms".into(), sequence: None },
        Control::Reset { source: "pms".into(), sequence: Some(9) },
        retry(0, None, &value),
        retry(1, Some(b""), &Bytes::new()),
        retry(2, Some(b"H1/2026-03-01"), &wild),
        copy(Some(b"\xff\n"), &value),
        copy(Some("Zürich/2026-03-01".as_bytes()), &wild),
        Control::Heartbeat { source: "pms".into(), property: None, time: 0 },
        Control::Heartbeat { source: "pms".into(), property: Some("H1".into()), time: i64::MAX },
    ]
}

#[test]
fn control_records_are_read_as_written() {
    for control in controls() {
        let value = sign_and_write(&control, &key(), "id", "anna", 1_000_000).expect("written");
        let signed = Signed { control, id: "id".into(), author: "anna".into(), time: Some(1_000_000) };
        assert_eq!(parse(&value, &key()), Parsed::Control(Box::new(signed)));
    }
    let broken =
        Control::Configuration { sequence: None, follows: None, reason: None, document: Bytes::from_static(b"{") };
    assert!(sign_and_write(&broken, &key(), "id", "anna", 0).is_err());
    assert!(sign_and_write(&Control::Tick { millis: 0 }, &key(), "id", "a\nb", 0).is_err());
}

#[test]
fn a_copy_fits_where_its_bound_says() {
    let long = "\"".repeat(256);
    for key_byte in [b'"', b'k', 0xff] {
        for (value_byte, size) in [(b'1', 1000), (b'x', 1000), (0xff, 100_000), (b' ', 0)] {
            let (record_key, value) = (vec![key_byte; 300], vec![value_byte; size]);
            let bound = wrapped_bytes(record_key.len(), value.len());
            let control = Control::Copy {
                origin_partition: u32::MAX,
                origin_offset: u64::MAX,
                key: Some(record_key.into()),
                value: value.into(),
            };
            let written = sign_and_write(&control, &key(), &long, &long, 0).expect("written");
            assert!(written.len() <= bound, "{} > {bound}", written.len());
        }
    }
}

/// The value is a control record to no one.
fn assert_forged(value: impl Into<Bytes>) {
    let value = value.into();
    let parsed = parse(&value, &key());
    assert!(matches!(parsed, Parsed::Forged(_)), "{value:?}: {parsed:?}");
    refused(value);
}

#[test]
fn what_the_key_did_not_sign_is_forged() {
    let other = ControlKey::from_bytes(&[8; 32]).expect("32 bytes");
    for control in controls() {
        let value = sign_and_write(&control, &other, "id", "anna", 0).expect("written");
        assert_forged(value);
    }
    let tick = sign_and_write(&Control::Tick { millis: 1 }, &key(), "id", "anna", 0).expect("written");
    let tick = String::from_utf8(tick.to_vec()).expect("text");
    let mac = tick.split("\"concordmac\":\"").nth(1).and_then(|rest| rest.get(..64)).expect("a signature").to_owned();
    for (from, to) in [
        ("concord.tick", "concord.owner"),
        ("concord.tick", "concord.Tick"),
        ("\"id\":\"id\"", "\"id\":\"ie\""),
        ("\"anna\"", "\"anne\""),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"),
        ("\"millis\":\"1\"", "\"millis\":\"2\""),
        ("\"millis\":\"1\"", "\"millis\":\"1\",\"more\":\"1\""),
        ("\"millis\":\"1\"", "\"millis\":\"1\",\"subject\":\"x\""),
        ("\"millis\":\"1\"", "\"millis\":\"1\",\"data\":1"),
        ("\"millis\":\"1\"", "\"millis\":\"1\",\"datacontenttype\":\"text/plain\""),
        ("\"millis\":\"1\"", "\"millis\":{}"),
        ("\"specversion\":\"1.0\",", ""),
        (&mac, ""),
        (&mac, &mac[..62]),
        (&mac, &"0".repeat(64)),
        (&mac, &"x".repeat(64)),
        ("concordmac", "concordmax"),
    ] {
        assert!(tick.contains(from), "{from}");
        assert_forged(tick.replace(from, to));
    }
    assert!(matches!(parse(&tick.into(), &key()), Parsed::Control(_)));
    assert_forged(r#"{"type":"concord.tick"}"#);
    assert_forged(r#"{"type":"concord."}"#);
    assert_forged(r#"{"type":"x","type":"concord.x","id":7}"#);
    let escaped = r#"{"specversion":"1.0","id":"i","source":"s","type":"\u0063oncord.tick","millis":1}"#;
    assert_forged(escaped);
}

#[test]
fn every_other_value_is_an_event_or_invalid() {
    assert!(matches!(parse(&event(r#","concordmac":"00""#), &key()), Parsed::Event(_)));
    assert!(matches!(parse(&Bytes::new(), &key()), Parsed::Invalid(_)));
    // Signed, but of a later version.
    let mut later = Event { source: "a".into(), id: "i".into(), r#type: "concord.later".into(), ..Event::default() };
    later.attributes.push((MAC_ATTRIBUTE.into(), key().sign(&later)));
    let parsed = parse(&json::write(&later).expect("written"), &key());
    let Parsed::Invalid(why) = parsed else { panic!("{parsed:?}") };
    assert!(why.to_string().contains("a newer one wrote it"), "{why}");
}

/// The canonical bytes under the signature: an independent calculation of one example.
#[test]
fn the_signature_is_hmac_sha256_over_framed_fields() {
    let event = Event {
        source: "s".into(),
        id: "i".into(),
        r#type: "concord.tick".into(),
        time: Some(1),
        data: Bytes::from_static(b"d"),
        attributes: vec![("a".into(), "v".into()), (MAC_ATTRIBUTE.into(), "ignored".into())],
        ..Event::default()
    };
    assert_eq!(key().sign(&event), "fe4e24df5c8dd7ec1b4880a3c7e4f3d2cc3878cba17ab958edd0fdb449b849b8");
}
