//! Random deliveries in the native form, seeded: few rooms and few nights, so that everything collides.
//!
//! Knows the format. Does not know what the right tables are.

use serde_json::{Value, json};

/// The sources of the pipeline under test.
pub const SOURCES: [&str; 3] = ["pms", "booking-com", "website"];
/// Its hotels.
pub const HOTELS: usize = 6;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Deliveries without end.
pub struct Feed {
    pub random: Random,
    revision: u64,
    /// What may be told again.
    told: Vec<(usize, String)>,
}

impl Feed {
    pub fn new(seed: u64) -> Feed {
        Feed { random: Random(seed), revision: 0, told: Vec::new() }
    }

    /// The next delivery: its source and one line of text.
    pub fn next_delivery(&mut self) -> (&'static str, String) {
        if !self.told.is_empty() && self.random.percent(6) {
            let (source, text) = self.random.pick(&self.told).clone();
            return (SOURCES[source], text);
        }
        let source = self.random.below(SOURCES.len());
        let text = match self.random.below(100) {
            0..2 => r#"{"property": "H1", "reservation": {"id"#.to_owned(),
            2..4 => json!({ "property": self.hotel(), "line": { "reservation": "1", "line": "1", "status": "lost" } })
                .to_string(),
            _ => self.document(source).to_string(),
        };
        if self.told.len() < 400 {
            self.told.push((source, text.clone()));
        }
        (SOURCES[source], text)
    }

    fn hotel(&mut self) -> String {
        format!("H{}", self.random.below(HOTELS))
    }

    fn document(&mut self, source: usize) -> Value {
        let mut document = json!({ "property": self.hotel() });
        // The PMS counts its messages, and some of them arrive late.
        if source == 0 && self.random.percent(80) {
            self.revision += 1;
            document["revision"] = json!(self.revision.saturating_sub(self.random.below(8) as u64));
        }
        match self.random.below(100) {
            0..55 => document["reservation"] = self.reservation(source),
            55..70 => {
                document["line"] = json!({
                    "reservation": self.reservation_id(source), "line": "1",
                    "status": self.random.pick(&["confirmed", "checked-in", "checked-out", "no-show", "cancelled"]),
                    "room": self.random.pick(&[json!("1"), json!("2"), Value::Null]),
                });
            }
            70..78 => document["cancel"] = json!({ "reservation": self.reservation_id(source), "line": "1" }),
            78..96 => document["inventory"] = self.inventory(),
            96..98 => document["withdraw"] = json!({ "nights": self.nights(), "fields": ["price"] }),
            _ => document["snapshot"] = json!(self.random.pick(&["begin", "end"])),
        }
        document
    }

    fn reservation_id(&mut self, source: usize) -> String {
        format!("{source}-{}", self.random.below(40))
    }

    fn day(&mut self, plus: usize) -> (usize, String) {
        let day = 1 + plus + self.random.below(14);
        (day, format!("2027-03-{day:02}"))
    }

    fn nights(&mut self) -> String {
        let (first, text) = self.day(0);
        format!("{text}/2027-03-{:02}", first + 1 + self.random.below(5))
    }

    fn reservation(&mut self, source: usize) -> Value {
        let lines: Vec<Value> = (1..=1 + self.random.below(10) / 8).map(|number| self.line(number)).collect();
        json!({ "id": self.reservation_id(source), "lines": lines })
    }

    fn line(&mut self, number: usize) -> Value {
        let (first, arrival) = self.day(0);
        let departure = format!("2027-03-{:02}", first + 1 + self.random.below(4));
        json!({
            "line": number.to_string(), "arrival": arrival, "departure": departure,
            "status": self.random.pick(&["confirmed", "confirmed", "confirmed", "tentative", "cancelled"]),
            "room_type": self.random.pick(&["DBL", "SGL"]),
            "amount": format!("{}.00", 100 + self.random.below(3)), "currency": "EUR", "guests": 1 + self.random.below(2),
            "references": [{ "type": "booking", "issuer": "any", "value": self.random.below(60).to_string() }],
        })
    }

    fn inventory(&mut self) -> Value {
        let price = format!("{}.00", 100 + self.random.below(4));
        let fields = match self.random.below(4) {
            0 => json!({ "capacity": self.random.below(4) }),
            1 => json!({ "closed": self.random.percent(20), "price": Value::Null }),
            _ => json!({ "price": { "amount": price, "currency": "EUR" } }),
        };
        json!({ "room_type": self.random.pick(&["DBL", "SGL"]), "nights": self.nights(), "fields": fields })
    }
}
