//! From bytes to values: RFC 8259 to the letter, in one pass.
//!
//! Knows the grammar and the limits. Does not know paths: a place in the text is a line and a column.

use std::borrow::Cow;

use super::{DEEPEST, Node, quoted};
use crate::Rejection;

/// The document's values in a row.
pub(super) fn document(input: &[u8]) -> Result<Vec<Node<'_>>, Rejection> {
    let text = decoded(input)?;
    // Every value takes two bytes at least, and hardly any document has more than one value per six.
    let nodes = Vec::with_capacity(text.len() / 6 + 1);
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, depth: 0, nodes };
    if u32::try_from(text.len()).is_err() {
        return Err(reader.fail("the document is larger than 4 GiB"));
    }
    reader.blank();
    reader.value()?;
    reader.blank();
    if reader.at < reader.bytes.len() {
        return Err(reader.fail("there is more text after the document's end"));
    }
    Ok(reader.nodes)
}

/// UTF-8, with or without a byte order mark.
fn decoded(input: &[u8]) -> Result<&str, Rejection> {
    if input.starts_with(&[0xFF, 0xFE])
        || input.starts_with(&[0xFE, 0xFF])
        || input.iter().take(2).any(|byte| *byte == 0)
    {
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
    nodes: Vec<Node<'a>>,
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

    fn value(&mut self) -> Result<(), Rejection> {
        let node = match self.peek() {
            Some(b'"') => Node::Text(self.string()?),
            Some(b'{') => return self.nested(Self::object),
            Some(b'[') => return self.nested(Self::list),
            Some(b'-' | b'0'..=b'9') => Node::Number(self.number()?),
            Some(b't') => self.word("true", Node::Boolean(true))?,
            Some(b'f') => self.word("false", Node::Boolean(false))?,
            Some(b'n') => self.word("null", Node::Null)?,
            Some(_) => return Err(self.unexpected("a value")),
            None => return Err(self.fail("the document ends where a value should stand")),
        };
        self.nodes.push(node);
        Ok(())
    }

    /// A list or an object: its node first, whose end is known once `read` has read what is inside.
    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self, usize) -> Result<fn(u32) -> Node<'a>, Rejection>,
    ) -> Result<(), Rejection> {
        if self.depth == DEEPEST {
            return Err(self.fail(&format!("nested deeper than {DEEPEST} levels")));
        }
        self.depth += 1;
        self.at += 1;
        let start = self.nodes.len();
        self.nodes.push(Node::Null);
        let close = read(self, start)?;
        self.depth -= 1;
        // There are fewer values than bytes, and the bytes were counted.
        let end = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.nodes.get_mut(start) {
            *node = close(end);
        }
        Ok(())
    }

    fn list(&mut self, _: usize) -> Result<fn(u32) -> Node<'a>, Rejection> {
        self.blank();
        if self.take(b']') {
            return Ok(Node::List);
        }
        loop {
            self.blank();
            self.value()?;
            self.blank();
            if self.take(b']') {
                return Ok(Node::List);
            }
            if !self.take(b',') {
                return Err(self.unexpected("\",\" or \"]\""));
            }
        }
    }

    fn object(&mut self, start: usize) -> Result<fn(u32) -> Node<'a>, Rejection> {
        self.blank();
        if self.take(b'}') {
            return Ok(Node::Object);
        }
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let key = self.string()?;
            self.nodes.push(Node::Text(key));
            self.blank();
            if !self.take(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.blank();
            self.value()?;
            self.blank();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.unexpected("\",\" or \"}\""));
            }
        }
        match repeated(&self.nodes, start + 1) {
            Some(key) => Err(self.fail(&format!("the key {} stands twice in the object that ends here", quoted(key)))),
            None => Ok(Node::Object),
        }
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, Rejection> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(node)
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

/// A key that stands twice among the keys and values from `first` on. Many keys are sorted, so that a hostile object
/// does not take quadratic time.
fn repeated<'n>(nodes: &'n [Node<'_>], first: usize) -> Option<&'n str> {
    const FEW: usize = 16;
    let mut few = [""; FEW];
    let mut many = Vec::new();
    for (count, key) in keys(nodes, first).enumerate() {
        match few.get_mut(count) {
            Some(slot) => *slot = key,
            None => many.push(key),
        }
        if few.iter().take(count).any(|earlier| *earlier == key) {
            return Some(key);
        }
    }
    many.sort_unstable();
    many.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn keys<'n>(nodes: &'n [Node<'_>], first: usize) -> impl Iterator<Item = &'n str> {
    let mut at = first;
    std::iter::from_fn(move || {
        let Node::Text(key) = nodes.get(at)? else { return None };
        at = match nodes.get(at + 1)? {
            Node::List(end) | Node::Object(end) => usize::try_from(*end).ok()?,
            _ => at + 2,
        };
        Some(key.as_ref())
    })
}
