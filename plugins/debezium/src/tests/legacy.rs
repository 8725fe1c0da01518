//! An old reservation system on MySQL: one row is a period, columns are German, prices are cents, rooms are counted per
//! category; bookings have a table of their own.

use super::{parts, refused, told};

/// As a pipeline's `settings`, the same as in the README.
pub const SETTINGS: &str = r#"{"tables": [
    {"table": "hotel.kontingente", "row": "period",
     "property": "haus_nr", "room_type": "kategorie", "first": "gueltig_von", "last": "gueltig_bis",
     "fields": {"capacity": "anzahl_zimmer",
                "price": {"column": "preis_cent", "scale": 2, "currency": "EUR"},
                "closed": {"column": "gesperrt", "words": {"J": true, "N": false}}}},
    {"table": "buchungen", "row": "booking",
     "property": "haus_nr", "reservation": "buchung_nr", "line": "zimmer_lfd_nr",
     "status": {"column": "status", "words": {"F": "confirmed", "O": "tentative", "S": "cancelled", "A": "checked-in", "N": "no-show"}},
     "cancelled": "storniert_am", "arrival": "anreise", "departure": "abreise", "room_type": "kategorie", "room": "zimmer_nr",
     "money": {"column": "gesamtpreis", "currency": {"column": "waehrung"}},
     "guests": ["erwachsene", "kinder"],
     "references": [{"issuer": "booking-com", "column": "portal_nr"}]}]}"#;

/// Days since 1970: 20513 is 2026-03-01.
const ROW: &str = r#"{"id":7,"haus_nr":12,"kategorie":"DZ","gueltig_von":20513,"gueltig_bis":20515,"anzahl_zimmer":8,"preis_cent":12050,"gesperrt":"N"}"#;

pub fn event(op: &str, before: &str, after: &str, source: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"version":"3.3.0.Final","connector":"mysql","name":"alt","ts_ms":1772366400000,
        "snapshot":"false","db":"hotel","table":"kontingente","server_id":1,{source}}},"op":"{op}","ts_ms":1772366400123,"transaction":null}}"#
    )
}

const AT: &str = r#""gtid":null,"file":"mysql-bin.000003","pos":484,"row":0"#;

#[test]
fn a_period_becomes_room_nights() {
    let expected = ["at 12", "set @[0, 3, 484, 0] DZ 2026-03-01/2026-03-04 capacity=8 price=120.50 EUR closed=false"];
    assert_eq!(told(SETTINGS, &event("c", "null", ROW, AT)), expected);
    assert_eq!(told(SETTINGS, &event("r", "null", ROW, AT)), expected, "a snapshot's row is the same");
    let with_schema =
        format!(r#"{{"schema":{{"type":"struct","fields":[]}},"payload":{}}}"#, event("c", "null", ROW, AT));
    assert_eq!(told(SETTINGS, &with_schema), expected);
}

#[test]
fn a_shorter_period_gives_nights_back() {
    let later = ROW.replace("20515", "20513").replace("12050", "9900");
    assert_eq!(
        told(SETTINGS, &event("u", ROW, &later, AT)),
        [
            "at 12",
            "withdraw @[0, 3, 484, 0] DZ 2026-03-02/2026-03-04 of capacity,price,closed",
            "set @[0, 3, 484, 0] DZ 2026-03-01/2026-03-02 capacity=8 price=99.00 EUR closed=false",
        ]
    );
    let other_type = ROW.replace("DZ", "EZ");
    let told = told(SETTINGS, &event("u", ROW, &other_type, AT));
    assert_eq!(told[1], "withdraw @[0, 3, 484, 0] DZ 2026-03-01/2026-03-04 of capacity,price,closed");
    assert!(told[2].contains(" EZ "), "{told:?}");
}

#[test]
fn deletions_and_truncations() {
    assert_eq!(
        told(SETTINGS, &event("d", ROW, "null", AT)),
        ["at 12", "withdraw @[0, 3, 484, 0] DZ 2026-03-01/2026-03-04 of capacity,price,closed"]
    );
    assert!(refused(SETTINGS, &event("d", r#"{"id":7}"#, "null", AT)).contains("does not say where the row belonged"));
    let truncated = event("t", "null", "null", AT);
    assert!(refused(SETTINGS, &truncated).contains("names no hotel"));
    let one_hotel = SETTINGS.replacen(r#""property": "haus_nr""#, r#""property": {"value": "H1"}"#, 1);
    assert_eq!(
        told(&one_hotel, &truncated)[1],
        "withdraw @[0, 3, 484, 0] * 1900-01-01/2299-12-31 of capacity,price,closed"
    );
}

#[test]
fn a_row_that_moves_between_hotels_is_told_to_both() {
    let moved = parts(SETTINGS, &event("u", ROW, &ROW.replace("\"haus_nr\":12", "\"haus_nr\":13"), AT));
    let moved: Vec<_> = moved.into_iter().map(Result::unwrap).collect();
    assert_eq!(moved[0], ["at 12", "withdraw @[0, 3, 484, 0] DZ 2026-03-01/2026-03-04 of capacity,price,closed"]);
    assert_eq!(moved[1][0], "at 13");
    assert!(moved[1][1].starts_with("set ") && moved.len() == 2, "{moved:?}");
}

#[test]
fn what_was_before_has_to_be_told() {
    for before in ["null", r#"{"id":7}"#, &ROW.replace("20513", "0")] {
        let reason = refused(SETTINGS, &event("u", before, ROW, AT));
        assert!(reason.contains("REPLICA IDENTITY FULL") && reason.contains("moves = false"), "{before}: {reason}");
    }
}

#[test]
fn positions_are_compared_as_numbers() {
    let at = |source: &str| told(SETTINGS, &event("c", "null", ROW, source))[1].split(" DZ").next().unwrap().to_owned();
    assert_eq!(at(r#""gtid":"24DA167-0C0C-11E8:23","file":"bin.000010","pos":5,"row":1"#), "set @[1, 23, 5, 1]");
    assert_eq!(at(r#""gtid":"24DA167-0C0C-11E8:tag:9","file":"bin.000010","pos":5,"row":1"#), "set @[1, 9, 5, 1]");
    assert_eq!(at(r#""gtid":"0-1-100","file":"bin.000010","pos":5,"row":0"#), "set @[1, 100, 5, 0]");
    let servers = SETTINGS.replacen('{', r#"{"gtid_servers": ["AAAA", "BBBB"], "#, 1);
    let after_failover = event("c", "null", ROW, r#""gtid":"bbbb:7","file":"bin.000001","pos":5,"row":0"#);
    assert!(told(&servers, &after_failover)[1].starts_with("set @[2, 7, 5, 0]"));
    let unknown = event("c", "null", ROW, r#""gtid":"cccc:7","file":"bin.000001","pos":5,"row":0"#);
    assert!(refused(&servers, &unknown).contains("\"cccc\" is not among \"gtid_servers\""));
}

#[test]
fn dates_in_every_encoding() {
    let first = |value: &str| told(SETTINGS, &event("c", "null", &ROW.replacen("20513", value, 1), AT))[1].clone();
    for value in [
        "\"2026-03-01\"",
        "\"2026-03-01Z\"",
        "\"2026-03-01 00:00:00\"",
        "1772323200000",
        "1772323200000000",
        "1772323200000000000",
        "\"1772323200000\"",
        "1772409599999",
    ] {
        assert!(first(value).contains(" DZ 2026-03-01/2026-03-04 "), "{value}");
    }
    for (value, words) in [
        ("0", "a zero date names no night"),
        ("null", "a zero date names no night"),
        ("\"0000-00-00\"", "a zero date names no night"),
        ("\"0000-00-00 00:00:00\"", "a zero date names no night"),
        ("20260301", "is not a date (days, milliseconds"),
        ("\"01.03.2026\"", "is not a date (YYYY-MM-DD)"),
        ("\"2026-03-01T23:30:00Z\"", "needs the setting \"time_zone\""),
        ("20517", "the last day 2026-03-03 is before the first day 2026-03-05"),
        ("10000", "at most 1900 are taken"),
        ("true", "is not a date"),
        ("1e5", "is not a date"),
        ("\"__debezium_unavailable_value\"", "gueltig_von says where the row belongs, and is not told"),
    ] {
        let reason = refused(SETTINGS, &event("c", "null", &ROW.replacen("20513", value, 1), AT));
        assert!(reason.contains(words), "{value}: {reason}");
    }
    let zoned = SETTINGS.replacen('{', r#"{"time_zone": "Europe/Berlin", "#, 1);
    let late = event("c", "null", &ROW.replacen("20513", "\"2026-02-28T23:30:00Z\"", 1), AT);
    assert!(told(&zoned, &late)[1].contains(" DZ 2026-03-01/2026-03-04 "), "half past midnight in Berlin");
}

#[test]
fn numbers_in_every_encoding() {
    let price = |value: &str| told(SETTINGS, &event("c", "null", &ROW.replace("12050", value), AT))[1].clone();
    assert!(price("\"12050\"").contains("price=120.50 EUR"));
    assert!(price("null").contains("price=-"), "NULL takes the claim back");
    assert!(!price("\"__debezium_unavailable_value\"").contains("price"), "not told: it keeps its claim");
    for (from, to, words) in [
        ("12050", "\"NaN\"", "preis_cent: \"NaN\" is not a"),
        ("12050", "{}", "value is missing"),
        ("12050", "\"much\"", "is not a"),
        (":8,", ":-1.5,", "is not a whole number"),
        (":8,", ":\"MDk=\",", "base64 needs the schema"),
        ("\"N\"", "\"X\"", "is not one of the mapping's words (J, N)"),
        ("\"DZ\"", "[]", "kategorie: a list is not a code"),
        ("\"kategorie\":\"DZ\",", "", "the column kategorie is not in the row (there are id, haus_nr, gueltig_von"),
    ] {
        let reason = refused(SETTINGS, &event("c", "null", &ROW.replace(from, to), AT));
        assert!(reason.contains(words), "{to}: {reason}");
    }
}

#[test]
fn decimals_and_dates_by_the_schema() {
    let schema = r#"{"type":"struct","fields":[{"type":"struct","field":"after","fields":[
        {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"gesamtpreis"},
        {"type":"int64","name":"io.debezium.time.Timestamp","field":"anreise"},
        {"type":"int32","name":"io.debezium.time.Date","field":"abreise"}]}]}"#;
    let row = r#"{"haus_nr":12,"buchung_nr":4711,"zimmer_lfd_nr":2,"status":"F","storniert_am":null,"anreise":1772373600000,"abreise":20515,
        "kategorie":"DZ","zimmer_nr":null,"gesamtpreis":"MDk=","waehrung":"EUR","erwachsene":2,"kinder":1,"portal_nr":"999"}"#;
    let payload = event("c", "null", row, AT).replace("kontingente", "buchungen");
    assert_eq!(
        told(SETTINGS, &format!(r#"{{"schema":{schema},"payload":{payload}}}"#)),
        [
            "at 12",
            "line @[0, 3, 484, 0] 4711: 2 confirmed 2026-03-01/2026-03-03 DZ room \"\" 123.45 EUR 3 guests booking:booking-com:999"
        ]
    );
    let cancelled =
        payload.replace("\"storniert_am\":null", "\"storniert_am\":1772373600000").replace("\"MDk=\"", "\"?\"");
    assert_eq!(
        told(SETTINGS, &cancelled)[1],
        "line @[0, 3, 484, 0] 4711: 2 cancelled 2026-03-01/2026-03-03 DZ room \"\"",
        "the price is wrong, the nights are read all the same"
    );
    let poor = cancelled.replace("\"abreise\":20515", "\"abreise\":\"?\"");
    assert_eq!(told(SETTINGS, &poor)[1], "line @[0, 3, 484, 0] 4711: 2 cancelled", "whatever else is wrong");
    let deleted = payload.replace("\"after\"", "\"x\"").replace("\"before\":null", &format!("\"before\":{row}"));
    let deleted = deleted.replace("\"op\":\"c\"", "\"op\":\"d\"");
    assert_eq!(told(SETTINGS, &deleted)[1], "cancel @[0, 3, 484, 0] 4711/2");
    let renumbered = payload.replace("\"before\":null", &format!("\"before\":{}", row.replace("4711", "4700")));
    let renumbered = renumbered
        .replace("\"op\":\"c\"", "\"op\":\"u\"")
        .replace("\"MDk=\"", "\"123.45\"")
        .replace("1772373600000", "20513");
    let told = told(SETTINGS, &renumbered);
    assert!(
        told[1].starts_with("cancel @[0, 3, 484, 0] 4700/2") && told[2].starts_with("line @[0, 3, 484, 0] 4711: 2 "),
        "{told:?}"
    );
}

#[test]
fn what_is_no_change_of_a_row_says_so() {
    for (body, words) in [
        ("", "a tombstone says nothing"),
        ("null", "a tombstone says nothing"),
        (r#"{"schema":null,"payload":null}"#, "a tombstone says nothing"),
        (r#"{"ts_ms":1772366400000}"#, "a heartbeat"),
        (r#"{"status":"BEGIN","id":"1","ts_ms":1}"#, "a transaction's boundary"),
        (r#"{"id":7,"__op":"u","__deleted":"false"}"#, "leave out ExtractNewRecordState"),
        (r#"{"source":{},"databaseName":"hotel","ddl":"ALTER TABLE x"}"#, "a change of the schema"),
        (r#"{"id":7}"#, "neither an event of Debezium nor of Maxwell nor of wal2json"),
        (r#"{"op":"x","source":{"table":"t"}}"#, "op: \"x\" is not an operation"),
        (r#"{"op":"c","source":null,"after":{}}"#, "source is missing"),
        (r#"{"op":"c","op":"d"}"#, "the key \"op\" stands twice"),
        ("{\"op\":NaN}", "bad JSON"),
        ("[]", "document: a list is not an object"),
    ] {
        let reason = refused(SETTINGS, body);
        assert!(reason.contains(words), "{body}: {reason}");
    }
    let other = event("c", "null", ROW, AT).replace("kontingente", "gaeste");
    assert!(refused(SETTINGS, &other).contains("the table hotel.gaeste is not in the mapping"));
}

#[test]
fn concords_own_capture() {
    let epoch = format!("{AT},\"concord_epoch\":1772366400");
    let told_of_row = told(SETTINGS, &event("r", "null", ROW, &epoch));
    assert!(told_of_row[1].starts_with("set @[1772366400, 0, 3, 484, 0] DZ"), "{told_of_row:?}");
    assert_eq!(told(SETTINGS, r#"{"concord_snapshot":"begin","property":"12"}"#), ["at 12", "snapshot begins"]);
    assert_eq!(told(SETTINGS, r#"{"concord_snapshot":"end","property":"12"}"#), ["at 12", "snapshot ends"]);
    for body in [r#"{"concord_snapshot":"end"}"#, r#"{"concord_snapshot":"middle","property":"12"}"#] {
        assert!(refused(SETTINGS, body).contains(if body.contains("middle") { "\"middle\"" } else { "property" }));
    }
}

#[test]
fn cards_are_masked_and_mapped_columns_are_not() {
    use concord_plugin::{Normalizer as _, json, testing};
    let settings = json::parse(SETTINGS.as_bytes()).unwrap();
    let settings = crate::Debezium::settings(settings.root()).unwrap();
    let row = ROW
        .replace("\"id\":7", "\"karte\":\"4444333322221111\",\"karte2\":4444333322221111")
        .replace("\"DZ\"", "\"4444333322221111\"");
    let parts = <crate::Debezium as concord_plugin::Normalizer>::split(
        &settings,
        &testing::delivery("application/json", event("c", "null", &row, AT)),
    );
    let body = String::from_utf8(parts.unwrap()[0].body.clone().unwrap()).unwrap();
    assert!(body.contains("\"karte\":\"************1111\",\"karte2\":\"************1111\""), "{body}");
    assert!(body.contains("\"kategorie\":\"4444333322221111\""), "an identity stays: {body}");
}

#[test]
fn maxwell_says_the_same() {
    let data = ROW.replace("20513", "\"2026-03-01\"").replace("20515", "\"2026-03-03\"");
    let event = |kind: &str, more: &str| {
        format!(
            r#"{{"database":"hotel","table":"kontingente","type":"{kind}","ts":1772366400,"xid":5,"position":"master.000006:800911","xoffset":2,"data":{data}{more}}}"#
        )
    };
    let set = "set @[0, 6, 800911, 2] DZ 2026-03-01/2026-03-04 capacity=8 price=120.50 EUR closed=false";
    assert_eq!(told(SETTINGS, &event("insert", ""))[1], set);
    assert_eq!(told(SETTINGS, &event("bootstrap-insert", ""))[1], set);
    let moved = event("update", r#","old":{"gueltig_von":"2026-02-27"}"#);
    let told_of_move = told(SETTINGS, &moved);
    assert!(told_of_move[1].starts_with("withdraw @[0, 6, 800911, 2] DZ 2026-02-27/2026-03-01 of"), "{told_of_move:?}");
    assert_eq!(told_of_move[2], set);
    assert!(told(SETTINGS, &event("delete", ""))[1].starts_with("withdraw @"));
    for (kind, words) in
        [("table-alter", "schema"), ("bootstrap-start", "edge"), ("upsert", "is not a type of Maxwell")]
    {
        assert!(refused(SETTINGS, &event(kind, "")).contains(words), "{kind}");
    }
    let no_position = event("insert", "").replace(r#""position":"master.000006:800911","#, "");
    assert!(told(SETTINGS, &no_position)[1].starts_with("set DZ"), "the order of the log");
}
