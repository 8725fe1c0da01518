//! From bytes to values: RFC 8259 to the letter, in one pass.
//!
//! Knows the grammar and the limits. Does not know paths: a place in the text is a line and a column.

use std::borrow::Cow;

use super::{DEEPEST, Json, quoted};
use crate::Rejection;

pub(super) fn document(input: &[u8]) -> Result<Json<'_>, Rejection> {
    let text = decoded(input)?;
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, depth: 0 };
    reader.blank();
    let value = reader.value()?;
    reader.blank();
    if reader.at < reader.bytes.len() {
        return Err(reader.fail("there is more text after the document's end"));
    }
    Ok(value)
}

/// UTF-8, with or without a byte order mark.
fn decoded(input: &[u8]) -> Result<&str, Rejection> {
    if input.starts_with(&[0xFF, 0xFE]) || input.starts_with(&[0xFE, 0xFF]) || input.iter().take(2).any(|byte| *byte == 0) {
        return Err(Rejection::new("the document looks like UTF-16; JSON has to be UTF-8"));
    }
    let input = input.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(input);
    std::str::from_utf8(input).map_err(|error| {
        let at = error.valid_up_to();
        let byte = input.get(at).copied().unwrap_or(0);
        Rejection(format!("the document is not UTF-8: byte 0x{byte:02X} at position {at}"))
    })
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes the next byte if it is this one.
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self) -> Result<Json<'a>, Rejection> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Boolean(true)),
            Some(b'f') => self.word("false", Json::Boolean(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => Err(self.unexpected("a value")),
            None => Err(self.fail("the document ends where a value should stand")),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Json<'a>, Rejection>) -> Result<Json<'a>, Rejection> {
        if self.depth == DEEPEST {
            return Err(self.fail(&format!("nested deeper than {DEEPEST} levels")));
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Json<'a>, Rejection> {
        let mut elements = Vec::new();
        self.blank();
        if self.take(b']') {
            return Ok(Json::List(elements));
        }
        loop {
            self.blank();
            elements.push(self.value()?);
            self.blank();
            if self.take(b']') {
                return Ok(Json::List(elements));
            }
            if !self.take(b',') {
                return Err(self.unexpected("\",\" or \"]\""));
            }
        }
    }

    fn object(&mut self) -> Result<Json<'a>, Rejection> {
        let mut entries = Vec::new();
        self.blank();
        if self.take(b'}') {
            return Ok(Json::Object(entries));
        }
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let key = self.string()?;
            self.blank();
            if !self.take(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.blank();
            entries.push((key, self.value()?));
            self.blank();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.unexpected("\",\" or \"}\""));
            }
        }
        match repeated(&entries) {
            Some(key) => Err(self.fail(&format!("the key {} stands twice in the object that ends here", quoted(key)))),
            None => Ok(Json::Object(entries)),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, Rejection> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<&'a str, Rejection> {
        let start = self.at;
        self.take(b'-');
        // A leading zero stands alone.
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or(""))
    }

    fn digits(&mut self) -> Result<(), Rejection> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if start == self.at { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Rejection> {
        self.at += 1;
        let start = self.at;
        let mut own: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = self.text.get(copied..self.at).unwrap_or("");
                    self.at += 1;
                    return Ok(match own {
                        None => Cow::Borrowed(rest),
                        Some(own) => Cow::Owned(own + rest),
                    });
                }
                Some(b'\\') => {
                    let own = own.get_or_insert_default();
                    own.push_str(self.text.get(copied..self.at).unwrap_or(""));
                    own.push(self.escaped()?);
                    copied = self.at;
                }
                Some(0..=0x1F) => return Err(self.fail("a control character stands in a string without its escape")),
                Some(_) => self.at += 1,
                None => return Err(self.fail("the document ends inside a string")),
            }
        }
    }

    /// The character of an escape; the reader stands on its backslash.
    fn escaped(&mut self) -> Result<char, Rejection> {
        self.at += 1;
        let Some(letter) = self.peek() else { return Err(self.fail("the document ends inside a string")) };
        self.at += 1;
        let plain = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => {
                self.at -= 1;
                return Err(self.unexpected("an escape that JSON knows"));
            }
        };
        Ok(plain)
    }

    /// What follows `\u`: four hex digits, or two such for characters beyond 16 bits.
    fn unicode(&mut self) -> Result<char, Rejection> {
        let first = self.hex()?;
        let code = match first {
            0xD800..=0xDBFF if self.take(b'\\') && self.take(b'u') => match self.hex()? {
                second @ 0xDC00..=0xDFFF => 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                _ => first,
            },
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.fail("half of a character stands alone (an unpaired surrogate)"))
    }

    fn hex(&mut self) -> Result<u32, Rejection> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return Err(self.fail("four hexadecimal digits should follow \\u"));
        };
        self.at += 4;
        Ok(code)
    }

    fn unexpected(&self, expected: &str) -> Rejection {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => self.fail(&format!("{expected} should stand here, not {found:?}")),
            None => self.fail(&format!("the document ends where {expected} should stand")),
        }
    }

    fn fail(&self, words: &str) -> Rejection {
        let before = self.bytes.get(..self.at).unwrap_or(self.bytes);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let column = self.text.get(start..self.at).map_or(0, |text| text.chars().count()) + 1;
        Rejection(format!("bad JSON, line {line}, column {column}: {words}"))
    }
}

/// A key that stands twice. Large objects are sorted, so that a hostile one does not take quadratic time.
fn repeated<'e>(entries: &'e [(Cow<'_, str>, Json<'_>)]) -> Option<&'e str> {
    const FEW: usize = 16;
    if entries.len() <= FEW {
        let twice = |(index, (key, _)): (usize, &'e (Cow<'_, str>, _))| {
            entries.iter().take(index).any(|(earlier, _)| earlier == key).then_some(key.as_ref())
        };
        return entries.iter().enumerate().find_map(twice);
    }
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
