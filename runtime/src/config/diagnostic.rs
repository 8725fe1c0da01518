//! What is wrong with a configuration file, where, and how to repair it.
//!
//! Knows files, lines and columns. Does not know what the files should say.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in a text, both numbers from 1; `column` counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// One thing to repair. Prints as `file:line:column: what; how to repair`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    pub file: PathBuf,
    /// `None` when the file as a whole is meant.
    pub place: Option<Place>,
    pub message: String,
    /// What to write or do; empty when the message says it.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// Everything found wrong in a configuration, in the order of file and place. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Diagnostic>);

impl fmt::Display for ConfigErrors {
    /// One line per diagnostic.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{diagnostic}")?;
        }
        Ok(())
    }
}

/// Collects diagnostics, so that one run reports all of them.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Diagnostic>);

impl Findings {
    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// About a file as a whole.
    pub(super) fn about(&mut self, file: &Path, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Diagnostic { file: file.into(), place: None, message: message.into(), remedy: remedy.into() });
    }

    pub(super) fn merge(&mut self, errors: ConfigErrors) {
        self.0.extend(errors.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was read, if nothing was found wrong. Whoever hands over `None` has reported why.
    pub(super) fn finish_with<T>(mut self, read: Option<T>) -> Result<T, ConfigErrors> {
        match read {
            Some(read) if self.0.is_empty() => Ok(read),
            _ => {
                self.0.sort();
                self.0.dedup();
                Err(ConfigErrors(self.0))
            }
        }
    }
}

/// A text file with its name, which turns spans into places.
#[derive(Debug)]
pub(super) struct TextFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl TextFile {
    /// Reads `path`; `expected` says what a file of this kind holds, for when it is not there.
    pub(super) fn read(path: &Path, expected: &str, found: &mut Findings) -> Option<TextFile> {
        let bytes = read_bytes(path, expected, found)?;
        match String::from_utf8(bytes) {
            Ok(text) => Some(TextFile { path: path.into(), text }),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
                let message = "this is not UTF-8 from here on".to_owned();
                let remedy = "save the file as UTF-8".to_owned();
                let place = Some(place(&before, at));
                found.add(Diagnostic { file: path.into(), place, message, remedy });
                None
            }
        }
    }

    /// Reports at a place of this file.
    pub(super) fn report(&self, found: &mut Findings, span: Range<usize>, message: impl Into<String>, remedy: &str) {
        found.add(Diagnostic {
            file: self.path.clone(),
            place: Some(place(&self.text, span.start)),
            message: message.into(),
            remedy: remedy.to_owned(),
        });
    }

    /// The file's top-level table as (key, value) in the order of the file. Every syntax error is reported; what
    /// could be read comes back all the same.
    pub(super) fn entries(&self, found: &mut Findings) -> Vec<(Spanned<String>, Spanned<DeValue<'_>>)> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        for error in &errors {
            self.report_toml(found, error);
        }
        let mut entries: Vec<_> = table
            .into_inner()
            .into_iter()
            .map(|(key, value)| (Spanned::new(key.span(), key.into_inner().into_owned()), value))
            .collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    /// One value as `T`; a misfit is reported at its place.
    pub(super) fn section<T: DeserializeOwned>(&self, value: Spanned<DeValue<'_>>, found: &mut Findings) -> Option<T> {
        let whole = value.span();
        match T::deserialize(toml::de::ValueDeserializer::from(value)) {
            Ok(section) => Some(section),
            Err(error) => {
                let (message, remedy) = explain(error.message());
                self.report(found, error.span().unwrap_or(whole), message, &remedy);
                None
            }
        }
    }

    fn report_toml(&self, found: &mut Findings, error: &toml::de::Error) {
        let (message, remedy) = explain(error.message());
        self.report(found, error.span().unwrap_or(0..0), message, &remedy);
    }
}

/// Reads a file, or reports why it cannot and what is expected there.
pub(super) fn read_bytes(path: &Path, expected: &str, found: &mut Findings) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            found.about(path, "there is no such file", format!("expected is {expected}"));
            None
        }
        Err(error) => {
            found.about(path, format!("cannot be read: {error}"), format!("expected is {expected}"));
            None
        }
    }
}

/// Splits a parser's message into what is wrong and what to write instead.
fn explain(message: &str) -> (String, String) {
    if let Some(field) = message.strip_prefix("missing field ") {
        return (format!("{field} is missing"), format!("add a line {} = ...", field.trim_matches('`')));
    }
    match message.split_once(", expected ") {
        Some((what, expected)) => (what.to_owned(), format!("expected {expected}")),
        None => (message.to_owned(), String::new()),
    }
}

/// The place of a byte offset; an offset beyond the text is its end.
fn place(text: &str, offset: usize) -> Place {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[start..].chars().count() + 1;
    Place { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let text = "a = 1\nbü = 2\n";
        assert_eq!(place(text, 0), Place { line: 1, column: 1 });
        assert_eq!(place(text, 9), Place { line: 2, column: 3 });
        assert_eq!(place(text, 999), Place { line: 3, column: 1 });
        // Within the two bytes of `ü`: the character itself.
        assert_eq!(place(text, 8), Place { line: 2, column: 2 });
    }

    #[test]
    fn parser_messages_say_what_and_how() {
        assert_eq!(explain("missing field `name`"), ("`name` is missing".into(), "add a line name = ...".into()));
        let (what, how) = explain("unknown field `nmae`, expected `name`");
        assert_eq!((what.as_str(), how.as_str()), ("unknown field `nmae`", "expected `name`"));
    }

    #[test]
    fn all_syntax_errors_are_reported() {
        let file = TextFile { path: "x.toml".into(), text: "a = \nb = 1\nc = = 2\n".into() };
        let mut found = Findings::default();
        let entries = file.entries(&mut found);
        assert!(entries.iter().any(|(key, _)| key.get_ref() == "b"));
        let lines: Vec<_> = found.0.iter().filter_map(|d| d.place).map(|p| p.line).collect();
        assert!(lines.contains(&1) && lines.contains(&3), "{lines:?}");
    }
}
