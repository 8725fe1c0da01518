//! One booking: the columns of its row, and when something happened to it.
//!
//! Knows the columns that are used here. Does not know systems' formats.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use concord::types::Day;

use super::{Source, Step};

/// A row's values by the names of their columns.
pub type Columns<'t> = HashMap<&'t str, &'t str>;

/// How a booking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Canceled,
    CheckOut,
    NoShow,
}

/// A booking.
#[derive(Clone, Debug)]
pub struct Row {
    /// `City Hotel` or `Resort Hotel`.
    pub hotel: String,
    pub booked: Day,
    pub arrival: Day,
    /// 0 for 715 of them.
    pub nights: i32,
    pub adults: u32,
    /// Children and babies.
    pub children: u32,
    pub segment: String,
    pub reserved: String,
    pub assigned: String,
    pub changed: bool,
    /// Of the whole stay, in ten-thousandths; one is negative.
    pub amount: i64,
    pub outcome: Outcome,
    pub ended: Day,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Row {
    /// From the columns.
    ///
    /// # Errors
    /// When a column is missing, or a date, a number or a word is none.
    pub fn of(columns: &Columns<'_>) -> Result<Row> {
        let text = |name: &str| columns.get(name).map(|text| text.trim()).with_context(|| format!("{name} is missing"));
        let number = |name: &str| text(name)?.parse::<i32>().with_context(|| name.to_owned());
        // Four bookings say NA.
        let count = |name: &str| Ok::<_, anyhow::Error>(text(name)?.parse::<f64>().unwrap_or(0.0) as u32);
        let month = text("arrival_date_month")?;
        let month = MONTHS.iter().position(|name| *name == month).context("arrival_date_month")? + 1;
        let (year, day) = (number("arrival_date_year")?, number("arrival_date_day_of_month")?);
        let arrival = Day::parse(&format!("{year}-{month:02}-{day:02}")).context("the arrival")?;
        let nights = number("stays_in_weekend_nights")? + number("stays_in_week_nights")?;
        let rate: f64 = text("adr")?.parse().context("adr")?;
        Ok(Row {
            hotel: text("hotel")?.to_owned(),
            booked: Day(arrival.0 - number("lead_time")?),
            arrival,
            nights,
            adults: count("adults")?,
            children: count("children")? + count("babies")?,
            segment: text("market_segment")?.to_owned(),
            reserved: text("reserved_room_type")?.to_owned(),
            assigned: text("assigned_room_type")?.to_owned(),
            changed: number("booking_changes")? > 0,
            amount: (rate * 10_000.0).round() as i64 * i64::from(nights.max(1)),
            outcome: match text("reservation_status")? {
                "Canceled" => Outcome::Canceled,
                "Check-Out" => Outcome::CheckOut,
                "No-Show" => Outcome::NoShow,
                other => bail!("{other} is no status"),
            },
            ended: Day::parse(text("reservation_status_date")?).context("reservation_status_date")?,
        })
    }

    /// The day after the last night.
    pub fn departure(&self) -> Day {
        Day(self.arrival.0 + self.nights)
    }

    /// What happened, and when, in minutes since 1970-01-01: in this order, whatever the dates in the file say.
    pub fn steps(&self) -> Vec<(Step, i64)> {
        let minute = |day: i32, minute: i64| i64::from(day) * 24 * 60 + minute;
        let end = self.ended.0.max(match self.outcome {
            Outcome::CheckOut => self.arrival.0,
            Outcome::Canceled | Outcome::NoShow => self.booked.0,
        });
        let mut steps = vec![(Step::Booked, minute(self.booked.0, 9 * 60))];
        if self.changed {
            steps.push((Step::Changed, minute(self.booked.0 + (end.min(self.arrival.0) - self.booked.0) / 2, 12 * 60)));
        }
        if self.outcome == Outcome::CheckOut {
            steps.push((Step::Assigned, minute(self.arrival.0, 15 * 60)));
        }
        steps.push((Step::Ended, minute(end, 18 * 60)));
        steps
    }

    /// Who tells a step.
    pub fn sources(&self, step: Step) -> impl Iterator<Item = Source> {
        let channel = match self.segment.as_str() {
            "Online TA" => Some(Source::Ota),
            "Direct" => Some(Source::Website),
            _ => None,
        };
        // Who came, and into which room, only the hotel knows.
        let channel = channel.filter(|_| match step {
            Step::Booked | Step::Changed => true,
            Step::Assigned => false,
            Step::Ended => self.outcome == Outcome::Canceled,
        });
        channel.into_iter().chain([Source::Pms])
    }
}
