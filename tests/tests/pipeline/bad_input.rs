//! What must not be merged: each becomes one dead letter with its reason, payload and place, and harms nobody else.

use concord::log::{Log, LogError, NewRecord};
use concord_tests::pipeline::stage::price;
use concord_tests::pipeline::{OwnLog, START, Stage, with_clickhouse};
use serde_json::Value;

use crate::{DAY, number, room_night};

/// A record that must not be merged.
struct Bad {
    name: &'static str,
    kind: &'static str,
    /// A part of the reason.
    says: &'static str,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
}

/// Rejected for its value; the key is right.
fn value(name: &'static str, says: &'static str, value: impl Into<Vec<u8>>) -> Bad {
    Bad { name, kind: "rejected", says, key: Some(b"H1/2026-03-01".to_vec()), value: value.into() }
}

/// Rejected for its key; the value is right.
fn key(name: &'static str, says: &'static str, key: Option<&[u8]>) -> Bad {
    Bad { key: key.map(<[u8]>::to_vec), ..value(name, says, night(r#"{"capacity":1}"#)) }
}

/// An event in CloudEvents form with this body.
fn event(source: &str, data: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"x","source":"{source}","type":"delivery","data":{data}}}"#)
}

fn pms(data: &str) -> String {
    event("pms", data)
}

/// A booking with these keys of its line.
fn line(keys: &str) -> String {
    pms(&format!(
        r#"{{"property":"H1","reservation":{{"id":"1","lines":[{{"line":"1","status":"confirmed",{keys}}}]}}}}"#
    ))
}

/// Inventory of one room night with these fields.
fn night(fields: &str) -> String {
    pms(&format!(
        r#"{{"property":"H1","inventory":{{"room_type":"DBL","nights":"2026-03-01/2026-03-02","fields":{fields}}}}}"#
    ))
}

/// Bytes that are no text, broken JSON, JSON that is no event.
fn envelopes() -> Vec<Bad> {
    let whole = night(r#"{"capacity":1}"#);
    let nested = |depth: usize| pms(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let latin = line(r#""room_type":"Z?""#).bytes().map(|b| if b == b'?' { 0xfc } else { b }).collect::<Vec<u8>>();
    let utf16 = whole.bytes().flat_map(|b| [b, 0]).collect::<Vec<u8>>();
    let without = |attribute: &str| whole.replacen(attribute, "", 1);
    vec![
        value("nothing at all", "no JSON object", ""),
        value("no JSON", "no JSON object", "<xml/>"),
        value("half of a JSON", "EOF while parsing", &whole[..60]),
        value("nested 100,000 deep", "no JSON object", [vec![b'['; 100_000], vec![b']'; 100_000]].concat()),
        value("data nested 200 deep", "nested 200 deep; the limit is 127", nested(200)),
        value("data nested 100 deep", "deeper than 64 levels", nested(100)),
        value("Latin-1", "not UTF-8 from byte", latin),
        value("UTF-16", "no JSON object", utf16),
        value("a lone surrogate", "surrogate", line(r#""room_type":"\ud800""#)),
        value("no CloudEvent", "attribute `inventory`", r#"{"property":"H1","inventory":{}}"#),
        value("no id", "attribute `id` is missing", without(r#""id":"x","#)),
        value("no version", "attribute `specversion` is missing", without(r#""specversion":"1.0","#)),
        value("another version", "`0.3` is not supported", whole.replacen("1.0", "0.3", 1)),
        value("bad Base64", "no Base64", pms("0").replace(r#""data":0"#, r#""data_base64":"*""#)),
        value("an unknown source", "no source is named `nobody`", event("nobody", "{}")),
        key("no key", "has no key", None),
        key("an empty key", "has no date", Some(b"")),
        key("a key without a date", "has no date", Some(b"H1")),
        key("a key with a date that is none", "`0000-00-00` in the key", Some(b"H1/0000-00-00")),
        key("a key that is no text", "not UTF-8", Some(b"\xff/2026-03-01")),
    ]
}

/// Events whose body nobody may merge.
fn bodies() -> Vec<Bad> {
    let stay = |arrival: &str, departure: &str| {
        line(&format!(r#""arrival":"{arrival}","departure":"{departure}","room_type":"DBL""#))
    };
    let amount = |amount: &str| night(&format!(r#"{{"price":{{"amount":"{amount}","currency":"EUR"}}}}"#));
    let currency = r#"{"price":{"amount":"1.00","currency":"euro"}}"#;
    let status = r#"{"property":"H1","line":{"reservation":"1","line":"1","status":"maybe"}}"#;
    let large = pms(&format!("\"{}\"", "x".repeat(2 << 20)));
    vec![
        value("departure before arrival", "not after the arrival", stay("2026-03-04", "2026-03-01")),
        value("departure at arrival", "not after the arrival", stay("2026-03-01", "2026-03-01")),
        value("3,000 nights", "3000 nights; at most 365", stay("2026-03-01", "2034-05-18")),
        value("no property", "\"property\" is missing", pms(r#"{"reservation":{"id":"1","lines":[]}}"#)),
        value("0000-00-00", "\"0000-00-00\" is not a date", stay("0000-00-00", "2026-03-01")),
        value("the 30th of February", "\"2026-02-30\" is not a date", stay("2026-02-30", "2026-03-01")),
        value("the year 9999", "is not a date from 1900", stay("9999-12-30", "9999-12-31")),
        value("an unknown key", "unknown key \"colour\"", pms(r#"{"property":"H1","colour":"blue"}"#)),
        value("a field that is not declared", "`colour` is not declared", night(r#"{"colour":"blue"}"#)),
        value("a field of another type", "takes money, not a boolean", night(r#"{"price":true}"#)),
        value("a capacity beyond 64 bits", "is not a whole number", night(r#"{"capacity":99999999999999999999}"#)),
        value("a capacity beyond 31 bits", "4000000000", night(r#"{"capacity":4000000000}"#)),
        value("a negative capacity", "-1 is not a whole number", night(r#"{"capacity":-1}"#)),
        value("a broken capacity", "1.5 is not a whole number", night(r#"{"capacity":1.5}"#)),
        value("an amount that does not fit", "\"1e300\" is not a number", amount("1e300")),
        value("five decimals", "at most four decimals", amount("1.00001")),
        value("no currency", "\"euro\" is not a currency", night(currency)),
        value("an unknown status", "\"maybe\" is not a status", pms(status)),
        Bad { kind: "fault", ..key("a property that the key is not about", "names `H2`", Some(b"H2/2026-03-01")) },
        Bad { kind: "too-large", ..value("a body of 2 MiB", "log.max_record_bytes", large) },
    ]
}

#[test]
fn every_bad_record_is_one_dead_letter_and_its_neighbours_are_merged() {
    let bad: Vec<Bad> = envelopes().into_iter().chain(bodies()).collect();
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        let mut expected = Vec::new();
        let good = async |number: usize| stage.send("pms", [&*price("H1", DAY, &format!("{number}.00"))]).await;
        for (number, record) in bad.iter().enumerate() {
            good(number).await;
            let (key, value) = (record.key.clone().map(Into::into), record.value.clone().into());
            expected.push((record, stage.put(0, vec![NewRecord { key, value, timestamp: START }]).await));
        }
        good(bad.len()).await;
        let counts = stage.run().await;
        let dump = stage.dump().await;
        let rows = dump.rows("dead_letters");
        for (Bad { name, kind, says, value, .. }, offset) in &expected {
            let found: Vec<&Value> = rows.iter().filter(|row| number(&row["offset"]) == Some(*offset)).collect();
            let [row] = found[..] else { panic!("{name}: {found:?}") };
            let (found, reason) = (row["kind"].as_str().unwrap_or(""), row["reason"].as_str().unwrap_or(""));
            println!("{name}: {found}: {}", reason.chars().take(150).collect::<String>());
            assert_eq!(found, *kind, "{name}: {reason}");
            assert!(reason.contains(says), "{name}: {reason}");
            assert_eq!(row["payload"].as_str(), Some(&*String::from_utf8_lossy(value)), "{name}");
        }
        assert_eq!(rows.len(), expected.len());
        assert_eq!(counts.merged, bad.len() as u64 + 1, "the good ones between them");
        let last = room_night(&dump.rows("room_nights"), DAY)["price"].clone();
        assert_eq!(last.as_f64().or_else(|| last.as_str()?.parse().ok()), Some(bad.len() as f64));
        stage.dump_afresh(lease).await.assert_same(&dump, "again (-) and first (+)");
    });
}

#[test]
fn a_record_of_50_mib_passes_no_door_and_a_foreign_one_is_too_large() {
    with_clickhouse(async |lease| {
        let huge = format!(r#"{{"property":"H1","note":"{}"}}"#, "x".repeat(50 << 20));
        let mut stage = Stage::new(lease, 1).await;
        for delivered in stage.deliver("pms", [&*huge]) {
            assert!(delivered.records.is_empty());
            println!("the door says: {:?}", delivered.refused);
            assert!(delivered.refused[0].contains("log.max_record_bytes"));
        }
        let record =
            NewRecord { key: Some("H1/2026-03-01".into()), value: event("pms", &huge).into(), timestamp: START };
        let refused = stage.own.log.append(0, vec![record.clone()]).await;
        assert!(matches!(refused, Err(LogError::TooLarge { .. })), "{refused:?}");

        // A log that somebody else runs may take it.
        stage.begin_log(OwnLog::with_limit(1, 64 << 20)).await;
        stage.send("pms", [&*price("H1", "2026-03-01", "1.00")]).await;
        let offset = stage.put(0, vec![record.clone()]).await;
        stage.send("pms", [&*price("H1", "2026-03-02", "2.00")]).await;
        let counts = stage.run().await;
        assert_eq!((counts.merged, counts.dead_letters), (2, 1));
        let store = stage.database.store().await;
        let query = "SELECT offset, kind, reason, length(payload) AS bytes FROM dead_letters";
        let rows = store.query_json(query, &[]).await.expect("dead letters");
        println!("{rows:?}");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["kind"], "too-large");
        assert_eq!(number(&rows[0]["offset"]), Some(offset));
        assert_eq!(number(&rows[0]["bytes"]), Some(record.value.len() as u64));
    });
}
