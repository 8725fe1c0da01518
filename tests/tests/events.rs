//! Properties of events: whatever is written is read as it was, whatever comes is answered.

use concord::event::{Control, ControlKey, Event, Parsed, Signed, parse, sign_and_write};
use concord_tests::log_suite::Random;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

/// With a seed that is printed; `CONCORD_TEST_SEED` repeats it.
fn runner(cases: u32) -> TestRunner {
    let seed = Random::from_environment().draw();
    TestRunner::new(ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

fn key() -> ControlKey {
    ControlKey::from_bytes(&[1; 32]).expect("32 bytes")
}

/// Text without control characters.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9:/#-]{1,20}", "\\PC{1,40}"]
        .prop_filter("no control characters", |text| !text.is_empty() && !text.chars().any(char::is_control))
}

/// Bodies: JSON in odd shapes, text, bytes.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.50e+3".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<String>().prop_map(|s| serde_json::Value::from(s).to_string()),
    ];
    let json = leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|members| {
                let members =
                    members.into_iter().map(|(name, value)| format!("{}: {value}", serde_json::Value::from(name)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    });
    prop_oneof![
        4 => json.prop_map(String::into_bytes),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn content_type() -> impl Strategy<Value = Option<String>> {
    let types =
        ["application/json", "application/x+json; q=1", "text/plain", "text/xml", "application/xml", "a/b", "x"];
    prop::option::of(prop_oneof![3 => prop::sample::select(types.to_vec()).prop_map(str::to_owned), 1 => text()])
}

fn event() -> impl Strategy<Value = Event> {
    let time = prop::option::of(-62_167_219_200_000_000_i64..=253_402_300_799_999_999);
    let attributes = prop::collection::btree_map("[a-z0-9]{1,20}", "\\PC{0,30}", 0..6);
    (text(), text(), text(), time, prop::option::of(text()), content_type(), body(), attributes)
        .prop_map(|(source, id, r#type, time, subject, datacontenttype, data, attributes)| {
            let reserved = ["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "data"];
            let fits = |(name, value): &(String, String)| {
                !reserved.contains(&name.as_str()) && !value.chars().any(char::is_control)
            };
            let attributes = attributes.into_iter().filter(fits).collect();
            Event { source, id, r#type, time, subject, datacontenttype, data: data.into(), attributes }
        })
        .prop_filter("not Concord's own", |event| !event.r#type.starts_with("concord."))
}

#[test]
fn what_is_written_is_read() {
    let run = runner(2000).run(&event(), |event| {
        let value = event.write().expect("a good event");
        let json: serde_json::Value = serde_json::from_slice(&value).expect("JSON for everyone");
        prop_assert_eq!(json["id"].as_str(), Some(event.id.as_str()));
        prop_assert_eq!(Event::parse(&value), Ok(event.clone()));
        prop_assert_eq!(parse(&value, &key()), Parsed::Event(event));
        Ok(())
    });
    run.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn changed_bytes_never_panic_and_what_is_read_can_be_written() {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let run = runner(4000).run(&(event(), changes), |(event, changes)| {
        let mut value = event.write().expect("a good event").to_vec();
        for (at, byte) in changes {
            let at = at.index(value.len());
            value[at] = byte;
        }
        if let Ok(event) = Event::parse(&value.into()) {
            let again = event.write().expect("what was read is good");
            prop_assert_eq!(Event::parse(&again), Ok(event));
        }
        Ok(())
    });
    run.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn arbitrary_bytes_never_panic() {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[\\[\\]{}\",:\\\\a-e0-9 ]{0,200}".prop_map(String::into_bytes),
    ];
    let run = runner(4000).run(&bytes, |bytes| {
        let parsed = parse(&bytes.into(), &key());
        prop_assert!(!matches!(parsed, Parsed::Control(_)));
        Ok(())
    });
    run.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_control_record_with_any_byte_changed_is_not_one() {
    let parts = (text(), text(), any::<i32>(), prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), body());
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let run = runner(2000).run(&(parts, change), |((id, author, time, record_key, value), (at, byte))| {
        let control = Control::Copy {
            origin_partition: 1,
            origin_offset: 2,
            key: record_key.map(Into::into),
            value: value.into(),
        };
        let written = sign_and_write(&control, &key(), &id, &author, time.into()).expect("written");
        let signed = Signed { control, id, author, time: Some(time.into()) };
        let original = Parsed::Control(Box::new(signed));
        prop_assert_eq!(&parse(&written, &key()), &original);
        let mut changed = written.to_vec();
        let at = at.index(changed.len());
        changed[at] = byte;
        // Bytes may differ and mean the same (an escape, say); then it is the same record.
        let parsed = parse(&changed.into(), &key());
        prop_assert!(parsed == original || !matches!(parsed, Parsed::Control(_)));
        Ok(())
    });
    run.unwrap_or_else(|e| panic!("{e}"));
}
