//! A strict JSON reader whose refusals say where and what.
//!
//! Texts are borrowed from the input, numbers keep their digits. Refused are: anything RFC 8259 does not
//! allow (`NaN`, trailing commas, comments), encodings other than UTF-8, a key given twice in an object,
//! and nesting deeper than [`DEEPEST`]. Does not know any format: a format walks the document with
//! [`At`], and every refusal carries the path to the place, such as `lines[0].arrival`.

mod clean;
pub mod messages;
mod parse;
mod walk;

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

pub use clean::{Cleaner, string};
pub use walk::same_word;

use crate::{Day, Days, Decimal, Money, Rejection, number, stay, time};

/// How many lists and objects may stand inside each other.
pub const DEEPEST: usize = 64;

/// One JSON value; what stands inside a list or an object, [`At`] walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'j> {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number as it was written.
    Number(&'j str),
    /// A string without its escapes.
    Text(&'j str),
    /// `[...]`
    List,
    /// `{...}`
    Object,
}

/// A document that was read. All its values lie in one row, in the order of the text: a list or an object is
/// followed by what it holds. One allocation serves the whole document; allocating is what costs in a guest.
#[derive(Clone, Debug)]
pub struct Document<'a>(Vec<Node<'a>>);

/// A value in the row.
#[derive(Clone, Debug)]
enum Node<'a> {
    Null,
    Boolean(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    /// The index behind the last value inside.
    List(u32),
    /// The same; inside, keys (texts) and values take turns.
    Object(u32),
}

/// Reads a document.
///
/// # Errors
/// A rejection with line and column.
pub fn parse(input: &[u8]) -> Result<Document<'_>, Rejection> {
    parse::document(input).map(Document)
}

impl<'a> Document<'a> {
    /// The outermost value.
    pub fn root(&self) -> At<'_> {
        At { document: self, index: 0 }
    }

    fn node(&self, index: u32) -> &Node<'a> {
        usize::try_from(index).ok().and_then(|index| self.0.get(index)).unwrap_or(&Node::Null)
    }

    /// The index behind a value and all it holds.
    fn behind(&self, index: u32) -> u32 {
        match self.node(index) {
            // Never backwards, whatever a bug may put there: walks have to end.
            Node::List(end) | Node::Object(end) => (*end).max(index + 1),
            _ => index + 1,
        }
    }
}

/// A place in a document: a value that knows where it stands.
#[derive(Clone, Copy)]
pub struct At<'j> {
    document: &'j Document<'j>,
    index: u32,
}

impl std::fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {self}", self.path())
    }
}

impl Display for At<'_> {
    /// The value as compact JSON; numbers as they were written.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.value() {
            Value::Null => f.write_str("null"),
            Value::Boolean(value) => value.fmt(f),
            Value::Number(digits) => f.write_str(digits),
            Value::Text(text) => write_text(f, text),
            Value::List => {
                f.write_char('[')?;
                for (place, element) in self.inside().enumerate() {
                    f.write_str(if place == 0 { "" } else { "," })?;
                    element.fmt(f)?;
                }
                f.write_char(']')
            }
            Value::Object => {
                f.write_char('{')?;
                for (place, part) in self.inside().enumerate() {
                    f.write_str(if place == 0 {
                        ""
                    } else if place % 2 == 0 {
                        ","
                    } else {
                        ":"
                    })?;
                    part.fmt(f)?;
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

/// The values that lie inside another one, side by side.
#[derive(Clone)]
struct Inside<'j> {
    document: &'j Document<'j>,
    next: u32,
    end: u32,
}

impl<'j> Iterator for Inside<'j> {
    type Item = At<'j>;

    fn next(&mut self) -> Option<At<'j>> {
        if self.next >= self.end {
            return None;
        }
        let at = At { document: self.document, index: self.next };
        self.next = self.document.behind(self.next);
        Some(at)
    }
}

impl<'j> At<'j> {
    /// The value itself.
    pub fn value(self) -> Value<'j> {
        match self.document.node(self.index) {
            Node::Null => Value::Null,
            Node::Boolean(value) => Value::Boolean(*value),
            Node::Number(digits) => Value::Number(digits),
            Node::Text(text) => Value::Text(text),
            Node::List(_) => Value::List,
            Node::Object(_) => Value::Object,
        }
    }

    fn inside(self) -> Inside<'j> {
        Inside { document: self.document, next: self.index + 1, end: self.document.behind(self.index) }
    }

    /// Where the value stands: `lines[0].arrival`, or `document` for the outermost value. Found by walking there,
    /// since only refusals need it.
    pub fn path(self) -> String {
        let mut path = String::new();
        let mut outer = self.document.root();
        while outer.index < self.index {
            let holds = |part: &At<'_>| self.index < self.document.behind(part.index);
            let Some((place, inner)) = outer.inside().enumerate().find(|(_, part)| holds(part)) else { break };
            match outer.value() {
                Value::Object => match outer.inside().nth(place - place % 2).map(At::value) {
                    Some(Value::Text(key)) => push_key(&mut path, key),
                    _ => break,
                },
                _ => path.push_str(&format!("[{place}]")),
            }
            outer = inner;
        }
        if path.is_empty() { "document".to_owned() } else { path }
    }

    /// A rejection about this place.
    pub fn reject(self, words: impl Display) -> Rejection {
        Rejection(format!("{}: {words}", self.path()))
    }

    /// A rejection that says what the value should have been: `lines[0].arrival: "soon" is not a date`.
    pub fn is_not(self, expected: impl Display) -> Rejection {
        self.reject(format_args!("{} is not {expected}", shown(self.value())))
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        matches!(self.value(), Value::Null)
    }

    /// The value as an object.
    ///
    /// # Errors
    /// Refused when it is anything else, as with every method below.
    pub fn object(self) -> Result<Object<'j>, Rejection> {
        match self.value() {
            Value::Object => Ok(Object(self)),
            _ => Err(self.is_not("an object")),
        }
    }

    /// The elements of a list.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn list(self) -> Result<impl Iterator<Item = At<'j>> + Clone + use<'j>, Rejection> {
        match self.value() {
            Value::List => Ok(self.inside()),
            _ => Err(self.is_not("a list")),
        }
    }

    /// Any string.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn text(self) -> Result<&'j str, Rejection> {
        match self.value() {
            Value::Text(text) => Ok(text),
            _ => Err(self.is_not("a string")),
        }
    }

    /// A code or a name: a string that is not empty and holds no control characters.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn code(self) -> Result<&'j str, Rejection> {
        match self.value() {
            Value::Text(text) if is_code(text) => Ok(text),
            _ => Err(self.is_not("a code (a string, not empty, without control characters)")),
        }
    }

    /// `true` or `false`.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn boolean(self) -> Result<bool, Rejection> {
        match self.value() {
            Value::Boolean(value) => Ok(value),
            _ => Err(self.is_not("true or false")),
        }
    }

    /// A whole number of 64 bits, written without point and exponent.
    #[allow(clippy::missing_errors_doc, reason = "said at `object`")]
    pub fn integer(self) -> Result<i64, Rejection> {
        match self.value() {
            Value::Number(digits) => digits.parse().map_err(|_| self.is_not("a whole number of 64 bits")),
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
        let text = match self.value() {
            Value::Number(digits) => digits,
            Value::Text(text) => text,
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
                shown(self.value())
            ))),
            None => Err(self.is_not("nights (2026-03-01/2026-03-04 are three: the second date is the day after)")),
        }
    }
}

/// An object at its place.
#[derive(Clone, Copy, Debug)]
pub struct Object<'j>(At<'j>);

impl<'j> Object<'j> {
    /// The place of the object itself.
    pub fn at(self) -> At<'j> {
        self.0
    }

    /// The value of a key, if it is there; it may be `null`.
    pub fn get(self, key: &str) -> Option<At<'j>> {
        self.entries().find(|(name, _)| *name == key).map(|(_, at)| at)
    }

    /// The value of a key that has to be there.
    ///
    /// # Errors
    /// Refused when it is missing, by name.
    pub fn required(self, key: &str) -> Result<At<'j>, Rejection> {
        self.needs(key, self.get(key))
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
    pub fn entries(self) -> impl Iterator<Item = (&'j str, At<'j>)> + use<'j> {
        let mut parts = self.0.inside();
        std::iter::from_fn(move || match (parts.next()?.value(), parts.next()?) {
            (Value::Text(key), at) => Some((key, at)),
            _ => None,
        })
    }

    /// The values of the keys that may stand here, in the order of `known`; every other key is refused.
    ///
    /// ```
    /// # use concord_plugin::json;
    /// let document = json::parse(br#"{"from": "2026-03-01"}"#)?;
    /// let [from, note] = document.root().object()?.only(&["from", "note"])?;
    /// assert!(from.is_some() && note.is_none());
    /// # Ok::<(), concord_plugin::Rejection>(())
    /// ```
    ///
    /// # Errors
    /// A rejection that names the first unknown key and those that may stand here.
    pub fn only<const N: usize>(self, known: &[&str; N]) -> Result<[Option<At<'j>>; N], Rejection> {
        let mut found = [None; N];
        // Senders mostly keep to one order of keys: look on from the last one.
        let mut next = 0;
        for (key, at) in self.entries() {
            let ahead = known.iter().skip(next).position(|name| *name == key).map(|place| place + next);
            let Some(place) = ahead.or_else(|| known.iter().position(|name| *name == key)) else {
                return Err(self.unknown(key, known));
            };
            found[place] = Some(at);
            next = place + 1;
        }
        Ok(found)
    }

    #[cold]
    fn unknown(self, key: &str, known: &[&str]) -> Rejection {
        let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
        self.0.reject(format_args!("unknown key {} (known here: {known})", quoted(key)))
    }

    /// The value of `key` as [`Object::only`] found it, if it has to be there.
    ///
    /// # Errors
    /// Refused when it is missing, by name.
    pub fn needs(self, key: &str, found: Option<At<'j>>) -> Result<At<'j>, Rejection> {
        found.ok_or_else(|| self.0.reject(format_args!("{} is missing", quoted(key))))
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
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
fn shown(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Number(digits) => clipped(digits),
        Value::Text(text) => quoted(text),
        Value::List => "a list".to_owned(),
        Value::Object => "an object".to_owned(),
    }
}

/// A text in quotes, control characters made visible.
fn quoted(text: &str) -> String {
    format!("{:?}", clipped(text))
}

/// Short, and without the numbers of payment cards: reasons are kept.
fn clipped(text: &str) -> String {
    const MOST: usize = 60;
    let masked = stay::cards_masked(text);
    let text = masked.as_deref().unwrap_or(text);
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
