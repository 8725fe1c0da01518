//! Card data in what comes in, masked before anything of it is durable: numbers of payment cards and their security codes.
//!
//! A plugin leaves out what its format says about cards; this stands before the plugin, so that neither a field that it
//! does not know nor a guest's remark carries a number into the log. Works on any text: JSON (also JSON within a JSON
//! string), XML, forms, prose, also behind escapes (`plain`). Knows what numbers and names look like (`shape`), names that are
//! values themselves (`pairs`), and which numbers of databases' change events are no card's (`positions`); does not know other
//! formats, and does not read what is packed, encrypted or in Base64.
//!
//! What is masked is lost: of a card number the last four digits remain, of a security code nothing.

mod pairs;
mod plain;
mod positions;
mod shape;

use std::ops::Range;

use bytes::Bytes;

use plain::Plain;

/// How much was masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Masked {
    /// Numbers of cards.
    pub cards: u64,
    /// Security codes of cards.
    pub codes: u64,
}

impl Masked {
    /// Whether there was any.
    pub fn any(self) -> bool {
        self.cards + self.codes > 0
    }

    /// Adds what was masked elsewhere.
    pub fn add(&mut self, other: Masked) {
        self.cards += other.cards;
        self.codes += other.codes;
    }
}

/// The bytes with `*` in place of what is masked. JSON objects and arrays stay well-formed: a number that is masked becomes
/// a string. UTF-16 stays UTF-16.
pub fn masked(body: &Bytes) -> (Bytes, Masked) {
    let Some(wide) = Wide::of(body) else { return narrow(body) };
    let (text, found) = narrow(&wide.text(body).into());
    if found.any() { (wide.bytes(&String::from_utf8_lossy(&text)), found) } else { (body.clone(), found) }
}

/// UTF-16 of one of its two byte orders: XML may be written so.
enum Wide {
    Big,
    Little,
}

impl Wide {
    /// By its mark, or by how markup and JSON begin.
    fn of(body: &[u8]) -> Option<Wide> {
        match body {
            [0xFE, 0xFF, ..] | [0, b'<' | b'{' | b'[', ..] => Some(Wide::Big),
            [0xFF, 0xFE, ..] | [b'<' | b'{' | b'[', 0, ..] => Some(Wide::Little),
            _ => None,
        }
    }

    fn text(&self, body: &[u8]) -> String {
        let unit = |pair: &[u8; 2]| match self {
            Wide::Big => u16::from_be_bytes(*pair),
            Wide::Little => u16::from_le_bytes(*pair),
        };
        let units = body.as_chunks::<2>().0.iter().map(unit);
        char::decode_utf16(units).map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }

    fn bytes(&self, text: &str) -> Bytes {
        let pair = |unit: u16| match self {
            Wide::Big => unit.to_be_bytes(),
            Wide::Little => unit.to_le_bytes(),
        };
        text.encode_utf16().flat_map(pair).collect()
    }
}

fn narrow(body: &Bytes) -> (Bytes, Masked) {
    let plain = Plain::of(body);
    let mut reading = Reading::new(plain.text());
    reading.all();
    let edits = reading.edits;
    if edits.is_empty() { (body.clone(), Masked::default()) } else { apply(body, &plain, edits) }
}

/// Stars for the digits of a range of the text; the range then stands between two copies of `quote`.
struct Edit<'a> {
    range: Range<usize>,
    stars: Range<usize>,
    quote: &'a [u8],
    /// A security code, not a number.
    code: bool,
}

fn apply(body: &[u8], plain: &Plain<'_>, mut edits: Vec<Edit<'_>>) -> (Bytes, Masked) {
    // Of two that begin together the longer one holds the other.
    edits.sort_by_key(|edit| (edit.range.start, std::cmp::Reverse(edit.range.end)));
    let mut out = Vec::with_capacity(body.len() + 8 * edits.len());
    let (mut copied, mut done, mut found) = (0, 0, Masked::default());
    for Edit { range, stars, quote, code } in edits {
        // Found twice, by its shape and by its name.
        if range.start < done {
            continue;
        }
        done = range.end;
        let place = plain.place(range.clone());
        out.extend_from_slice(&body[copied..place.start]);
        out.extend_from_slice(quote);
        for at in range {
            match stars.contains(&at) && plain.text()[at].is_ascii_digit() {
                true => out.push(b'*'),
                false => out.extend_from_slice(&body[plain.place(at..at + 1)]),
            }
        }
        out.extend_from_slice(quote);
        copied = place.end;
        found.add(Masked { cards: u64::from(!code), codes: u64::from(code) });
    }
    out.extend_from_slice(&body[copied..]);
    (out.into(), found)
}

struct Reading<'a> {
    body: &'a [u8],
    at: usize,
    json: bool,
    /// Within a JSON string.
    quoted: bool,
    /// Where an escape ended: its letters do not belong to what follows.
    escaped: usize,
    /// What is no card's number here; looked for when it matters.
    positions: Option<Vec<Range<usize>>>,
    edits: Vec<Edit<'a>>,
}

impl<'a> Reading<'a> {
    fn new(body: &'a [u8]) -> Reading<'a> {
        let text = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        let json = text.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| matches!(b, b'{' | b'[' | b'"'));
        Reading { body, at: 0, json, quoted: false, escaped: 0, positions: None, edits: Vec::new() }
    }

    fn all(&mut self) {
        while let Some(byte) = self.body.get(self.at).copied() {
            match byte {
                b'0'..=b'9' => self.digits(),
                b'a'..=b'z' | b'A'..=b'Z' => self.word(),
                b'\\' if self.quoted => {
                    self.at += if self.body.get(self.at + 1) == Some(&b'u') { 6 } else { 2 };
                    self.escaped = self.at;
                }
                b'"' if self.json => {
                    self.quoted = !self.quoted;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Everything from here on that may be one number, blanks and hyphens between its digits included.
    fn digits(&mut self) {
        let groups = shape::groups(self.body, self.at);
        let end = groups.last().map_or(self.at + 1, |group| group.end);
        let mut first = 0;
        self.at = end;
        while first < groups.len() {
            match shape::card(self.body, &groups[first..], self.escaped) {
                Some(count) => {
                    self.card(groups[first].start..groups[first + count - 1].end);
                    first += count;
                }
                None => first += 1,
            }
        }
    }

    fn card(&mut self, digits: Range<usize>) {
        if self.json {
            let known = self.positions.get_or_insert_with(|| positions::positions(self.body));
            if known.iter().any(|known| known.start <= digits.start && digits.end <= known.end) {
                return;
            }
        }
        let (range, quote) = self.quoting(digits);
        let mut last = range.clone().rev().filter(|at| self.body[*at].is_ascii_digit());
        let kept = last.nth(3).unwrap_or(range.start);
        self.at = self.at.max(range.end);
        self.edits.push(Edit { stars: range.start..kept, range, quote, code: false });
    }

    /// A JSON number becomes a string: the whole number, and the quotes that it needs.
    fn quoting(&self, digits: Range<usize>) -> (Range<usize>, &'a [u8]) {
        if self.json && !self.quoted {
            return (shape::number(self.body, digits), b"\"");
        }
        let number = shape::number(self.body, digits.clone());
        match shape::quote_of_key(self.body, number.start) {
            Some(quote) if shape::ends_value(self.body, number.end) => (number, quote),
            _ => (digits, b""),
        }
    }

    /// The security codes that a name (`start` to `end`) speaks of.
    fn codes(&mut self, start: usize, end: usize) {
        let quote = shape::quote_at(self.body, end);
        for digits in shape::codes(self.body, start, end) {
            let number = shape::bare(self.body, digits.clone()).filter(|_| !quote.is_empty());
            let (range, quote) = match number {
                Some(number) => (number, quote),
                None => (digits, &b""[..]),
            };
            self.edits.push(Edit { stars: range.clone(), range, quote, code: true });
        }
    }

    /// A word, which may be the name of a security code; only its letters are passed, for digits may follow.
    fn word(&mut self) {
        let start = self.at;
        let end = shape::name_end(self.body, start);
        let begins = start == self.escaped || start == 0 || !shape::is_name(self.body[start - 1]);
        if begins && shape::names_code(&self.body[start..end]) {
            self.codes(start, end);
            for name in pairs::values(self.body, start, end) {
                self.codes(name.start, name.end);
            }
        }
        while self.body.get(self.at).is_some_and(u8::is_ascii_alphabetic) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
