//! Text as its reader will see it: escapes that stand for a visible character of ASCII are that character here.
//!
//! JSON's `\u0034` (also within JSON that stands in a string) and XML's `&#52;`. Each byte knows where it came from, so that what is
//! masked is masked in the bytes as they are. Quotes and backslashes stay escaped: they are structure. Does not know what is masked.

use std::borrow::Cow;
use std::ops::Range;

/// A body's text, and its places in the body.
pub(super) struct Plain<'a> {
    text: Cow<'a, [u8]>,
    /// Of each byte of the text, and of its end; empty where both are equal.
    places: Vec<usize>,
}

impl<'a> Plain<'a> {
    pub fn of(body: &'a [u8]) -> Plain<'a> {
        if !body.windows(2).any(|two| matches!(two, b"\\u" | b"&#")) {
            return Plain { text: Cow::Borrowed(body), places: Vec::new() };
        }
        let (mut text, mut places, mut at) = (Vec::with_capacity(body.len()), Vec::with_capacity(body.len() + 1), 0);
        while let Some(byte) = body.get(at) {
            let (byte, length) = escape(&body[at..]).unwrap_or((*byte, 1));
            text.push(byte);
            places.push(at);
            at += length;
        }
        places.push(at);
        Plain { text: Cow::Owned(text), places }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where a part of the text stands in the body.
    pub fn place(&self, part: Range<usize>) -> Range<usize> {
        let of = |at: usize| self.places.get(at).copied().unwrap_or(at);
        of(part.start)..of(part.end)
    }
}

/// The character that an escape at the beginning stands for, and the escape's length.
fn escape(bytes: &[u8]) -> Option<(u8, usize)> {
    match bytes {
        // As many backslashes as there are strings around.
        [b'\\', ..] => {
            let slashes = bytes.iter().take_while(|b| **b == b'\\').count();
            let digits = bytes[slashes..].strip_prefix(b"u")?.get(..4)?;
            Some((shown(number(digits, 16)?)?, slashes + 5))
        }
        [b'&', b'#', b'x' | b'X', rest @ ..] => reference(rest, 16).map(|(byte, length)| (byte, length + 3)),
        [b'&', b'#', rest @ ..] => reference(rest, 10).map(|(byte, length)| (byte, length + 2)),
        _ => None,
    }
}

/// A number up to its semicolon.
fn reference(bytes: &[u8], base: u32) -> Option<(u8, usize)> {
    let end = bytes.iter().take(10).position(|b| *b == b';')?;
    Some((shown(number(&bytes[..end], base)?)?, end + 1))
}

fn number(digits: &[u8], base: u32) -> Option<u32> {
    let alone = digits.iter().all(u8::is_ascii_alphanumeric);
    u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| alone)?, base).ok()
}

/// Visible ASCII, and what may separate the groups of a number; `None`: it is left as it is.
fn shown(point: u32) -> Option<u8> {
    match point {
        0x22 | 0x5c => None,
        0x20..=0x7e => u8::try_from(point).ok(),
        0xa0 | 0x2007 | 0x2009 | 0x202f => Some(b' '),
        0x2010..=0x2013 => Some(b'-'),
        _ => None,
    }
}
