//! TOML as canonical JSON text: sorted keys, no blanks.
//!
//! Equal tables give equal bytes, so that a settings table can be compared and hashed as text.

use toml::Value;

/// The JSON text of a TOML value. Dates and times become their RFC 3339 text. `Err` says why JSON cannot hold it:
/// infinite numbers and `nan`.
pub(super) fn canonical(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), String> {
    match value {
        Value::String(text) => string(text, out),
        Value::Integer(number) => out.push_str(&number.to_string()),
        Value::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => out.push_str(&number.to_string()),
            None => return Err(format!("a setting is {number}, which JSON cannot hold")),
        },
        Value::Boolean(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Datetime(time) => string(&time.to_string(), out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                separate(i, out);
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Table(table) => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                separate(i, out);
                string(key, out);
                out.push(':');
                write(item, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_compact() {
        let text = "z = 1\na = [true, 1.5, \"q\\\"\"]\nt = 2026-03-01\n[m]\nb = {}\n";
        let table: toml::Table = toml::from_str(text).unwrap();
        let json = canonical(&Value::Table(table)).unwrap();
        assert_eq!(json, r#"{"a":[true,1.5,"q\""],"m":{"b":{}},"t":"2026-03-01","z":1}"#);
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }

    #[test]
    fn what_json_cannot_hold() {
        assert!(canonical(&Value::Float(f64::INFINITY)).is_err());
    }
}
