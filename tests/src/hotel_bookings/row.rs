//! One booking: the columns of its row, and when something happened to it.
//!
//! Knows the columns that are used here. Does not know systems' formats.

use anyhow::{Context, Result, bail};
use concord::types::Day;

use super::{Source, Step};

/// The columns, by their names in the file.
#[derive(serde::Deserialize)]
pub struct Columns {
    hotel: String,
    lead_time: i32,
    arrival_date_year: i32,
    arrival_date_month: String,
    arrival_date_day_of_month: u32,
    stays_in_weekend_nights: i32,
    stays_in_week_nights: i32,
    adults: String,
    children: String,
    babies: String,
    market_segment: String,
    reserved_room_type: String,
    assigned_room_type: String,
    booking_changes: u32,
    adr: String,
    reservation_status: String,
    reservation_status_date: String,
}

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
    /// When a date, a number or a word is none.
    pub fn of(columns: &Columns) -> Result<Row> {
        let month = MONTHS.iter().position(|month| *month == columns.arrival_date_month).context("the month")? + 1;
        let (year, day) = (columns.arrival_date_year, columns.arrival_date_day_of_month);
        let arrival = Day::parse(&format!("{year}-{month:02}-{day:02}")).context("the arrival")?;
        let nights = columns.stays_in_weekend_nights + columns.stays_in_week_nights;
        // Four bookings say NA.
        let count = |text: &str| text.parse::<f64>().unwrap_or(0.0) as u32;
        let rate: f64 = columns.adr.parse().context("adr")?;
        Ok(Row {
            hotel: columns.hotel.clone(),
            booked: Day(arrival.0 - columns.lead_time),
            arrival,
            nights,
            adults: count(&columns.adults),
            children: count(&columns.children) + count(&columns.babies),
            segment: columns.market_segment.clone(),
            reserved: columns.reserved_room_type.trim().to_owned(),
            assigned: columns.assigned_room_type.trim().to_owned(),
            changed: columns.booking_changes > 0,
            amount: (rate * 10_000.0).round() as i64 * i64::from(nights.max(1)),
            outcome: match columns.reservation_status.as_str() {
                "Canceled" => Outcome::Canceled,
                "Check-Out" => Outcome::CheckOut,
                "No-Show" => Outcome::NoShow,
                other => bail!("{other} is no status"),
            },
            ended: Day::parse(&columns.reservation_status_date).context("reservation_status_date")?,
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
