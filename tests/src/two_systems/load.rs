//! A seeded load on both systems: what a back office does to periods, and a revenue system to nights.
//!
//! Every price is another one than all before: odd cents in the old system, even ones in the new one, so that the systems never
//! agree by chance and every change can be found in the record of conflicts. Periods are cut and joined for single rooms only, and nights
//! withdrawn for suites only: so both systems always have a price for every night of a double room.

use anyhow::Result;

use crate::generate::Random;
use crate::servers::Console;

/// Houses of the old system, hotels of the new one, Concord's own.
const HOTELS: [(u32, &str, &str); 4] = [
    (11, "2f1c7a9e-0000-4000-8000-000000000011", "MAD001"),
    (12, "2f1c7a9e-0000-4000-8000-000000000012", "MAD002"),
    (21, "2f1c7a9e-0000-4000-8000-000000000021", "BER001"),
    (31, "2f1c7a9e-0000-4000-8000-000000000031", "LIS001"),
];
/// Categories, room types, Concord's own.
const TYPES: [(&str, &str, &str); 3] = [
    ("EZ", "7b0d4c1e-0000-4000-8000-000000000001", "SGL"),
    ("DZ", "7b0d4c1e-0000-4000-8000-000000000002", "DBL"),
    ("SU", "7b0d4c1e-0000-4000-8000-000000000003", "STE"),
];
/// The season: nights from this day on.
const FIRST: &str = "2027-03-01";
const NIGHTS: u32 = 60;
/// Nights of a period at the beginning.
const PERIOD: u32 = 10;
/// The night that is only used to time changes.
const PROBED: &str = "2027-08-01";

/// A price that a system committed for a room night which both systems know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub source: &'static str,
    pub property: &'static str,
    pub room_type: &'static str,
    /// The nights that it was set for: first, and how many. Counted from the season's first day.
    pub first: u32,
    pub nights: u32,
    pub cents: u32,
}

/// The next price that nobody had: `last` is the highest so far, in cents.
fn fresh(last: &mut u32) -> u32 {
    *last += 2;
    *last
}

/// A day of the season.
pub fn day(number: u32) -> String {
    let first = time::macros::date!(2027 - 03 - 01);
    let at = first + time::Duration::days(number.into());
    format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day())
}

fn some_night(random: &mut Random) -> u32 {
    u32::try_from(random.below(NIGHTS.into())).unwrap_or(0)
}

fn night(number: u32) -> String {
    format!("DATE '{}'", day(number))
}

/// The old system.
pub struct Legacy {
    console: Console,
    random: Random,
    cents: u32,
}

impl Legacy {
    /// Its rows at the beginning: the whole season in periods.
    pub fn fill(console: &mut Console) -> Result<()> {
        let mut rows = Vec::new();
        let mut cents = 5_001;
        for (house, ..) in HOTELS {
            for (category, ..) in TYPES {
                for first in (0..NIGHTS).step_by(PERIOD as usize) {
                    let (from, to) = (night(first), night(first + PERIOD - 1));
                    rows.push(format!(
                        "({house}, '{category}', {from}, {to}, 12, {}, 'Zimmer mit Küche')",
                        fresh(&mut cents)
                    ));
                }
            }
        }
        rows.push(format!("(21, 'EZ', '{PROBED}', '{PROBED}', 12, 1, NULL)"));
        let columns = "haus_nr, kategorie, gueltig_von, gueltig_bis, anzahl_zimmer, preis_cent, bemerkung";
        console.run(&format!("INSERT INTO kontingente ({columns}) VALUES {};", rows.join(", "))).map(drop)
    }

    pub fn new(mut console: Console, seed: u64) -> Result<Legacy> {
        // Prices of single changes are small, so that they stay below.
        let highest = console.run("SELECT max(preis_cent) FROM kontingente;")?;
        let cents = highest.first().and_then(|cents| cents.parse().ok()).unwrap_or(5_001);
        Ok(Legacy { console, random: Random::new(seed), cents: cents | 1 })
    }

    /// Changes; returns the prices that it set.
    pub fn work(&mut self, transactions: u32) -> Result<Vec<Price>> {
        let mut prices = Vec::new();
        for _ in 0..transactions {
            let (house, _, property) = HOTELS[self.random.below(4) as usize];
            let (category, _, room_type) = TYPES[self.random.below(3) as usize];
            let at = some_night(&mut self.random);
            // The period that has this night.
            let found = self.console.run(&format!(
                "SELECT id, DATEDIFF(gueltig_von, '{FIRST}'), DATEDIFF(gueltig_bis, gueltig_von) + 1 FROM kontingente \
                 WHERE haus_nr = {house} AND kategorie = '{category}' AND gueltig_von <= {n} AND gueltig_bis >= {n};",
                n = night(at)
            ))?;
            let numbers: Vec<u32> =
                found.first().map(|row| row.split('\t').filter_map(|n| n.parse().ok()).collect()).unwrap_or_default();
            let [id, first, nights] = numbers[..] else { continue };
            let note = |first, nights, cents| Price { source: "legacy", property, room_type, first, nights, cents };
            match self.random.below(10) {
                0 => {
                    let rooms = 8 + self.random.below(8);
                    self.console.run(&format!("UPDATE kontingente SET anzahl_zimmer = {rooms} WHERE id = {id};"))?;
                }
                1 => {
                    let flip = "IF(gesperrt = 'J', 'N', 'J')";
                    self.console.run(&format!("UPDATE kontingente SET gesperrt = {flip} WHERE id = {id};"))?;
                }
                // A period is cut in two, the second part gets a price of its own.
                2..=4 if at > first && category == "EZ" => {
                    let cents = fresh(&mut self.cents);
                    let (before, last) = (night(at - 1), night(first + nights - 1));
                    self.console.run(&format!(
                        "BEGIN; UPDATE kontingente SET gueltig_bis = {before} WHERE id = {id}; \
                         INSERT INTO kontingente (haus_nr, kategorie, gueltig_von, gueltig_bis, anzahl_zimmer, preis_cent, gesperrt) \
                         SELECT haus_nr, kategorie, {}, {last}, anzahl_zimmer, {cents}, gesperrt FROM kontingente \
                         WHERE id = {id}; COMMIT;",
                        night(at)
                    ))?;
                    prices.push(note(at, first + nights - at, cents));
                }
                // A period swallows the one behind it.
                5..=6 if first + nights < NIGHTS && category == "EZ" => {
                    let next = night(first + nights);
                    let key = format!("haus_nr = {house} AND kategorie = '{category}' AND gueltig_von = {next}");
                    self.console.run(&format!(
                        "BEGIN; SELECT gueltig_bis INTO @bis FROM kontingente WHERE {key}; DELETE FROM kontingente WHERE {key}; \
                         UPDATE kontingente SET gueltig_bis = @bis WHERE id = {id}; COMMIT;"
                    ))?;
                }
                // What nobody captures.
                7 => {
                    self.console.run("INSERT INTO protokoll (text) VALUES ('Preise geprüft');")?;
                }
                _ => {
                    let cents = fresh(&mut self.cents);
                    self.console.run(&format!("UPDATE kontingente SET preis_cent = {cents} WHERE id = {id};"))?;
                    prices.push(note(first, nights, cents));
                }
            }
        }
        Ok(prices)
    }
}

/// The new system.
pub struct Cloud {
    console: Console,
    random: Random,
    cents: u32,
}

impl Cloud {
    /// Its rows at the beginning: every night of the season.
    pub fn fill(console: &mut Console) -> Result<()> {
        for (_, hotel, _) in HOTELS {
            for (_, kind, _) in TYPES {
                console.run(&format!(
                    "INSERT INTO room_nights (property_id, room_type_id, night, units, price, min_stay) \
                     SELECT '{hotel}', '{kind}', {}, 12, 500 + n / 10.0, CASE WHEN n % 7 = 5 THEN 2 END \
                     FROM generate_series(0, {}) AS n;",
                    "DATE '2027-03-01' + n",
                    NIGHTS - 1
                ))?;
            }
        }
        let (hotel, kind) = (HOTELS[2].1, TYPES[0].1);
        let probed = format!(
            "INSERT INTO room_nights (property_id, room_type_id, night, units, price) VALUES ('{hotel}', '{kind}', '{PROBED}', 12, 0.01);"
        );
        console.run(&probed).map(drop)
    }

    pub fn new(mut console: Console, seed: u64) -> Result<Cloud> {
        let highest = console.run("SELECT (max(price) * 100)::int FROM room_nights;")?;
        let cents: u32 = highest.first().and_then(|cents| cents.parse().ok()).unwrap_or(51_000);
        Ok(Cloud { console, random: Random::new(!seed), cents: (cents + 1) & !1 })
    }

    /// Changes; returns the prices that it set.
    pub fn work(&mut self, transactions: u32) -> Result<Vec<Price>> {
        let mut prices = Vec::new();
        for _ in 0..transactions {
            let (_, hotel, property) = HOTELS[self.random.below(4) as usize];
            let (_, kind, room_type) = TYPES[self.random.below(3) as usize];
            let (at, rooms) = (some_night(&mut self.random), 8 + self.random.below(8));
            let key = |at: u32| {
                format!("property_id = '{hotel}' AND room_type_id = '{kind}' AND night = DATE '{FIRST}' + {at}")
            };
            let note = |first, cents| Price { source: "cloud", property, room_type, first, nights: 1, cents };
            match self.random.below(10) {
                0 => self.console.run(&format!("UPDATE room_nights SET units = {rooms} WHERE {};", key(at)))?,
                1 => self.console.run(&format!("UPDATE room_nights SET closed = NOT closed WHERE {};", key(at)))?,
                2 => self.console.run(&format!(
                    "UPDATE room_nights SET min_stay = nullif({}, 0) WHERE {};",
                    rooms % 4,
                    key(at)
                ))?,
                // A night is withdrawn and, as a rule, offered anew by another transaction.
                3 => {
                    let (cents, suite) = (fresh(&mut self.cents), TYPES[2].1);
                    let night = format!("DATE '{FIRST}' + {at}");
                    let place = format!("property_id = '{hotel}' AND room_type_id = '{suite}' AND night = {night}");
                    self.console.run(&format!("DELETE FROM room_nights WHERE {place};"))?;
                    if rooms % 4 > 0 {
                        self.console.run(&format!(
                            "INSERT INTO room_nights (property_id, room_type_id, night, units, price) \
                             VALUES ('{hotel}', '{suite}', {night}, {rooms}, {cents} / 100.0);"
                        ))?;
                    }
                    Vec::new()
                }
                // One transaction about several nights; what is taken back never was.
                4 => {
                    let (first, second) = (fresh(&mut self.cents), fresh(&mut self.cents));
                    let next = (at + 1) % NIGHTS;
                    prices.extend([note(at, first), note(next, second)]);
                    self.console.run(&format!(
                        "BEGIN; UPDATE room_nights SET price = {first} / 100.0 WHERE {}; SAVEPOINT a; \
                         UPDATE room_nights SET price = 1 WHERE property_id = '{hotel}'; ROLLBACK TO a; \
                         UPDATE room_nights SET price = {second} / 100.0 WHERE {}; COMMIT;",
                        key(at),
                        key(next)
                    ))?
                }
                5 => self.console.run("INSERT INTO audit_trail (note) VALUES ('prices looked at');")?,
                _ => {
                    let cents = fresh(&mut self.cents);
                    prices.push(note(at, cents));
                    self.console.run(&format!("UPDATE room_nights SET price = {cents} / 100.0 WHERE {};", key(at)))?
                }
            };
        }
        Ok(prices)
    }
}

/// The night that is only used to time changes, and which of its fields a system sets alone.
pub const PROBE: &str = "property = 'BER001' AND date = '2027-08-01' AND room_type = 'SGL'";

/// Commits a number of rooms in the old system, which counts them: ClickHouse's `capacity`. By the row's key: an update that
/// searches by another column locks every row that it looks at, and meets the load in a deadlock.
pub fn mark_legacy(console: &mut Console, round: u32) -> Result<String> {
    let rooms = 100 + round;
    console.run(&format!(
        "SET @probed = (SELECT id FROM kontingente WHERE gueltig_von = '{PROBED}'); \
         UPDATE kontingente SET anzahl_zimmer = {rooms} WHERE id = @probed;"
    ))?;
    Ok(format!("capacity = {rooms}"))
}

/// Commits a minimum stay in the new system, which alone has it.
pub fn mark_cloud(console: &mut Console, round: u32) -> Result<String> {
    let nights = 100 + round;
    console.run(&format!("UPDATE room_nights SET min_stay = {nights} WHERE night = '{PROBED}';"))?;
    Ok(format!("min_stay = {nights}"))
}
