//! What the tests of every normalizer need: running it as the host does, sample files, and mutated inputs.
//!
//! Only there where tests run, not in components. The mutations are seeded: the same seed gives the same inputs
//! everywhere. Does not know any format.

use std::path::{Path, PathBuf};

use crate::{
    Action, Day, Days, Decimal, Delivery, Event, Held, Line, Money, Normalizer, Revision, RoomNights, Routed, Said,
    Scope, Status, Value, stay, time,
};

/// A delivery without attributes.
pub fn delivery(content_type: &str, body: impl Into<Vec<u8>>) -> Delivery {
    Delivery { content_type: content_type.into(), attributes: vec![], body: body.into() }
}

/// The event that the host makes of a part.
pub fn event(delivery: &Delivery, part: &Routed) -> Event {
    Event {
        index: 0,
        id: "test".into(),
        time: None,
        property: part.property.clone(),
        date: part.date,
        content_type: delivery.content_type.clone(),
        attributes: delivery.attributes.clone(),
        body: part.body.clone().unwrap_or_else(|| delivery.body.clone()),
    }
}

/// A delivery's way through a normalizer: split, then each part by itself.
///
/// # Errors
/// The words with which the delivery is refused as a whole.
pub fn through<N: Normalizer>(settings: &str, delivery: &Delivery) -> Result<Vec<Result<Said, String>>, String> {
    let held = Held::<N>::new();
    let parts = held.split(settings, delivery)?;
    let events: Vec<Event> = parts.iter().map(|part| event(delivery, part)).collect();
    let outcomes = held.normalize(settings, &events);
    assert_eq!(outcomes.len(), events.len(), "one outcome per event");
    Ok(outcomes.into_iter().map(|outcome| outcome.said).collect())
}

/// Checks what every normalizer owes for every input, and gives how many parts it took: split and normalize agree on the
/// property, equal input gives equal output, and no day lies outside of what Concord keeps.
///
/// # Panics
/// Where it does not hold.
pub fn owes<N: Normalizer>(settings: &str, delivery: &Delivery) -> usize {
    let held = Held::<N>::new();
    let Ok(parts) = held.split(settings, delivery) else { return 0 };
    assert_eq!(held.split(settings, delivery).as_ref(), Ok(&parts), "split is pure");
    let mut taken = 0;
    for part in &parts {
        assert!((time::FIRST_DAY..=time::LAST_DAY).contains(&part.date), "the date of a part is kept");
        let event = event(delivery, part);
        let [fresh, again] =
            [Held::<N>::new().normalize(settings, std::slice::from_ref(&event)), held.normalize(settings, &[event])];
        assert_eq!(fresh, again, "a fresh instance and a used one say the same");
        for outcome in fresh {
            if let Ok(said) = outcome.said {
                assert_eq!(said.property, part.property, "split and normalize agree on the property");
                said.changes.iter().for_each(|change| within_bounds(&change.action));
                taken += 1;
            }
        }
    }
    taken
}

fn within_bounds(action: &Action) {
    match action {
        Action::InventorySet(nights) => range(&nights.nights),
        Action::InventoryReplace(all) => {
            kept(&all.scope.nights);
            for nights in &all.nights {
                range(&nights.nights);
                let scope = &all.scope.nights;
                assert!(
                    scope.first <= nights.nights.first && nights.nights.end <= scope.end,
                    "{nights:?} in {scope:?}"
                );
            }
        }
        Action::Withdraw(scope) => kept(&scope.nights),
        Action::LineSet(set) => line(&set.line),
        Action::ReservationReplace(all) => all.lines.iter().for_each(line),
        Action::LineCancel(_) | Action::SnapshotBegin | Action::SnapshotEnd => {}
    }
}

fn line(line: &Line) {
    line.arrival.into_iter().chain(line.departure).for_each(day);
    if let (Some(arrival), Some(departure)) = (line.arrival, line.departure) {
        assert!(stay::nights(arrival, departure).is_ok(), "{arrival} to {departure} is a stay");
    }
}

fn range(days: &Days) {
    kept(days);
    assert!(days.end - days.first <= stay::LONGEST_RANGE, "{days:?} is not too long");
}

fn kept(days: &Days) {
    day(days.first);
    day(days.end);
    assert!(days.first < days.end, "{days:?} holds a day");
}

fn day(day: Day) {
    assert!((time::FIRST_DAY..=time::LAST_DAY).contains(&day), "{day} is kept");
}

/// The files of a folder and the folders inside, in order of their paths, whose name ends with `ending`. `None`, with a
/// notice, where the folder is absent: sample data lies beside the project and is no part of it.
pub fn samples(folder: &str, ending: &str) -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The project's folder, or a work tree a few folders further down, stands next to the folder with the samples.
    let data = here.ancestors().map(|up| up.join("shared/data").join(folder)).find(|path| path.is_dir());
    let Some(data) = data else {
        eprintln!("skipped: no sample data ({folder})");
        return None;
    };
    let mut found = Vec::new();
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending)
                && let Ok(bytes) = std::fs::read(&path)
            {
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    Some(found)
}

/// Numbers from a seed (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_number() % end).unwrap_or(0)
    }
}

/// What often breaks readers, put where it does not belong: first what can stand in a value, then what breaks the syntax.
const PIECES: [&str; 26] = [
    "",
    "0",
    "-1",
    "99999999999999999999",
    "1e9999",
    "NaN",
    "2026-02-30",
    "0000-00-00",
    "9999-12-31",
    "2299-12-31",
    "2026-03-01",
    "2026-03-01T25:00:00Z",
    "true",
    "null",
    "\u{202e}",
    "予約",
    "&#0;",
    "&",
    "<",
    ">",
    "\"",
    "'",
    "]]>",
    "}",
    "\u{feff}",
    "\u{0}",
];
/// How many of them can stand in a value.
const VALUES: usize = 16;

/// One mutation of a sample: digits changed, values replaced, elements dropped or doubled, and sometimes bytes changed,
/// cut or moved, after which little can be read.
pub fn mutated(numbers: &mut Numbers, sample: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=numbers.below(4) {
        match numbers.below(16) {
            0 => roughly(numbers, &mut bytes),
            1..=6 => {
                let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
                if let Some(at) = digits.get(numbers.below(digits.len())) {
                    bytes[*at] = b"0123456789"[numbers.below(10)];
                }
            }
            7..=10 => {
                let quotes: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'"').collect();
                let place = numbers.below(quotes.len());
                if let (Some(from), Some(to)) = (quotes.get(place), quotes.get(place + 1)) {
                    bytes.splice(from + 1..*to, PIECES[numbers.below(VALUES)].bytes());
                }
            }
            _ => {
                // An element without others inside, or an object or a list without any.
                let opened: Vec<usize> = (0..bytes.len()).filter(|at| b"<{[".contains(&bytes[*at])).collect();
                let Some(from) = opened.get(numbers.below(opened.len())).copied() else { continue };
                let end: &[u8] = match bytes[from] {
                    b'<' => b"/>",
                    b'{' => b"}",
                    _ => b"]",
                };
                let length = bytes[from..].windows(end.len()).position(|found| found == end);
                let Some(to) = length.map(|length| from + length + end.len()) else { continue };
                let whole = bytes[from..to].to_vec();
                let doubled = if numbers.below(2) == 0 { [whole.clone(), whole].concat() } else { vec![] };
                bytes.splice(from..to, doubled);
            }
        }
    }
    bytes
}

/// Bytes changed without regard to what they mean.
fn roughly(numbers: &mut Numbers, bytes: &mut Vec<u8>) {
    let (from, length) = (numbers.below(bytes.len() + 1), numbers.below(40));
    let to = (from + length).min(bytes.len());
    match numbers.below(5) {
        0 => bytes.truncate(from),
        1 => drop(bytes.drain(from..to)),
        2 => {
            let copy = bytes[from..to].to_vec();
            let place = numbers.below(bytes.len() + 1);
            bytes.splice(place..place, copy);
        }
        3 if from < bytes.len() => bytes[from] = numbers.below(256).try_into().unwrap_or(0),
        _ => drop(bytes.splice(from..from, PIECES[numbers.below(PIECES.len())].bytes())),
    }
}

/// Checks what a normalizer owes on `count` mutations of the samples, and that some of them were still taken: a test in
/// which all is refused shows nothing.
///
/// # Panics
/// Where it does not hold; the seed and the number of the mutation are printed before.
pub fn owes_on_mutations<N: Normalizer>(
    settings: &str,
    content_type: &str,
    samples: &[Vec<u8>],
    seed: u64,
    count: usize,
) {
    let mut numbers = Numbers(seed);
    let mut taken = 0;
    for number in 0..count {
        let sample = &samples[numbers.below(samples.len())];
        let body = mutated(&mut numbers, sample);
        let show = Shown { seed, number };
        taken += usize::from(owes::<N>(settings, &delivery(content_type, body)) > 0);
        std::mem::forget(show);
    }
    println!("seed {seed}: {taken} of {count} mutated inputs were still taken");
    assert!(taken > 0 && taken < count, "seed {seed}: {taken} of {count} taken");
}

/// Says which mutation it was when a check panics.
struct Shown {
    seed: u64,
    number: usize,
}

impl Drop for Shown {
    fn drop(&mut self) {
        eprintln!("seed {}, mutation {}", self.seed, self.number);
    }
}

/// What a record says, a line of text per change and per room, to compare with.
pub fn told(said: &Said) -> Vec<String> {
    let mut told = vec![format!("at {}", said.property)];
    for change in &said.changes {
        let revision = match &change.revision {
            Some(Revision::Instant(micros)) => {
                let seconds = micros.div_euclid(1_000_000);
                let (day, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
                let day = time::spelled(Day::try_from(day).unwrap_or(0));
                format!(" @{day}T{:02}:{:02}:{:02}Z", clock / 3600, clock / 60 % 60, clock % 60)
            }
            Some(Revision::Sequence(positions)) => format!(" @{positions:?}"),
            None => String::new(),
        };
        match &change.action {
            Action::InventorySet(nights) => told.push(format!("set{revision} {}", of_nights(nights))),
            Action::InventoryReplace(all) => {
                told.push(format!("replace{revision} {}", of_scope(&all.scope)));
                told.extend(all.nights.iter().map(|nights| format!("  {}", of_nights(nights))));
            }
            Action::Withdraw(scope) => told.push(format!("withdraw{revision} {}", of_scope(scope))),
            Action::LineSet(set) => told.push(format!("line{revision} {}: {}", set.reservation, of_line(&set.line))),
            Action::ReservationReplace(all) => {
                told.push(format!("reservation{revision} {}", all.reservation));
                told.extend(all.lines.iter().map(|line| format!("  {}", of_line(line))));
            }
            Action::LineCancel(cancel) => told.push(format!("cancel{revision} {}/{}", cancel.reservation, cancel.line)),
            Action::SnapshotBegin => told.push("snapshot begins".to_owned()),
            Action::SnapshotEnd => told.push("snapshot ends".to_owned()),
        }
    }
    told
}

fn of_days(days: &Days) -> String {
    format!("{}/{}", time::spelled(days.first), time::spelled(days.end))
}

fn of_nights(nights: &RoomNights) -> String {
    let fields: Vec<String> = nights
        .fields
        .iter()
        .map(|field| {
            let value = match &field.value {
                None => "-".to_owned(),
                Some(Value::Integer(value)) => value.to_string(),
                Some(Value::Decimal(value)) => of_decimal(*value),
                Some(Value::Money(value)) => of_money(value),
                Some(Value::Text(value)) => format!("{value:?}"),
                Some(Value::Boolean(value)) => value.to_string(),
            };
            format!(" {}={value}", field.name)
        })
        .collect();
    format!("{} {}{}", nights.room_type, of_days(&nights.nights), fields.concat())
}

fn of_scope(scope: &Scope) -> String {
    let types = if scope.room_types.is_empty() { "*".to_owned() } else { scope.room_types.join(",") };
    let fields = if scope.fields.is_empty() { "*".to_owned() } else { scope.fields.join(",") };
    format!("{types} {} of {fields}", of_days(&scope.nights))
}

fn of_line(line: &Line) -> String {
    let mut words = vec![line.line.clone()];
    words.extend(line.status.map(|status| of_status(status).to_owned()));
    let day = |day: Option<Day>| day.map_or("?".to_owned(), time::spelled);
    if line.arrival.is_some() || line.departure.is_some() {
        words.push(format!("{}/{}", day(line.arrival), day(line.departure)));
    }
    words.extend(line.room_type.clone());
    words.extend(line.room.as_ref().map(|room| format!("room {room:?}")));
    words.extend(line.money.as_ref().map(of_money));
    words.extend(line.guests.map(|guests| format!("{guests} guests")));
    for reference in line.references.iter().flatten() {
        words.push(format!("{}:{}:{}", reference.kind, reference.issuer, reference.value));
    }
    words.join(" ")
}

fn of_status(status: Status) -> &'static str {
    match status {
        Status::Tentative => "tentative",
        Status::Confirmed => "confirmed",
        Status::CheckedIn => "checked-in",
        Status::CheckedOut => "checked-out",
        Status::Cancelled => "cancelled",
        Status::NoShow => "no-show",
    }
}

fn of_money(money: &Money) -> String {
    format!("{} {}", of_decimal(money.amount), money.currency)
}

fn of_decimal(decimal: Decimal) -> String {
    let scale = usize::from(decimal.scale);
    let digits = format!("{:0>width$}", decimal.units.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if decimal.units < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// What the parts of a delivery become, or why they do not; the reason alone where it is refused as a whole.
pub fn told_parts<N: Normalizer>(settings: &str, delivery: &Delivery) -> Vec<Result<Vec<String>, String>> {
    match through::<N>(settings, delivery) {
        Ok(parts) => parts.into_iter().map(|said| said.map(|said| told(&said))).collect(),
        Err(reason) => vec![Err(reason)],
    }
}
