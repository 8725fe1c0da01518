//! A normalizer to copy: one booking per line of CSV.
//!
//! `hotel,booking,status,arrival,departure,room type,amount`, and nothing in quotes:
//!
//! ```csv
//! H1,4711,ok,2026-03-01,2026-03-04,DBL,300.00
//! ```
//!
//! Replace the format by your source's. What stays: `split` says where a part of a delivery belongs,
//! `normalize_one` what it says, and what cannot be understood is refused in words.

use concord_plugin::json::At;
use concord_plugin::{
    Action, Change, Delivery, Description, Event, Line, LineOf, Normalizer, Rejection, Routed, Said, Status, number,
    time,
};

/// The plugin's type. It holds nothing: all that a call needs comes with the call.
pub struct Template;

/// The source's `settings` table.
pub struct Settings {
    /// In which currency the amounts are.
    currency: String,
}

concord_plugin::normalizer!(Template);

impl Normalizer for Template {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: vec!["text/csv".into()],
            fields: vec![],
        }
    }

    fn settings(table: At<'_>) -> Result<Settings, Rejection> {
        let [currency] = table.object()?.only(&["currency"])?;
        let currency = currency.map(At::text).transpose()?.unwrap_or("EUR");
        Ok(Settings { currency: currency.to_owned() })
    }

    /// One part per line, so that one bad line does not take the others with it.
    fn split(_: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        let lines = text(&delivery.body)?.lines().filter(|line| !line.trim().is_empty());
        let part = |line: &str| {
            let row = Row::of(line)?;
            let date = time::day(row.arrival).unwrap_or(0);
            Ok(Routed { property: row.hotel.to_owned(), date, body: Some(line.as_bytes().to_vec()) })
        };
        let parts: Vec<Routed> = lines.map(part).collect::<Result<_, Rejection>>()?;
        if parts.is_empty() { Err("the delivery holds no line".into()) } else { Ok(parts) }
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        let row = Row::of(text(&event.body)?.trim_end())?;
        let line = Line {
            line: "1".into(),
            status: Some(status(row.status)?),
            arrival: Some(day(row.arrival)?),
            departure: Some(day(row.departure)?),
            room_type: Some(row.room_type.to_owned()),
            room: None,
            money: Some(money(row.amount, &settings.currency)?),
            guests: None,
            references: None,
        };
        let action = Action::LineSet(LineOf { reservation: row.booking.to_owned(), line });
        Ok(Said { property: row.hotel.to_owned(), changes: vec![Change { revision: None, action }] })
    }
}

/// The columns of a line.
struct Row<'l> {
    hotel: &'l str,
    booking: &'l str,
    status: &'l str,
    arrival: &'l str,
    departure: &'l str,
    room_type: &'l str,
    amount: &'l str,
}

impl<'l> Row<'l> {
    fn of(line: &'l str) -> Result<Row<'l>, Rejection> {
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        let [hotel, booking, status, arrival, departure, room_type, amount] = columns[..] else {
            return Err(Rejection(format!("7 columns are expected, not {}: {line:?}", columns.len())));
        };
        Ok(Row { hotel, booking, status, arrival, departure, room_type, amount })
    }
}

fn text(body: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(body).map_err(|error| Rejection(format!("not UTF-8: {error}")))
}

fn status(word: &str) -> Result<Status, Rejection> {
    match word {
        "ok" => Ok(Status::Confirmed),
        "cancelled" => Ok(Status::Cancelled),
        _ => Err(Rejection(format!("status: {word:?} is neither ok nor cancelled"))),
    }
}

fn day(text: &str) -> Result<concord_plugin::Day, Rejection> {
    time::day(text).ok_or_else(|| Rejection(format!("{text:?} is not a date (YYYY-MM-DD)")))
}

fn money(text: &str, currency: &str) -> Result<concord_plugin::Money, Rejection> {
    let amount = number::decimal(text).map_err(|error| Rejection(format!("amount: {text:?} is {error}")))?;
    number::money(amount, currency).ok_or_else(|| Rejection(format!("settings: {currency:?} is not a currency")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> Result<Said, Rejection> {
        let event = Event {
            index: 0,
            id: "1".into(),
            time: None,
            property: "H1".into(),
            date: 0,
            content_type: "text/csv".into(),
            attributes: vec![],
            body: body.into(),
        };
        Template::normalize_one(&Settings { currency: "EUR".into() }, &event)
    }

    #[test]
    fn a_line_is_a_booking() {
        let said = said("H1,4711,ok,2026-03-01,2026-03-04,DBL,300.00\n").unwrap();
        let Action::LineSet(set) = &said.changes[0].action else { panic!("{said:?}") };
        assert_eq!((set.reservation.as_str(), set.line.status), ("4711", Some(Status::Confirmed)));
        assert_eq!(set.line.departure, time::day("2026-03-04"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (body, words) in [
            ("H1,4711", "7 columns are expected, not 2"),
            ("H1,4711,maybe,2026-03-01,2026-03-04,DBL,300.00", "\"maybe\" is neither"),
            ("H1,4711,ok,soon,2026-03-04,DBL,300.00", "\"soon\" is not a date"),
            ("H1,4711,ok,2026-03-01,2026-03-04,DBL,much", "\"much\" is not a decimal number"),
        ] {
            let reason = said(body).unwrap_err().0;
            assert!(reason.contains(words), "{body}: {reason}");
        }
    }

    #[test]
    fn a_delivery_is_split_by_line() {
        let body = "H1,1,ok,2026-03-01,2026-03-04,DBL,300\n\nH2,2,ok,2026-03-02,2026-03-04,DBL,300\n";
        let delivery = Delivery { content_type: "text/csv".into(), attributes: vec![], body: body.into() };
        let parts = Template::split(&Settings { currency: "EUR".into() }, &delivery).unwrap();
        let places: Vec<_> = parts.iter().map(|part| (part.property.as_str(), time::spelled(part.date))).collect();
        let nothing = Delivery { body: b"\n".to_vec(), ..delivery };
        assert!(Template::split(&Settings { currency: "EUR".into() }, &nothing).is_err());
        assert_eq!(places, [("H1", "2026-03-01".to_owned()), ("H2", "2026-03-02".to_owned())]);
    }
}
