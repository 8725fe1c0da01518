//! Elements back into text: the parts that a delivery is split into, without what must not reach the log.
//!
//! Knows which names are never written and which values are somebody's identity: the format tells. Does not know what
//! the elements mean otherwise.

use super::At;
use crate::{Rejection, stay};

/// Where parts go whose hotel cannot be told: no hotel's code.
pub const UNPLACED: &str = "unplaced";

/// What a part of a delivery does not carry over.
#[derive(Clone, Copy, Debug)]
pub struct Cleaner {
    /// Elements that are left out with all that they hold: payment cards above all.
    pub without_elements: &'static [&'static str],
    /// Attributes that are left out wherever they stand.
    pub without_attributes: &'static [&'static str],
    /// Elements and attributes whose values are kept to the letter. In all others the numbers of payment cards are masked.
    pub identities: &'static [&'static str],
}

/// A document around a place: what stands before it and behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    before: String,
    after: String,
}

impl Framed {
    /// The document with this text at the place.
    pub fn with(&self, text: &str) -> String {
        [&self.before, text, &self.after].concat()
    }
}

impl Cleaner {
    /// An element and what it holds, as text.
    pub fn written(&self, at: At<'_>) -> String {
        let mut out = String::new();
        self.write(&mut out, at, &mut |_, _| true);
        out
    }

    /// Whether an element holds anything that would be left out or masked.
    pub fn hides(&self, at: At<'_>) -> bool {
        let masks = |name: &str, value: &str| !has(self.identities, name) && stay::cards_masked(value).is_some();
        [at].into_iter().chain(at.inside()).any(|at| {
            has(self.without_elements, at.name())
                || at.text().is_some_and(|text| masks(at.name(), text.as_str()))
                || at.attributes().any(|(name, value)| has(self.without_attributes, name) || masks(name, value))
        })
    }

    /// The hotel that a part goes to. A part whose hotel cannot be told is refused to the sender's face, unless the delivery
    /// has other parts, or the part holds what must not reach the log as it is: then it goes to [`UNPLACED`], cleaned, and is
    /// refused from there.
    ///
    /// # Errors
    /// Those of `found`.
    pub fn placed(&self, found: Result<String, Rejection>, part: At<'_>, parts: usize) -> Result<String, Rejection> {
        match found {
            Err(_) if parts > 1 || self.hides(part) => Ok(UNPLACED.to_owned()),
            found => found,
        }
    }

    /// The document around a place: `outer` and all that it holds, cut where `place` stands, without `place` itself and
    /// without what is `left_out` (the other parts, which stand beside it).
    pub fn around(&self, outer: At<'_>, place: At<'_>, left_out: impl Fn(At<'_>) -> bool) -> Framed {
        // No document holds this character.
        const PLACE: char = '\0';
        let mut text = String::new();
        self.write(&mut text, outer, &mut |out, at| {
            let cut = at == place;
            if cut {
                out.push(PLACE);
            }
            !cut && !left_out(at)
        });
        let (before, after) = text.split_once(PLACE).unwrap_or((&text, ""));
        Framed { before: before.to_owned(), after: after.to_owned() }
    }

    fn write(&self, out: &mut String, at: At<'_>, keep: &mut dyn FnMut(&mut String, At<'_>) -> bool) {
        let name = at.name();
        if has(self.without_elements, name) || !keep(out, at) {
            return;
        }
        out.push('<');
        out.push_str(name);
        for (attribute, value) in at.attributes() {
            if has(self.without_attributes, attribute) {
                continue;
            }
            out.push(' ');
            out.push_str(attribute);
            out.push_str("=\"");
            self.escaped(out, attribute, value);
            out.push('"');
        }
        let text = at.text().map_or("", |text| text.as_str());
        if text.is_empty() && at.children().next().is_none() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        self.escaped(out, name, text);
        for child in at.children() {
            self.write(out, child, keep);
        }
        out.push_str("</");
        out.push_str(name);
        out.push('>');
    }

    fn escaped(&self, out: &mut String, name: &str, value: &str) {
        let masked = if has(self.identities, name) { None } else { stay::cards_masked(value) };
        for character in masked.as_deref().unwrap_or(value).chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                // A reader would make blanks or another line end of them.
                '\t' => out.push_str("&#9;"),
                '\n' => out.push_str("&#10;"),
                '\r' => out.push_str("&#13;"),
                _ => out.push(character),
            }
        }
    }
}

/// Whether the name is in the list, in upper or lower case.
fn has(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
