//! A normalizer for wasm32-wasip2, whose standard library imports WASI: it says what it finds there.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "normalizer" });
}

use bindings::exports::concord::plugin::normalize::{Delivery, Description, Event, Guest, Outcome, Routed};

struct Curious;

impl Guest for Curious {
    fn describe() -> Description {
        Description { name: "inert".into(), version: "1.0.0".into(), formats: vec![], fields: vec![] }
    }

    fn split(_settings: String, _delivery: Delivery) -> Result<Vec<Routed>, String> {
        Err("not asked".into())
    }

    fn normalize(_settings: String, events: Vec<Event>) -> Vec<Outcome> {
        let answer = |event: &Event| String::from_utf8_lossy(&event.body).into_owned();
        events.iter().map(|e| Outcome { index: e.index, said: Err(find(&answer(e))) }).collect()
    }
}

fn find(what: &str) -> String {
    match what {
        "clock" => format!("{:?}", SystemTime::now().duration_since(UNIX_EPOCH)),
        "environment" => format!("{} {}", std::env::vars().count(), std::env::args().count()),
        "files" => format!("{:?}", std::fs::read("/etc/passwd").map_err(|e| e.kind())),
        "input" => format!("{:?}", std::io::stdin().read_line(&mut String::new()).ok()),
        "random" => format!("{:x}", RandomState::new().build_hasher().finish()),
        "sleep" => {
            let before = Instant::now();
            std::thread::sleep(Duration::from_secs(3_600));
            format!("{:?}", before.elapsed())
        }
        "panic" => {
            println!("so far so good");
            panic!("and no further")
        }
        "exit" => std::process::exit(3),
        _ => "nothing".into(),
    }
}

bindings::export!(Curious with_types_in bindings);
