//! Which statements may pass to the engine.
//!
//! Knows the two users, the statements, functions, engines and settings that each may use, and
//! refuses what it does not know. Works on tokens, so comments, quotes and case hide nothing. Does not
//! run anything. It is the first of three locks: ClickHouse's own parser then says whether a reader's
//! text is one statement that only reads, and the engine runs it with `readonly = 1`.

use std::collections::HashSet;

use super::lexer::{LexError, Token, tokens};
use super::library::Parameter;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// The processor: reads, writes and changes tables.
    Writer,
    /// Everyone else.
    Reader,
}

/// Why a statement does not pass: ClickHouse's error code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Code: {code}. DB::Exception: {message} ({name})")]
pub(super) struct Refusal {
    pub code: u16,
    pub name: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn syntax(message: impl Into<String>) -> Self {
        Self { code: 62, name: "SYNTAX_ERROR", message: message.into() }
    }

    pub fn denied(message: impl Into<String>) -> Self {
        Self { code: 497, name: "ACCESS_DENIED", message: message.into() }
    }

    pub fn readonly(message: impl Into<String>) -> Self {
        Self { code: 164, name: "READONLY", message: message.into() }
    }
}

impl From<LexError> for Refusal {
    fn from(error: LexError) -> Self {
        Self::syntax(format!("Cannot read the statement: {error}."))
    }
}

/// Names that the engine itself gave when it started, in lower case where it ignores case.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub table_functions: HashSet<String>,
    pub settings: HashSet<String>,
}

/// Table functions that touch nothing outside the engine. `format` is also an ordinary function.
const TABLE_FUNCTIONS_ALLOWED: &[&str] = &[
    "format",
    "generaterandom",
    "generateseries",
    "generate_series",
    "null",
    "numbers",
    "numbers_mt",
    "primes",
    "values",
    "view",
    "viewifpermitted",
    "zeros",
    "zeros_mt",
];

/// Table functions and functions that reach files, networks, other processes or every table; the
/// engine's own list of table functions is added to these.
const FUNCTIONS_DENIED: &[&str] = &[
    "file",
    "filecluster",
    "filesystem",
    "url",
    "urlcluster",
    "s3",
    "s3cluster",
    "gcs",
    "oss",
    "cosn",
    "remote",
    "remotesecure",
    "cluster",
    "clusterallreplicas",
    "mysql",
    "postgresql",
    "sqlite",
    "mongodb",
    "redis",
    "jdbc",
    "odbc",
    "hdfs",
    "hdfscluster",
    "executable",
    "input",
    "merge",
    "loop",
    "eval",
    "dictionary",
    "python",
    "azureblobstorage",
    "azureblobstoragecluster",
    "iceberg",
    "deltalake",
    "hudi",
    "paimon",
    "ytsaurus",
    "arrowstream",
    "viewexplain",
    "fuzzquery",
    "fuzzjson",
    "catboostevaluate",
    "evalmlmethod",
    "hascolumnintable",
    "logtrace",
    "sleep",
    "sleepeachrow",
    "showcertificate",
    "generateserialid",
    "zookeepersessionuptime",
    "reversednsquery",
    "getclienthttpheader",
    "aiclassify",
    "aiembed",
    "aiextract",
    "aigenerate",
    "aitranslate",
    "getserversetting",
    "getmacro",
];

/// Tables of `system` that describe tables and the engine; others show other users' statements, the
/// machine's files or, as `stack_trace`, interrupt every thread of the process.
const SYSTEM_TABLES: &[&str] = &[
    "aggregate_function_combinators",
    "build_options",
    "codecs",
    "collations",
    "columns",
    "contributors",
    "data_skipping_indices",
    "data_type_families",
    "database_engines",
    "databases",
    "detached_parts",
    "dictionaries",
    "events",
    "formats",
    "functions",
    "keywords",
    "licenses",
    "merge_tree_settings",
    "merges",
    "metrics",
    "mutations",
    "numbers",
    "numbers_mt",
    "one",
    "parts",
    "parts_columns",
    "projection_parts",
    "projections",
    "server_settings",
    "settings",
    "table_engines",
    "table_functions",
    "tables",
    "time_zones",
    "zeros",
    "zeros_mt",
];

/// Engines without a counterpart outside the data directory, besides all of the MergeTree family.
const ENGINES: &[&str] = &["atomic", "join", "log", "memory", "null", "set", "stripelog", "tinylog"];

const READS: &[&str] = &["select", "with", "show", "describe", "desc", "explain", "exists"];

/// What the processor may begin a statement with, besides reads and INSERT, and what must follow.
const WRITES: &[(&str, &[&str])] = &[
    ("create", &["database", "table", "view", "materialized", "or"]),
    ("drop", &["database", "table", "view"]),
    ("alter", &["table"]),
    ("rename", &["table"]),
    ("exchange", &["tables"]),
    ("truncate", &["table"]),
    ("optimize", &["table"]),
    ("delete", &["from"]),
    ("update", &[]),
    ("check", &["table"]),
    ("system", &["start", "stop", "sync"]),
];

/// What kind of statement passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// SELECT or WITH: its rows can come block by block.
    Select,
    /// Another statement that only reads.
    Read,
    /// INSERT, with or without a SELECT.
    Insert,
    /// DDL and maintenance.
    Change,
}

/// Judges a statement. `text` is all that the parser will see, without the rows of an INSERT.
pub(super) fn pass(role: Role, text: &str, parameters: &[Parameter], catalog: &Catalog) -> Result<Passed, Refusal> {
    let mut tokens = tokens(text)?;
    while tokens.last().is_some_and(|token| token.is_symbol(';')) {
        tokens.pop();
    }
    if tokens.iter().any(|token| token.is_symbol(';')) {
        return Err(Refusal::syntax("Multi-statements are not allowed: send one statement per request."));
    }
    let passed = kind(role, &tokens)?;
    for at in 0..tokens.len() {
        check_word(role, &tokens, at)?;
        check_call(&tokens, at, catalog)?;
        check_qualified(&tokens, at)?;
        check_identifier_parameter(&tokens, at, parameters)?;
    }
    if passed == Passed::Change {
        check_change(&tokens)?;
    }
    Ok(passed)
}

/// Whether the rows of `INSERT ... VALUES` may have expressions among them: ClickHouse evaluates these,
/// and a function could name a file. Rows that are long or that no lexer reads are taken as plain values.
pub(super) fn rows_may_compute(rows: &[&[u8]], catalog: &Catalog) -> bool {
    if rows.iter().map(|part| part.len()).sum::<usize>() > EXPRESSION_BYTES {
        return false;
    }
    let text = rows.concat();
    let Ok(text) = std::str::from_utf8(&text) else { return false };
    let Ok(tokens) = tokens(text) else { return false };
    (0..tokens.len()).all(|at| check_call(&tokens, at, catalog).is_ok() && check_qualified(&tokens, at).is_ok())
}

/// Statements that people write by hand are shorter.
const EXPRESSION_BYTES: usize = 64 << 10;

fn kind(role: Role, tokens: &[Token<'_>]) -> Result<Passed, Refusal> {
    let start = tokens.iter().position(|token| !token.is_symbol('(')).unwrap_or(tokens.len());
    let (Some(first), second) = (tokens.get(start), tokens.get(start + 1)) else {
        return Err(Refusal::syntax("Empty query."));
    };
    if first.is("select") || first.is("with") {
        return Ok(Passed::Select);
    }
    if READS.iter().any(|word| first.is(word)) {
        return Ok(Passed::Read);
    }
    if role == Role::Reader {
        return Err(Refusal::readonly(
            "This user only reads: SELECT, WITH, SHOW, DESCRIBE, EXPLAIN and EXISTS are allowed.",
        ));
    }
    if first.is("insert") {
        return Ok(Passed::Insert);
    }
    let allowed = WRITES
        .iter()
        .find(|(word, _)| first.is(word))
        .is_some_and(|(_, next)| next.is_empty() || next.iter().any(|word| second.is_some_and(|token| token.is(word))));
    if allowed {
        Ok(Passed::Change)
    } else if first.is("set") || first.is("use") {
        Err(Refusal::denied("Requests share no session: give settings and database as parameters of the URL."))
    } else {
        Err(Refusal::denied("The embedded engine does not run this kind of statement."))
    }
}

/// Files that a statement names itself, and settings within the text.
fn check_word(role: Role, tokens: &[Token<'_>], at: usize) -> Result<(), Refusal> {
    let token = &tokens[at];
    if token.is("outfile") || token.is("infile") {
        return Err(Refusal::denied("INTO OUTFILE and FROM INFILE are not allowed: send and receive data over HTTP."));
    }
    let settings_clause = token.is("settings") && tokens.get(at + 2).is_some_and(|after| after.is_symbol('='));
    if settings_clause && role == Role::Reader {
        return Err(Refusal::readonly("Give settings as parameters of the URL, not in a SETTINGS clause."));
    }
    // Wherever it stands, `name =` with the name of such a setting has no honest use.
    if let Some(name) = token.name()
        && setting_denied(name)
        && tokens.get(at + 1).is_some_and(|after| after.is_symbol('='))
    {
        return Err(Refusal::denied(format!("The setting {name} is not allowed.")));
    }
    Ok(())
}

fn check_call(tokens: &[Token<'_>], at: usize, catalog: &Catalog) -> Result<(), Refusal> {
    let Some(name) = tokens[at].name() else { return Ok(()) };
    if !tokens.get(at + 1).is_some_and(|next| next.is_symbol('(')) {
        return Ok(());
    }
    let lower = name.to_ascii_lowercase();
    if TABLE_FUNCTIONS_ALLOWED.contains(&lower.as_str()) {
        return Ok(());
    }
    if FUNCTIONS_DENIED.contains(&lower.as_str()) || catalog.table_functions.contains(&lower) {
        return Err(Refusal::denied(format!("The function {name} is not allowed: statements stay within the tables.")));
    }
    Ok(())
}

/// `system.x` only where x is listed, and nothing of `default`, whose table names are file names.
fn check_qualified(tokens: &[Token<'_>], at: usize) -> Result<(), Refusal> {
    let Some(name) = tokens[at].name() else { return Ok(()) };
    if !tokens.get(at + 1).is_some_and(|next| next.is_symbol('.')) {
        return Ok(());
    }
    if name.eq_ignore_ascii_case("default") {
        return Err(Refusal::denied("The database default is not in use: leave the database's name out."));
    }
    let known = tokens.get(at + 2).and_then(Token::name).is_some_and(|table| SYSTEM_TABLES.contains(&table));
    if name.eq_ignore_ascii_case("system") && !known {
        return Err(Refusal::denied("This table of the database system is not open."));
    }
    Ok(())
}

/// A name that comes as a parameter must be one that would pass in the text.
fn check_identifier_parameter(tokens: &[Token<'_>], at: usize, parameters: &[Parameter]) -> Result<(), Refusal> {
    let [open, name, colon, kind, ..] = &tokens[at..] else { return Ok(()) };
    if !(open.is_symbol('{')
        && colon.is_symbol(':')
        && kind.name().is_some_and(|k| k.eq_ignore_ascii_case("identifier")))
    {
        return Ok(());
    }
    let Some(name) = name.name() else { return Err(Refusal::syntax("A parameter needs a name.")) };
    let plain = |value: &str| {
        let word = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        word && !value.eq_ignore_ascii_case("system") && !value.eq_ignore_ascii_case("default")
    };
    let mut given = parameters.iter().filter(|(parameter, _)| parameter == name).peekable();
    if given.peek().is_none() || !given.all(|(_, value)| plain(value)) {
        return Err(Refusal::denied(format!(
            "The parameter {name} must be a plain name (letters, digits, underscore), of no system table."
        )));
    }
    Ok(())
}

/// Engines, disks and temporary tables in DDL.
fn check_change(tokens: &[Token<'_>]) -> Result<(), Refusal> {
    for (at, token) in tokens.iter().enumerate() {
        let mut following = tokens[at + 1..].iter().peekable();
        if token.is("engine") {
            following.next_if(|next| next.is_symbol('='));
            let engine = following.next().and_then(Token::name).unwrap_or_default().to_ascii_lowercase();
            if !(engine.ends_with("mergetree") || ENGINES.contains(&engine.as_str())) {
                return Err(Refusal::denied(format!("The engine {engine:?} is not allowed in the embedded engine.")));
            }
        }
        let assigned = following.peek().is_some_and(|next| next.is_symbol('=') || next.is_symbol('('));
        if (token.is("disk") && assigned) || token.is("temporary") || token.is("dictionary") {
            return Err(Refusal::denied("Disks, temporary tables and dictionaries are not allowed."));
        }
    }
    if let (Some(first), true) = (tokens.first(), tokens.iter().any(|token| token.is("function") || token.is("user"))) {
        let direct = |at: usize| tokens.get(at).is_some_and(|token| token.is("function") || token.is("user"));
        if first.is("create") && (direct(1) || direct(3)) {
            return Err(Refusal::denied("Functions and users cannot be created in the embedded engine."));
        }
    }
    Ok(())
}

/// Settings that name files, or that would open a lock.
fn setting_denied(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("format_schema")
        || name.starts_with("format_template")
        || name.starts_with("allow_introspection")
        || matches!(name.as_str(), "output_format_schema" | "readonly" | "allow_ddl" | "storage_policy_path")
}

/// What becomes of a setting that a client gave in the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Apply,
    /// Means something to an HTTP server that is not this one, or only asks for what holds anyway.
    Ignore,
}

/// Settings of a read that cost or change nothing but its own answer.
const READER_SETTINGS: &[&str] = &[
    "add_http_cors_header",
    "aggregate_functions_null_for_empty",
    "date_time_output_format",
    "do_not_merge_across_partitions_select_final",
    "extremes",
    "final",
    "force_index_by_date",
    "force_primary_key",
    "format_csv_delimiter",
    "format_csv_null_representation",
    "format_tsv_null_representation",
    "join_use_nulls",
    "limit",
    "log_comment",
    "max_block_size",
    "max_bytes_to_read",
    "max_execution_time",
    "max_result_bytes",
    "max_result_rows",
    "max_rows_to_read",
    "max_threads",
    "offset",
    "optimize_read_in_order",
    "read_overflow_mode",
    "result_overflow_mode",
    "select_sequential_consistency",
    "session_timezone",
    "timeout_overflow_mode",
    "transform_null_in",
    "union_default_mode",
    "use_skip_indexes",
];

const READER_SETTING_PREFIXES: &[&str] = &[
    "output_format_arrow_",
    "output_format_binary_",
    "output_format_csv_",
    "output_format_decimal_",
    "output_format_json_",
    "output_format_markdown_",
    "output_format_native_",
    "output_format_parquet_",
    "output_format_pretty_",
    "output_format_tsv_",
    "output_format_write_",
];

const IGNORED_SETTINGS: &[&str] = &[
    "cancel_http_readonly_queries_on_client_close",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "http_receive_timeout",
    "http_response_buffer_size",
    "http_send_timeout",
    "http_wait_end_of_query",
    "http_write_exception_in_output_format",
    "http_zlib_compression_level",
    "readonly",
    "send_progress_in_http_headers",
    "wait_end_of_query",
    "network_compression_method",
    "connect_timeout",
    "receive_timeout",
    "send_timeout",
];

/// Judges a setting of the URL; an unknown one is an error, as it is in ClickHouse.
pub(super) fn setting(role: Role, name: &str, catalog: &Catalog) -> Result<Verdict, Refusal> {
    if IGNORED_SETTINGS.contains(&name) {
        return Ok(Verdict::Ignore);
    }
    if !catalog.settings.contains(name) {
        let message = format!("Unknown setting {name:?}.");
        return Err(Refusal { code: 115, name: "UNKNOWN_SETTING", message });
    }
    if setting_denied(name) {
        return Err(Refusal::denied(format!("The setting {name} is not allowed.")));
    }
    let reads =
        READER_SETTINGS.contains(&name) || READER_SETTING_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if role == Role::Reader && !reads {
        return Err(Refusal::readonly(format!("Cannot modify {name:?}: this user only reads.")));
    }
    Ok(Verdict::Apply)
}

#[cfg(test)]
mod tests {
    use super::super::gate_cases::{HARMLESS, HOSTILE_FOR_ALL};
    use super::*;

    #[test]
    fn the_gate_alone_refuses_what_reaches_outside() {
        for statement in HOSTILE_FOR_ALL {
            let refused = pass(Role::Writer, statement, &[], &Catalog::default());
            assert_eq!(refused.map_err(|refusal| refusal.code), Err(497), "{statement}");
            assert!(pass(Role::Reader, statement, &[], &Catalog::default()).is_err(), "{statement}");
        }
        for statement in HARMLESS {
            pass(Role::Reader, statement, &[], &Catalog::default()).unwrap();
        }
    }

    #[test]
    fn expressions_among_rows_are_judged_too() {
        let may = |rows: &str| rows_may_compute(&[rows.as_bytes()], &Catalog::default());
        assert!(may("('a', now()), ('it''s file(', 2)"));
        assert!(!may("('a', file('/etc/passwd'))"));
        assert!(!may("('a', 'open)"));
        assert!(!may(&"(1),".repeat(20_000)));
    }

    #[test]
    fn settings_are_judged_by_name() {
        let catalog = Catalog {
            settings: ["max_threads", "mutations_sync", "readonly", "format_schema"].map(String::from).into(),
            ..Catalog::default()
        };
        let judge = |role, name| setting(role, name, &catalog).map_err(|refusal| refusal.code);
        assert_eq!(judge(Role::Reader, "max_threads"), Ok(Verdict::Apply));
        assert_eq!(judge(Role::Reader, "mutations_sync"), Err(164));
        assert_eq!(judge(Role::Writer, "mutations_sync"), Ok(Verdict::Apply));
        assert_eq!(judge(Role::Reader, "readonly"), Ok(Verdict::Ignore));
        assert_eq!(judge(Role::Writer, "format_schema"), Err(497));
        assert_eq!(judge(Role::Writer, "nonsense"), Err(115));
    }
}
