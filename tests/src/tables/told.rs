//! Logs in words short enough to be read in a failing test.

use std::fmt::Write;

use concord::change::{Action, LineChange, RoomNights, Scope};

use crate::model::{Input, What};

/// A log as text: a line per record, a line per change.
pub fn log(log: &[Input]) -> String {
    let mut text = String::new();
    for record in log {
        let again =
            if record.order == record.offset { String::new() } else { format!(" (retried from {})", record.order) };
        let id = record.id.get(..18).unwrap_or(&record.id);
        let head = format!("{}{again} {} {id}", record.offset, record.source);
        let _ = match &record.what {
            What::Tick(millis) => writeln!(text, "{} tick {millis}", record.offset),
            What::Reset { source } => writeln!(text, "{} reset of {source}", record.offset),
            What::Configure(configuration) => writeln!(text, "{} {configuration:?}", record.offset),
            What::Changes { property, .. } => writeln!(text, "{head} for {property}"),
        };
        if let What::Changes { changes, .. } = &record.what {
            for change in changes {
                let revision = change.revision.as_ref().map(|revision| format!("[{revision}] ")).unwrap_or_default();
                let _ = writeln!(text, "    {revision}{}", action(&change.action));
            }
        }
    }
    text
}

fn action(action: &Action) -> String {
    match action {
        Action::InventorySet(set) => format!("set {}", room_nights(set)),
        Action::InventoryReplace { scope: of, nights } => {
            let nights: Vec<String> = nights.iter().map(room_nights).collect();
            format!("replace {} by [{}]", scope(of), nights.join("; "))
        }
        Action::Withdraw(of) => format!("withdraw {}", scope(of)),
        Action::LineSet { reservation, line: change } => format!("line {reservation}/{}", line(change)),
        Action::LineCancel { reservation, line } => format!("cancel {reservation}/{line}"),
        Action::ReservationReplace { reservation, lines } => {
            let lines: Vec<String> = lines.iter().map(line).collect();
            format!("reservation {reservation} is [{}]", lines.join("; "))
        }
        Action::SnapshotBegin => "snapshot begins".into(),
        Action::SnapshotEnd => "snapshot ends".into(),
    }
}

fn room_nights(set: &RoomNights) -> String {
    let value = |field: &concord::change::FieldChange| match &field.value {
        Some(value) => format!("{}={value}", field.name),
        None => format!("{} withdrawn", field.name),
    };
    let fields: Vec<String> = set.fields.iter().map(value).collect();
    format!("{} {} {}", set.room_type, set.nights, fields.join(" "))
}

fn scope(scope: &Scope) -> String {
    let all = |list: &[std::sync::Arc<str>]| if list.is_empty() { "*".to_owned() } else { list.join(",") };
    format!("{} {} {}", all(&scope.room_types), scope.nights, all(&scope.fields))
}

/// What the change gives, nothing else.
fn line(change: &LineChange) -> String {
    let mut text = change.line.to_string();
    if let Some(status) = change.status {
        let _ = write!(text, " {status}");
    }
    if change.arrival.is_some() || change.departure.is_some() {
        let day = |day: Option<concord::types::Day>| day.map_or("..".to_owned(), |day| day.to_string());
        let _ = write!(text, " {}/{}", day(change.arrival), day(change.departure));
    }
    if let Some(room_type) = &change.room_type {
        let _ = write!(text, " {room_type}");
    }
    if let Some(room) = &change.room {
        let _ = write!(text, " room {room:?}");
    }
    if let Some(money) = &change.money {
        let _ = write!(text, " {money}");
    }
    if let Some(guests) = change.guests {
        let _ = write!(text, " {guests} guests");
    }
    if let Some(references) = &change.references {
        let references: Vec<String> =
            references.iter().map(|r| format!("{}:{}:{}", r.kind, r.issuer, r.value)).collect();
        let _ = write!(text, " references [{}]", references.join(" "));
    }
    text
}
