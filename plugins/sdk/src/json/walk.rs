//! Walking documents of other people: paths, lists that may be missing, numbers in strings and strings as numbers.
//!
//! Where [`super`] is as strict as a format of one's own allows, senders differ: an id comes as a number today and as a string
//! tomorrow, `null` and `""` both mean that there is nothing. Does not know any format.

use super::{At, Value, is_code};
use crate::{Day, Rejection, time};

impl<'j> At<'j> {
    /// The value at a path of keys such as `roomStay.arrivalDate`. `None` where a key is missing, or the value is `null` or an
    /// empty string.
    pub fn find(self, path: &str) -> Option<At<'j>> {
        let at = self.raw(path)?;
        match at.value() {
            Value::Null => None,
            Value::Text(text) if text.trim().is_empty() => None,
            _ => Some(at),
        }
    }

    /// The same, whatever the value is.
    pub fn raw(self, path: &str) -> Option<At<'j>> {
        path.split('.').try_fold(self, |at, key| match at.value() {
            Value::Object => super::Object(at).get(key),
            _ => None,
        })
    }

    /// The value at a path that has to be there.
    ///
    /// # Errors
    /// Refused when it is missing, by its path.
    pub fn needs(self, path: &str) -> Result<At<'j>, Rejection> {
        self.find(path).ok_or_else(|| self.reject(format_args!("{path} is missing")))
    }

    /// The first of several paths that is there.
    ///
    /// # Errors
    /// Refused when all are missing; the first one is named.
    pub fn needs_one(self, paths: &[&str]) -> Result<At<'j>, Rejection> {
        let found = paths.iter().find_map(|path| self.find(path));
        found.ok_or_else(|| self.reject(format_args!("{} is missing", paths.first().unwrap_or(&"a value"))))
    }

    /// The elements of the list at a path. A single object stands for a list of one; nothing for a list of none.
    pub fn all(self, path: &str) -> Vec<At<'j>> {
        match self.find(path) {
            None => vec![],
            Some(at) if at.value() == Value::List => at.inside().collect(),
            Some(at) => vec![at],
        }
    }

    /// Whether this is the same place.
    pub fn is(self, other: At<'_>) -> bool {
        self.index == other.index
    }

    /// An identity: a code, or a whole number, as a text.
    ///
    /// # Errors
    /// Refused when it is anything else.
    pub fn id(self) -> Result<&'j str, Rejection> {
        match self.value() {
            Value::Text(text) if is_code(text.trim()) => Ok(text.trim()),
            Value::Number(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(digits),
            _ => Err(self.is_not("an identity (a string, not empty, or a whole number)")),
        }
    }

    /// A whole number, also in a string.
    ///
    /// # Errors
    /// Refused when it is anything else.
    pub fn whole(self) -> Result<i64, Rejection> {
        let whole = match self.value() {
            Value::Number(digits) => digits,
            Value::Text(text) => text.trim(),
            _ => "",
        };
        // `2.0` is a whole number to those who keep every number as a float.
        let whole = whole.strip_suffix(".0").or_else(|| whole.strip_suffix(".00")).unwrap_or(whole);
        whole.parse().map_err(|_| self.is_not("a whole number"))
    }

    /// A count of something, also in a string.
    ///
    /// # Errors
    /// Refused when it is not a whole number from 0 on.
    pub fn tally(self) -> Result<u32, Rejection> {
        let whole = self.whole().ok().and_then(|whole| u32::try_from(whole).ok());
        whole.ok_or_else(|| self.is_not("a whole number from 0 on"))
    }

    /// `true` or `false`, also as 1 or 0 and in a string.
    ///
    /// # Errors
    /// Refused when it is anything else.
    pub fn flag(self) -> Result<bool, Rejection> {
        match self.value() {
            Value::Boolean(value) => Ok(value),
            Value::Number("1") | Value::Text("1" | "true" | "True" | "TRUE") => Ok(true),
            Value::Number("0") | Value::Text("0" | "false" | "False" | "FALSE") => Ok(false),
            _ => Err(self.is_not("true or false")),
        }
    }

    /// The day of a date, or of an instant whose date counts as written.
    ///
    /// # Errors
    /// Refused when it is neither.
    pub fn local_day(self) -> Result<Day, Rejection> {
        time::local_day(self.text()?.trim())
            .ok_or_else(|| self.is_not("a date from 1900-01-01 to 2299-12-31 (YYYY-MM-DD, also with a time)"))
    }

    /// Microseconds since 1970-01-01T00:00:00Z of an instant; without an offset it is taken for UTC, since it serves to
    /// compare one sender's instants with each other.
    ///
    /// # Errors
    /// Refused when it is none.
    pub fn instant(self) -> Result<i64, Rejection> {
        let stamp = time::stamp(self.text()?.trim());
        stamp.map(|stamp| stamp.utc(0)).ok_or_else(|| self.is_not("an instant such as 2026-03-01T12:00:00Z"))
    }

    /// What stands next to the word in a table. Upper and lower case, blanks, hyphens and underscores make no difference.
    ///
    /// # Errors
    /// Refused when the word is not in the table.
    pub fn one_of<T: Copy>(self, table: &[(&str, T)]) -> Result<T, Rejection> {
        let word = match self.value() {
            Value::Text(text) => text,
            Value::Number(digits) => digits,
            _ => "",
        };
        let found = table.iter().find(|(known, _)| same_word(known, word)).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
            self.is_not(format_args!("one of {}", words.join(", ")))
        })
    }
}

/// Whether two words are the same but for upper and lower case, blanks, hyphens and underscores.
pub fn same_word(left: &str, right: &str) -> bool {
    let plain = |text: &str| -> Vec<u8> {
        text.bytes().filter(|b| !b" -_".contains(b)).map(|b| b.to_ascii_lowercase()).collect()
    };
    plain(left) == plain(right)
}
