//! What every normalizer of JSON messages does the same way: take a delivery apart, find each part's hotel and date, clean it,
//! and read one part per record.
//!
//! A format fills in [`Messages`]. Does not know any format.

use std::collections::BTreeMap;

use super::{At, Cleaner, Document, parse};
use crate::xml::UNPLACED;
use crate::{
    Action, Cancellation, Change, Day, Days, Delivery, Event, Line, Money, Rejection, ReservationReplacement, Revision,
    Routed, Said, Status, number, stay,
};

/// The attributes of a delivery or an event: name and value.
pub type Attributes<'a> = &'a [(String, String)];

/// A format of JSON messages.
pub trait Messages {
    /// The source's settings.
    type Settings;

    /// What does not reach the log.
    const CLEANER: Cleaner<'static>;

    /// The parts of a delivery: the document itself, or elements of one list in it. At least one.
    ///
    /// # Errors
    /// When it is no message of this format, or holds no part.
    fn parts<'j>(root: At<'j>, settings: &Self::Settings) -> Result<Vec<At<'j>>, Rejection>;

    /// The hotel of a part, in the source's own code.
    ///
    /// # Errors
    /// When nothing names it.
    fn property(
        root: At<'_>,
        part: At<'_>,
        attributes: Attributes<'_>,
        settings: &Self::Settings,
    ) -> Result<String, Rejection>;

    /// The earliest arrival or night of a part, where one can be read.
    fn date(root: At<'_>, part: At<'_>, settings: &Self::Settings) -> Option<Day>;

    /// What a part says.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    fn changes(root: At<'_>, part: At<'_>, settings: &Self::Settings) -> Result<Vec<Change>, Rejection>;
}

/// The parts of a delivery with their places.
///
/// # Errors
/// Where the delivery cannot be read, or its only part names no hotel, and there is nothing to hide in it.
pub fn split<M: Messages>(settings: &M::Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
    let document = parse(&delivery.body);
    let read = document.as_ref().map_err(Clone::clone).and_then(|document| routed::<M>(settings, delivery, document));
    read.or_else(|rejection| hidden(&M::CLEANER, delivery, document.as_ref().ok(), rejection))
}

fn routed<M: Messages>(
    settings: &M::Settings,
    delivery: &Delivery,
    document: &Document<'_>,
) -> Result<Vec<Routed>, Rejection> {
    let root = document.root();
    let parts = M::parts(root, settings)?;
    let bodies = M::CLEANER.each(root, &parts);
    let place = |(part, body): (&At<'_>, String)| {
        let property = M::property(root, *part, &delivery.attributes, settings);
        let property = M::CLEANER.placed(property, *part, parts.len())?;
        let date = M::date(root, *part, settings).unwrap_or(0);
        Ok(Routed { property, date, body: Some(body.into_bytes()) })
    };
    parts.iter().zip(bodies).map(place).collect()
}

/// A delivery that is refused goes into the log as it is, to be looked at. If that would carry a card into the log, it goes
/// there cleaned.
///
/// # Errors
/// The rejection, where there is nothing to hide.
pub fn hidden(
    cleaner: &Cleaner<'_>,
    delivery: &Delivery,
    document: Option<&Document<'_>>,
    rejection: Rejection,
) -> Result<Vec<Routed>, Rejection> {
    let cleaned = match document {
        Some(document) => cleaner.hides(document.root()).then(|| cleaner.written(document.root()).into_bytes()),
        None => unreadable(&delivery.body),
    };
    let cleaned = cleaned.ok_or(rejection)?;
    Ok(vec![Routed { property: UNPLACED.to_owned(), date: 0, body: Some(cleaned) }])
}

/// Bytes that are no JSON, with nines in place of the digits of cards: so that they are wrong in the same place as before.
fn unreadable(body: &[u8]) -> Option<Vec<u8>> {
    // As many bytes, all of them letters that this can look at.
    let shadow: String = body.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let masked = stay::cards_masked(&shadow)?;
    let nine = |(byte, (old, new)): (&u8, (u8, u8))| if old == new { *byte } else { b'9' };
    Some(body.iter().zip(shadow.bytes().zip(masked.bytes())).map(nine).collect())
}

/// What a record says.
///
/// # Errors
/// What is wrong with it, and where.
pub fn said<M: Messages>(settings: &M::Settings, event: &Event) -> Result<Said, Rejection> {
    let document = parse(&event.body)?;
    let root = document.root();
    let parts = M::parts(root, settings)?;
    let [part] = parts[..] else {
        return Err(root.reject(format_args!("a record of the log holds one part, and this one {}", parts.len())));
    };
    let property = M::property(root, part, &event.attributes, settings)?;
    Ok(Said { property, changes: M::changes(root, part, settings)? })
}

/// The hotel that the message names; else the one of the transport (attribute `property`); else the one of the settings.
///
/// # Errors
/// When none of them names it; `key` is where the message would.
pub fn hotel(
    part: At<'_>,
    key: &str,
    attributes: Attributes<'_>,
    setting: Option<&String>,
) -> Result<String, Rejection> {
    if let Some(found) = part.find(key) {
        return found.id().map(str::to_owned);
    }
    let attribute = attributes.iter().find(|(name, _)| name == "property").map(|(_, value)| value);
    attribute.or(setting).filter(|property| !property.is_empty()).cloned().ok_or_else(|| {
        part.reject(format_args!(
            "{key} is missing, and neither an attribute nor the setting \"property\" names the hotel"
        ))
    })
}

/// A code among the settings.
///
/// # Errors
/// Refused when it is none.
pub fn code(setting: Option<At<'_>>) -> Result<Option<String>, Rejection> {
    setting.map(|at| at.code().map(str::to_owned)).transpose()
}

/// A table of names among the settings, such as who issues which numbers.
///
/// # Errors
/// Refused when it is none.
pub fn names(setting: Option<At<'_>>) -> Result<BTreeMap<String, String>, Rejection> {
    let Some(at) = setting else { return Ok(BTreeMap::new()) };
    at.object()?.entries().map(|(name, at)| Ok((name.to_owned(), at.code()?.to_owned()))).collect()
}

/// The nights of a stay between two dates, whose hours do not count. The second is the departure: exclusive.
///
/// # Errors
/// Refused when they are no dates, or hold no night or too many.
pub fn nights(arrival: At<'_>, departure: At<'_>) -> Result<Days, Rejection> {
    stay::nights(arrival.local_day()?, departure.local_day()?).map_err(|why| departure.reject(why))
}

/// An amount in the currency that stands at one place, else in the one of the settings.
///
/// # Errors
/// Refused when it is no amount, or none of the two names a currency.
pub fn money(amount: At<'_>, currency: Option<At<'_>>, setting: Option<&String>) -> Result<Money, Rejection> {
    let decimal = amount.decimal()?;
    match (currency, setting) {
        (Some(currency), _) => currency.currency_of(decimal),
        (None, Some(setting)) => number::money(decimal, setting)
            .ok_or_else(|| amount.reject(format_args!("the setting \"currency\" ({setting:?}) is no ISO 4217 code"))),
        (None, None) => Err(amount.reject("the amount has no currency, and the setting \"currency\" names none")),
    }
}

/// How many persons the counts are together. `None` where there is none.
///
/// # Errors
/// Refused when one is no count, or they are too many.
pub fn persons<'j>(counts: impl IntoIterator<Item = At<'j>>) -> Result<Option<u32>, Rejection> {
    let mut sum: Option<u32> = None;
    for count in counts {
        let more = sum.unwrap_or(0).checked_add(count.tally()?);
        sum = Some(more.ok_or_else(|| count.reject("the guests are too many to count"))?);
    }
    Ok(sum)
}

/// A room with its nights, type and room (`placed`) and with its amount and guests (`priced`). A cancellation counts even where
/// the rest is broken: then the room is placed if that can be read. What it costs is not asked: amounts of cancelled rooms are
/// fees, or lack their currency.
///
/// # Errors
/// Those of `placed` and `priced`, unless the room is cancelled.
pub fn or_cancelled(
    line: Line,
    placed: impl FnOnce(Line) -> Result<Line, Rejection>,
    priced: impl FnOnce(Line) -> Result<Line, Rejection>,
) -> Result<Line, Rejection> {
    if line.status == Some(Status::Cancelled) {
        return Ok(placed(line.clone()).unwrap_or(line));
    }
    placed(line).and_then(priced)
}

/// A change without a revision, or with one.
pub fn change(revision: Option<i64>, action: Action) -> Vec<Change> {
    vec![Change { revision: revision.map(Revision::Instant), action }]
}

/// A whole reservation is cancelled by a message that names none of its rooms. It may be one that was not seen yet: without a
/// revision a booking that comes late would count as the newer one, so its first room is cancelled by name, too, where that
/// name can be foreseen.
pub fn all_cancelled(revision: Option<i64>, reservation: String, first: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    if revision.is_none() {
        let cancellation = Cancellation { reservation: reservation.clone(), line: first.to_owned() };
        changes.extend(change(None, Action::LineCancel(cancellation)));
    }
    let all = ReservationReplacement { reservation, lines: vec![] };
    changes.extend(change(revision, Action::ReservationReplace(all)));
    changes
}
