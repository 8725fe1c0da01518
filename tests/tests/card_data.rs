//! Masking of card data, on anything: what has to go is gone, what stays is as it was, JSON stays JSON.

use bytes::Bytes;
use concord::config::PathPattern;
use concord::deliver::masked;
use concord_tests::log_suite::Random;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

fn mask(text: &str) -> String {
    String::from_utf8(masked(&Bytes::from(text.to_owned())).0.to_vec()).expect("text")
}

/// Digits with the check digit that Luhn's formula asks for.
fn with_check_digit(digits: &str) -> String {
    let right = |last: &char| {
        let number = format!("{digits}{last}");
        let sum: u32 = number
            .chars()
            .rev()
            .zip([1, 2].into_iter().cycle())
            .map(|(c, weight)| c.to_digit(10).expect("a digit") * weight)
            .map(|product| product / 10 + product % 10)
            .sum();
        sum.is_multiple_of(10)
    };
    let last = ('0'..='9').find(right).expect("one of ten");
    format!("{digits}{last}")
}

/// A number of some issuer.
fn card() -> impl Strategy<Value = String> {
    let issuers = [("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("36", 14), ("6011", 16), ("3528", 16), ("62", 19)];
    (prop::sample::select(issuers.to_vec()), prop::collection::vec(0..10_u8, 19)).prop_map(
        |((prefix, length), digits)| {
            let rest = digits.iter().map(ToString::to_string).take(length - prefix.len() - 1);
            with_check_digit(&format!("{prefix}{}", rest.collect::<String>()))
        },
    )
}

/// In one, or in fours.
fn written() -> impl Strategy<Value = (String, String)> {
    (card(), prop::sample::select(vec!["", " ", "-", "\u{a0}"])).prop_map(|(number, between)| {
        let fours: Vec<&str> =
            number.as_bytes().chunks(4).map(|four| std::str::from_utf8(four).expect("digits")).collect();
        let text = if between.is_empty() { number.clone() } else { fours.join(between) };
        (number, text)
    })
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// JSON of any shape, with numbers of cards in it.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,12}".prop_map(Value::from),
        written().prop_map(|(_, text)| Value::from(text)),
        card().prop_map(|number| number.parse::<u64>().map_or(Value::Null, Value::from)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof!["[a-z\"]{1,6}", Just("cvv".to_owned()), Just("cardNumber".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

/// With a seed that is printed; `CONCORD_TEST_SEED` repeats it.
fn configuration() -> ProptestConfig {
    let rng_seed = RngSeed::Fixed(Random::from_environment().draw());
    ProptestConfig { cases: 2_000, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(configuration())]

    #[test]
    fn a_number_is_masked_wherever_it_stands((number, text) in written(), before in "[a-z ,;:<>\"]{0,8}[ ,;:<>]", after in "[ ,;:<>][a-z ]{0,8}") {
        let out = mask(&format!("{before}{text}{after}"));
        prop_assert_eq!(digits(&out), &number[number.len() - 4..]);
        prop_assert!(out.starts_with(&before) && out.ends_with(&after), "{}", out);
    }

    #[test]
    fn json_stays_json_and_once_is_enough(value in document(), pretty in any::<bool>()) {
        // A number that is all of a document cannot be told from any other text.
        let value = if value.is_number() { json!([value]) } else { value };
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("JSON");
        let once = mask(&text);
        prop_assert!(serde_json::from_str::<Value>(&once).is_ok(), "{} became {}", text, once);
        prop_assert_eq!(mask(&once), once);
        // The same within a string of another document.
        let outer = serde_json::to_string(&json!({ "payload": text })).expect("JSON");
        let outer: Value = serde_json::from_str(&mask(&outer)).expect("JSON");
        let inner = outer["payload"].as_str().expect("a string");
        if value.is_object() && !text.contains('[') {
            prop_assert!(serde_json::from_str::<Value>(inner).is_ok(), "{} became {}", text, inner);
        }
    }

    #[test]
    fn bytes_of_any_kind_pass(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (once, found) = masked(&Bytes::from(bytes.clone()));
        if !found.any() {
            prop_assert_eq!(&once[..], &bytes[..]);
        }
    }

    #[test]
    fn a_segment_comes_back_as_it_was(value in "[^\\p{Cc}]{1,20}") {
        let escaped: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let pattern = PathPattern::parse("/in/{property}").expect("a pattern");
        let expected = Some(vec![("property".to_owned(), value)]);
        prop_assert_eq!(pattern.attributes(&format!("/in/{escaped}")), expected);
    }
}
