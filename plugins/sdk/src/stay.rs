//! Pieces of a booking that every format spells its own way: nights, references, sums, card numbers.
//!
//! Knows what Concord keeps: ends that are exclusive, stays of bounded length, exact sums. Does not know any format
//! and does not know where a text stood: the caller's reader adds the place to what is refused here.

use crate::{Day, Days, Line, Money, Reference, number, time};

/// The longest stay in nights. A departure years after the arrival is a slip of the pen, not 3,000 nights.
pub const LONGEST_STAY: i32 = 365;
/// The longest range of an inventory message in nights: a little over five years.
pub const LONGEST_RANGE: i32 = 1_900;

/// Why two dates are no nights; its words can stand behind the place of the second date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNights {
    /// The departure is not after the arrival.
    NoNight {
        /// First night.
        arrival: Day,
        /// Exclusive.
        departure: Day,
    },
    /// The last day of a range lies before its first.
    Backwards {
        /// First day.
        first: Day,
        /// Inclusive.
        last: Day,
    },
    /// More nights than a stay or a range may have.
    TooLong {
        /// First night.
        first: Day,
        /// Exclusive.
        end: Day,
        /// How many are allowed.
        most: i32,
    },
    /// The day after the last one is beyond 2299-12-31.
    BeyondCalendar,
}

impl std::fmt::Display for NoNights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            NoNights::NoNight { arrival, departure } => write!(
                f,
                "{} is not after the arrival {}: the departure is the day after the last night",
                time::spelled(departure),
                time::spelled(arrival)
            ),
            NoNights::Backwards { first, last } => {
                write!(f, "the last day {} is before the first day {}", time::spelled(last), time::spelled(first))
            }
            NoNights::TooLong { first, end, most } => write!(
                f,
                "{} to {} are {} nights; at most {most} are taken",
                time::spelled(first),
                time::spelled(end),
                i64::from(end) - i64::from(first)
            ),
            NoNights::BeyondCalendar => f.write_str("the nights end after 2299-12-31"),
        }
    }
}

impl std::error::Error for NoNights {}

/// The nights of a stay. `departure` is exclusive, as in every booking format: the day after the last night.
///
/// # Errors
/// When there is no night, or more than [`LONGEST_STAY`].
pub fn nights(arrival: Day, departure: Day) -> Result<Days, NoNights> {
    if departure <= arrival {
        return Err(NoNights::NoNight { arrival, departure });
    }
    bounded(arrival, departure, LONGEST_STAY)
}

/// The nights of a range whose last day is **inclusive**, as inventory formats have it.
///
/// # Errors
/// When the last day is before the first, or there are more than [`LONGEST_RANGE`].
pub fn through(first: Day, last: Day) -> Result<Days, NoNights> {
    if last < first {
        return Err(NoNights::Backwards { first, last });
    }
    if last >= time::LAST_DAY {
        return Err(NoNights::BeyondCalendar);
    }
    bounded(first, last + 1, LONGEST_RANGE)
}

/// The nights of a range whose end is **exclusive**.
///
/// # Errors
/// When there is no night, or more than [`LONGEST_RANGE`].
pub fn until(first: Day, end: Day) -> Result<Days, NoNights> {
    if end <= first {
        return Err(NoNights::NoNight { arrival: first, departure: end });
    }
    bounded(first, end, LONGEST_RANGE)
}

fn bounded(first: Day, end: Day, most: i32) -> Result<Days, NoNights> {
    // Days of the calendar are small, but a bug or a foreign caller must not overflow here.
    match end.checked_sub(first) {
        Some(nights) if nights <= most => Ok(Days { first, end }),
        _ => Err(NoNights::TooLong { first, end, most }),
    }
}

/// The nights that parts of a stay cover together, where a message has no dates of the whole stay but a rate per
/// night or per few nights. `None` where there is no part, or a gap between two of them (overlaps are none).
pub fn covering(parts: impl IntoIterator<Item = Days>) -> Option<Days> {
    let mut parts: Vec<Days> = parts.into_iter().collect();
    parts.sort_by_key(|part| (part.first, part.end));
    let mut parts = parts.into_iter();
    let mut whole = parts.next()?;
    for part in parts {
        if part.first > whole.end {
            return None;
        }
        whole.end = whole.end.max(part.end);
    }
    Some(whole)
}

/// Each night of some days, in order; nothing where the end is not after the first.
pub fn each_night(days: Days) -> std::ops::Range<Day> {
    days.first..days.end
}

/// A line of which nothing is said yet.
pub fn line(id: impl Into<String>) -> Line {
    Line {
        line: id.into(),
        status: None,
        arrival: None,
        departure: None,
        room_type: None,
        room: None,
        money: None,
        guests: None,
        references: None,
    }
}

/// The kind of every reference to a booking, whatever a format calls it. Two sources link only where kind, issuer and value
/// are equal, so all normalizers say the same: kind `booking`, issuer as [`issuer`] spells it, value as it was issued.
pub const BOOKING: &str = "booking";
/// The kind of references that tie several bookings together; they never link.
pub const GROUP: &str = "group";

/// How the issuer of a number is spelled in references: small letters and digits, anything else becomes one hyphen.
/// `Booking.com` is `booking-com`, `Expedia Affiliate Network` is `expedia-affiliate-network`, `日本` stays as it is.
pub fn issuer(name: &str) -> String {
    let mut spelled = String::with_capacity(name.len());
    for character in name.chars().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() {
            spelled.push(character);
        } else if !spelled.is_empty() && !spelled.ends_with('-') {
            spelled.push('-');
        }
    }
    spelled.truncate(spelled.trim_end_matches('-').len());
    spelled
}

/// A line that stands for several equal rooms, as that many lines: `1`, `1.2`, `1.3`. What can belong to one of them only
/// (the assigned room, the guests) is dropped, and money is shared where that comes out even: no half a cent is made up.
pub fn rooms(line: Line, rooms: u32) -> Vec<Line> {
    if rooms <= 1 {
        return vec![line];
    }
    let share = |total: Money| {
        let units = i64::from(rooms);
        let even = total.amount.units % units == 0;
        even.then(|| Money { amount: crate::Decimal { units: total.amount.units / units, ..total.amount }, ..total })
    };
    let first = Line { room: None, guests: None, money: line.money.and_then(share), ..line };
    let id = |room: u32| if room == 1 { first.line.clone() } else { format!("{}.{room}", first.line) };
    (1..=rooms).map(|room| Line { line: id(room), ..first.clone() }).collect()
}

/// Collects the names of a booking. Blanks around a text do not count; an empty one is no name; each is kept once.
#[derive(Clone, Debug, Default)]
pub struct References(Vec<Reference>);

impl References {
    /// None yet.
    pub fn new() -> Self {
        References::default()
    }

    /// Adds a name of the booking, if there is one.
    pub fn add(&mut self, kind: &str, issuer: &str, value: &str) {
        let [kind, issuer, value] = [kind, issuer, value].map(str::trim);
        let there = |old: &Reference| old.kind == kind && old.issuer == issuer && old.value == value;
        if kind.is_empty() || issuer.is_empty() || value.is_empty() || self.0.iter().any(there) {
            return;
        }
        self.0.push(Reference { kind: kind.to_owned(), issuer: issuer.to_owned(), value: value.to_owned() });
    }

    /// Adds the number of the booking at an issuer, whose name may be spelled in any way.
    pub fn booking(&mut self, issued_by: &str, value: &str) {
        self.add(BOOKING, &issuer(issued_by), value);
    }

    /// In the order in which they were added. `None` where the message has none: an empty list would take back those that
    /// an earlier message gave.
    pub fn found(self) -> Option<Vec<Reference>> {
        (!self.0.is_empty()).then_some(self.0)
    }
}

/// What the amounts are together. `None` where there is none, where two currencies meet, or where the sum does not fit:
/// half a price is worse than none.
pub fn total(amounts: impl IntoIterator<Item = Money>) -> Option<Money> {
    let mut amounts = amounts.into_iter();
    let mut sum = amounts.next()?;
    for amount in amounts {
        if amount.currency != sum.currency {
            return None;
        }
        sum.amount = number::sum(sum.amount, amount.amount)?;
    }
    Some(sum)
}

/// The text with `*` in place of every digit of what looks like a payment card's number (13 to 19 digits, perhaps
/// with blanks or hyphens between them, whose check digit by ISO/IEC 7812-1 is right) except the last four. `None`
/// where there is none. Not for texts that are somebody's identity: one number in ten has the right check digit by chance.
pub fn cards_masked(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut masked: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let (digits, end) = digit_run(bytes, at);
        if (13..=19).contains(&digits.len()) && luhn(bytes, &digits) {
            let copy = masked.get_or_insert_with(|| bytes.to_vec());
            digits.iter().take(digits.len() - 4).for_each(|place| copy[*place] = b'*');
        }
        at = end;
    }
    masked.and_then(|bytes| String::from_utf8(bytes).ok())
}

/// The places of digits that belong together, single blanks and hyphens between them ignored, and where they end.
fn digit_run(bytes: &[u8], start: usize) -> (Vec<usize>, usize) {
    let mut digits = vec![start];
    let mut at = start + 1;
    loop {
        let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        if is_digit(at) {
            digits.push(at);
            at += 1;
        } else if matches!(bytes.get(at), Some(b' ' | b'-')) && is_digit(at + 1) {
            digits.push(at + 1);
            at += 2;
        } else {
            return (digits, at);
        }
    }
}

fn luhn(bytes: &[u8], digits: &[usize]) -> bool {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let sum = digits.iter().rev().enumerate().fold(0, |sum, (place, at)| {
        let digit = u32::from(bytes[*at] - b'0');
        sum + if place % 2 == 1 { doubled(digit) } else { digit }
    });
    // Zeros alone have a right check digit, too, and are no card.
    sum > 0 && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decimal;

    fn day(text: &str) -> Day {
        time::day(text).expect("a date")
    }

    fn days(first: &str, end: &str) -> Days {
        Days { first: day(first), end: day(end) }
    }

    #[test]
    fn ends_are_as_the_formats_have_them() {
        assert_eq!(nights(day("2026-03-01"), day("2026-03-04")), Ok(days("2026-03-01", "2026-03-04")));
        assert_eq!(through(day("2026-03-01"), day("2026-03-03")), Ok(days("2026-03-01", "2026-03-04")));
        assert_eq!(through(day("2026-03-01"), day("2026-03-01")), Ok(days("2026-03-01", "2026-03-02")));
        assert_eq!(until(day("2026-03-01"), day("2026-03-02")), Ok(days("2026-03-01", "2026-03-02")));
    }

    #[test]
    fn what_is_no_stay_says_why() {
        let refused = |result: Result<Days, NoNights>| result.unwrap_err().to_string();
        let (first, later) = (day("2026-03-04"), day("2029-03-04"));
        assert_eq!(
            refused(nights(first, first)),
            "2026-03-04 is not after the arrival 2026-03-04: the departure is the day after the last night"
        );
        assert_eq!(refused(nights(first, later)), "2026-03-04 to 2029-03-04 are 1096 nights; at most 365 are taken");
        assert_eq!(refused(through(later, first)), "the last day 2026-03-04 is before the first day 2029-03-04");
        assert_eq!(through(time::LAST_DAY, time::LAST_DAY), Err(NoNights::BeyondCalendar));
        assert!(matches!(until(i32::MIN, i32::MAX), Err(NoNights::TooLong { .. })));
        assert!(nights(day("2026-01-01"), day("2027-01-01")).is_ok(), "365 nights are allowed");
        assert!(nights(day("2026-01-01"), day("2027-01-02")).is_err());
    }

    #[test]
    fn parts_make_a_whole_without_gaps() {
        let parts =
            [days("2026-03-03", "2026-03-04"), days("2026-03-01", "2026-03-03"), days("2026-03-02", "2026-03-03")];
        assert_eq!(covering(parts), Some(days("2026-03-01", "2026-03-04")));
        assert_eq!(covering([days("2026-03-01", "2026-03-02"), days("2026-03-03", "2026-03-04")]), None);
        assert_eq!(covering([]), None);
        assert_eq!(each_night(days("2026-03-01", "2026-03-04")).count(), 3);
    }

    #[test]
    fn names_are_kept_once_and_without_blanks() {
        let mut names = References::new();
        for (kind, issuer, value) in [("booking", "ota", " 77 "), ("booking", "ota", "77"), ("booking", "ota", "  ")] {
            names.add(kind, issuer, value);
        }
        let found = names.found().expect("one");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value, "77");
        assert_eq!(References::new().found(), None);
    }

    #[test]
    fn equal_rooms_share_what_can_be_shared() {
        let money = |units| Some(Money { amount: Decimal { units, scale: 2 }, currency: "EUR".into() });
        let told = Line { money: money(10_000), guests: Some(4), room: Some("101".into()), ..line("7") };
        assert_eq!(rooms(told.clone(), 1), std::slice::from_ref(&told));
        let two = rooms(told.clone(), 2);
        assert_eq!(two.iter().map(|line| line.line.as_str()).collect::<Vec<_>>(), ["7", "7.2"]);
        assert_eq!((two[1].money.clone(), two[1].guests, two[1].room.clone()), (money(5_000), None, None));
        assert_eq!(rooms(told, 3)[2].money, None, "a third of 100.00 is no amount");
    }

    #[test]
    fn issuers_are_spelled_in_one_way() {
        for (name, expected) in [
            ("Booking.com", "booking-com"),
            (" Expedia  Affiliate Network ", "expedia-affiliate-network"),
            ("A-Hotels.com!", "a-hotels-com"),
            ("日本 ホテル", "日本-ホテル"),
            ("--", ""),
        ] {
            assert_eq!(issuer(name), expected);
        }
        let mut names = References::new();
        names.booking("Booking.com", "1");
        names.booking("booking-com", "1");
        names.booking("?", "1");
        let found = names.found().expect("one");
        assert_eq!((found.len(), found[0].kind.as_str(), found[0].issuer.as_str()), (1, BOOKING, "booking-com"));
    }

    #[test]
    fn sums_are_exact_and_of_one_currency() {
        let money =
            |units, scale, currency: &str| Money { amount: Decimal { units, scale }, currency: currency.into() };
        let sum = total([money(1010, 1, "EUR"), money(5, 2, "EUR"), money(-1, 4, "EUR")]);
        assert_eq!(sum, Some(money(1_010_499, 4, "EUR")));
        assert_eq!(total([money(1, 0, "EUR"), money(1, 0, "USD")]), None);
        assert_eq!(total([money(i64::MAX, 0, "EUR"), money(1, 0, "EUR")]), None);
        assert_eq!(total([]), None);
    }

    #[test]
    fn cards_are_masked_and_other_numbers_are_not() {
        for (text, expected) in [
            ("4444333322221111", "************1111"),
            ("card 4444 3333-2222 1111, thanks", "card **** ****-**** 1111, thanks"),
            ("Zimmer für 378282246310005 — danke", "Zimmer für ***********0005 — danke"),
        ] {
            assert_eq!(cards_masked(text).as_deref(), Some(expected));
        }
        for text in
            ["4444333322221112", "+49 123 456", "", "0000000000000000", "2026-03-01 2026-03-04", "12345678901234567890"]
        {
            assert_eq!(cards_masked(text), None, "{text}");
        }
    }
}
