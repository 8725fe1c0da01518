//! What the benchmark's hotels say: bookings and prices of four sources, from a seed.
//!
//! Knows the sources' habits and the native message format. Does not know what is measured.

use std::collections::VecDeque;

use bytes::Bytes;
use concord::event::{Event, Key};
use concord::log::partitioner::partition;
use concord::log::{NewRecord, Partition};
use concord::types::Day;

/// In byte order.
pub const SOURCES: [&str; 4] = ["booking-com", "expedia", "pms", "website"];
const PMS: usize = 2;
/// Who sells rooms.
const SELLERS: [usize; 3] = [0, 1, 3];
/// Who sets prices.
const PRICERS: [usize; 3] = [0, 2, 3];

pub const ROOM_TYPES: [&str; 4] = ["DBL", "SGL", "SUI", "TWN"];
/// Rooms of a type, per night.
pub const ROOMS: u32 = 5;
/// 2026-12-01.
const FIRST_NIGHT: i32 = 20_788;
/// How far ahead guests book.
const NIGHTS: u64 = 365;
/// 2026-11-24T08:00:00Z.
const FIRST_MILLIS: i64 = 1_795_507_200_000;

/// A small, fast generator of numbers (SplitMix64): equal seeds give equal numbers on every machine.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `most - 1`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// The nearer the likelier: guests book for soon more than for late.
    fn soon(&mut self, most: u64) -> u64 {
        self.below(most).min(self.below(most)).min(self.below(most)).min(self.below(most))
    }
}

/// A booking that its seller has told.
#[derive(Clone)]
struct Booking {
    property: String,
    number: u64,
    seller: usize,
    room_type: usize,
    arrival: i32,
    nights: i32,
    amount: u64,
}

/// An endless stream of what the sources say.
pub struct Hotels {
    numbers: Numbers,
    properties: u64,
    said: u64,
    bookings: u64,
    /// Told by their sellers, not yet by the PMS.
    sold: VecDeque<Booking>,
    /// Told by both.
    known: VecDeque<Booking>,
}

/// One message: its source, where it belongs, its content.
pub struct Message {
    pub source: &'static str,
    pub property: String,
    pub date: Day,
    pub body: String,
    /// The stay that it makes or is about, if it is linked to no other.
    pub stay: String,
    number: u64,
}

pub fn property(number: u64) -> String {
    format!("{}{number:04}", if number.is_multiple_of(4) { "MAD" } else { "H" })
}

impl Hotels {
    pub fn new(seed: u64, properties: u64) -> Hotels {
        Hotels {
            numbers: Numbers(seed),
            properties,
            said: 0,
            bookings: 0,
            sold: VecDeque::new(),
            known: VecDeque::new(),
        }
    }

    /// The next message: of a hundred about 24 new bookings, 22 of the PMS about the same ones, 5 cancellations and
    /// 49 prices.
    pub fn message(&mut self) -> Message {
        self.said += 1;
        match self.numbers.below(100) {
            0..24 => self.new_booking(),
            24..46 => self.echo().unwrap_or_else(|| self.new_booking()),
            46..51 => self.cancellation().unwrap_or_else(|| self.new_booking()),
            _ => self.price(),
        }
    }

    /// A confirmation by a seller.
    pub fn confirmation(&mut self) -> Message {
        self.said += 1;
        self.new_booking()
    }

    fn new_booking(&mut self) -> Message {
        self.bookings += 1;
        let numbers = &mut self.numbers;
        let nights = 1 + numbers.soon(5);
        let booking = Booking {
            property: property(numbers.below(self.properties)),
            number: self.bookings,
            seller: SELLERS[numbers.below(3) as usize],
            room_type: numbers.below(4) as usize,
            arrival: FIRST_NIGHT + numbers.soon(NIGHTS) as i32,
            nights: nights as i32,
            amount: 90 * nights + numbers.below(40),
        };
        let message = self.reservation(booking.seller, &booking, "confirmed", "");
        self.sold.push_back(booking);
        message
    }

    /// The PMS has the booking as well, now and then with another amount, room type or departure.
    fn echo(&mut self) -> Option<Message> {
        // It lags some hundred messages behind.
        let mut booking = (self.sold.len() > 200).then(|| self.sold.pop_front())??;
        self.known.push_back(booking.clone());
        let numbers = &mut self.numbers;
        if numbers.chance(35) {
            booking.amount += 1 + numbers.below(20);
        }
        if numbers.chance(10) {
            booking.nights += 1;
        }
        if numbers.chance(5) {
            booking.room_type = (booking.room_type + 1) % 4;
        }
        Some(self.reservation(PMS, &booking, "confirmed", ""))
    }

    /// The seller cancels what the PMS still has as confirmed.
    fn cancellation(&mut self) -> Option<Message> {
        let booking = (self.known.len() > 200).then(|| self.known.pop_front())??;
        Some(self.reservation(booking.seller, &booking, "cancelled", ""))
    }

    fn reservation(&self, source: usize, booking: &Booking, status: &str, more: &str) -> Message {
        let Booking { property, number, seller, room_type, arrival, nights, amount } = booking;
        let (from, to) = (Day(*arrival), Day(arrival + nights));
        let own = if source == PMS { "R" } else { "C" };
        let body = format!(
            r#"{{"property":"{property}","revision":{revision},"reservation":{{"id":"{own}{number}","lines":[{{"line":"1","status":"{status}","arrival":"{from}","departure":"{to}","room_type":"{room_type}","amount":"{amount}.00","currency":"EUR","guests":2,"references":[{{"type":"confirmation","issuer":"{issuer}","value":"C{number}"}}]{more}}}]}}}}"#,
            revision = self.said,
            room_type = ROOM_TYPES[*room_type],
            issuer = SOURCES[*seller],
        );
        let stay = format!("{}:{own}{number}/1", SOURCES[source]);
        Message { source: SOURCES[source], property: property.clone(), date: from, body, stay, number: self.said }
    }

    /// A price for one night or two of one room type.
    fn price(&mut self) -> Message {
        let numbers = &mut self.numbers;
        let property = property(numbers.below(self.properties));
        let source = SOURCES[PRICERS[numbers.below(3) as usize]];
        let room_type = ROOM_TYPES[numbers.below(4) as usize];
        let first = FIRST_NIGHT + numbers.soon(NIGHTS) as i32;
        let nights = 1 + i32::from(numbers.chance(20));
        let price = 100 + numbers.below(30);
        let body = format!(
            r#"{{"property":"{property}","revision":{revision},"inventory":{{"room_type":"{room_type}","nights":"{from}/{to}","fields":{{"price":{{"amount":"{price}.00","currency":"EUR"}},"availability":{free}}}}}}}"#,
            revision = self.said,
            from = Day(first),
            to = Day(first + nights),
            free = if source == "pms" { "20" } else { "null" },
        );
        Message { source, property, date: Day(first), body, stay: String::new(), number: self.said }
    }

    /// The same price of three sources for every night of every room type of one property, `nights` long: claims that
    /// agree, three per room night.
    pub fn three_claims(property_number: u64, nights: i32, at_once: i32) -> Vec<Message> {
        let mut messages = Vec::new();
        for source in [0, 2, 3] {
            for room_type in ROOM_TYPES {
                for first in (0..nights).step_by(at_once as usize) {
                    let property = property(property_number);
                    let from = Day(FIRST_NIGHT + first);
                    let to = Day(FIRST_NIGHT + nights.min(first + at_once));
                    let body = format!(
                        r#"{{"property":"{property}","revision":1,"inventory":{{"room_type":"{room_type}","nights":"{from}/{to}","fields":{{"price":{{"amount":"100.00","currency":"EUR"}}}}}}}}"#
                    );
                    // Far from the numbers of other messages: ids must not repeat.
                    let number = 1_000_000 + messages.len() as u64;
                    let (source, stay) = (SOURCES[source], String::new());
                    messages.push(Message { source, property, date: from, body, stay, number });
                }
            }
        }
        messages
    }
}

impl Message {
    /// As it stands in the log.
    pub fn record(&self, partitions: u32) -> anyhow::Result<(Partition, NewRecord)> {
        let millis = FIRST_MILLIS + self.number as i64;
        let event = Event {
            source: self.source.to_owned(),
            id: format!("{}-{}-{:09}", self.source, self.property, self.number),
            r#type: "delivery".to_owned(),
            time: Some(millis * 1000),
            subject: None,
            datacontenttype: Some("application/json".to_owned()),
            data: Bytes::from(self.body.clone()),
            attributes: Vec::new(),
        };
        let key = Key::new(self.property.as_str(), self.date)?;
        let record = NewRecord { key: Some(key.to_bytes()), value: event.write()?, timestamp: millis };
        Ok((partition(self.property.as_bytes(), partitions), record))
    }
}
