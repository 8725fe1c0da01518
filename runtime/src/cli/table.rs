//! Lines in columns, for people. Knows nothing of what stands in them.

/// Rows under a header, indented by two; columns whose cells are all numbers stand to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
    let columns: Vec<(usize, bool)> = header
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let width = rows.iter().map(|row| cell(row, at).chars().count()).max().unwrap_or(0);
            let number = |text: String| text.is_empty() || text == "-" || text.bytes().all(|b| b.is_ascii_digit());
            (width.max(name.chars().count()), rows.iter().all(|row| number(cell(row, at))))
        })
        .collect();
    let line = |cells: Vec<String>| {
        let mut text = String::from(" ");
        for (cell, (width, right)) in cells.iter().zip(&columns) {
            text.push(' ');
            let gap = " ".repeat(width - cell.chars().count().min(*width));
            text.push_str(&if *right { format!("{gap}{cell} ") } else { format!("{cell}{gap} ") });
        }
        format!("{}\n", text.trim_end())
    };
    let mut text = line(header.iter().map(|name| (*name).to_owned()).collect());
    for row in rows {
        text.push_str(&line((0..header.len()).map(|at| cell(row, at)).collect()));
    }
    text
}

/// Milliseconds since 1970-01-01T00:00:00Z as `2026-03-01 12:00:00Z`; the number where no calendar reaches it.
pub fn time(millis: i64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| millis.to_string())
}

/// A text in one line of at most `most` characters: what sources send goes to a terminal only without its controls.
pub fn line(text: &str, most: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most + 1).collect();
    if clean.chars().count() <= most { clean } else { clean.chars().take(most - 1).chain(['…']).collect() }
}

/// `1 record`, `2 records`.
pub fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let rows = vec![vec!["room_nights".to_owned(), "12".to_owned()], vec!["état".to_owned(), "1200".to_owned()]];
        assert_eq!(table(&["table", "rows"], &rows), "  table        rows\n  room_nights    12\n  état         1200\n");
    }

    #[test]
    fn a_long_or_wild_text_becomes_one_short_line() {
        assert_eq!(line("a\u{1b}[2J\nb", 10), "a [2J b");
        assert_eq!(line("0123456789", 10), "0123456789");
        assert_eq!(line("0123456789a", 10), "012345678…");
    }
}
