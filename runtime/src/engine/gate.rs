//! Which statements may pass to the engine.
//!
//! Knows the two users, the statements, functions, tables and engines that each may use, and
//! refuses what it does not know. Works on tokens, so comments, quotes and case hide nothing. Does not
//! run anything. It is the first of three locks: ClickHouse's own parser then says whether a reader's
//! text is one statement that only reads, and the engine runs it with `readonly = 1`.

use std::collections::HashSet;

use super::lexer::{LexError, Token, tokens};
use super::library::Parameter;
use super::settings;

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

/// Table functions that reach files, networks, other processes or every table. The engine's own list of
/// table functions is added to these.
const TABLE_FUNCTIONS_DENIED: &[&str] = &[
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
];

/// Functions that reach outside. They are refused as names anywhere: `arrayMap(file, x)` and
/// `APPLY(file)` call a function without a parenthesis of its own.
const FUNCTIONS_DENIED: &[&str] = &[
    "file",
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
    "addresstoline",
    "addresstosymbol",
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
    if first.is("show") && second.is_some_and(|token| token.is("processlist")) {
        return Err(Refusal::denied("Other users' statements are not shown."));
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
        && settings::denied(name)
        && tokens.get(at + 1).is_some_and(|after| after.is_symbol('='))
    {
        return Err(Refusal::denied(format!("The setting {name} is not allowed.")));
    }
    Ok(())
}

fn check_call(tokens: &[Token<'_>], at: usize, catalog: &Catalog) -> Result<(), Refusal> {
    let Some(name) = tokens[at].name() else { return Ok(()) };
    let lower = name.to_ascii_lowercase();
    let lower = lower.as_str();
    let called = tokens.get(at + 1).is_some_and(|next| next.is_symbol('('));
    let table_function = TABLE_FUNCTIONS_DENIED.contains(&lower) || catalog.table_functions.contains(lower);
    if FUNCTIONS_DENIED.contains(&lower) || (called && table_function && !TABLE_FUNCTIONS_ALLOWED.contains(&lower)) {
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
        let lower = value.to_ascii_lowercase();
        word && !["system", "default"].contains(&lower.as_str()) && !FUNCTIONS_DENIED.contains(&lower.as_str())
    };
    let mut given = parameters.iter().filter(|(parameter, _)| parameter == name).peekable();
    if given.peek().is_none() || !given.all(|(_, value)| plain(value)) {
        return Err(Refusal::denied(format!(
            "The parameter {name} must be a plain name (letters, digits, underscore), not one that is closed."
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
    fn damaged_statements_do_no_harm_to_the_gate() {
        let seed = 20261124_u64;
        println!("seed {seed}");
        let mut state = seed;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let pieces = [
            "'", "\"", "`", "\\", "/*", "*/", "--", "\n", "$", "$a$", "(", ")", ";", ".", "{", ":", "}", "\u{e9}",
            "1e", " ",
        ];
        for round in 0..20_000 {
            let statement = HOSTILE_FOR_ALL[round % HOSTILE_FOR_ALL.len()];
            let mut text = statement.to_owned();
            for _ in 0..=random(3) {
                let at = (0..=random(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                text.insert_str(at, pieces[random(pieces.len())]);
            }
            let _ = pass(Role::Writer, &text, &[], &Catalog::default());
            let body = bytes::Bytes::from(text.into_bytes());
            let _ = super::super::statement::split(None, &body);
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
}
