//! Half a year of deliveries from the systems of a small hotel group, seeded: the same every time.
//!
//! Knows the hotels of `examples/three-sources`, the codes that each system uses, and what goes wrong between systems in
//! real life. Does not know what Concord makes of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::formats::{self, BOOKING_COM, EXPEDIA, PMS, REVENUE, SYSTEMS, WEBSITE};

/// Messages are sent from this day on, for nights from this day on.
pub const FIRST_DAY: Date = Date(20_819); // 2027-01-01
/// As many days: January to June.
pub const DAYS: i64 = 181;

const MINUTES: i64 = 24 * 60;
const BOOKINGS: u64 = 1_150;

/// Days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub i64);

impl Date {
    /// Year, month and day.
    pub fn civil(self) -> (i64, i64, i64) {
        // Counted from 0000-03-01, so that the leap day is a year's last.
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (year + era * 400 + i64::from(month <= 2), month, day)
    }

    /// Monday is 0.
    fn weekday(self) -> i64 {
        (self.0 + 3).rem_euclid(7)
    }

    fn plus(self, days: i64) -> Date {
        Date(self.0 + days)
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// The day before a date such as `2027-03-01`, in the same form; anything else stays as it is.
pub fn day_before(date: &str) -> String {
    let days = (FIRST_DAY.0 - 366..FIRST_DAY.0 + 2 * 366).map(Date);
    let found = days.clone().zip(days.skip(1)).find(|(_, day)| day.to_string() == date);
    found.map_or(date.to_owned(), |(before, _)| before.to_string())
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When it arrives: minutes since the start of [`FIRST_DAY`].
    pub at: i64,
    pub source: &'static str,
    /// One line of text.
    pub body: String,
}

/// What a hotel is called, and what its rooms cost.
struct Hotel {
    id: &'static str,
    /// In the codes of the PMS, Booking.com and Expedia; the group's own systems use `id`.
    codes: [&'static str; 3],
    /// Type, number of rooms, price of a night, the PMS's name of the first room.
    types: &'static [(&'static str, u32, i64, u32)],
    /// Its busiest days, counted from [`FIRST_DAY`].
    busy: [i64; 4],
}

const HOTELS: [Hotel; 3] = [
    Hotel {
        id: "HAM1",
        codes: ["1001", "4480011", "H77120"],
        types: &[("DBL", 6, 129, 101), ("SGL", 3, 95, 201), ("STE", 2, 260, 301)],
        busy: [23, 65, 127, 135],
    },
    Hotel {
        id: "SYL1",
        codes: ["1002", "4480012", "H77121"],
        types: &[("DBL", 5, 179, 11), ("STE", 2, 310, 21)],
        busy: [92, 134, 143, 163],
    },
    Hotel {
        id: "MAD1",
        codes: ["2001", "4480021", "H90034"],
        types: &[("DBL", 7, 112, 101), ("SGL", 3, 84, 201), ("STE", 2, 240, 301)],
        busy: [20, 58, 120, 134],
    },
];

impl Hotel {
    /// Its code in a system.
    fn code(&self, system: usize) -> &'static str {
        self.codes.get(system).copied().unwrap_or(self.id)
    }

    /// A room type's code in a system.
    fn type_code(&self, system: usize, room_type: usize) -> String {
        let name = self.types[room_type].0;
        let place = ["DBL", "SGL", "STE"].iter().position(|t| *t == name).unwrap_or(0);
        match system {
            PMS => ["DZ", "EZ", "SU"][place].to_owned(),
            BOOKING_COM => format!("{}0{}", self.codes[1], place + 1),
            EXPEDIA => ["DOUBLE", "SINGLE", "SUITE"][place].to_owned(),
            _ => name.to_owned(),
        }
    }
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % ((high - low + 1) as u64)) as i64
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn pick(&mut self, weights: &[u64]) -> usize {
        let mut rest = self.next() % weights.iter().sum::<u64>();
        for (index, weight) in weights.iter().enumerate() {
            if rest < *weight {
                return index;
            }
            rest -= weight;
        }
        0
    }
}

/// A booking as the guest meant it.
struct Booking {
    hotel: usize,
    room_type: usize,
    /// Who sold it; the PMS itself for guests who called.
    channel: usize,
    arrival: Date,
    departure: Date,
    guests: i64,
    cents: i64,
    /// The channel's number and the PMS's.
    number: String,
    pms_number: String,
}

/// All deliveries in the order in which they arrive.
pub fn generate(seed: u64) -> Vec<Delivery> {
    let mut year = Year { random: Random(seed), said: Vec::new(), rooms: BTreeMap::new() };
    year.inventory();
    let mut bookings: Vec<Booking> = (0..BOOKINGS).map(|number| year.guest(number)).collect();
    // The desk gives rooms to guests as they come.
    bookings.sort_by_key(|booking| booking.arrival);
    for booking in &bookings {
        year.booking(booking);
    }
    year.broken();
    year.deliveries()
}

/// What is said, before it gets its revision.
struct Said {
    at: i64,
    /// How much later it arrives; less than 0 if it overtakes what was said before.
    late: i64,
    source: usize,
    document: Value,
}

struct Year {
    random: Random,
    said: Vec<Said>,
    /// Until when a guest has a room: by hotel and room.
    rooms: BTreeMap<(usize, u32), Date>,
}

impl Year {
    fn say(&mut self, source: usize, at: i64, document: Value) {
        self.said.push(Said { at, late: 0, source, document });
    }

    /// Prices and rooms for half a year and a month ahead, promotions, rooms out of order.
    fn inventory(&mut self) {
        let end = FIRST_DAY.plus(DAYS + 31);
        for hotel in &HOTELS {
            for (room_type, (_, rooms, price, _)) in hotel.types.iter().enumerate() {
                for source in [PMS, REVENUE] {
                    // The revenue system's own arithmetic loses a cent.
                    let cents = price * 100 - i64::from(source == REVENUE);
                    let fields = json!({ "price": money(cents) });
                    self.say(source, 1, rates(hotel, source, room_type, (FIRST_DAY, end), fields));
                }
                let fields = json!({ "capacity": rooms });
                self.say(PMS, 1, rates(hotel, PMS, room_type, (FIRST_DAY, end), fields));
                for _ in 0..3 {
                    self.promotion(hotel, room_type, price * 100);
                }
            }
            self.out_of_order(hotel);
        }
    }

    /// A week-end for which the revenue managers want another price than the PMS has.
    fn promotion(&mut self, hotel: &Hotel, room_type: usize, cents: i64) {
        let told = self.random.between(2, DAYS - 30);
        let first = FIRST_DAY.plus(told + self.random.between(5, 20));
        let nights = (first, first.plus(self.random.between(2, 3)));
        let fields = json!({ "price": money(cents * self.random.between(85, 95) / 100) });
        self.say(REVENUE, told * MINUTES + 600, rates(hotel, REVENUE, room_type, nights, fields));
        if self.random.percent(50) {
            // The PMS follows a day later, and all agree again.
            let mut follow = self.said.last().map(|said| said.document.clone()).unwrap_or_default();
            follow["property"] = json!(hotel.code(PMS));
            follow["inventory"]["room_type"] = json!(hotel.type_code(PMS, room_type));
            self.say(PMS, (told + 1) * MINUTES + 480, follow);
        }
    }

    /// A burst pipe: a room less for some nights.
    fn out_of_order(&mut self, hotel: &Hotel) {
        let told = self.random.between(20, DAYS - 40);
        let first = FIRST_DAY.plus(told);
        let fields = json!({ "capacity": hotel.types[0].1 - 1 });
        self.say(PMS, told * MINUTES + 420, rates(hotel, PMS, 0, (first, first.plus(12)), fields));
    }

    /// A booking's life, as its systems tell it.
    fn booking(&mut self, booking: &Booking) {
        let hotel = &HOTELS[booking.hotel];
        let lead = [self.random.between(0, 6), self.random.between(7, 60)][self.random.pick(&[1, 3])];
        let made = ((booking.arrival.0 - FIRST_DAY.0 - lead).max(0)) * MINUTES + self.random.between(120, 1_300);
        let arrives = (booking.arrival.0 - FIRST_DAY.0) * MINUTES;
        if booking.channel != PMS {
            let line = line(hotel, booking.channel, booking, "confirmed");
            self.say(booking.channel, made, reservation(hotel, booking.channel, &booking.number, line));
        }
        // The PMS learns of most bookings within hours, of some when the guest stands at the desk.
        let heard = if booking.channel == PMS {
            made
        } else if self.random.percent(92) {
            made + self.random.between(3, 700)
        } else {
            arrives + 700
        };
        let mut at_desk = line(hotel, PMS, booking, "confirmed");
        self.misunderstood(booking, &mut at_desk);
        self.say(PMS, heard, reservation(hotel, PMS, &booking.pms_number, at_desk.clone()));
        let change_of_mind = (made.max(heard) + 1, arrives - 60);
        let possible = change_of_mind.0 < change_of_mind.1;
        if possible && self.random.percent(13) {
            let at = self.random.between(change_of_mind.0, change_of_mind.1);
            return self.cancelled(booking, &at_desk, made, at);
        }
        if possible && self.random.percent(9) && booking.channel != PMS {
            let at = self.random.between(change_of_mind.0, change_of_mind.1);
            self.modified(booking, &mut at_desk, at);
        }
        let comes = arrives + 840 + self.random.between(0, 400);
        self.arrival(booking, &at_desk, comes);
    }

    fn guest(&mut self, number: u64) -> Booking {
        let hotel = self.random.pick(&[5, 4, 6]);
        let types = HOTELS[hotel].types;
        let room_type = self.random.pick(&[7, 2, 2][..types.len()]);
        let arrival = if self.random.percent(28) {
            let busy = self.random.between(0, 3) as usize;
            HOTELS[hotel].busy[busy] + self.random.between(-1, 2)
        } else {
            self.random.between(0, DAYS + 12)
        };
        let mut arrival = FIRST_DAY.plus(arrival);
        if self.random.percent(30) {
            arrival = arrival.plus((4 - arrival.weekday()).clamp(0, 4));
        }
        let nights = [1, 2, 3, 5][self.random.pick(&[4, 5, 3, 1])];
        let channel = self.random.pick(&[22, 40, 18, 20]);
        let pms_number = format!("7{:05}", 1_000 + number * 11);
        let number = match channel {
            BOOKING_COM => (4_310_000 + number * 7).to_string(),
            EXPEDIA => (52_000 + number * 3).to_string(),
            WEBSITE => format!("W-{}", 8_000 + number),
            _ => String::new(),
        };
        Booking {
            hotel,
            room_type,
            channel,
            arrival,
            departure: arrival.plus(nights),
            guests: self.random.between(1, 2),
            cents: types[room_type].2 * nights * 100,
            number,
            pms_number,
        }
    }

    /// Now and then the PMS says something else than the channel that sold the room.
    fn misunderstood(&mut self, booking: &Booking, line: &mut Value) {
        if booking.channel == PMS {
            return;
        }
        match self.random.next() % 100 {
            // The portal's commission is taken off.
            0..6 => line["amount"] = json!(decimal(booking.cents * 85 / 100)),
            6..9 => line["guests"] = json!(booking.guests + 1),
            9..13 => line["departure"] = json!(booking.departure.plus(1).to_string()),
            _ => {}
        }
    }

    fn cancelled(&mut self, booking: &Booking, at_desk: &Value, made: i64, at: i64) {
        let hotel = &HOTELS[booking.hotel];
        let desk = cancelled(hotel, PMS, &booking.pms_number, at_desk.clone());
        if booking.channel == PMS {
            return self.say(PMS, at, desk);
        }
        let line = line(hotel, booking.channel, booking, "cancelled");
        self.say(booking.channel, at, reservation(hotel, booking.channel, &booking.number, line));
        // A cancellation that overtakes its own booking.
        if self.random.percent(8)
            && let Some(said) = self.said.last_mut()
        {
            said.late = made - 5 - at;
        }
        // Four of five reach the PMS; the fifth is a status conflict that the rules decide.
        if self.random.percent(80) {
            let heard = at + self.random.between(5, 900);
            self.say(PMS, heard, desk);
        }
    }

    /// A night more, told by the channel; the PMS follows mostly.
    fn modified(&mut self, booking: &Booking, at_desk: &mut Value, at: i64) {
        let hotel = &HOTELS[booking.hotel];
        let departure = booking.departure.plus(1);
        let nights = departure.0 - booking.arrival.0;
        let cents = hotel.types[booking.room_type].2 * nights * 100;
        let longer = |line: &mut Value| {
            line["departure"] = json!(departure.to_string());
            line["amount"] = json!(decimal(cents));
        };
        let mut line = line(hotel, booking.channel, booking, "confirmed");
        longer(&mut line);
        self.say(booking.channel, at, reservation(hotel, booking.channel, &booking.number, line));
        if self.random.percent(75) {
            longer(at_desk);
            let heard = at + self.random.between(10, 600);
            self.say(PMS, heard, reservation(hotel, PMS, &booking.pms_number, at_desk.clone()));
        }
    }

    /// The guest comes, gets a room, and leaves; or does not come.
    fn arrival(&mut self, booking: &Booking, at_desk: &Value, at: i64) {
        let hotel = &HOTELS[booking.hotel];
        if at >= DAYS * MINUTES {
            return;
        }
        let desk = |status: &str, room: Option<u32>| {
            let mut line = at_desk.clone();
            line["status"] = json!(status);
            if let Some(room) = room {
                line["room"] = json!(format!("{room:04}"));
            }
            reservation(hotel, PMS, &booking.pms_number, line)
        };
        if self.random.percent(3) {
            return self.say(PMS, at, desk("no-show", None));
        }
        let (_, rooms, _, first) = hotel.types[booking.room_type];
        let free = (first..first + rooms)
            .find(|room| self.rooms.get(&(booking.hotel, *room)).is_none_or(|until| *until <= booking.arrival));
        // The house is full: another hotel takes the guest.
        let Some(room) = free else {
            return self.say(PMS, at, desk("cancelled", None));
        };
        self.rooms.insert((booking.hotel, room), booking.departure);
        self.say(PMS, at, desk("checked-in", Some(room)));
        let leaves = (booking.departure.0 - FIRST_DAY.0) * MINUTES + self.random.between(400, 660);
        if leaves < DAYS * MINUTES {
            self.say(PMS, leaves, desk("checked-out", Some(room)));
        }
    }

    /// What no system should ever send.
    fn broken(&mut self) {
        let wrong = |property: &str, number: &str, wrong: Value| {
            let mut line = json!({ "status": "confirmed", "arrival": "2027-04-01", "departure": "2027-04-02",
                "room_type": "DOUBLE", "amount": "112.00" });
            for (key, value) in wrong.as_object().into_iter().flatten() {
                line[key] = value.clone();
            }
            json!({ "property": property, "reservation": { "id": number, "lines": [line] } })
        };
        let broken = [
            (EXPEDIA, wrong("H90034", "1", json!({ "departure": "2027-03-01" }))),
            (EXPEDIA, wrong("H90034", "2", json!({ "arrival": "0000-00-00" }))),
            (EXPEDIA, wrong("H90034", "3", json!({ "status": "booked" }))),
            (EXPEDIA, wrong("H90034", "4", json!({ "room_type": "CASTLE" }))),
            (BOOKING_COM, wrong("4489999", "5", json!({ "status": "cancelled" }))),
            (WEBSITE, wrong("MAD1", "W-1", json!({ "amount": "12,50" }))),
            (PMS, Value::Null),
        ];
        for (number, (source, document)) in broken.into_iter().enumerate() {
            self.say(source, (11 + 23 * number as i64) * MINUTES, document);
        }
    }

    /// In the order in which things were said; then some arrive late, and some twice.
    fn deliveries(mut self) -> Vec<Delivery> {
        self.said.sort_by_key(|said| said.at);
        let mut deliveries = Vec::new();
        for (place, mut said) in self.said.into_iter().enumerate() {
            if said.source == PMS && said.document.is_object() && self.random.percent(2) {
                said.late = self.random.between(100, 3_000);
            }
            let body = formats::written(said.source, &said.document, &instant(said.at, place));
            let delivery = Delivery { at: said.at + said.late, source: SYSTEMS[said.source], body };
            if self.random.percent(1) {
                let again = delivery.at + self.random.between(60, 9_000);
                deliveries.push(Delivery { at: again, ..delivery.clone() });
            }
            deliveries.push(delivery);
        }
        deliveries.retain(|delivery| delivery.at < DAYS * MINUTES);
        deliveries.sort_by_key(|delivery| delivery.at);
        deliveries
    }
}

/// Minutes since the start of [`FIRST_DAY`] as an instant; `place` keeps those of the same minute apart.
fn instant(at: i64, place: usize) -> String {
    let (day, minute) = (FIRST_DAY.plus(at.div_euclid(MINUTES)), at.rem_euclid(MINUTES));
    format!("{day}T{:02}:{:02}:00.{place:06}Z", minute / 60, minute % 60)
}

fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn money(cents: i64) -> Value {
    json!({ "amount": decimal(cents), "currency": "EUR" })
}

fn rates(hotel: &Hotel, source: usize, room_type: usize, nights: (Date, Date), fields: Value) -> Value {
    json!({ "property": hotel.code(source), "inventory": {
        "room_type": hotel.type_code(source, room_type),
        "nights": format!("{}/{}", nights.0, nights.1),
        "fields": fields } })
}

fn reservation(hotel: &Hotel, source: usize, number: &str, line: Value) -> Value {
    json!({ "property": hotel.code(source), "reservation": { "id": number, "lines": [line] } })
}

fn cancelled(hotel: &Hotel, source: usize, number: &str, mut line: Value) -> Value {
    line["status"] = json!("cancelled");
    reservation(hotel, source, number, line)
}

/// A booking's one room as a system tells it. The channel's number is what the systems know it by together.
fn line(hotel: &Hotel, source: usize, booking: &Booking, status: &str) -> Value {
    let mut line = json!({
        "line": "1",
        "status": status,
        "arrival": booking.arrival.to_string(),
        "departure": booking.departure.to_string(),
        "room_type": hotel.type_code(source, booking.room_type),
        "amount": decimal(booking.cents),
        "currency": "EUR",
        "guests": booking.guests,
    });
    if booking.channel != PMS {
        line["references"] =
            json!([{ "type": "booking", "issuer": SYSTEMS[booking.channel], "value": booking.number }]);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_deliveries_in_the_order_of_arrival() {
        let deliveries = generate(1);
        assert_eq!(deliveries, generate(1));
        assert_ne!(deliveries, generate(2));
        assert!(deliveries.is_sorted_by_key(|delivery| delivery.at));
        assert!(deliveries.len() > 3_000, "{}", deliveries.len());
        assert!(deliveries.iter().all(|delivery| !delivery.body.contains('\n')));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let texts = [0, 11_016, 20_512, 20_819].map(|days| Date(days).to_string());
        assert_eq!(texts, ["1970-01-01", "2000-02-29", "2026-02-28", "2027-01-01"]);
        assert_eq!(Date(0).weekday(), 3);
    }
}
