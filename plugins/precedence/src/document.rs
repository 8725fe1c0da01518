//! The shape of a TOML document: tables, texts, lists, durations, each with its place in the text.
//!
//! Collects what is wrong with the shape and goes on. Does not know what a rule set holds.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::words::{Finding, nearest};

/// The longest text of a rule set, in bytes: the host keeps names no longer.
const LONGEST: usize = 200;

/// A text and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub text: String,
    pub at: usize,
}

/// A table and where it stands.
#[derive(Clone, Copy)]
pub struct Table<'t> {
    pub table: &'t DeTable<'t>,
    pub at: usize,
}

/// Reads shapes and keeps the findings.
#[derive(Default)]
pub struct Shapes {
    pub findings: Vec<Finding>,
}

impl Shapes {
    pub fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Reports keys other than `known`.
    pub fn only(&mut self, table: Table<'_>, place: &str, known: &[&str]) {
        for (key, _) in table.table.iter() {
            if known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let finding = Finding::new(key.span().start, format!("unknown key {:?} in {place}", key.get_ref()));
            self.report(match nearest(key.get_ref(), known.iter().copied()) {
                Some(near) => finding.propose(format!("did you mean `{near}`?")),
                None => finding.propose(format!("known here: {}", known.join(", "))),
            });
        }
    }

    /// The text of a key that has to be there.
    pub fn text(&mut self, table: Table<'_>, place: &str, key: &str, example: &str) -> Option<Named> {
        match table.table.get(key) {
            Some(value) => self.as_text(value, key),
            None => {
                let message = format!("{place} has no `{key}`");
                self.report(Finding::new(table.at, message).propose(format!("add: {key} = {example}")));
                None
            }
        }
    }

    /// The text of a key that may be missing.
    pub fn optional_text(&mut self, table: Table<'_>, key: &str) -> Option<Named> {
        self.as_text(table.table.get(key)?, key)
    }

    pub fn as_text(&mut self, value: &Spanned<DeValue<'_>>, what: &str) -> Option<Named> {
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                self.report(Finding::new(at, format!("{what} is empty")));
                None
            }
            DeValue::String(text) if text.len() > LONGEST || text.chars().any(char::is_control) => {
                let message = format!("{what} is longer than {LONGEST} bytes or holds control characters");
                self.report(Finding::new(at, message));
                None
            }
            DeValue::String(text) => Some(Named { text: text.clone().into_owned(), at }),
            other => {
                self.report(Finding::new(at, format!("{what} has to be a text in quotes, not {}", kind(other))));
                None
            }
        }
    }

    /// A list of texts; it may not be empty and names nothing twice.
    pub fn texts(&mut self, value: &Spanned<DeValue<'_>>, what: &str) -> Vec<Named> {
        let at = value.span().start;
        let DeValue::Array(elements) = value.get_ref() else {
            let message = format!("{what} has to be a list of texts, not {}", kind(value.get_ref()));
            self.report(Finding::new(at, message).propose("write: [\"...\", \"...\"]"));
            return Vec::new();
        };
        if elements.is_empty() {
            self.report(Finding::new(at, format!("{what} is empty")));
        }
        let mut texts: Vec<Named> = Vec::new();
        for element in elements.iter() {
            let Some(named) = self.as_text(element, &format!("an entry of {what}")) else { continue };
            if texts.iter().any(|earlier| earlier.text == named.text) {
                self.report(
                    Finding::new(named.at, format!("{:?} stands twice in {what}", named.text)).propose("remove it"),
                );
            } else {
                texts.push(named);
            }
        }
        texts
    }

    /// A whole number from 0 on.
    pub fn count(&mut self, table: Table<'_>, key: &str) -> Option<u32> {
        let value = table.table.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                u32::from_str_radix(digits.trim_start_matches('+'), number.radix()).ok()
            }
            _ => None,
        };
        if number.is_none() {
            self.report(Finding::new(
                value.span().start,
                format!("{key} has to be a whole number from 0 to {}", u32::MAX),
            ));
        }
        number
    }

    /// A table inside a table; `None` where it is missing.
    pub fn table<'t>(&mut self, parent: Table<'t>, key: &str) -> Option<Table<'t>> {
        self.as_table(parent.table.get(key)?, key)
    }

    pub fn as_table<'t>(&mut self, value: &'t Spanned<DeValue<'t>>, what: &str) -> Option<Table<'t>> {
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(table) => Some(Table { table, at }),
            _ => {
                let finding = Finding::new(at, format!("`{what}` has to be a table, not {}", kind(value.get_ref())));
                self.report(finding.propose(format!("write: [{what}]")));
                None
            }
        }
    }

    /// The tables of `[[name]]`; none where it is missing.
    pub fn tables<'t>(&mut self, parent: Table<'t>, key: &str, name: &str) -> Vec<Table<'t>> {
        let Some(value) = parent.table.get(key) else { return Vec::new() };
        let DeValue::Array(elements) = value.get_ref() else {
            let finding = Finding::new(value.span().start, format!("`{name}` has to be a list of rules"));
            self.report(finding.propose(format!("write: [[{name}]]")));
            return Vec::new();
        };
        elements.iter().filter_map(|element| self.as_table(element, name)).collect()
    }

    /// A duration such as `30m`, `1h30m` or `500ms`.
    pub fn duration(&mut self, table: Table<'_>, key: &str) -> Option<Duration> {
        let named = self.as_text(table.table.get(key)?, key)?;
        let duration = duration(&named.text);
        if duration.is_none() {
            let message = format!("{key} has to be a duration of at most 366 days, not {:?}", named.text);
            self.report(Finding::new(named.at, message).propose("write a number with ms, s, m, h or d: \"30m\""));
        }
        duration
    }

    /// A decimal number from 0 on, in ten-thousandths.
    pub fn tolerance(&mut self, table: Table<'_>, key: &str) -> Option<i64> {
        let value = table.table.get(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => "",
        };
        let parsed = ten_thousandths(text);
        if parsed.is_none() {
            let message = format!("{key} has to be a number from 0 on with at most four decimals");
            self.report(Finding::new(value.span().start, message).propose(format!("write: {key} = \"0.01\"")));
        }
        parsed
    }
}

/// What a value is, in words.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn duration(text: &str) -> Option<Duration> {
    const LONGEST: u64 = 366 * 86_400_000;
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest.get(..letters)? {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = rest.get(letters..)?;
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.is_empty() && total <= LONGEST).then(|| Duration::from_millis(total))
}

fn ten_thousandths(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || text.ends_with('.') || part.len() > 4 || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    format!("{whole}{part:0<4}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("30m", 1_800_000), ("1h30m", 5_400_000), ("500ms", 500), ("2d", 172_800_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "m", "1.5h", "-1m", "1 m", "5w", "367d", "99999999999999999999s", "1h ", "１m"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn tolerances() {
        for (text, expected) in [("0.01", 100), ("1", 10_000), ("0.1234", 1234), ("0", 0)] {
            assert_eq!(ten_thousandths(text), Some(expected), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "0.00001", "1e2", "inf", "99999999999999999999"] {
            assert_eq!(ten_thousandths(text), None, "{text}");
        }
    }
}
