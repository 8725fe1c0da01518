//! Bytes into text: which encoding a document is in, by its own words.
//!
//! Knows byte order marks, what the first bytes of UTF-16 look like, and the `encoding` of the XML declaration (XML 1.0,
//! section 4.3.3 and appendix F). Does not know the transport's opinion: it is lost once a message is in the log.

use std::borrow::Cow;

use super::LARGEST;
use crate::Rejection;

/// The text of a document in UTF-8, UTF-16 or ISO-8859-1, without its byte order mark.
///
/// # Errors
/// Refused are other encodings, by name, bytes that are not what the document says, and more than [`LARGEST`].
pub fn decode(input: &[u8]) -> Result<Cow<'_, str>, Rejection> {
    if input.len() > LARGEST {
        let words = format!("the document has {} bytes; at most {LARGEST} are read: send it in parts", input.len());
        return Err(Rejection(words));
    }
    match input {
        [0, 0, 0xFE, 0xFF, ..] | [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0, b'<', ..] | [b'<', 0, 0, 0, ..] => {
            Err(Rejection::new("the document is UTF-32: send UTF-8"))
        }
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest).map(Cow::Borrowed),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0, b'<', ..] => utf16(input, u16::from_be_bytes).map(Cow::Owned),
        [b'<', 0, ..] => utf16(input, u16::from_le_bytes).map(Cow::Owned),
        _ => declared(input),
    }
}

/// By the declaration's `encoding`; UTF-8 without one.
fn declared(input: &[u8]) -> Result<Cow<'_, str>, Rejection> {
    let Some(name) = encoding(input) else { return utf8(input).map(Cow::Borrowed) };
    match name.to_ascii_lowercase().as_str() {
        // What says UTF-16 in single bytes was converted on its way and not told so: it is judged as what it is.
        "utf-8" | "utf8" | "us-ascii" | "ascii" | "utf-16" | "utf-16le" | "utf-16be" => utf8(input).map(Cow::Borrowed),
        "iso-8859-1" | "latin1" | "iso8859-1" => {
            // The characters of ISO-8859-1 are the first 256 of Unicode.
            Ok(Cow::Owned(input.iter().map(|byte| char::from(*byte)).collect()))
        }
        _ => Err(Rejection(format!("the document's encoding {name:?} is not read: send UTF-8"))),
    }
}

/// The `encoding` that the XML declaration names, if there is one.
fn encoding(input: &[u8]) -> Option<&str> {
    let head = input.get(..input.len().min(256))?;
    let head = head.strip_prefix(b"<?xml")?;
    let end = head.windows(2).position(|two| two == b"?>")?;
    let declaration = std::str::from_utf8(head.get(..end)?).ok()?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value.get(1..)?.split(quote).next()
}

fn utf8(input: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(input).map_err(|error| {
        let at = error.valid_up_to();
        Rejection(format!("byte {at} is not UTF-8, and the document does not say that it is anything else"))
    })
}

fn utf16(input: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<String, Rejection> {
    let (pairs, rest) = input.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Rejection::new("the document is UTF-16 with half a character at its end"));
    }
    let text: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    text.map_err(|error| Rejection(format!("the document is UTF-16 with {error}")))
}
