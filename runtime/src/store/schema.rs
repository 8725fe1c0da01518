//! The tables and views, and how they come into being: numbered migrations, then the declared fields as columns.
//!
//! Knows names, types, engines and keys: a contract with everyone who queries. Does not know what the rows mean.
//!
//! A migration is a list of statements that may run again after a crash; it is recorded when all have run. A released
//! migration is never edited: what changes is a new one. Fields and views are no migrations, because they follow the
//! configuration: they are brought up to date at every start and whenever a configuration comes into force.

use std::time::Duration;

use crate::store::error::StoreError;
use crate::types::FieldType;

/// Where the tables live and who cares for their durability.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) database: String,
    /// Replicas of one shard, by the name that the servers' configuration gives the cluster.
    pub(crate) cluster: Option<String>,
    pub(crate) durability: Durability,
}

/// Who sees to it that acknowledged rows survive a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The servers, as their administrators decided.
    Servers,
    /// The embedded engine, insert by insert.
    EachInsert,
    /// Concord, once per commit.
    EachCommit,
}

/// What a table needs of insert deduplication: how many blocks back a token is remembered.
#[derive(Clone, Copy)]
enum Tokens {
    None,
    Blocks(u32),
}

impl Layout {
    /// A table's or view's full name, quoted.
    pub(crate) fn name(&self, table: &str) -> String {
        format!("{}.{}", quoted(&self.database), quoted(table))
    }

    fn on_cluster(&self) -> String {
        self.cluster.as_ref().map(|cluster| format!(" ON CLUSTER {}", quoted(cluster))).unwrap_or_default()
    }

    fn create_database(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {}{}", quoted(&self.database), self.on_cluster())
    }

    /// `engine` is of the MergeTree family; `keys` are its ORDER BY and, if any, PARTITION BY clauses.
    fn table(&self, name: &str, columns: &str, engine: &str, keys: &str, tokens: Tokens, settings: &[&str]) -> String {
        let replicated = if self.cluster.is_some() { "Replicated" } else { "" };
        let mut settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        if self.durability == Durability::EachInsert {
            settings.extend(["fsync_after_insert = 1".to_owned(), "fsync_part_directory = 1".to_owned()]);
        }
        if let Tokens::Blocks(blocks) = tokens {
            settings.push(match self.cluster {
                Some(_) => format!(
                    "replicated_deduplication_window = {blocks}, replicated_deduplication_window_seconds = 604800"
                ),
                None => format!("non_replicated_deduplication_window = {blocks}"),
            });
        }
        let settings = if settings.is_empty() { String::new() } else { format!(" SETTINGS {}", settings.join(", ")) };
        format!(
            "CREATE TABLE IF NOT EXISTS {}{} ({columns}) ENGINE = {replicated}{engine} {keys}{settings}",
            self.name(name),
            self.on_cluster()
        )
    }

    fn view(&self, name: &str, select: &str) -> String {
        format!("CREATE OR REPLACE VIEW {}{} AS {select}", self.name(name), self.on_cluster())
    }
}

/// A name as SQL takes it, whatever it holds.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// One step of the schema.
struct Migration {
    version: u32,
    name: &'static str,
    statements: fn(&Layout) -> Vec<String>,
}

/// In ascending order of version.
const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "tables", statements: first_tables },
    Migration { version: 2, name: "arrival of dead letters", statements: arrival_of_dead_letters },
];

/// The schema that this program writes.
pub(crate) fn newest_version() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// What must exist before anything can be recorded.
pub(crate) fn foundation(layout: &Layout) -> Vec<String> {
    let columns = "version UInt32, name String, program String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)";
    let table = layout.table("schema_migrations", columns, "MergeTree", "ORDER BY version", Tokens::None, &[]);
    vec![layout.create_database(), table]
}

/// The statements still to run on a database at version `found`, each migration followed by its record.
pub(crate) fn pending(layout: &Layout, found: u32) -> Result<Vec<String>, StoreError> {
    let known = newest_version();
    if found > known {
        return Err(StoreError::NewerSchema { database: layout.database.clone(), found, known });
    }
    let todo = MIGRATIONS.iter().filter(|migration| migration.version > found);
    Ok(todo
        .flat_map(|migration| {
            let mut statements = (migration.statements)(layout);
            statements.push(format!(
                "INSERT INTO {} (version, name, program) SELECT {}, '{}', '{}'",
                layout.name("schema_migrations"),
                migration.version,
                migration.name,
                env!("CARGO_PKG_VERSION")
            ));
            statements
        })
        .collect())
}

/// What tables of the embedded engine are told besides, where the engine knows the setting. A commit makes a part per
/// month and table, so what a part costs decides what a small commit costs: parts without statistics (every query
/// here goes by the key), of few files and streams, with small indexes left as they are.
const SPARING: &[(&str, &str)] = &[
    ("auto_statistics_types", "''"),
    ("compress_marks", "0"),
    ("compress_primary_key", "0"),
    ("write_marks_for_substreams_in_compact_parts", "0"),
    ("compress_per_column_in_compact_parts", "0"),
    ("string_serialization_version", "'single_stream'"),
    ("ratio_of_defaults_for_sparse_serialization", "1"),
];

/// The statements that give an embedded database's tables the settings that this process wants: how they sync, which
/// the last process may have wanted otherwise, and what spares work. `engines` are the tables' names and engine
/// clauses, `known` the settings that the engine has.
pub(crate) fn settings(layout: &Layout, engines: &[(String, String)], known: &[String]) -> Vec<String> {
    let synced = match layout.durability {
        Durability::Servers => return Vec::new(),
        Durability::EachInsert => true,
        Durability::EachCommit => false,
    };
    let flag = if synced { "1" } else { "0" };
    let sparing = SPARING.iter().copied().filter(|(name, _)| known.iter().any(|known| known == name));
    engines
        .iter()
        .filter_map(|(table, engine)| {
            let mut wanted: Vec<(&str, &str)> = Vec::new();
            if engine.contains("fsync_after_insert = 1") != synced {
                wanted.extend([("fsync_after_insert", flag), ("fsync_part_directory", flag)]);
            }
            wanted.extend(sparing.clone().filter(|(name, value)| !engine.contains(&format!("{name} = {value}"))));
            if wanted.is_empty() {
                return None;
            }
            let wanted: Vec<String> = wanted.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            Some(format!("ALTER TABLE {} MODIFY SETTING {}", layout.name(table), wanted.join(", ")))
        })
        .collect()
}

/// How many blocks back a repeated token is recognised: far more than are written while a deposed worker, stopped
/// at the worst moment, still has one insert to send.
const WINDOW: u32 = 10_000;

/// Plain strings throughout: reading a `LowCardinality` column from row-wise input costs three times the rest of the
/// insert, and compression makes up for most of what it would save.
fn first_tables(layout: &Layout) -> Vec<String> {
    vec![
        layout.table(
            "room_nights",
            "property String, date Date32, room_type String, \
             capacity Nullable(Int32), booked Nullable(Int32), held Nullable(Int32), available Nullable(Int32), \
             sources Map(String, String), rule_set String, version UInt64, log_time DateTime64(3, 'UTC')",
            "ReplacingMergeTree(version)",
            "PARTITION BY toYYYYMM(date) ORDER BY (property, date, room_type)",
            Tokens::None,
            &[],
        ),
        layout.table(
            "reservations",
            "property String, date Date32, room_type String, stay String, \
             outcome String, status String, arrival Date32, departure Date32, room String, \
             lines Array(String), references Array(String), \
             amount Nullable(Decimal(18, 4)), currency Nullable(String), guests Nullable(UInt32), \
             source String, rule_id String, \
             version UInt64, is_deleted UInt8, log_time DateTime64(3, 'UTC')",
            "ReplacingMergeTree(version, is_deleted)",
            "PARTITION BY toYYYYMM(date) ORDER BY (property, date, room_type, stay)",
            Tokens::None,
            &[],
        ),
        conflicts(layout),
        layout.table(
            "rule_changes",
            "sequence UInt64, name String, version String, hash String, text String, diff String, author String, \
             reason String, log_time DateTime64(3, 'UTC')",
            "MergeTree",
            "ORDER BY sequence",
            Tokens::Blocks(100),
            &[],
        ),
        layout.table(
            "dead_letters",
            "source String, id String, kind String, reason String, payload String, \
             plugin String, partition UInt32, offset UInt64, seq UInt32, log_time DateTime64(3, 'UTC')",
            "MergeTree",
            "ORDER BY (partition, offset, seq)",
            Tokens::Blocks(WINDOW),
            &[],
        ),
        // `stale_at` and the policy lie beside the state that was true when the row was written: a view can then tell
        // at query time what has become stale since, also when nobody writes any more.
        layout.table(
            "source_freshness",
            "source String, property String, last_record Nullable(DateTime64(3, 'UTC')), \
             last_source_time Nullable(DateTime64(3, 'UTC')), last_heartbeat Nullable(DateTime64(3, 'UTC')), \
             state String, stale_at Nullable(DateTime64(3, 'UTC')), \
             when_all_stale String, version UInt64",
            "ReplacingMergeTree(version)",
            "ORDER BY (source, property)",
            Tokens::None,
            &[],
        ),
        layout.table(
            "properties",
            "property String, name String, region String, class String, \
             time_zone String, version UInt64",
            "ReplacingMergeTree(version)",
            "ORDER BY property",
            Tokens::None,
            &[],
        ),
        // Small granules: a property is loaded on its first touch, and its entities are few.
        layout.table(
            "state",
            "partition UInt32, property String, key String, value String, version UInt64",
            "ReplacingMergeTree(version)",
            "ORDER BY (partition, property, key)",
            Tokens::None,
            &["index_granularity = 1024"],
        ),
    ]
}

/// From when on a payload is kept: `log_time` is the sender's word.
fn arrival_of_dead_letters(layout: &Layout) -> Vec<String> {
    vec![format!(
        "ALTER TABLE {}{} ADD COLUMN IF NOT EXISTS recorded_at DateTime64(3, 'UTC') DEFAULT now64(3)",
        layout.name("dead_letters"),
        layout.on_cluster()
    )]
}

/// The statement that lets payloads of dead letters be kept for so long, `table` being the table's definition as it is;
/// `None` if nothing is to be changed. The rows themselves stay: what became of a record is not forgotten.
pub(crate) fn payload_retention(layout: &Layout, table: &str, keep: Option<Duration>) -> Option<String> {
    let alter = format!("ALTER TABLE {}{} MODIFY COLUMN payload", layout.name("dead_letters"), layout.on_cluster());
    match keep.map(|keep| keep.as_secs()) {
        None => table.contains("toIntervalSecond(").then(|| format!("{alter} REMOVE TTL")),
        Some(seconds) if table.contains(&format!("toIntervalSecond({seconds})")) => None,
        Some(seconds) => Some(format!("{alter} String TTL toDateTime(recorded_at) + toIntervalSecond({seconds})")),
    }
}

/// The audit trail. No PARTITION BY: a block is one part, so it is written whole or not at all. The index finds a
/// partition's newest rows, which every append asks for; a projection would find any row by its position, but would
/// be written, synced and merged for questions that are rare.
fn conflicts(layout: &Layout) -> String {
    layout.table(
        "conflicts",
        "property String, date Date32, room_type String, stay String, kind String, \
         decision String, field String, \
         claims Array(Tuple(source String, value String, revision String, offset UInt64)), \
         winner_source String, winner_value String, rule_id String, \
         rule_set String, reason String, cause String, plugin String, \
         partition UInt32, offset UInt64, seq UInt32, log_time DateTime64(3, 'UTC'), \
         recorded_at DateTime64(3, 'UTC') DEFAULT now64(3), prev_hash FixedString(32), hash FixedString(32), \
         INDEX position (partition, offset) TYPE minmax GRANULARITY 1",
        "MergeTree",
        "ORDER BY (property, date, room_type, partition, offset, seq)",
        Tokens::Blocks(WINDOW),
        &[],
    )
}

/// The views, made anew whenever a column came to `room_nights` (a view's `*` is what it was when the view was made).
pub(crate) fn views(layout: &Layout) -> Vec<String> {
    vec![layout.view("room_nights_now", &room_nights_now(layout)), layout.view("bookings", &bookings(layout))]
}

/// One current row per room night. `sellable` is where the stale-data policy acts: a room night is not for sale when
/// nothing is available, or when every source of the property is stale and the policy says stop. What no source has
/// reported freshness for counts as fresh; what no term limits counts as available. Conditions on `property` and
/// `date` reach the tables below, so each query reads a slice.
fn room_nights_now(layout: &Layout) -> String {
    format!(
        "SELECT r.*, f.freshness AS freshness, \
         toBool(ifNull(r.available, 1) > 0 AND NOT ifNull(f.stopped, 0)) AS sellable \
         FROM (SELECT * FROM {room_nights} FINAL) AS r LEFT JOIN (\
         SELECT property, \
         mapFromArrays(groupArray(source), groupArray(if(stale_at <= now64(3), 'stale', state))) AS freshness, \
         countIf(stale_at <= now64(3)) = count() AND max(when_all_stale) = 'stop' AS stopped \
         FROM {freshness} FINAL GROUP BY property) AS f ON r.property = f.property",
        room_nights = layout.name("room_nights"),
        freshness = layout.name("source_freshness"),
    )
}

/// Accepted stays, one row each. A stay shows only while all of its nights stand: an insert over several months
/// arrives month by month, and half a stay is none.
fn bookings(layout: &Layout) -> String {
    let last: String = [
        "room_type",
        "status",
        "room",
        "lines",
        "references",
        "amount",
        "currency",
        "guests",
        "source",
        "rule_id",
        "log_time",
    ]
    .iter()
    .map(|column| format!(", argMax(n.`{column}`, n.version) AS `{column}`"))
    .collect();
    format!(
        "SELECT n.property AS property, n.stay AS stay, n.arrival AS arrival, n.departure AS departure, \
         toUInt32(dateDiff('day', n.arrival, n.departure)) AS nights{last}, max(n.version) AS version \
         FROM (SELECT * FROM {reservations} FINAL WHERE outcome = 'accepted') AS n \
         GROUP BY n.property, n.stay, n.arrival, n.departure HAVING count() = nights",
        reservations = layout.name("reservations"),
    )
}

/// A declared field and the column, or for money the two columns, that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldColumn {
    pub(crate) name: String,
    pub(crate) kind: FieldType,
}

/// The currency of a money field.
pub(crate) fn currency_column(field: &str) -> String {
    format!("{field}_currency")
}

/// A column as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) comment: String,
}

/// Tells a money field's currency from a text field of that name.
fn currency_comment(field: &str) -> String {
    format!("currency of {field}")
}

fn column_type(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Integer => "Nullable(Int64)",
        FieldType::Decimal | FieldType::Money => "Nullable(Decimal(18, 4))",
        FieldType::Text => "Nullable(String)",
        FieldType::Boolean => "Nullable(Bool)",
    }
}

/// The columns that a field needs.
fn needed(name: &str, kind: FieldType) -> Vec<Column> {
    let column = |name: String, kind: &str, comment: String| Column { name, kind: kind.to_owned(), comment };
    let mut columns = vec![column(name.to_owned(), column_type(kind), String::new())];
    if kind == FieldType::Money {
        columns.push(column(currency_column(name), column_type(FieldType::Text), currency_comment(name)));
    }
    columns
}

/// Columns of `room_nights` that no field can have: its own, and what the view adds.
const RESERVED: &[&str] = &[
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
    "freshness",
    "sellable",
    "stopped",
];

/// The statements that give `room_nights` the columns of `declared`, `existing` being those it has. Checks everything
/// before it answers: a refused field changes nothing.
pub(crate) fn missing_columns(
    layout: &Layout,
    existing: &[Column],
    declared: &[(&str, FieldType)],
) -> Result<Vec<String>, StoreError> {
    let mut wanted: Vec<(String, &str)> = Vec::new();
    let mut statements = Vec::new();
    for &(field, kind) in declared {
        let refuse = |detail: String| Err(StoreError::Field { field: field.to_owned(), detail });
        for column in needed(field, kind) {
            let name = &column.name;
            if RESERVED.contains(&name.as_str()) {
                return refuse(format!("room_nights has a column {name} of its own: choose another name"));
            }
            if let Some((_, other)) = wanted.iter().find(|(taken, _)| taken == name) {
                return refuse(format!("its column {name} is also one of the field {other}: choose another name"));
            }
            match existing.iter().find(|found| found.name == *name) {
                Some(found) if (&found.kind, &found.comment) == (&column.kind, &column.comment) => {}
                Some(found) => return refuse(clash(&column, found)),
                None => statements.push(add_column(layout, &column)),
            }
            wanted.push((column.name, field));
        }
    }
    Ok(statements)
}

fn add_column(layout: &Layout, column: &Column) -> String {
    format!(
        "ALTER TABLE {}{} ADD COLUMN IF NOT EXISTS {} {} COMMENT '{}'",
        layout.name("room_nights"),
        layout.on_cluster(),
        quoted(&column.name),
        column.kind,
        column.comment.replace('\\', "\\\\").replace('\'', "\\'")
    )
}

fn clash(wanted: &Column, found: &Column) -> String {
    let describe = |column: &Column| match column.comment.as_str() {
        "" => column.kind.clone(),
        comment => format!("{} ({comment})", column.kind),
    };
    format!(
        "it needs a column {name} {}, but room_nights already has it as {} from an earlier configuration: give the field \
         another name, or drop the old column with its values (ALTER TABLE room_nights DROP COLUMN {name})",
        describe(wanted),
        describe(found),
        name = quoted(&wanted.name),
    )
}

/// Every field that `room_nights` has columns for, in byte order of the names: also those that the configuration no
/// longer declares, because records decided under an earlier one may still be written.
pub(crate) fn field_columns(existing: &[Column]) -> Vec<FieldColumn> {
    let has_currency = |field: &str| existing.iter().any(|column| column.comment == currency_comment(field));
    let is_currency = |column: &Column| {
        column.name.strip_suffix("_currency").is_some_and(|field| column.comment == currency_comment(field))
    };
    let mut fields: Vec<FieldColumn> = existing
        .iter()
        .filter(|column| !RESERVED.contains(&column.name.as_str()) && !is_currency(column))
        .filter_map(|column| {
            let kind = match column.kind.as_str() {
                "Nullable(Int64)" => FieldType::Integer,
                "Nullable(Decimal(18, 4))" if has_currency(&column.name) => FieldType::Money,
                "Nullable(Decimal(18, 4))" => FieldType::Decimal,
                "Nullable(String)" => FieldType::Text,
                "Nullable(Bool)" => FieldType::Boolean,
                _ => return None,
            };
            Some(FieldColumn { name: column.name.clone(), kind })
        })
        .collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout { database: "concord".into(), cluster: None, durability: Durability::EachInsert }
    }

    fn columns(columns: &[(&str, &str, &str)]) -> Vec<Column> {
        columns
            .iter()
            .map(|(name, kind, comment)| Column {
                name: (*name).into(),
                kind: (*kind).into(),
                comment: (*comment).into(),
            })
            .collect()
    }

    #[test]
    fn a_newer_schema_is_refused() {
        assert!(matches!(pending(&layout(), 99), Err(StoreError::NewerSchema { found: 99, .. })));
        assert!(pending(&layout(), newest_version()).is_ok_and(|statements| statements.is_empty()));
    }

    #[test]
    fn settings_that_stand_or_that_the_engine_does_not_know_are_left_alone() {
        let layout = Layout { durability: Durability::EachCommit, ..layout() };
        let known = ["fsync_after_insert", "compress_marks", "compress_primary_key"].map(str::to_owned);
        let table = |settings: &str| vec![("state".to_owned(), format!("MergeTree ORDER BY key SETTINGS {settings}"))];
        let alter = settings(&layout, &table("fsync_after_insert = 1, compress_marks = 0"), &known);
        assert_eq!(
            alter,
            ["ALTER TABLE `concord`.`state` MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0, \
              compress_primary_key = 0"]
        );
        assert!(settings(&layout, &table("compress_marks = 0, compress_primary_key = 0"), &known).is_empty());
        let servers = Layout { durability: Durability::Servers, ..layout };
        assert!(
            settings(&servers, &table("index_granularity = 8192"), &known).is_empty(),
            "the administrators' business"
        );
    }

    #[test]
    fn a_cluster_gets_replicated_tables() {
        let cluster = Layout { cluster: Some("hotels".into()), durability: Durability::Servers, ..layout() };
        let statements = pending(&cluster, 0).unwrap_or_default();
        let tables: Vec<_> = statements.iter().filter(|s| s.starts_with("CREATE TABLE")).collect();
        assert_eq!(tables.len(), 8);
        for table in tables {
            assert!(table.contains("ON CLUSTER `hotels`") && table.contains("ENGINE = Replicated"), "{table}");
            assert!(!table.contains("fsync") && !table.contains("non_replicated"), "{table}");
        }
    }

    #[test]
    fn only_missing_columns_are_added_and_clashes_are_named() {
        let existing = columns(&[("property", "String", ""), ("min_stay", "Nullable(Int64)", "")]);
        let add =
            missing_columns(&layout(), &existing, &[("min_stay", FieldType::Integer), ("price", FieldType::Money)]);
        assert_eq!(add.map(|statements| statements.len()).ok(), Some(2));
        let refused = |declared: &[(&str, FieldType)]| {
            missing_columns(&layout(), &existing, declared).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(refused(&[("min_stay", FieldType::Text)]).contains("already has it as Nullable(Int64)"));
        assert!(refused(&[("version", FieldType::Text)]).contains("of its own"));
        let twice = [("price", FieldType::Money), ("price_currency", FieldType::Text)];
        assert!(refused(&twice).contains("also one of the field price"));
    }

    #[test]
    fn fields_are_found_again_by_their_columns() {
        let existing = columns(&[
            ("property", "String", ""),
            ("price", "Nullable(Decimal(18, 4))", ""),
            ("price_currency", "Nullable(String)", "currency of price"),
            ("discount", "Nullable(Decimal(18, 4))", ""),
            ("note", "Nullable(String)", ""),
        ]);
        let found: Vec<_> = field_columns(&existing).into_iter().map(|field| (field.name, field.kind)).collect();
        let expected = [("discount", FieldType::Decimal), ("note", FieldType::Text), ("price", FieldType::Money)]
            .map(|(n, k)| (n.to_owned(), k));
        assert_eq!(found, expected);
    }
}
