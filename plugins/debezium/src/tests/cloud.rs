//! A newer platform on PostgreSQL: one row is one night, keys are UUIDs, prices are numeric; updates tell what changed only.

use super::{parts, refused, told};

/// As a pipeline's `settings`, the same as in the README.
pub const SETTINGS: &str = r#"{"time_zone": "Europe/Madrid", "tables": [
    {"table": "public.room_nights", "row": "night", "moves": false,
     "property": "property_id", "room_type": "room_type_id", "date": "night",
     "fields": {"availability": "free_units",
                "price": {"column": "price", "currency": {"column": "currency"}},
                "min_stay": "min_stay", "note": {"column": "note", "type": "text"}}},
    {"table": "public.reservation_rooms", "row": "booking",
     "property": "property_id", "reservation": "reservation_id", "line": "id",
     "status": "status", "arrival": "check_in", "departure": "check_out", "room_type": "room_type_id",
     "money": {"column": "total", "currency": "EUR"}, "guests": "guests",
     "references": [{"issuer": {"column": "channel"}, "column": "channel_code"},
                    {"kind": "group", "issuer": "cloud", "column": "group_id"}]}]}"#;

const H: &str = "2f1c7a9e-0000-4000-8000-000000000001";
const T: &str = "2f1c7a9e-0000-4000-8000-0000000000aa";

pub fn night(night: &str, price: &str) -> String {
    format!(
        r#"{{"id":"9b2d3c4e-0000-4000-8000-00000000000f","property_id":"{H}","room_type_id":"{T}","night":{night},"free_units":3,"price":{price},"currency":"EUR","min_stay":null,"note":"__debezium_unavailable_value"}}"#
    )
}

pub fn event(op: &str, before: &str, after: &str, table: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"version":"3.3.0.Final","connector":"postgresql","name":"cloud","ts_ms":1772366400000,
        "snapshot":"false","db":"pms","sequence":"[\"24023119\",\"24023128\"]","schema":"public","table":"{table}","txId":555,"lsn":24023128,"xmin":null}},
        "op":"{op}","ts_ms":1772366400123}}"#
    )
}

#[test]
fn a_row_is_a_night() {
    assert_eq!(
        told(SETTINGS, &event("c", "null", &night("20513", "\"120.5000\""), "room_nights")),
        [
            format!("at {H}"),
            format!("set @[24023119, 24023128] {T} 2026-03-01/2026-03-02 availability=3 price=120.50 EUR min_stay=-"),
        ]
    );
    let variable = r#"{"scale":1,"value":"BLU="}"#;
    assert!(
        told(SETTINGS, &event("c", "null", &night("20513", variable), "room_nights"))[1].contains("price=120.5 EUR")
    );
    let number = told(SETTINGS, &event("c", "null", &night("\"2026-03-01\"", "120.50"), "room_nights"));
    assert!(number[1].contains("price=120.50 EUR"));
}

#[test]
fn an_update_without_what_was_before() {
    let update = event("u", "null", &night("20513", "99"), "room_nights");
    assert!(told(SETTINGS, &update)[1].contains("price=99 EUR"));
    let key_only = event("u", r#"{"id":"9b2d3c4e-0000-4000-8000-00000000000f"}"#, &night("20513", "99"), "room_nights");
    assert!(told(SETTINGS, &key_only)[1].contains("price=99 EUR"));
    assert!(refused(&SETTINGS.replace(r#" "moves": false,"#, ""), &update).contains("REPLICA IDENTITY FULL"));
    // The key's columns are there, all others are null: the row's place is not told.
    let deleted = night("null", "null").replace(H, "").replace(T, "");
    assert!(
        refused(SETTINGS, &event("d", &deleted, "null", "room_nights")).contains("does not say where the row belonged")
    );
    let full = event("d", &night("20513", "99"), "null", "room_nights");
    assert!(
        told(SETTINGS, &full)[1].starts_with(&format!("withdraw @[24023119, 24023128] {T} 2026-03-01/2026-03-02 of"))
    );
}

#[test]
fn a_value_that_is_not_told_stands_in_the_row_before() {
    let before = night("20513", "99");
    let after = night("\"__debezium_unavailable_value\"", "100");
    assert!(told(SETTINGS, &event("u", &before, &after, "room_nights"))[1].contains("2026-03-01/2026-03-02"));
}

#[test]
fn positions_of_the_write_ahead_log() {
    let at = |sequence: &str| {
        let event = event("c", "null", &night("20513", "99"), "room_nights");
        let event = event.replace(r#""sequence":"[\"24023119\",\"24023128\"]""#, sequence);
        parts(SETTINGS, &event)[0].clone().map(|told| told[1].split(' ').take(3).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(at(r#""sequence":"[null,\"24023128\"]""#).unwrap(), "set @[0, 24023128]");
    assert!(at(r#""sequence":null"#).unwrap().starts_with("set @[24023128, 24023128]"));
    for wrong in [r#""sequence":"[1]""#, r#""sequence":"x""#, r#""sequence":"[1,-2]""#, r#""sequence":"{}""#] {
        assert!(at(wrong).unwrap_err().contains("is not a list of two positions"), "{wrong}");
    }
}

#[test]
fn rooms_of_a_reservation() {
    let row = format!(
        r#"{{"id":"r1","reservation_id":"V-7","property_id":"{H}","status":"confirmed","check_in":"2026-02-28T23:30:00Z","check_out":"2026-03-03T10:00:00+01:00",
        "room_type_id":"{T}","total":"310.00","guests":2,"channel":"Booking.com","channel_code":"999","group_id":"G1","guest":"Παπαδόπουλος 予約"}}"#
    );
    assert_eq!(
        told(SETTINGS, &event("c", "null", &row, "reservation_rooms")),
        [
            format!("at {H}"),
            format!(
                "line @[24023119, 24023128] V-7: r1 confirmed 2026-03-01/2026-03-03 {T} 310.00 EUR 2 guests booking:booking-com:999 group:cloud:G1"
            ),
        ],
        "half past midnight in Madrid"
    );
    let no_channel = row.replace("\"Booking.com\"", "null").replace("\"confirmed\"", "\"no_show\"");
    let told = told(SETTINGS, &event("c", "null", &no_channel, "reservation_rooms"));
    assert!(told[1].contains("no-show") && told[1].ends_with("group:cloud:G1"), "{told:?}");
    for (from, to, words) in [
        ("2026-03-03T10:00:00+01:00", "2026-03-01", "is not after the arrival"),
        ("2026-03-03T10:00:00+01:00", "2062-03-01", "at most 365 are taken"),
        ("\"confirmed\"", "\"perhaps\"", "\"perhaps\" is not one of tentative, confirmed"),
        ("\"V-7\"", "null", "reservation_id: null is not a code"),
        ("310.00", "310,00", "is not a"),
    ] {
        let reason = refused(SETTINGS, &event("c", "null", &row.replace(from, to), "reservation_rooms"));
        assert!(reason.contains(words), "{to}: {reason}");
    }
}

#[test]
fn wal2json_says_the_same() {
    let names = ["id", "property_id", "room_type_id", "night", "free_units", "price", "currency", "min_stay", "note"];
    let values = ["\"x\"", "\"H1\"", "\"T1\"", "\"2026-03-01\"", "3", "120.50", "\"EUR\"", "null", "null"];
    let columns: Vec<String> = names
        .iter()
        .zip(values)
        .map(|(name, value)| format!(r#"{{"name":"{name}","type":"text","value":{value}}}"#))
        .collect();
    let columns = columns.join(",");
    let second = |action: &str, more: &str| {
        format!(r#"{{"action":"{action}","lsn":"16/B374D848","schema":"public","table":"room_nights"{more}}}"#)
    };
    let lsn = (0x16_u64 << 32) | 0xB374_D848;
    let set = format!("set @[{lsn}] T1 2026-03-01/2026-03-02 availability=3 price=120.50 EUR min_stay=- note=-");
    assert_eq!(told(SETTINGS, &second("I", &format!(r#","columns":[{columns}]"#))), ["at H1", &*set]);
    let update =
        second("U", &format!(r#","columns":[{columns}],"identity":[{{"name":"id","type":"text","value":"x"}}]"#));
    assert_eq!(told(SETTINGS, &update), ["at H1", &*set]);
    let delete = second("D", &format!(r#","identity":[{columns}]"#));
    assert!(told(SETTINGS, &delete)[1].starts_with(&format!("withdraw @[{lsn}] T1 2026-03-01/2026-03-02")));
    for (action, words) in
        [("B", "boundary"), ("C", "boundary"), ("M", "message"), ("X", "is not an action"), ("T", "names no hotel")]
    {
        assert!(refused(SETTINGS, &second(action, "")).contains(words), "{action}");
    }
    let list = |items: &[&str]| format!("[{}]", items.join(","));
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let change = format!(
        r#"{{"kind":"insert","schema":"public","table":"room_nights","columnnames":{},"columnvalues":{}}}"#,
        list(&names),
        list(&values)
    );
    let gone =
        r#"{"kind":"delete","schema":"public","table":"room_nights","oldkeys":{"keynames":["id"],"keyvalues":["x"]}}"#;
    let other = r#"{"kind":"insert","schema":"public","table":"guests","columnnames":["id"],"columnvalues":[1]}"#;
    let transaction = format!(
        r#"{{"xid":3,"nextlsn":"0/10","change":[{change},{},{gone},{other}]}}"#,
        change.replace("2026-03-01", "2026-03-02")
    );
    let parts = parts(SETTINGS, &transaction);
    assert_eq!(parts.len(), 4, "{parts:?}");
    assert!(parts[0].clone().unwrap()[1].starts_with("set @[16, 0] T1 2026-03-01/2026-03-02"), "{parts:?}");
    assert!(parts[1].clone().unwrap()[1].starts_with("set @[16, 1] T1 2026-03-02/2026-03-03"), "its place is kept");
    assert!(parts[2].clone().unwrap_err().contains("the deletion does not say"));
    assert!(parts[3].clone().unwrap_err().contains("the table public.guests is not in the mapping"));
    assert!(refused(SETTINGS, r#"{"change":[]}"#).contains("without changes"));
}
