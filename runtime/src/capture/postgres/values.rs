//! PostgreSQL's texts as values: numbers and booleans by their types, times in ISO 8601, everything else as it is written.
//!
//! Source: the types' OIDs (`pg_type.dat`) and output formats. Does not know what columns mean.

use super::connection::Column;
use crate::capture::envelope::{Row, Value};

const BOOL: u32 = 16;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;

/// A value of a column.
pub(super) fn value(column: &Column, text: Option<String>) -> Value {
    let Some(text) = text else { return Value::Null };
    match column.kind {
        BOOL => Value::Boolean(text == "t"),
        INT2 | INT4 | INT8 => text.parse().map_or(Value::Text(text), Value::Integer),
        FLOAT4 | FLOAT8 => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::Float(number),
            _ => Value::Text(text),
        },
        TIMESTAMP => Value::Text(text.replacen(' ', "T", 1)),
        // The session's zone is UTC.
        TIMESTAMPTZ => match text.strip_suffix("+00") {
            Some(utc) => Value::Text(format!("{}Z", utc.replacen(' ', "T", 1))),
            None => Value::Text(text),
        },
        _ => Value::Text(text),
    }
}

/// A row of an answer.
pub(super) fn row(columns: &[Column], texts: Vec<Option<String>>) -> Row {
    columns.iter().zip(texts).map(|(column, text)| (column.name.clone(), value(column, text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_by_their_types() {
        for (kind, text, expected) in [
            (BOOL, "t", Value::Boolean(true)),
            (INT8, "-9223372036854775808", Value::Integer(i64::MIN)),
            (FLOAT8, "0.1", Value::Float(0.1)),
            (FLOAT8, "NaN", Value::Text("NaN".into())),
            (TIMESTAMP, "2026-03-01 12:00:00.5", Value::Text("2026-03-01T12:00:00.5".into())),
            (TIMESTAMPTZ, "2026-03-01 12:00:00+00", Value::Text("2026-03-01T12:00:00Z".into())),
            (TIMESTAMPTZ, "infinity", Value::Text("infinity".into())),
            // A date, a numeric.
            (1082, "2026-03-01", Value::Text("2026-03-01".into())),
            (1700, "120.5000", Value::Text("120.5000".into())),
        ] {
            let column = Column { name: "x".into(), kind };
            assert_eq!(value(&column, Some(text.to_owned())), expected, "{text}");
        }
        assert_eq!(value(&Column { name: "x".into(), kind: BOOL }, None), Value::Null);
    }
}
