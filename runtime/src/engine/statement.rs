//! Takes a request's text apart: statement, output format, and the rows of an INSERT.
//!
//! Knows where FORMAT and VALUES stand. Does not judge (see `gate`) and does not run anything.

use std::borrow::Cow;

use bytes::Bytes;

use super::gate::Refusal;
use super::lexer::{Kind, Lexer, Token, tokens};

/// A request's statement, as it will be given to the engine.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    /// What the parser sees: of an INSERT with rows, what stands before FORMAT or VALUES.
    pub text: Cow<'a, str>,
    /// The format that the text names.
    pub format: Option<String>,
    /// The rows of an INSERT: what follows in the text, then the body.
    pub rows: Option<Vec<Bytes>>,
}

/// Splits a request. `query` is the URL's parameter, the statement's beginning; the body follows it.
pub(super) fn split<'a>(query: Option<&'a str>, body: &'a Bytes) -> Result<Statement<'a>, Refusal> {
    let text = match query {
        Some(query) => query,
        None => utf8_prefix(body),
    };
    if let Some(head) = insert_head(text)? {
        let mut rows = Vec::new();
        match query {
            Some(query) => rows.extend([Bytes::copy_from_slice(&query.as_bytes()[head.rows..]), body.clone()]),
            None => rows.push(body.slice(head.rows..)),
        }
        rows.retain(|part| !part.is_empty());
        return Ok(Statement { text: text[..head.end].into(), format: head.format, rows: Some(rows) });
    }
    let text: Cow<'a, str> = match query {
        Some(query) if body.is_empty() => query.into(),
        Some(query) => format!("{query}{}", whole_utf8(body)?).into(),
        None => whole_utf8(body)?.into(),
    };
    let format = output_format(&tokens(&text)?);
    Ok(Statement { text, format, rows: None })
}

fn whole_utf8(bytes: &Bytes) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::syntax("The statement is not UTF-8."))
}

fn utf8_prefix(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Where an INSERT with rows ends and its rows begin.
struct InsertHead {
    end: usize,
    rows: usize,
    format: Option<String>,
}

/// Reads the head of an INSERT; `None` when the text is no INSERT, or one without rows of its own
/// (INSERT ... SELECT). Stops where the rows begin: these are no tokens.
fn insert_head(text: &str) -> Result<Option<InsertHead>, Refusal> {
    let mut lexer = Lexer::new(text);
    let mut token = match lexer.next() {
        Ok(Some(token)) if token.is("insert") => lexer.next()?,
        _ => return Ok(None),
    };
    let mut depth = 0_usize;
    // The table's name may be any word, so the keywords count only after it.
    let mut named = false;
    let mut end = text.len();
    while let Some(current) = token {
        end = current.end;
        match &current.kind {
            Kind::Symbol('(') => depth += 1,
            Kind::Symbol(')') => depth = depth.saturating_sub(1),
            Kind::Word(_) | Kind::Quoted(_) if depth == 0 && !named => {
                named = !(current.is("into") || current.is("table"));
            }
            Kind::Word(_) if depth == 0 => {
                if current.is("select") || current.is("with") || current.is("from") {
                    return Ok(None);
                }
                if current.is("values") {
                    let rows = current.end;
                    return Ok(Some(InsertHead { end: current.start, rows, format: Some("Values".to_owned()) }));
                }
                if current.is("format")
                    && let Some(name) = lexer.next()?
                {
                    let format = format_name(&name);
                    return Ok(Some(InsertHead { end: current.start, rows: after_format(text, name.end), format }));
                }
            }
            _ => {}
        }
        if depth == 1 && (current.is("select") || current.is("with")) {
            return Ok(None);
        }
        // `INSERT INTO a.b`: the part after the full stop is a name too.
        if current.is_symbol('.') {
            named = false;
        }
        token = lexer.next()?;
    }
    Ok(Some(InsertHead { end, rows: text.len(), format: None }))
}

fn format_name(token: &Token<'_>) -> Option<String> {
    token.name().map(str::to_owned)
}

/// Rows begin after the blanks that follow the format's name and at most one line break.
fn after_format(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = from;
    while bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t' | 0x0c | b';')) {
        at += 1;
    }
    if bytes.get(at) == Some(&b'\r') {
        at += 1;
    }
    if bytes.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

/// The format that ends a statement: `... FORMAT name`, perhaps with SETTINGS after it.
fn output_format(tokens: &[Token<'_>]) -> Option<String> {
    let at = tokens.iter().rposition(|token| token.is("format"))?;
    let last = match tokens.get(at + 2) {
        None => true,
        Some(next) => next.is_symbol(';') || next.is("settings"),
    };
    tokens.get(at + 1).filter(|_| last).and_then(format_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(query: Option<&str>, body: &[u8]) -> (String, Option<String>, Option<Vec<u8>>) {
        let body = Bytes::copy_from_slice(body);
        let statement = split(query, &body).unwrap();
        (statement.text.trim().to_owned(), statement.format, statement.rows.map(|rows| rows.concat()))
    }

    #[test]
    fn rows_stand_in_the_body_or_in_the_text() {
        let binary = b"\x01\xff\x00";
        let head = ("INSERT INTO a.`b c` (x, format)".to_owned(), Some("RowBinary".to_owned()), Some(binary.to_vec()));
        assert_eq!(parts(Some("INSERT INTO a.`b c` (x, format) FORMAT RowBinary"), binary), head);
        assert_eq!(parts(None, b"INSERT INTO a.`b c` (x, format) FORMAT RowBinary\n\x01\xff\x00"), head);
        let values = ("INSERT INTO t".to_owned(), Some("Values".to_owned()), Some(b" (1, 'select')".to_vec()));
        assert_eq!(parts(None, b"INSERT INTO t VALUES (1, 'select')"), values);
        let open = ("INSERT INTO t (a)".to_owned(), None, Some(b"1".to_vec()));
        assert_eq!(parts(Some("INSERT INTO t (a)"), b"1"), open);
    }

    #[test]
    fn an_insert_from_a_select_has_no_rows() {
        for text in ["INSERT INTO t SELECT 1", "INSERT INTO t (a) (SELECT 1)", "INSERT INTO t (a) WITH 1 AS x SELECT x"]
        {
            assert_eq!(parts(Some(text), b"").2, None, "{text}");
        }
        assert_eq!(parts(Some("INSERT INTO t SETTINGS a = 1 FORMAT TSV"), b"1").0, "INSERT INTO t SETTINGS a = 1");
    }

    #[test]
    fn the_output_format_is_the_last_clause() {
        assert_eq!(parts(Some("SELECT 1 FORMAT JSON"), b"").1.as_deref(), Some("JSON"));
        assert_eq!(parts(Some("SELECT 1 FORMAT JSON SETTINGS a = 1;"), b"").1.as_deref(), Some("JSON"));
        assert_eq!(parts(Some("SELECT format FROM t"), b"").1, None);
        assert_eq!(parts(Some("SELECT"), b" 1"), ("SELECT 1".to_owned(), None, None));
    }
}
