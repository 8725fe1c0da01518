//! A strict JSON reader whose refusals say where and what.
//!
//! Texts are borrowed from the input, numbers keep their digits. Refused are: anything RFC 8259 does not
//! allow (`NaN`, trailing commas, comments), encodings other than UTF-8, a key given twice in an object,
//! and nesting deeper than [`DEEPEST`]. Does not know any format: a format walks the document with
//! [`At`], and every refusal carries the path to the place, such as `lines[0].arrival`.

mod parse;

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use crate::{Day, Days, Decimal, Money, Rejection, number, time};

/// How many lists and objects may stand inside each other.
pub const DEEPEST: usize = 64;

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number as it was written.
    Number(&'a str),
    /// A string without its escapes.
    Text(Cow<'a, str>),
    /// `[...]`
    List(Vec<Json<'a>>),
    /// `{...}`, keys in the order of the text, each once.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl Display for Json<'_> {
    /// Compact JSON; numbers as they were written.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Boolean(value) => value.fmt(f),
            Json::Number(digits) => f.write_str(digits),
            Json::Text(text) => write_text(f, text),
            Json::List(elements) => {
                f.write_char('[')?;
                for (index, element) in elements.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    element.fmt(f)?;
                }
                f.write_char(']')
            }
            Json::Object(entries) => {
                f.write_char('{')?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    write_text(f, key)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_text(f: &mut std::fmt::Formatter<'_>, text: &str) -> std::fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\0'..='\u{1f}' => write!(f, "\\u{:04x}", u32::from(character))?,
            _ => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

/// A document that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<'a>(Json<'a>);

/// Reads a document.
///
/// # Errors
/// A rejection with line and column, or with the path to a key that stands twice.
pub fn parse(input: &[u8]) -> Result<Document<'_>, Rejection> {
    parse::document(input).map(Document)
}

impl<'a> Document<'a> {
    /// The outermost value.
    pub fn root(&self) -> At<'_> {
        At { document: &self.0, node: &self.0 }
    }
}

/// A place in a document: a value that knows where it stands.
#[derive(Clone, Copy, Debug)]
pub struct At<'j> {
    document: &'j Json<'j>,
    node: &'j Json<'j>,
}

impl<'j> At<'j> {
    /// The value itself.
    pub fn value(self) -> &'j Json<'j> {
        self.node
    }

    /// Where the value stands: `lines[0].arrival`, or `document` for the outermost value. Found by
    /// searching, since only refusals need it.
    pub fn path(self) -> String {
        let mut path = String::new();
        find(self.document, self.node, &mut path);
        if path.is_empty() { "document".to_owned() } else { path }
    }

    /// A rejection about this place.
    pub fn reject(self, words: impl Display) -> Rejection {
        Rejection(format!("{}: {words}", self.path()))
    }

    /// A rejection that says what the value should have been: "lines[0].arrival: "soon" is not a date".
    pub fn is_not(self, expected: impl Display) -> Rejection {
        self.reject(format_args!("{} is not {expected}", shown(self.node)))
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        matches!(self.node, Json::Null)
    }

    /// The value as an object.
    ///
    /// # Errors
    /// Refused when it is anything else, as with every method below.
    pub fn object(self) -> Result<Object<'j>, Rejection> {
        match self.node {
            Json::Object(entries) => Ok(Object { at: self, entries }),
            _ => Err(self.is_not("an object")),
        }
    }

    /// The elements of a list.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn list(self) -> Result<impl ExactSizeIterator<Item = At<'j>> + use<'j>, Rejection> {
        match self.node {
            Json::List(elements) => Ok(elements.iter().map(move |node| At { document: self.document, node })),
            _ => Err(self.is_not("a list")),
        }
    }

    /// Any string.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn text(self) -> Result<&'j str, Rejection> {
        match self.node {
            Json::Text(text) => Ok(text),
            _ => Err(self.is_not("a string")),
        }
    }

    /// A code or a name: a string that is not empty and holds no control characters.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn code(self) -> Result<&'j str, Rejection> {
        match self.node {
            Json::Text(text) if is_code(text) => Ok(text),
            _ => Err(self.is_not("a code (a string, not empty, without control characters)")),
        }
    }

    /// `true` or `false`.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn boolean(self) -> Result<bool, Rejection> {
        match self.node {
            Json::Boolean(value) => Ok(*value),
            _ => Err(self.is_not("true or false")),
        }
    }

    /// A whole number of 64 bits, written without point and exponent.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn integer(self) -> Result<i64, Rejection> {
        match self.node {
            Json::Number(digits) => digits.parse().map_err(|_| self.is_not("a whole number of 64 bits")),
            _ => Err(self.is_not("a whole number")),
        }
    }

    /// A count of something: a whole number from 0 to 4,294,967,295.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn count(self) -> Result<u32, Rejection> {
        let count = self.integer().ok().and_then(|count| u32::try_from(count).ok());
        count.ok_or_else(|| self.is_not("a whole number from 0 to 4294967295"))
    }

    /// A decimal number: a JSON number or the same in a string.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn decimal(self) -> Result<Decimal, Rejection> {
        let text = match self.node {
            Json::Number(digits) => digits,
            Json::Text(text) => text.as_ref(),
            _ => return Err(self.is_not("a decimal number")),
        };
        number::decimal(text).map_err(|error| self.is_not(error.expected()))
    }

    /// `amount` in the currency that this value names.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn currency_of(self, amount: Decimal) -> Result<Money, Rejection> {
        number::money(amount, self.text()?).ok_or_else(|| self.is_not("a currency (ISO 4217, three capitals)"))
    }

    /// A day: `"2026-03-01"`.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn day(self) -> Result<Day, Rejection> {
        time::day(self.text()?).ok_or_else(|| self.is_not("a date from 1900-01-01 to 2299-12-31 (YYYY-MM-DD)"))
    }

    /// Nights: `"2026-03-01/2026-03-04"`, whose end is exclusive, as a departure is.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn nights(self) -> Result<Days, Rejection> {
        let ends = self.text()?.split_once('/').and_then(|(first, end)| Some((time::day(first)?, time::day(end)?)));
        match ends {
            Some((first, end)) if first < end => Ok(Days { first, end }),
            Some(_) => Err(self.reject(format_args!(
                "{} holds no night: the second date is the day after the last night",
                shown(self.node)
            ))),
            None => Err(self.is_not("nights (2026-03-01/2026-03-04 are three: the second date is the day after)")),
        }
    }
}

/// An object at its place.
#[derive(Clone, Copy, Debug)]
pub struct Object<'j> {
    at: At<'j>,
    entries: &'j [(Cow<'j, str>, Json<'j>)],
}

impl<'j> Object<'j> {
    /// The place of the object itself.
    pub fn at(self) -> At<'j> {
        self.at
    }

    /// The value of a key, if it is there; it may be `null`.
    pub fn get(self, key: &str) -> Option<At<'j>> {
        let (_, node) = self.entries.iter().find(|(name, _)| name == key)?;
        Some(At { document: self.at.document, node })
    }

    /// The value of a key that has to be there.
    ///
    /// # Errors
    /// Refused when it is missing, by name.
    pub fn required(self, key: &str) -> Result<At<'j>, Rejection> {
        self.get(key).ok_or_else(|| self.at.reject(format_args!("\"{key}\" is missing")))
    }

    /// The value of a key read by `read`, or `None` where the key is missing.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn optional<T>(
        self,
        key: &str,
        read: impl FnOnce(At<'j>) -> Result<T, Rejection>,
    ) -> Result<Option<T>, Rejection> {
        self.get(key).map(read).transpose()
    }

    /// All keys with their values, in the order of the text.
    pub fn entries(self) -> impl ExactSizeIterator<Item = (&'j str, At<'j>)> {
        self.entries.iter().map(move |(key, node)| (key.as_ref(), At { document: self.at.document, node }))
    }

    /// Refuses keys other than `known`.
    ///
    /// # Errors
    /// A rejection that names the first unknown key and those that may stand here.
    pub fn only(self, known: &[&str]) -> Result<(), Rejection> {
        match self.entries.iter().find(|(key, _)| !known.contains(&key.as_ref())) {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => {
                Err(self.at.reject(format_args!("unknown key {}: nothing may stand here", quoted(key))))
            }
            Some((key, _)) => {
                let known = known.join(", ");
                Err(self.at.reject(format_args!("unknown key {} (known here: {known})", quoted(key))))
            }
        }
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// Appends the path from `node` to the very value `wanted`; `false` and no change if it is not in there.
fn find(node: &Json<'_>, wanted: &Json<'_>, path: &mut String) -> bool {
    if std::ptr::eq(node, wanted) {
        return true;
    }
    let length = path.len();
    match node {
        Json::List(elements) => elements.iter().enumerate().any(|(index, element)| {
            path.push_str(&format!("[{index}]"));
            find(element, wanted, path) || {
                path.truncate(length);
                false
            }
        }),
        Json::Object(entries) => entries.iter().any(|(key, value)| {
            push_key(path, key);
            find(value, wanted, path) || {
                path.truncate(length);
                false
            }
        }),
        _ => false,
    }
}

fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match (plain, path.is_empty()) {
        (true, true) => path.push_str(key),
        (true, false) => {
            path.push('.');
            path.push_str(key);
        }
        (false, _) => path.push_str(&format!("[{}]", quoted(key))),
    }
}

/// A value as a rejection shows it: short, and without what stands inside.
fn shown(node: &Json<'_>) -> String {
    match node {
        Json::Null => "null".to_owned(),
        Json::Boolean(value) => value.to_string(),
        Json::Number(digits) => clipped(digits),
        Json::Text(text) => quoted(text),
        Json::List(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// A text in quotes, control characters made visible.
fn quoted(text: &str) -> String {
    format!("{:?}", clipped(text))
}

fn clipped(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
