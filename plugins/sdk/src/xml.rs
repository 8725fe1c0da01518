//! A safe XML reader whose refusals say where and what.
//!
//! Names count without their namespace prefix, so a message may come bare, with any prefix, or inside a SOAP envelope
//! ([`Document::message`]). Refused are: what is not well-formed, a document type declaration (so there are no entities
//! beyond the five predefined ones and character references, and nothing outside of the message is ever read),
//! encodings other than UTF-8, UTF-16 and ISO-8859-1, and documents beyond the bounds [`LARGEST`], [`DEEPEST`],
//! [`MOST_ELEMENTS`], [`MOST_ATTRIBUTES`] and [`LONGEST_TEXT`]. Blanks around a text do not count, and an empty
//! attribute is none: senders write both.
//!
//! Does not know any format: a format walks the document with [`At`] and [`Text`], and every refusal carries the path to
//! the place, such as `HotelReservations/HotelReservation[2]/RoomStays/RoomStay/TimeSpan/@End`.

mod decode;
mod parse;
mod write;

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use crate::{Day, Decimal, Money, Rejection, number, stay, time};

pub use decode::decode;
pub use write::{Cleaner, Framed, UNPLACED};

/// The largest document in bytes.
pub const LARGEST: usize = 8 << 20;
/// How many elements may stand inside each other.
pub const DEEPEST: usize = 64;
/// How many elements a document may have.
pub const MOST_ELEMENTS: usize = 100_000;
/// How many attributes a document may have.
pub const MOST_ATTRIBUTES: usize = 200_000;
/// How many attributes one element may have.
pub const MOST_ATTRIBUTES_OF_ONE: usize = 256;
/// The longest attribute and the longest text of an element, in bytes.
pub const LONGEST_TEXT: usize = 64 << 10;

/// A document that was read. Its elements lie in one row, in the order of the text.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    elements: Vec<Element<'a>>,
    attributes: Vec<Attribute<'a>>,
}

#[derive(Clone, Debug)]
struct Element<'a> {
    /// Without its prefix.
    name: &'a str,
    /// The index behind the last element inside.
    behind: u32,
    /// Of its first attribute; the next element's first is the end.
    attributes: u32,
    /// All texts directly inside, together and without blanks around them.
    text: Cow<'a, str>,
}

#[derive(Clone, Debug)]
struct Attribute<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

/// Reads a document that [`decode`] made a text of.
///
/// # Errors
/// A rejection with line and column.
pub fn parse(text: &str) -> Result<Document<'_>, Rejection> {
    parse::document(text)
}

impl<'a> Document<'a> {
    /// The outermost element.
    pub fn root(&self) -> At<'_> {
        At { document: self, index: 0 }
    }

    /// The message itself: the first element in the body of a SOAP envelope, else the outermost one.
    ///
    /// # Errors
    /// Refused when the envelope holds no message, or a fault.
    pub fn message(&self) -> Result<At<'_>, Rejection> {
        let root = self.root();
        if !root.is("Envelope") {
            return Ok(root);
        }
        let body = root.required("Body")?;
        let message = body.children().next().ok_or_else(|| body.reject("the SOAP body is empty"))?;
        if message.is("Fault") {
            return Err(message.reject("a SOAP fault is no message"));
        }
        Ok(message)
    }

    fn element(&self, index: u32) -> &Element<'a> {
        const NOTHING: Element<'static> = Element { name: "", behind: 0, attributes: 0, text: Cow::Borrowed("") };
        // Every index comes from this document.
        usize::try_from(index).ok().and_then(|index| self.elements.get(index)).unwrap_or(&NOTHING)
    }

    /// The index behind an element and all it holds. Never backwards: walks have to end.
    fn behind(&self, index: u32) -> u32 {
        self.element(index).behind.max(index + 1)
    }
}

/// A place in a document: an element that knows where it stands.
#[derive(Clone, Copy)]
pub struct At<'x> {
    document: &'x Document<'x>,
    index: u32,
}

impl std::fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path())
    }
}

impl PartialEq for At<'_> {
    /// Whether it is the same element of the same document.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.document, other.document) && self.index == other.index
    }
}

impl<'x> At<'x> {
    /// The element's name without its prefix.
    pub fn name(self) -> &'x str {
        self.document.element(self.index).name
    }

    /// Whether the element has this name.
    pub fn is(self, name: &str) -> bool {
        self.name() == name
    }

    /// The elements directly inside, in order.
    pub fn children(self) -> Children<'x> {
        Children { document: self.document, next: self.index + 1, end: self.document.behind(self.index) }
    }

    /// The elements at the end of a path such as `RoomStays/RoomStay`: all of them, in order.
    pub fn all(self, path: &str) -> Vec<At<'x>> {
        let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let named = self.children().filter(|child| child.is(name));
        match rest {
            None => named.collect(),
            Some(rest) => named.flat_map(|child| child.all(rest)).collect(),
        }
    }

    /// The first element at the end of a path.
    pub fn first(self, path: &str) -> Option<At<'x>> {
        let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let mut named = self.children().filter(|child| child.is(name));
        match rest {
            None => named.next(),
            Some(rest) => named.find_map(|child| child.first(rest)),
        }
    }

    /// The first element of this name anywhere inside.
    pub fn anywhere(self, name: &str) -> Option<At<'x>> {
        self.inside().find(|at| at.is(name))
    }

    /// Every element inside, however deep, in the order of the text.
    pub fn inside(self) -> impl Iterator<Item = At<'x>> + use<'x> {
        let document = self.document;
        (self.index + 1..document.behind(self.index)).map(move |index| At { document, index })
    }

    /// The first element at the end of a path that has to be there.
    ///
    /// # Errors
    /// Refused when it is missing, by name.
    pub fn required(self, path: &str) -> Result<At<'x>, Rejection> {
        self.first(path).ok_or_else(|| self.reject(format_args!("{path} is missing")))
    }

    /// An attribute; `None` where it is missing or empty.
    pub fn attribute(self, name: &str) -> Option<Text<'x>> {
        let (name, value) = self.attributes().find(|(known, _)| *known == name)?;
        let value = value.trim();
        (!value.is_empty()).then_some(Text { at: self, attribute: Some(name), value })
    }

    /// An attribute that has to be there.
    ///
    /// # Errors
    /// Refused when it is missing, by name.
    pub fn needs(self, name: &str) -> Result<Text<'x>, Rejection> {
        self.attribute(name).ok_or_else(|| self.reject(format_args!("the attribute {name} is missing")))
    }

    /// All attributes, in order.
    pub fn attributes(self) -> impl Iterator<Item = (&'x str, &'x str)> + use<'x> {
        let document: &'x Document<'x> = self.document;
        let place = |index: u32| document.element(index).attributes as usize;
        let last = self.index as usize + 1 >= document.elements.len();
        let end = if last { document.attributes.len() } else { place(self.index + 1) };
        let own = document.attributes.get(place(self.index)..end).unwrap_or_default();
        own.iter().map(|attribute| (attribute.name, attribute.value.as_ref()))
    }

    /// The text of the element; `None` where it has none.
    pub fn text(self) -> Option<Text<'x>> {
        let value = self.document.element(self.index).text.as_ref();
        (!value.is_empty()).then_some(Text { at: self, attribute: None, value })
    }

    /// The text of the first element at the end of a path; `None` where one of both is missing.
    pub fn value(self, path: &str) -> Option<Text<'x>> {
        self.first(path)?.text()
    }

    /// The text of the first element at the end of a path that has to be there.
    ///
    /// # Errors
    /// Refused when it is missing, by name.
    pub fn needs_value(self, path: &str) -> Result<Text<'x>, Rejection> {
        let at = self.required(path)?;
        at.text().ok_or_else(|| at.reject("is empty"))
    }

    /// Where the element stands, below the outermost one: `RoomStays/RoomStay[2]`. Found by walking there, since only
    /// refusals need it.
    pub fn path(self) -> String {
        let mut path = String::new();
        let mut outer = self.document.root();
        while outer.index < self.index {
            let holds = |part: &At<'_>| self.index < self.document.behind(part.index);
            let Some(inner) = outer.children().find(holds) else { break };
            let same = outer.children().filter(|child| child.is(inner.name()));
            let before = same.clone().take_while(|child| child.index < inner.index).count();
            path.push_str(if path.is_empty() { "" } else { "/" });
            path.push_str(inner.name());
            if same.count() > 1 {
                // A String takes whatever is written.
                let _ = write!(path, "[{}]", before + 1);
            }
            outer = inner;
        }
        if path.is_empty() { self.document.root().name().to_owned() } else { path }
    }

    /// A rejection about this element.
    pub fn reject(self, words: impl Display) -> Rejection {
        Rejection(format!("{}: {words}", self.path()))
    }
}

/// The elements directly inside another one.
#[derive(Clone)]
pub struct Children<'x> {
    document: &'x Document<'x>,
    next: u32,
    end: u32,
}

impl<'x> Iterator for Children<'x> {
    type Item = At<'x>;

    fn next(&mut self) -> Option<At<'x>> {
        if self.next >= self.end {
            return None;
        }
        let at = At { document: self.document, index: self.next };
        self.next = self.document.behind(self.next);
        Some(at)
    }
}

/// A text that knows where it stands: an attribute's value or what an element holds. Never empty.
#[derive(Clone, Copy)]
pub struct Text<'x> {
    at: At<'x>,
    attribute: Option<&'x str>,
    value: &'x str,
}

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path(), shown(self.value))
    }
}

impl<'x> Text<'x> {
    /// The text as it stands, without blanks around it.
    pub fn as_str(self) -> &'x str {
        self.value
    }

    /// Where it stands: the element's path, and `@name` for an attribute.
    pub fn path(self) -> String {
        match self.attribute {
            Some(name) => format!("{}/@{name}", self.at.path()),
            None => self.at.path(),
        }
    }

    /// A rejection about this text.
    pub fn reject(self, words: impl Display) -> Rejection {
        Rejection(format!("{}: {words}", self.path()))
    }

    /// A rejection that says what the text should have been: `.../@End: "soon" is not a date`.
    pub fn is_not(self, expected: impl Display) -> Rejection {
        self.reject(format_args!("{} is not {expected}", shown(self.value)))
    }

    /// A code or a name: without control characters, at most 256 bytes.
    ///
    /// # Errors
    /// Refused when it is anything else, as with every method below.
    pub fn code(self) -> Result<&'x str, Rejection> {
        if self.value.len() > 256 || self.value.chars().any(char::is_control) {
            return Err(self.is_not("a code (at most 256 bytes, without control characters)"));
        }
        Ok(self.value)
    }

    /// The local date of `2026-03-01` or of an instant such as `2026-03-01T14:00:00+01:00`.
    #[allow(clippy::missing_errors_doc, reason = "said at `code`")]
    pub fn day(self) -> Result<Day, Rejection> {
        time::local_day(self.value).ok_or_else(|| self.is_not("a date from 1900-01-01 to 2299-12-31 (YYYY-MM-DD)"))
    }

    /// An instant in microseconds since 1970-01-01T00:00:00Z; `assumed` (seconds east of UTC) where it gives no offset.
    #[allow(clippy::missing_errors_doc, reason = "said at `code`")]
    pub fn instant(self, assumed: i32) -> Result<i64, Rejection> {
        let stamp = time::stamp(self.value);
        stamp.map(|stamp| stamp.utc(assumed)).ok_or_else(|| self.is_not("an instant such as 2026-03-01T12:00:00Z"))
    }

    /// A count of something: a whole number from 0 to 4,294,967,295.
    #[allow(clippy::missing_errors_doc, reason = "said at `code`")]
    pub fn count(self) -> Result<u32, Rejection> {
        let digits = self.value.bytes().all(|byte| byte.is_ascii_digit());
        let count = digits.then(|| self.value.parse().ok()).flatten();
        count.ok_or_else(|| self.is_not("a whole number from 0 to 4294967295"))
    }

    /// A decimal number such as `120.50`.
    #[allow(clippy::missing_errors_doc, reason = "said at `code`")]
    pub fn decimal(self) -> Result<Decimal, Rejection> {
        self.placed(0)
    }

    /// A decimal number whose number of decimals stands apart; see [`number::placed`].
    #[allow(clippy::missing_errors_doc, reason = "said at `code`")]
    pub fn placed(self, places: u8) -> Result<Decimal, Rejection> {
        number::placed(self.value, places).map_err(|error| self.is_not(error.expected()))
    }

    /// `amount` in the currency that this text names.
    #[allow(clippy::missing_errors_doc, reason = "said at `code`")]
    pub fn currency_of(self, amount: Decimal) -> Result<Money, Rejection> {
        let money = number::money(amount, self.value);
        money.ok_or_else(|| self.is_not("a currency (ISO 4217, three capitals)"))
    }

    /// `true` or `false`, also as `1` or `0`.
    #[allow(clippy::missing_errors_doc, reason = "said at `code`")]
    pub fn boolean(self) -> Result<bool, Rejection> {
        match self.value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.is_not("true or false")),
        }
    }

    /// What stands next to the word in a table. Upper and lower case, blanks, hyphens and underscores make no difference.
    #[allow(clippy::missing_errors_doc, reason = "said at `code`")]
    pub fn one_of<T: Copy>(self, table: &[(&str, T)]) -> Result<T, Rejection> {
        let same = |left: &str, right: &str| {
            let plain = |text: &str| -> Vec<u8> {
                text.bytes().filter(|b| !b" -_".contains(b)).map(|b| b.to_ascii_lowercase()).collect()
            };
            plain(left) == plain(right)
        };
        table.iter().find(|(word, _)| same(word, self.value)).map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
            self.is_not(format_args!("one of {}", words.join(", ")))
        })
    }
}

/// A text as a rejection shows it: short, in quotes, control characters made visible, card numbers masked.
fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let masked = stay::cards_masked(text);
    let text = masked.as_deref().unwrap_or(text);
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{:?}", format!("{}...", &text[..at])),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests;
