//! The whole pipeline where it is disturbed: configurations, misplaced and bad records, lost partitions, ClickHouse away.
//!
//! What is merged how, the golden cases show.

mod bad_input;
mod clickhouse;
mod configuration;
mod health;
mod migrate;
mod partitions;

use concord_tests::pipeline::dump::Dump;
use serde_json::Value;

const DAY: &str = "2026-03-01";

fn room_night<'a>(rows: &'a [Value], date: &str) -> &'a Value {
    rows.iter().find(|row| row["date"] == date).unwrap_or_else(|| panic!("no room night of {date} in {rows:?}"))
}

/// 64-bit numbers may come as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// (partition, offset, kind) of every dead letter.
fn dead_letters(dump: &Dump) -> Vec<(u64, u64, String)> {
    let rows = dump.rows("dead_letters");
    let number = |value: &Value| number(value).expect("a number");
    let kind = |row: &Value| row["kind"].as_str().expect("a kind").to_owned();
    rows.iter().map(|row| (number(&row["partition"]), number(&row["offset"]), kind(row))).collect()
}
