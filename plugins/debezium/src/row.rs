//! Rows and their values, as Debezium, Maxwell and wal2json write them.
//!
//! Knows how dates, decimals and flags are encoded, with a schema and without. Does not know which column means what.

use concord_plugin::json::{At, Value};
use concord_plugin::zone::Zone;
use concord_plugin::{Day, Decimal, Rejection, number, time};

use crate::settings::{Date, Number, Words};

/// What Debezium writes in place of a large value that an update did not touch, as a text and as bytes.
const UNAVAILABLE: [&str; 2] = ["__debezium_unavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="];

/// A value with what the schema says of it.
#[derive(Clone, Copy)]
pub struct Cell<'j> {
    pub at: At<'j>,
    /// The name of its semantic type, such as `io.debezium.time.Date`.
    semantic: Option<&'j str>,
    /// The scale of a decimal that comes as bytes.
    scale: Option<At<'j>>,
}

/// A row: columns by name. Perhaps not all of them.
#[derive(Clone)]
pub struct Row<'j> {
    /// Where it stands.
    pub at: At<'j>,
    cells: Vec<(&'j str, Cell<'j>)>,
}

impl<'j> Row<'j> {
    /// From an object; `schema` is the list of its fields, if there is one.
    pub fn of(at: At<'j>, schema: Option<At<'j>>) -> Result<Row<'j>, Rejection> {
        let fields = schema.map(|schema| schema.all("fields")).unwrap_or_default();
        let cell = |(name, at): (&'j str, At<'j>)| {
            let field = fields.iter().find(|field| field.find("field").and_then(|f| f.text().ok()) == Some(name));
            let semantic = field.and_then(|field| field.find("name")).and_then(|name| name.text().ok());
            (name, Cell { at, semantic, scale: field.and_then(|field| field.find("parameters.scale")) })
        };
        Ok(Row { at, cells: at.object()?.entries().map(cell).collect() })
    }

    /// From names and values that stand apart.
    pub fn listed(at: At<'j>, cells: Vec<(&'j str, At<'j>)>) -> Row<'j> {
        let cell = |(name, at)| (name, Cell { at, semantic: None, scale: None });
        Row { at, cells: cells.into_iter().map(cell).collect() }
    }

    /// The row as it was before: with these values in place of its own.
    pub fn overlaid(&self, old: &Row<'j>) -> Row<'j> {
        let cells = self.cells.iter().map(|(name, cell)| (*name, old.get(name).unwrap_or(*cell)));
        Row { at: self.at, cells: cells.collect() }
    }

    /// The value of a column, if the row has it.
    pub fn get(&self, column: &str) -> Option<Cell<'j>> {
        self.cells.iter().find(|(name, _)| *name == column).map(|(_, cell)| *cell)
    }

    /// The value of a column that has to be there.
    pub fn needs(&self, column: &str) -> Result<Cell<'j>, Rejection> {
        self.get(column).ok_or_else(|| {
            let names: Vec<&str> = self.cells.iter().take(40).map(|(name, _)| *name).collect();
            self.at.reject(format_args!("the column {column} is not in the row (there are {})", names.join(", ")))
        })
    }

    /// The values of these columns.
    pub fn only(&self, columns: &[&str]) -> impl Iterator<Item = At<'j>> {
        self.cells.iter().filter(|(name, _)| columns.contains(name)).map(|(_, cell)| cell.at)
    }
}

impl<'j> Cell<'j> {
    /// Whether the value stayed as it was and is not told.
    pub fn is_unavailable(self) -> bool {
        self.at.text().is_ok_and(|text| UNAVAILABLE.contains(&text))
    }

    /// A code or a text; `None` for NULL and blanks.
    pub fn text(self) -> Result<Option<String>, Rejection> {
        Ok(match self.at.value() {
            Value::Null => None,
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned),
            Value::Number(_) | Value::Boolean(_) => Some(self.at.to_string()),
            _ => return Err(self.at.is_not("a code")),
        })
    }

    /// The day of a date column. `None` for NULL, and for the zero date, which comes as NULL, as text or as the first day of 1970.
    pub fn day(self, spec: &Date, default: Option<&Zone>) -> Result<Option<Day>, Rejection> {
        let text = match self.at.value() {
            Value::Null => return Ok(None),
            Value::Number(digits) => return self.counted_day(digits, spec),
            Value::Text(text) => text.trim(),
            _ => return Err(self.at.is_not("a date")),
        };
        if text.is_empty() || text.starts_with("0000-00-00") {
            return Ok(None);
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return self.counted_day(text, spec);
        }
        // A date with a zone of its own (io.debezium.time.IsoDate) is a date all the same.
        if let Some(day) = time::day(text.strip_suffix('Z').unwrap_or(text)) {
            return Ok(Some(day));
        }
        let stamp = time::stamp(text).ok_or_else(|| self.at.is_not("a date (YYYY-MM-DD) or an instant"))?;
        if stamp.offset.is_none() {
            return Ok(Some(stamp.day));
        }
        let zone = spec.zone.as_ref().or(default).ok_or_else(|| {
            self.at.is_not("a day yet, but an instant: which day it is at the hotel needs the setting \"time_zone\"")
        })?;
        let day = zone.day(stamp.utc(0));
        day.map(Some).ok_or_else(|| self.at.is_not("an instant from 1900 to 2299"))
    }

    /// Days, milliseconds, microseconds or nanoseconds since 1970: by the schema, else by their size, which leaves no doubt for
    /// days from 1973 on. Times of day are those of the wall (DATETIME), unless the mapping says that they are instants.
    fn counted_day(self, digits: &str, spec: &Date) -> Result<Option<Day>, Rejection> {
        const DAY: i64 = 86_400_000_000;
        let count: i64 = digits.parse().map_err(|_| self.at.is_not("a date"))?;
        if count == 0 {
            return Ok(None);
        }
        let semantic = self.semantic.map(|name| name.rsplit('.').next().unwrap_or(name));
        let micros = match (semantic, count.unsigned_abs()) {
            (Some("Date"), _) => count.checked_mul(DAY),
            (Some("Timestamp"), _) => count.checked_mul(1_000),
            (Some("MicroTimestamp"), _) => Some(count),
            (Some("NanoTimestamp"), _) => Some(count.div_euclid(1_000)),
            (_, ..=120_529) => count.checked_mul(DAY),
            (_, 100_000_000_000..=10_413_792_000_000) => count.checked_mul(1_000),
            (_, 100_000_000_000_000..=10_413_792_000_000_000) => Some(count),
            (_, 100_000_000_000_000_000..) => Some(count.div_euclid(1_000)),
            _ => None,
        };
        let day = micros.and_then(|micros| match &spec.zone {
            Some(zone) => zone.day(micros),
            None => Day::try_from(micros.div_euclid(DAY)).ok(),
        });
        let kept = day.filter(|day| (time::FIRST_DAY..=time::LAST_DAY).contains(day));
        kept.map(Some)
            .ok_or_else(|| self.at.is_not("a date (days, milliseconds, microseconds or nanoseconds since 1970)"))
    }

    /// The number of a column; `None` for NULL.
    pub fn decimal(self, spec: &Number) -> Result<Option<Decimal>, Rejection> {
        let bytes_of = |at: At<'j>, scale: i64| {
            let text =
                base64(at.text()?.trim()).and_then(|bytes| unscaled(&bytes)).map(|units| format!("{units}e-{scale}"));
            text.ok_or_else(|| at.is_not("a decimal in base64 of at most 16 bytes"))
        };
        let text = match (self.at.value(), self.scale, spec.bytes_scale) {
            (Value::Null, ..) => return Ok(None),
            (Value::Text(_), Some(scale), _) if self.semantic.is_some_and(|name| name.ends_with(".Decimal")) => {
                bytes_of(self.at, scale.whole()?)?
            }
            (Value::Object, ..) => bytes_of(self.at.needs("value")?, self.at.needs("scale")?.whole()?)?,
            (Value::Text(_), _, Some(scale)) => bytes_of(self.at, scale.into())?,
            (Value::Text(text), ..) => text.trim().to_owned(),
            (Value::Number(digits), ..) => digits.to_owned(),
            _ => return Err(self.at.is_not("a number")),
        };
        let read = if spec.scale == 0 { number::decimal(&text) } else { number::placed(&text, spec.scale) };
        read.map(Some).map_err(|error| match (self.at.value(), self.semantic) {
            (Value::Text(text), None) if base64(text).is_some() => {
                self.at.is_not("a number (base64 needs the schema, or \"bytes_scale\" in the mapping)")
            }
            _ => self.at.is_not(error.expected()),
        })
    }

    /// A whole number; `None` for NULL.
    pub fn integer(self, spec: &Number) -> Result<Option<i64>, Rejection> {
        let Some(decimal) = self.decimal(spec)? else { return Ok(None) };
        let whole = 10_i64.checked_pow(decimal.scale.into()).filter(|factor| decimal.units % factor == 0);
        whole.map(|factor| Some(decimal.units / factor)).ok_or_else(|| self.at.is_not("a whole number"))
    }

    /// What the word in a column means; `None` for NULL.
    pub fn word<T: Copy>(
        self,
        spec: &Words<T>,
        usual: impl Fn(At<'j>) -> Result<T, Rejection>,
    ) -> Result<Option<T>, Rejection> {
        let Some(text) = self.text()? else { return Ok(None) };
        if spec.words.is_empty() {
            return usual(self.at).map(Some);
        }
        let found = spec.words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.map(Some).ok_or_else(|| {
            let words: Vec<&str> = spec.words.iter().map(|(word, _)| &**word).collect();
            self.at.is_not(format_args!("one of the mapping's words ({})", words.join(", ")))
        })
    }

    /// Whether a column holds anything: neither NULL, blanks, `false`, 0 nor a zero date.
    pub fn holds_anything(self) -> bool {
        match self.at.value() {
            Value::Null | Value::Boolean(false) | Value::Number("0") => false,
            Value::Text(text) => !matches!(text.trim(), "" | "0" | "f" | "false") && !text.starts_with("0000-00-00"),
            _ => true,
        }
    }
}

/// RFC 4648, with padding or without. `None` if it is anything else.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    if text.is_empty() || text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let mut bits = 0_u32;
    for (place, letter) in (1_u32..).zip(text.bytes()) {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        // Two, three and four letters complete a byte each.
        let spare = match place % 4 {
            2 => 4,
            3 => 2,
            0 => 0,
            _ => continue,
        };
        bytes.push(u8::try_from((bits >> spare) & 0xFF).ok()?);
    }
    Some(bytes)
}

/// A big-endian number in two's complement. `None` beyond 16 bytes.
fn unscaled(bytes: &[u8]) -> Option<i128> {
    let (first, length) = (*bytes.first()?, bytes.len());
    if length > 16 {
        return None;
    }
    let sign = if first & 0x80 == 0 { 0 } else { -1 };
    Some(bytes.iter().fold(sign, |number, byte| (number << 8) | i128::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unscaled_numbers_in_base64() {
        let number = |text: &str| base64(text).and_then(|bytes| unscaled(&bytes));
        for (text, expected) in [
            ("AZA=", Some(400)),
            ("MDk=", Some(12_345)),
            ("z8c=", Some(-12_345)),
            ("/w==", Some(-1)),
            ("AA", Some(0)),
            ("AAAAAAAAAAAAAAAAAAAAAA==", Some(0)),
            ("f////////////////////w==", Some(i128::MAX)),
            ("AAAAAAAAAAAAAAAAAAAAAAA=", None),
            ("A", None),
            ("", None),
            ("12.50", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
