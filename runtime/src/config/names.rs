//! Which names and codes may stand in a configuration.
//!
//! Knows their alphabets and lengths. Does not know what they name.

/// The longest code, in bytes.
pub const MAX_CODE: usize = 256;
/// The longest name of a source, in bytes.
pub const MAX_SOURCE: usize = 64;

/// Inventory fields that every pipeline has.
pub const BUILT_IN_FIELDS: [&str; 3] = ["capacity", "availability", "closed"];

/// Columns of `room_nights` and of the views over it that no declared field may take.
const COLUMNS: [&str; 13] = [
    "property",
    "date",
    "room_type",
    "capacity",
    "booked",
    "held",
    "available",
    "sources",
    "rule_set",
    "version",
    "log_time",
    "sellable",
    "freshness",
];

/// A name of lower-case letters, digits and `-`, at most [`MAX_SOURCE`] bytes, that begins with a letter or digit.
pub fn is_source(name: &str) -> bool {
    (1..=MAX_SOURCE).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A lower-case identifier of at most 48 bytes.
pub fn is_identifier(name: &str) -> bool {
    name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether `room_nights` (or a view over it) already has a column of this name.
pub fn is_column(name: &str) -> bool {
    COLUMNS.contains(&name) || BUILT_IN_FIELDS.contains(&name)
}

/// A code of a room type or room: 1 to [`MAX_CODE`] bytes, no control characters, no blanks around it.
pub fn is_code(code: &str) -> bool {
    (1..=MAX_CODE).contains(&code.len()) && !code.chars().any(char::is_control) && code.trim() == code
}

/// A code of a property: as [`is_code`], and without `/`, which ends the property in a record's key.
pub fn is_property(code: &str) -> bool {
    is_code(code) && !code.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphabets() {
        assert!(is_source("booking-com") && is_source("2"));
        assert!(
            !is_source("") && !is_source("PMS") && !is_source("-a") && !is_source("a_b") && !is_source(&"a".repeat(65))
        );
        assert!(is_identifier("min_stay") && !is_identifier("2x") && !is_identifier("Price") && !is_identifier(""));
        assert!(is_column("booked") && is_column("closed") && !is_column("price"));
        assert!(is_code("Double / Sea") && !is_code(" x") && !is_code("a\nb") && !is_code(""));
        assert!(is_property("H1") && !is_property("H/1"));
    }
}
