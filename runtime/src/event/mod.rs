//! What stands in a record: CloudEvents 1.0 in JSON, from sources or from Concord itself.
//!
//! Knows the envelope, who may have written it and how a record is keyed. Does not know what an
//! event's body says: that is the normalizer's. A record's bytes come from anyone, so everything
//! here is bounded and nothing panics; bad records are data.

use bytes::Bytes;
use sha2::{Digest, Sha256};

mod chunks;
mod control;
mod json;
mod key;
mod secret;
#[cfg(test)]
mod tests;

pub use chunks::{Assembler, ChunkError, MAX_PARTS, PART_BYTES, cut};
pub use control::{Control, Signed, sign_and_write, wrapped_bytes};
pub use key::{Key, KeyError, MAX_PROPERTY_BYTES};
pub use secret::{ControlKey, KeyFileError};

/// Types that begin so are Concord's own and need its signature.
pub const CONTROL_PREFIX: &str = "concord.";
/// The extension attribute with a control record's signature.
pub const MAC_ATTRIBUTE: &str = "concordmac";
/// Of a record's value; a log's own limit is usually lower.
pub const MAX_EVENT_BYTES: usize = 32 << 20;
/// Of an event's JSON data: what common parsers read without a stack of their own.
pub const MAX_DEPTH: usize = 127;
/// Of one event, extension attributes and all.
pub const MAX_ATTRIBUTES: usize = 128;
/// Of an attribute's name.
pub const MAX_NAME_BYTES: usize = 64;
/// Of an attribute's value.
pub const MAX_VALUE_BYTES: usize = 64 << 10;

/// A CloudEvents 1.0 event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The source's name in the configuration; for a control record, who wrote it.
    pub source: String,
    /// The sender's delivery id, or a content id ([`content_id`]).
    pub id: String,
    pub r#type: String,
    /// Microseconds since 1970-01-01T00:00:00Z, years 0 to 9999.
    pub time: Option<i64>,
    pub subject: Option<String>,
    /// RFC 2046 media type; absent means JSON.
    pub datacontenttype: Option<String>,
    /// The body, byte for byte; empty when the event has none.
    pub data: Bytes,
    /// Extension attributes by name in byte order: names of lower-case letters and digits.
    pub attributes: Vec<(String, String)>,
}

impl Event {
    /// Reads a source's event in JSON (structured mode); refuses types that are Concord's own, signed
    /// or not. What stands in the log is read by [`parse`].
    pub fn parse(value: &Bytes) -> Result<Event, Invalid> {
        let event = json::read(value).map_err(|unread| unread.why)?;
        if is_control(&event.r#type) { Err(reserved()) } else { Ok(event) }
    }

    /// The event in JSON; reading it gives the same event. Refuses what reading would refuse, and
    /// types that are Concord's own.
    pub fn write(&self) -> Result<Bytes, Invalid> {
        if is_control(&self.r#type) {
            return Err(reserved());
        }
        json::write(self)
    }

    /// An extension attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The media type as a plugin gets it: absent means JSON.
    pub fn content_type(&self) -> &str {
        self.datacontenttype.as_deref().unwrap_or("application/json")
    }
}

/// Why a record's value is no event, in words for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("the value has {size} bytes; the limit is {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("the value is not UTF-8 from byte {0} on")]
    Encoding(usize),
    #[error("the value is no JSON object with CloudEvents attributes: {0}")]
    Json(String),
    #[error("attribute `{0}` is missing")]
    Missing(&'static str),
    #[error("attribute `{name}`: {problem}")]
    Attribute { name: String, problem: String },
}

impl Invalid {
    fn of(name: &str, problem: impl Into<String>) -> Invalid {
        Invalid::Attribute { name: excerpt(name), problem: problem.into() }
    }
}

fn reserved() -> Invalid {
    Invalid::of("type", format!("`{CONTROL_PREFIX}*` is reserved for Concord's control records"))
}

/// The start of a text, for messages.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Whether a type is one of Concord's own.
pub fn is_control(r#type: &str) -> bool {
    r#type.starts_with(CONTROL_PREFIX)
}

/// What a record's value turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// From a source.
    Event(Event),
    /// From this pipeline: the signature is right.
    Control(Box<Signed>),
    /// It claims to be a control record, and this pipeline's key did not sign it.
    Forged(String),
    /// No event, or a control record of this pipeline that this version cannot read.
    Invalid(Invalid),
}

/// Reads a record's value, whatever it is.
pub fn parse(value: &Bytes, key: &ControlKey) -> Parsed {
    match json::read(value) {
        Ok(event) if is_control(&event.r#type) => control::open(event, key),
        Ok(event) => Parsed::Event(event),
        Err(unread) if unread.control => Parsed::Forged(format!("no valid control record: {}", unread.why)),
        Err(unread) => Parsed::Invalid(unread.why),
    }
}

/// The id of a delivery whose sender gave none: `sha256-` and 64 hexadecimal digits, of everything
/// that makes its content. Equal content has equal ids, so such an id says nothing about who sent it.
pub fn content_id(source: &str, content_type: Option<&str>, attributes: &[(String, String)], body: &[u8]) -> String {
    let mut hash = Framed(Sha256::new());
    hash.put(b"concord delivery 1");
    hash.put(source.as_bytes());
    hash.put_option(content_type.map(str::as_bytes));
    let mut attributes = attributes.to_vec();
    attributes.sort();
    hash.put_pairs(&attributes);
    hash.put(body);
    format!("sha256-{}", hex(&hash.0.finalize()))
}

/// Whether an id is only a hash of the content; also of a part of a delivery (`sha256-…#2`).
pub fn is_content_id(id: &str) -> bool {
    let Some(rest) = id.strip_prefix("sha256-") else { return false };
    let (digits, part) = rest.split_once('#').unwrap_or((rest, "1"));
    digits.len() == 64
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && !part.is_empty()
        && part.bytes().all(|b| b.is_ascii_digit())
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(*pair.first()?)? << 4) | digit(*pair.get(1)?)?)).collect()
}

/// Feeds fields to a hash so that no two lists of fields give the same bytes: each with its length,
/// optional ones with a mark.
struct Framed<D>(D);

impl<D: sha2::digest::Update> Framed<D> {
    fn put(&mut self, field: &[u8]) {
        self.0.update(&(field.len() as u64).to_le_bytes());
        self.0.update(field);
    }

    fn put_option(&mut self, field: Option<&[u8]>) {
        self.0.update(&[u8::from(field.is_some())]);
        if let Some(field) = field {
            self.put(field);
        }
    }

    fn put_pairs(&mut self, pairs: &[(String, String)]) {
        self.0.update(&(pairs.len() as u64).to_le_bytes());
        for (name, value) in pairs {
            self.put(name.as_bytes());
            self.put(value.as_bytes());
        }
    }
}

/// A JSON body without the white space around it (a file's last line break, say), so that it can
/// stand in an event as it is; any other body unchanged.
pub fn trim_json(body: &Bytes, content_type: Option<&str>) -> Bytes {
    let white = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    if !json::is_json_type(content_type) {
        return body.clone();
    }
    let start = body.iter().position(|b| !white(b)).unwrap_or(body.len());
    let end = body.iter().rposition(|b| !white(b)).map_or(start, |last| last + 1);
    body.slice(start..end)
}
