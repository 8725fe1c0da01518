//! The strict JSON reader: what it takes, what it refuses, and where it says the fault is.

use super::*;

fn refused(input: &[u8]) -> String {
    match parse(input) {
        Ok(document) => panic!("{document:?}"),
        Err(rejection) => rejection.0,
    }
}

#[test]
fn reads_every_kind_of_value() {
    let document =
        parse(br#" {"a": [1, -2.50e+3, "x\n\u00e9\uD83D\uDE00/\/"], "b": null, "c": true, "d": {}, "e": []} "#)
            .unwrap();
    let root = document.root().object().unwrap();
    let a: Vec<_> = root.required("a").unwrap().list().unwrap().map(At::value).collect();
    assert_eq!(a[1], Value::Number("-2.50e+3"));
    assert_eq!(a[2], Value::Text("x\né😀//"));
    assert!(root.required("b").unwrap().is_null());
    assert_eq!(root.entries().map(|(key, _)| key).collect::<String>(), "abcde");
    assert!(parse("\u{feff}{}".as_bytes()).is_ok(), "a byte order mark is skipped");
}

#[test]
fn numbers_keep_their_digits() {
    let document = parse(b"[0.10000000000000000000000000000000000001, 12345678901234567890, 300.10]").unwrap();
    let numbers: Vec<_> = document.root().list().unwrap().collect();
    assert_eq!(numbers[0].value(), Value::Number("0.10000000000000000000000000000000000001"));
    assert_eq!(numbers[1].integer().unwrap_err().0, "[1]: 12345678901234567890 is not a whole number of 64 bits");
    assert_eq!(numbers[2].decimal(), Ok(Decimal { units: 30_010, scale: 2 }));
}

#[test]
fn what_is_no_json() {
    for (input, words) in [
        ("", "line 1, column 1: the document ends where a value should stand"),
        ("{", "ends where a key in quotes"),
        ("{\"a\"}", "\":\" should stand here, not '}'"),
        ("[1,]", "a value should stand here, not ']'"),
        ("[1 2]", "\",\" or \"]\" should stand here"),
        ("\n[NaN]", "line 2, column 2: a value should stand here, not 'N'"),
        ("[-Infinity]", "a digit should stand here, not 'I'"),
        ("[01]", "\",\" or \"]\" should stand here, not '1'"),
        ("[1.]", "a digit"),
        ("[1e]", "a digit"),
        ("[+1]", "a value"),
        ("['a']", "a value should stand here, not '\\''"),
        ("// x", "a value"),
        ("{} {}", "more text"),
        ("nul", "a value"),
        ("\"a", "inside a string"),
        ("\"a\\", "inside a string"),
        ("\"a\nb\"", "control character"),
        ("\"\\x\"", "an escape that JSON knows"),
        ("\"\\u12\"", "four hexadecimal"),
        ("\"\\u+123\"", "four hexadecimal"),
        ("\"\\uD800\"", "surrogate"),
        ("\"\\uDC00\"", "surrogate"),
        ("\"\\uD800\\u0041\"", "surrogate"),
        ("\"\\uD800\\n\"", "surrogate"),
        ("{\"é\":1,\"é\":2}", "the key \"é\" stands twice"),
        ("{\"a\":1,\"\\u0061\":2}", "the key \"a\" stands twice"),
    ] {
        let reason = refused(input.as_bytes());
        assert!(reason.contains(words), "{input}: {reason}");
    }
}

#[test]
fn other_encodings_are_named() {
    assert!(refused(b"{\"name\":\"Caf\xE9\"}").contains("not UTF-8: byte 0xE9 at position 12"));
    assert!(refused(&[0xFF, 0xFE, b'{', 0]).contains("UTF-16"));
    assert!(refused(&[0, b'{', 0, b'}']).contains("UTF-16"));
    assert!(refused(&[b'{', 0, b'}', 0]).contains("UTF-16"));
}

#[test]
fn nesting_ends_somewhere() {
    assert!(parse(format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST)).as_bytes()).is_ok());
    assert!(refused("[".repeat(100_000).as_bytes()).contains("nested deeper than 64 levels"));
    assert!(refused("{\"a\":".repeat(100_000).as_bytes()).contains("nested deeper than 64 levels"));
}

#[test]
fn large_objects_are_searched_for_repetitions_too() {
    let many: Vec<String> = (0..1000).map(|number| format!("\"k{number}\":0")).collect();
    assert!(parse(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
    assert!(refused(format!("{{{},\"k7\":1}}", many.join(",")).as_bytes()).contains("\"k7\" stands twice"));
}

#[test]
fn refusals_name_the_place_and_the_value() {
    let document = parse(br#"{"lines":[{"a b":{"arrival":"0000-00-00"}},{"n":"2026-03-04/2026-03-04","x":7,"long":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}"#).unwrap();
    let lines: Vec<_> = document.root().object().unwrap().required("lines").unwrap().list().unwrap().collect();
    let inner = lines[0].object().unwrap().required("a b").unwrap().object().unwrap();
    assert_eq!(
        inner.required("arrival").unwrap().day().unwrap_err().0,
        "lines[0][\"a b\"].arrival: \"0000-00-00\" is not a date from 1900-01-01 to 2299-12-31 (YYYY-MM-DD)"
    );
    assert_eq!(inner.required("departure").unwrap_err().0, "lines[0][\"a b\"]: \"departure\" is missing");
    let second = lines[1].object().unwrap();
    assert!(second.required("n").unwrap().nights().unwrap_err().0.contains("holds no night"));
    assert_eq!(second.required("x").unwrap().text().unwrap_err().0, "lines[1].x: 7 is not a string");
    assert!(second.required("long").unwrap().integer().unwrap_err().0.contains("aaaa...\" is not"));
    assert_eq!(second.only(&["n", "x"]).unwrap_err().0, "lines[1]: unknown key \"long\" (known here: n, x)");
    assert_eq!(document.root().list().err().unwrap().0, "document: an object is not a list");
}

#[test]
fn what_was_read_can_be_written() {
    let text = r#"{"a":[1.50,-2e3,null,true,{}],"é\"\\":"\u000a😀/"}"#;
    let document = parse(text.as_bytes()).unwrap();
    assert_eq!(document.root().to_string(), text);
}

#[test]
fn other_peoples_spellings() {
    let document = parse(
        br#"{"a":{"b":{"id":" 7 ","n":"12","f":2.0,"blank":" ","none":null,"flag":"1","day":"2026-03-01T23:00:00+01:00"}},
        "one":{"x":1},"several":[{"x":1},{"x":2}],"state":"No-Show"}"#,
    )
    .unwrap();
    let root = document.root();
    let at = |path: &str| root.find(path).unwrap();
    assert_eq!((at("a.b.id").id().unwrap(), at("a.b.n").whole().unwrap(), at("a.b.f").tally().unwrap()), ("7", 12, 2));
    assert!(root.find("a.b.blank").is_none() && root.find("a.b.none").is_none() && root.find("a.x.y").is_none());
    assert!(root.raw("a.b.none").is_some());
    assert_eq!((root.all("one").len(), root.all("several").len(), root.all("missing").len()), (1, 2, 0));
    assert_eq!(at("state").one_of(&[("no_show", 1), ("in_house", 2)]), Ok(1));
    assert_eq!(at("a.b.flag").flag(), Ok(true));
    assert_eq!(at("a.b.day").local_day(), Ok(time::day("2026-03-01").unwrap()));
    assert_eq!(root.needs("a.b.blank").unwrap_err().0, "document: a.b.blank is missing");
    assert_eq!(at("state").one_of(&[("x", 1)]).unwrap_err().0, "state: \"No-Show\" is not one of x");
    assert_eq!(at("a.b.n").flag().unwrap_err().0, "a.b.n: \"12\" is not true or false");
    assert_eq!(at("a").id().unwrap_err().0, "a: an object is not an identity (a string, not empty, or a whole number)");
}

#[test]
fn cards_are_left_out_and_masked() {
    let cleaner = Cleaner { without: &["secret"], identities: &["id", "ts"] };
    let document = parse(
        br#"{"id":"4444333322221111","ts":4444333322221111,"Card":{"number":"1"},"note":"visa 4444 3333 2222 1111","n":4444333322221111,
        "list":[{"cvv":"123","x":1.50},"4444333322221111"],"secret":[1]}"#,
    )
    .unwrap();
    let written = cleaner.written(document.root());
    assert_eq!(
        written,
        r#"{"id":"4444333322221111","ts":4444333322221111,"note":"visa **** **** **** 1111","n":"************1111","list":[{"x":1.50},"************1111"]}"#
    );
    assert!(cleaner.hides(document.root()));
    let clean = parse(written.as_bytes()).unwrap();
    assert!(!cleaner.hides(clean.root()), "cleaning twice changes nothing");
    let refused = document.root().find("n").unwrap().text().unwrap_err().0;
    assert_eq!(refused, "n: ************1111 is not a string");
}

#[test]
fn a_document_once_per_part() {
    let cleaner = Cleaner { without: &[], identities: &[] };
    let document = parse(br#"{"a":1,"list":[{"x":1},{"x":2},7],"z":[]}"#).unwrap();
    let root = document.root();
    let parts: Vec<_> = root.all("list").into_iter().take(2).collect();
    assert_eq!(
        cleaner.each(root, &parts),
        [r#"{"a":1,"list":[{"x":1},7],"z":[]}"#, r#"{"a":1,"list":[{"x":2},7],"z":[]}"#]
    );
    assert_eq!(cleaner.each(root, &[root]), [root.to_string()]);
    assert!(cleaner.each(root, &[]).is_empty());
}
