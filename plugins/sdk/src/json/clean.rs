//! Values back into text: the parts that a delivery is split into, without what must not reach the log.
//!
//! Knows the usual names of payment cards and their parts, and the shape of a card's number. What else a format hides, and
//! whose values are somebody's identity, the format tells.

use std::fmt::Write as _;

use super::{At, Value, write_text};
use crate::xml::UNPLACED;
use crate::{Rejection, stay};

/// Keys whose values are left out wherever they stand: payment cards and parts of them, as the known formats name them.
const CARDS: [&str; 34] = [
    "card",
    "cards",
    "cardNumber",
    "card_number",
    "cardNumberMasked",
    "cardCode",
    "cardHolder",
    "cardHolderName",
    "cardholder_name",
    "cardSecurityCode",
    "creditCard",
    "creditCards",
    "credit_card",
    "creditCardData",
    "paymentCard",
    "payment_card",
    "paymentAccount",
    "cc_number",
    "cc_cvc",
    "cc_cvv",
    "cvc",
    "cvv",
    "cvv2",
    "cvc2",
    "seriesCode",
    "securityCode",
    "security_code",
    "expirationDate",
    "expiration_date",
    "expireDate",
    "expiryDate",
    "expiry_date",
    "pan",
    "virtualCard",
];

/// What a part of a delivery does not carry over.
#[derive(Clone, Copy, Debug)]
pub struct Cleaner<'c> {
    /// Keys that are left out with their values, besides those of payment cards.
    pub without: &'c [&'c str],
    /// Keys whose values are kept to the letter. In all others the numbers of payment cards are masked.
    pub identities: &'c [&'c str],
}

impl Cleaner<'_> {
    /// A value and what it holds, as compact JSON.
    pub fn written(&self, at: At<'_>) -> String {
        let mut out = String::new();
        self.write(&mut out, "", at, &|_| Kept::Yes);
        out
    }

    /// The same, but values at the places that `raw` names are kept to the letter, wherever they stand.
    pub fn written_but(&self, at: At<'_>, raw: &dyn Fn(At<'_>) -> bool) -> String {
        let mut out = String::new();
        self.write(&mut out, "", at, &|at| if raw(at) { Kept::Raw } else { Kept::Yes });
        out
    }

    /// The document once per part: each time with one of the parts, and without the others, which stand beside it in one list.
    pub fn each(&self, root: At<'_>, parts: &[At<'_>]) -> Vec<String> {
        // No document holds this character outside of an escape.
        const PLACE: char = '\0';
        let Some(first) = parts.first() else { return vec![] };
        let mut text = String::new();
        let kept = |at: At<'_>| match at {
            at if at.is(*first) => Kept::Instead(PLACE),
            at if parts.iter().any(|part| part.is(at)) => Kept::No,
            _ => Kept::Yes,
        };
        self.write(&mut text, "", root, &kept);
        let (before, after) = text.split_once(PLACE).unwrap_or((&text, ""));
        parts.iter().map(|part| [before, &self.written(*part), after].concat()).collect()
    }

    /// Whether a value holds anything that would be left out or masked.
    pub fn hides(&self, at: At<'_>) -> bool {
        self.written(at) != at.to_string()
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

    fn write(&self, out: &mut String, key: &str, at: At<'_>, kept: &dyn Fn(At<'_>) -> Kept) {
        match (kept(at), at.value()) {
            (Kept::Instead(place), _) => out.push(place),
            (Kept::Raw, _) => _ = write!(out, "{at}"),
            (_, Value::List) => {
                out.push('[');
                let mut first = true;
                for element in at.inside().filter(|element| !matches!(kept(*element), Kept::No)) {
                    out.push_str(if first { "" } else { "," });
                    first = false;
                    self.write(out, key, element, kept);
                }
                out.push(']');
            }
            (_, Value::Object) => {
                out.push('{');
                let mut first = true;
                for (key, value) in super::Object(at).entries() {
                    let left_out = match kept(value) {
                        Kept::No => true,
                        Kept::Raw => false,
                        _ => has(&CARDS, key) || has(self.without, key),
                    };
                    if left_out {
                        continue;
                    }
                    out.push_str(if first { "" } else { "," });
                    first = false;
                    text(out, key);
                    out.push(':');
                    self.write(out, key, value, kept);
                }
                out.push('}');
            }
            (_, Value::Text(value)) if !has(self.identities, key) => {
                text(out, stay::cards_masked(value).as_deref().unwrap_or(value));
            }
            (_, Value::Number(digits)) if !has(self.identities, key) => match stay::cards_masked(digits) {
                Some(masked) => text(out, &masked),
                None => out.push_str(digits),
            },
            _ => _ = write!(out, "{at}"),
        }
    }
}

/// What becomes of a value that is written.
enum Kept {
    Yes,
    /// To the letter.
    Raw,
    No,
    Instead(char),
}

struct Text<'t>(&'t str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_text(f, self.0)
    }
}

/// A text as a JSON string, with its quotes.
pub fn string(text: &str) -> String {
    Text(text).to_string()
}

fn text(out: &mut String, text: &str) {
    // Writing into a string cannot fail.
    _ = write!(out, "{}", Text(text));
}

/// Whether the name is in the list, in upper or lower case.
fn has(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
