//! The tables as text: once with every column, to compare two runs, once for people.
//!
//! Read with FINAL and in one order; `recorded_at` is the only column left aside. Knows the columns' meaning as
//! far as a reader wants to see it.

use std::collections::BTreeMap;
use std::fmt::Write;

use concord::log::{Offset, Partition};
use concord::store::Store;
use concord::worker::checkpoint::PartitionState;
use serde_json::Value;

/// Every column of every table but the state's own checkpoint, and the entities in the state.
const EXACT: [(&str, &str); 8] = [
    ("room_nights", "SELECT * FROM room_nights FINAL ORDER BY property, date, room_type"),
    ("reservations", "SELECT * FROM reservations FINAL ORDER BY property, date, room_type, stay"),
    (
        "conflicts",
        "SELECT * EXCEPT (recorded_at) REPLACE (hex(prev_hash) AS prev_hash, hex(hash) AS hash) FROM conflicts \
         ORDER BY partition, offset, seq",
    ),
    ("dead_letters", "SELECT * EXCEPT (recorded_at) FROM dead_letters ORDER BY partition, offset, seq"),
    ("rule_changes", "SELECT * FROM rule_changes ORDER BY sequence"),
    ("properties", "SELECT * FROM properties FINAL ORDER BY property"),
    ("source_freshness", "SELECT * FROM source_freshness FINAL ORDER BY source, property"),
    (
        "state",
        "SELECT partition, property, hex(key) AS key, hex(value) AS value FROM state FINAL \
         WHERE property != '' AND value != '' ORDER BY partition, property, key",
    ),
];

/// The tables, and what holds in every one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump(pub BTreeMap<&'static str, Vec<String>>);

impl Dump {
    /// Reads everything.
    pub async fn read(store: &Store) -> Dump {
        let mut tables = BTreeMap::new();
        for (table, query) in EXACT {
            let mut answer = store.query_raw(query, "JSONEachRow").expect(table);
            let mut text = Vec::new();
            while let Some(chunk) = answer.next().await.expect(table) {
                text.extend_from_slice(&chunk);
            }
            let text = String::from_utf8(text).expect("text");
            tables.insert(table, text.lines().map(str::to_owned).collect());
        }
        Dump(tables)
    }

    /// Rows of one table as objects.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        self.0.get(table).into_iter().flatten().map(|row| serde_json::from_str(row).expect("JSON")).collect()
    }

    /// Panics with the rows that differ.
    #[track_caller]
    pub fn assert_same(&self, other: &Dump, what: &str) {
        let mut text = String::new();
        for (table, rows) in &self.0 {
            text += &differences(table, rows, &other.0[table]);
        }
        assert!(text.is_empty(), "{what}: the tables differ\n{text}");
    }
}

/// Lines that only one side has, `-` here and `+` there; empty when both are equal.
pub fn differences<T: AsRef<str> + PartialEq>(name: &str, left: &[T], right: &[T]) -> String {
    if left == right {
        return String::new();
    }
    let mut text = format!("{name}:\n");
    for row in left.iter().filter(|row| !right.contains(row)) {
        let _ = writeln!(text, "  - {}", row.as_ref());
    }
    for row in right.iter().filter(|row| !left.contains(row)) {
        let _ = writeln!(text, "  + {}", row.as_ref());
    }
    text
}

/// What must hold whatever was merged: the chain is whole, and every accepted stay stands with all of its nights.
pub async fn check(store: &Store, partitions: u32) {
    for partition in 0..partitions {
        let entries = store.load_partition(partition).await.expect("state").entries;
        let head = PartitionState::read(&entries).expect("state").checkpoint.map(|checkpoint| checkpoint.audit);
        let (_, findings) = store.verify_audit(partition, head).await.expect("audit");
        assert!(findings.is_empty(), "partition {partition}: {findings:?}");
    }
    let torn = "SELECT property, stay FROM reservations FINAL WHERE outcome = 'accepted' AND status != 'no-show' \
                AND (property, stay) NOT IN (SELECT property, stay FROM bookings)";
    let torn = store.query_json(torn, &[]).await.expect("bookings");
    assert!(torn.is_empty(), "stays that are accepted for some nights only: {torn:?}");
}

/// Names of records by their place, for people: `#3` is the third line of a case's input.
pub type Labels = BTreeMap<(Partition, Offset), String>;

/// The tables for people. Hashes, log times and digests of plugins are left out: they change without any decision changing.
pub fn readable(dump: &Dump, labels: &Labels, partition_of: impl Fn(&str) -> Partition) -> String {
    let mut text = String::new();
    let by_version = |row: &Value| {
        let version = row["version"].as_str().and_then(|v| v.parse::<u64>().ok()).or(row["version"].as_u64());
        label(labels, partition_of(word(row, "property")), version.unwrap_or(0).wrapping_sub(1) & 0xffff_ffff_ffff)
    };
    let mut section = |name: &str, lines: Vec<String>| {
        let _ = writeln!(text, "\n{name}");
        lines.iter().for_each(|line| {
            let _ = writeln!(text, "  {line}");
        });
    };
    let rows = dump.rows("room_nights");
    section("room nights", rows.iter().map(|row| room_night(row, &by_version(row))).collect());
    let rows = dump.rows("reservations");
    section("reservations", rows.iter().map(|row| reservation(row, &by_version(row))).collect());
    let rows = dump.rows("conflicts");
    section("conflicts", rows.iter().map(|row| conflict(row, labels)).collect());
    let rows = dump.rows("dead_letters");
    section("dead letters", rows.iter().map(|row| dead_letter(row, labels)).collect());
    let rows = dump.rows("rule_changes");
    let change = |row: &Value| {
        let sequence = label(labels, 0, number(row, "sequence"));
        format!("{sequence} {}@{} by {}", word(row, "name"), word(row, "version"), word(row, "author"))
    };
    section("rule changes", rows.iter().map(change).collect());
    text
}

fn label(labels: &Labels, partition: Partition, offset: Offset) -> String {
    labels.get(&(partition, offset)).cloned().unwrap_or_else(|| format!("p{partition}:{offset}"))
}

fn word<'a>(row: &'a Value, column: &str) -> &'a str {
    row[column].as_str().unwrap_or("")
}

/// 64-bit numbers may come as text.
fn number(row: &Value, column: &str) -> u64 {
    row[column].as_u64().or_else(|| row[column].as_str()?.parse().ok()).unwrap_or(u64::MAX)
}

/// Anything as text: `-` for NULL.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().join(" ")
}

/// The rule set's hash is left out.
fn rule_set(row: &Value) -> &str {
    word(row, "rule_set").split('#').next().unwrap_or("")
}

fn room_night(row: &Value, at: &str) -> String {
    const KNOWN: [&str; 11] = [
        "property",
        "date",
        "room_type",
        "capacity",
        "booked",
        "held",
        "available",
        "sources",
        "rule_set",
        "version",
        "log_time",
    ];
    let of = |column: &str| plain(&row[column]);
    let mut text = format!(
        "{} {} {}  capacity {} booked {} held {} available {}",
        of("property"),
        of("date"),
        of("room_type"),
        of("capacity"),
        of("booked"),
        of("held"),
        of("available")
    );
    for (name, value) in row.as_object().into_iter().flatten() {
        if !KNOWN.contains(&name.as_str()) && !value.is_null() {
            let _ = write!(text, "  {name} {}", plain(value));
        }
    }
    let sources = row["sources"].as_object().into_iter().flatten();
    let sources: Vec<String> = sources.map(|(field, source)| format!("{field}:{}", plain(source))).collect();
    if !sources.is_empty() {
        let _ = write!(text, "  by {}", sources.join(" "));
    }
    format!("{text}  {} {at}", rule_set(row))
}

fn reservation(row: &Value, at: &str) -> String {
    let of = |column: &str| plain(&row[column]);
    let mut text = format!(
        "{} {} {} {}  {} {} {}/{}",
        of("property"),
        of("date"),
        of("room_type"),
        of("stay"),
        of("outcome"),
        of("status"),
        of("arrival"),
        of("departure")
    );
    if !word(row, "room").is_empty() {
        let _ = write!(text, " room {}", word(row, "room"));
    }
    if !row["amount"].is_null() {
        let _ = write!(text, "  {} {}", of("amount"), of("currency"));
    }
    if !row["guests"].is_null() {
        let _ = write!(text, "  {} guests", of("guests"));
    }
    let _ = write!(text, "  lines {}", list(&row["lines"]));
    if row["references"].as_array().is_some_and(|all| !all.is_empty()) {
        let _ = write!(text, "  references {}", list(&row["references"]));
    }
    format!("{text}  status by {} [{}] {at}", of("source"), of("rule_id"))
}

fn conflict(row: &Value, labels: &Labels) -> String {
    let of = |column: &str| plain(&row[column]);
    let partition = u32::try_from(number(row, "partition")).unwrap_or(u32::MAX);
    let claims = row["claims"].as_array().into_iter().flatten().map(|claim| {
        let revision = match word(claim, "revision") {
            "" => String::new(),
            revision => format!("(rev {revision})"),
        };
        let at = label(labels, partition, number(claim, "offset"));
        format!("{}={}{revision}@{at}", word(claim, "source"), word(claim, "value"))
    });
    let claims: Vec<String> = claims.collect();
    let stay = match word(row, "stay") {
        "" => String::new(),
        stay => format!(" stay {stay}"),
    };
    let at = label(labels, partition, number(row, "offset"));
    let mut text = format!(
        "{at}.{} {} {} of {}  {} {} {}{stay}",
        of("seq"),
        of("kind"),
        of("decision"),
        of("field"),
        of("property"),
        of("date"),
        of("room_type")
    );
    if !claims.is_empty() {
        let _ = write!(text, ": {}", claims.join(", "));
    }
    let _ = write!(text, " -> {}={} [{}]", of("winner_source"), of("winner_value"), of("rule_id"));
    let _ = write!(text, " \"{}\" {} {}", of("reason"), of("cause"), rule_set(row));
    text
}

fn dead_letter(row: &Value, labels: &Labels) -> String {
    let of = |column: &str| plain(&row[column]);
    let partition = u32::try_from(number(row, "partition")).unwrap_or(u32::MAX);
    let at = label(labels, partition, number(row, "offset"));
    format!("{at} {} of {}: {}", of("kind"), of("source"), of("reason"))
}
