//! `hotel_bookings.csv` (Antonio, de Almeida, Nunes, Data in Brief 22, 2019) as deliveries of three systems, in the order in which
//! they would have been sent.
//!
//! | who booked | who says so |
//! |---|---|
//! | Online TA | the portal (Booking.com's XML), and the PMS |
//! | Direct | the website (schema.org JSON-LD), and the PMS |
//! | everybody else | the PMS (OPERA reservations) |
//!
//! A booking is told when it was booked, when it was changed, when the guest arrives and the PMS assigns a room (of another type,
//! often), and when it came to its end. The rows have no number: they are counted from 1. Knows the file and the story of a booking;
//! what the messages look like, `messages` knows, and what becomes of them in a pipeline, `replay`.

mod messages;
mod replay;
mod row;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub use replay::{Replayed, Took, replay};
pub use row::{Outcome, Row};

/// A system that sends deliveries, by the name that the example's pipeline has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The portal.
    Ota,
    /// The hotel's own website.
    Website,
    /// The front desk's system.
    Pms,
}

impl Source {
    /// All of them.
    pub const ALL: [Source; 3] = [Source::Ota, Source::Website, Source::Pms];

    /// Its name in the pipeline.
    pub fn name(self) -> &'static str {
        match self {
            Source::Ota => "booking-com",
            Source::Website => "website",
            Source::Pms => "pms",
        }
    }

    /// The media type of what it sends.
    pub fn content_type(self) -> &'static str {
        match self {
            Source::Ota => "application/xml",
            Source::Website => "application/ld+json",
            Source::Pms => "application/json",
        }
    }
}

/// What is told of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// That it was booked.
    Booked,
    /// That it was changed: the guests are told exactly.
    Changed,
    /// The guest arrives: the PMS assigns a room, perhaps of another type than was booked.
    Assigned,
    /// How it ended.
    Ended,
}

/// What the PMS says of guests who come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desk {
    /// They arrive and leave.
    ChecksIn,
    /// They get a room, and nothing more is heard of them: so every booking stays one that can lose its room.
    Assigns,
}

/// A delivery before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// Minutes since 1970-01-01.
    pub at: i64,
    /// The row's place among the rows, from 0.
    pub row: usize,
    pub step: Step,
    pub source: Source,
}

impl Delivery {
    /// The sender's delivery id.
    pub fn id(&self) -> String {
        format!("{}-{}-{:?}", self.row + 1, self.source.name(), self.step)
    }
}

/// The text of a file, or of the `.csv` file in a zip archive, which `unzip` opens.
///
/// # Errors
/// When it cannot be read.
pub fn text(path: &Path) -> Result<String> {
    if path.extension().is_none_or(|ending| ending != "zip") {
        return Ok(std::fs::read_to_string(path)?);
    }
    // The archive also holds what macOS adds to each file.
    let unzipped = Command::new("unzip").arg("-p").arg(path).args(["*.csv", "-x", "__MACOSX/*"]).output();
    let unzipped = unzipped.context("`unzip` does not run: install it, or give the file unzipped")?;
    ensure!(unzipped.status.success(), "unzip: {}", String::from_utf8_lossy(&unzipped.stderr).trim());
    Ok(String::from_utf8(unzipped.stdout)?)
}

/// The file's rows.
pub struct Bookings {
    pub rows: Vec<Row>,
}

impl Bookings {
    /// Reads the file, also in a zip archive.
    ///
    /// # Errors
    /// When it cannot be read, or a row is none; the row's number is named.
    pub fn open(path: &Path) -> Result<Bookings> {
        let shown = || path.display().to_string();
        let text = text(path).with_context(shown)?;
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().context("the file is empty").with_context(shown)?.split(',').collect();
        let mut rows = Vec::new();
        for (number, line) in (1..).zip(lines) {
            // No value has a comma or a quotation mark.
            let columns = names.iter().copied().zip(line.split(',')).collect();
            rows.push(Row::of(&columns).with_context(|| format!("{}: row {number}", shown()))?);
        }
        Ok(Bookings { rows })
    }

    /// All deliveries in their order. With [`Desk::Assigns`] nobody arrives or leaves: guests in the house keep their rooms
    /// whatever the capacity is.
    pub fn deliveries(&self, desk: Desk) -> Vec<Delivery> {
        let mut all = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (step, at) in row.steps() {
                let told = match (desk, step) {
                    (Desk::Assigns, Step::Assigned) => row.assigned != row.reserved,
                    (Desk::Assigns, Step::Ended) => row.outcome != Outcome::CheckOut,
                    _ => true,
                };
                let sources = row.sources(step).filter(|_| told);
                // The channels come first; the PMS hears of it a little later.
                all.extend(sources.map(|source| Delivery {
                    at: at + if source == Source::Pms { 5 } else { 0 },
                    row: number,
                    step,
                    source,
                }));
            }
        }
        all.sort_unstable();
        all
    }

    /// What the system sends.
    pub fn body(&self, delivery: &Delivery, desk: Desk) -> String {
        let row = &self.rows[delivery.row];
        messages::Message { number: delivery.row + 1, row, step: delivery.step, at: delivery.at, desk }
            .written(delivery.source)
    }
}
