//! A normalizer that does whatever a record's body tells it to, most of it wrong.
//!
//! The body is a command and its arguments. Every command of which nothing else is known is taken
//! for a booking, so that a harmless record is easy to write.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "normalizer" });
}

use bindings::concord::plugin::changes::{
    Action, Cancellation, Change, Field, Line, LineOf, Reference, ReservationReplacement, RoomNights, Scope, Status,
};
use bindings::concord::plugin::log::{self, Level};
use bindings::concord::plugin::types::{Days, Decimal, Money, Revision, Value};
use bindings::exports::concord::plugin::normalize::{Delivery, Description, Event, Guest, Outcome, Routed, Said};

struct Hostile;

/// Set by `sulk`: this instance answers nothing any more.
static SULKING: AtomicBool = AtomicBool::new(false);
/// How often this instance was told to `count`.
static COUNT: AtomicU64 = AtomicU64::new(0);

impl Guest for Hostile {
    fn describe() -> Description {
        std::panic::set_hook(Box::new(|panic| log::write(Level::Error, &panic.to_string())));
        Description {
            name: "hostile".into(),
            version: "1.0.0".into(),
            formats: vec!["text/plain".into()],
            fields: vec!["price".into()],
        }
    }

    fn split(_settings: String, delivery: Delivery) -> Result<Vec<Routed>, String> {
        let body = String::from_utf8_lossy(&delivery.body).into_owned();
        let part = |property: &str, date| Routed { property: property.into(), date, body: None };
        match body.as_str() {
            "split loop" => forever(),
            "split nothing" => Ok(Vec::new()),
            "split reject" => Err("no hotel in it".into()),
            "split many" => Ok(vec![part("H1", 20_000); 200_000]),
            "split far" => Ok(vec![part("H1", 9_999_999)]),
            "split nameless" => Ok(vec![part("", 20_000)]),
            _ => {
                Ok(vec![part("H1", 20_000), Routed { property: "H2".into(), date: 20_001, body: Some(delivery.body) }])
            }
        }
    }

    fn normalize(_settings: String, events: Vec<Event>) -> Vec<Outcome> {
        std::panic::set_hook(Box::new(|panic| log::write(Level::Error, &panic.to_string())));
        let mut outcomes = Vec::new();
        for event in events {
            let body = String::from_utf8_lossy(&event.body).into_owned();
            let words: Vec<&str> = body.split(' ').collect();
            if SULKING.load(Ordering::Relaxed) {
                panic!("I am sulking");
            }
            let index = event.index;
            match words[0] {
                "missing" => {}
                "twice" => outcomes
                    .extend([Outcome { index, said: Err("one".into()) }, Outcome { index, said: Err("two".into()) }]),
                "misplaced" => outcomes.push(Outcome { index: index + 7, said: Err("whose?".into()) }),
                _ => outcomes.push(Outcome { index, said: answer(&event, &words) }),
            }
        }
        outcomes
    }
}

fn answer(event: &Event, words: &[&str]) -> Result<Said, String> {
    let changes = match words[0] {
        "loop" => forever(),
        "grow" => grow(),
        "recurse" => vec![booking(&recurse(1).to_string())],
        "descend" => vec![booking(&descend(1).to_string())],
        "panic" => panic!("no room {}", words[1]),
        "chatter" => {
            for line in 0..10_000 {
                log::write(Level::Debug, &format!("line {line}"));
            }
            panic!("enough")
        }
        "shout" => {
            let text = "x".repeat(400_000);
            loop {
                log::write(Level::Info, &text);
            }
        }
        "sulk" => {
            SULKING.store(true, Ordering::Relaxed);
            vec![booking(&event.id)]
        }
        "count" => vec![booking(&COUNT.fetch_add(1, Ordering::Relaxed).to_string())],
        "hoard" => {
            std::mem::forget(black_box(vec![1_u8; 8 << 20]));
            vec![booking(&event.id)]
        }
        "work" => {
            work(words[1].parse().unwrap());
            vec![booking(&event.id)]
        }
        "reject" => return Err(words[1..].join(" ")),
        "long-reject" => return Err("x".repeat(100_000)),
        "huge-text" => return Err("x".repeat(8 << 20)),
        "huge-list" => vec![Change { revision: None, action: Action::SnapshotBegin }; 40_000],
        "many" => vec![cancellation(); 5_000],
        "elsewhere" => return Ok(Said { property: "OTHER".into(), changes: vec![booking(&event.id)] }),
        "nowhere" => return Ok(Said { property: String::new(), changes: vec![] }),
        "stay" => vec![stay(words[1].parse().unwrap(), words[2].parse().unwrap())],
        "money" => vec![paid(words[1].parse().unwrap(), words[2].parse().unwrap(), words[3])],
        "set" => vec![set(words[1], value(&words[2..]))],
        "nights" => {
            vec![Change { revision: None, action: Action::InventorySet(room_nights(nights(&words[1..]), vec![])) }]
        }
        "withdraw" => vec![Change {
            revision: None,
            action: Action::Withdraw(Scope { room_types: vec![], nights: nights(&words[1..]), fields: vec![] }),
        }],
        "revision" => vec![Change {
            revision: Some(Revision::Sequence((0..words[1].parse().unwrap()).collect())),
            action: Action::SnapshotBegin,
        }],
        "references" => vec![referenced(words[1].parse().unwrap())],
        "line" => vec![line_of("r", Line { room_type: Some(words[1].replace("NUL", "\0")), ..empty("1") })],
        "same-lines" => vec![Change {
            revision: None,
            action: Action::ReservationReplace(ReservationReplacement {
                reservation: "r".into(),
                lines: vec![empty("1"), empty("1")],
            }),
        }],
        _ => vec![booking(&event.id)],
    };
    Ok(Said { property: event.property.clone(), changes })
}

fn forever() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

fn work(rounds: u64) {
    for round in 0..rounds {
        black_box(round);
    }
}

fn grow() -> ! {
    loop {
        std::mem::forget(black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

/// Recursion with large frames: it uses up the stack that a guest keeps in its memory.
fn recurse(depth: u64) -> u64 {
    let here = black_box([depth; 16]);
    if black_box(depth) == 0 { 0 } else { recurse(depth + 1) + here[3] }
}

/// Recursion with small frames: it uses up the host's stack.
#[inline(never)]
fn descend(depth: u64) -> u64 {
    if SULKING.load(Ordering::Relaxed) { 0 } else { descend(depth + 1).rotate_left(depth as u32) ^ depth }
}

fn empty(line: &str) -> Line {
    Line {
        line: line.into(),
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

fn line_of(reservation: &str, line: Line) -> Change {
    Change { revision: None, action: Action::LineSet(LineOf { reservation: reservation.into(), line }) }
}

fn booking(reservation: &str) -> Change {
    let line = Line { status: Some(Status::Confirmed), guests: Some(2), ..empty("1") };
    line_of(reservation, Line { arrival: Some(20_513), departure: Some(20_515), room_type: Some("DBL".into()), ..line })
}

fn cancellation() -> Change {
    let action = Action::LineCancel(Cancellation { reservation: "r".into(), line: "1".into() });
    Change { revision: None, action }
}

fn stay(arrival: i32, departure: i32) -> Change {
    line_of("4711", Line { arrival: Some(arrival), departure: Some(departure), ..empty("1") })
}

fn paid(units: i64, scale: u8, currency: &str) -> Change {
    line_of("4711", Line { money: Some(money(units, scale, currency)), ..empty("1") })
}

fn money(units: i64, scale: u8, currency: &str) -> Money {
    Money { amount: Decimal { units, scale }, currency: currency.into() }
}

fn referenced(count: usize) -> Change {
    let reference = Reference { kind: "voucher".into(), issuer: "ota".into(), value: "7".into() };
    line_of("4711", Line { references: Some(vec![reference; count]), ..empty("1") })
}

fn nights(words: &[&str]) -> Days {
    Days { first: words[0].parse().unwrap(), end: words[1].parse().unwrap() }
}

fn room_nights(nights: Days, fields: Vec<Field>) -> RoomNights {
    RoomNights { room_type: "DBL".into(), nights, fields }
}

fn set(name: &str, value: Value) -> Change {
    let fields = vec![Field { name: name.into(), value: Some(value) }];
    let nights = Days { first: 20_513, end: 20_514 };
    Change { revision: Some(Revision::Instant(7)), action: Action::InventorySet(room_nights(nights, fields)) }
}

fn value(words: &[&str]) -> Value {
    match words[0] {
        "integer" => Value::Integer(words[1].parse().unwrap()),
        "money" => Value::Money(money(words[1].parse().unwrap(), 2, words[2])),
        "boolean" => Value::Boolean(words[1] == "true"),
        "text" => Value::Text(words[1].repeat(words[2].parse().unwrap())),
        _ => Value::Decimal(Decimal { units: words[1].parse().unwrap(), scale: 2 }),
    }
}

bindings::export!(Hostile with_types_in bindings);
