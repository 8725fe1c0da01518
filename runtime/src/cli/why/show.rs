//! Explanations as text for a person.

use serde_json::Value;

use super::night::NightWhy;
use super::stay::{FieldWhy, StayWhy, StaysWhy};
use crate::cli::dead_letters::number;
use crate::cli::table::{line, table};

/// Conflict rows shown of one thing; `--json` and SQL give all.
const SHOWN: usize = 20;

pub fn night(why: &NightWhy) -> String {
    let NightWhy { property, date, room_type, partition, available, row, fields, stays, conflicts } = why;
    let mut text = format!("{property} {date} {room_type} (partition {partition}");
    if let Some(rule_set) = row["rule_set"].as_str() {
        text.push_str(&format!(", last decided under {rule_set}"));
    }
    text.push_str(&format!(")\n  available {available}\n"));
    text.push_str(&fields.iter().map(field).collect::<String>());
    if stays.is_empty() {
        text.push_str("\n  no stays\n");
    } else {
        let rows: Vec<Vec<String>> = stays
            .iter()
            .map(|s| vec![s.stay.clone(), s.outcome.clone(), s.status.clone(), s.nights.clone(), s.reason.clone()])
            .collect();
        text.push('\n');
        text.push_str(&table(&["stay", "outcome", "status", "nights", "because"], &rows));
    }
    text + &history(conflicts)
}

pub fn stays(why: &StaysWhy) -> String {
    let StaysWhy { asked, property, partition, lines, stays, conflicts } = why;
    let mut text = format!("{asked} at {property} (partition {partition})\n");
    for told in lines {
        let stay = told.stay.as_ref().map_or("in no stay".to_owned(), |stay| format!("in stay {stay}"));
        text.push_str(&format!("  line {}, {stay}, first mentioned at offset {}\n", told.line, told.first_offset));
    }
    text.push_str(&stays.iter().map(stay).collect::<String>());
    text + &history(conflicts)
}

fn stay(why: &StayWhy) -> String {
    let mut text = format!("\nstay {}: {}\n  {}\n", why.stay, why.outcome, why.outcome_reason);
    if why.lines.len() > 1 {
        text.push_str(&format!("  lines {}, linked by {}\n", why.lines.join(", "), why.linked_by.join(", ")));
    }
    text.push_str(&why.fields.iter().map(field).collect::<String>());
    if !why.nights.is_empty() {
        let nights = why.nights.iter().map(|row| {
            let word = |name: &str| row[name].as_str().unwrap_or_default();
            format!("{} {} {}", word("night"), word("room_type"), word("outcome"))
        });
        text.push_str(&format!("\n  nights  {}\n", nights.collect::<Vec<_>>().join(", ")));
    }
    text
}

fn field(why: &FieldWhy) -> String {
    let value = why.value.as_deref().unwrap_or("nothing");
    let by = match (&why.source, why.rule.as_str()) {
        (Some(source), "") => format!(" from {source}: "),
        (Some(source), rule) => format!(" from {source} by rule {rule}: "),
        (None, _) => ": ".to_owned(),
    };
    let mut text = format!("\n  {}  {}{by}{}\n", why.field, line(value, 80), line(&why.reason, 300));
    let rows: Vec<Vec<String>> = why
        .claims
        .iter()
        .map(|claim| {
            let mark = if claim.holds { ">" } else { "" };
            let revision =
                if claim.revision.is_empty() { String::new() } else { format!("revision {}", claim.revision) };
            let place = format!("partition {} offset {}", claim.partition, claim.offset);
            vec![mark.to_owned(), claim.source.clone(), line(&claim.value, 80), place, revision]
        })
        .collect();
    let claims = table(&["", "", "", "", ""], &rows);
    // The header is empty here.
    for claim in claims.lines().skip(1) {
        text.push_str(&format!("  {claim}\n"));
    }
    text
}

fn history(conflicts: &[Value]) -> String {
    if conflicts.is_empty() {
        return "\n  no conflicts\n".to_owned();
    }
    let mut text = String::from("\n  conflicts, in the order of the log\n");
    let skipped = conflicts.len().saturating_sub(SHOWN);
    if skipped > 0 {
        text.push_str(&format!("    ... {skipped} earlier ones; --json shows all\n"));
    }
    text.push_str(&conflicts.iter().skip(skipped).map(conflict).collect::<String>());
    text
}

fn conflict(row: &Value) -> String {
    let word = |name: &str| row[name].as_str().unwrap_or_default();
    let list = |name: &str| row[name].as_array().cloned().unwrap_or_default();
    let claims: Vec<String> = list("sources")
        .iter()
        .zip(list("values"))
        .map(|(source, value)| {
            format!("{} = {}", source.as_str().unwrap_or_default(), line(value.as_str().unwrap_or_default(), 60))
        })
        .collect();
    let place = format!("offset {}.{}", number(&row["offset"]), number(&row["seq"]));
    let time: String = word("time").chars().take(19).collect();
    let mut text = format!("    {time}  {place}  {} {}: {}\n", word("kind"), word("decision"), claims.join(", "));
    let winner = if word("winner_source").is_empty() {
        String::new()
    } else {
        format!("{} = {}", word("winner_source"), line(word("winner_value"), 60))
    };
    let rule = if word("rule_id").is_empty() { String::new() } else { format!(" (rule {})", word("rule_id")) };
    text.push_str(&format!(
        "      {winner}{rule}{}{}\n",
        if winner.is_empty() { "" } else { ": " },
        line(word("reason"), 200)
    ));
    text
}
