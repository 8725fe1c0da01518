//! What happens between the host's call and the normalizer: settings, batches, the panic's last words.
//!
//! Does not know any format.

use std::cell::RefCell;

use crate::{Delivery, Description, Event, Level, Normalizer, Outcome, Rejection, Routed, json};

/// A normalizer with the settings it read last. The host passes the settings with every call; they are read
/// again only when their text differs, so the answer stays a function of the call alone.
pub struct Held<N: Normalizer> {
    last: RefCell<Option<Last<N::Settings>>>,
}

struct Last<S> {
    text: String,
    settings: Result<S, Rejection>,
}

impl<N: Normalizer> Held<N> {
    /// Nothing read yet.
    pub const fn new() -> Self {
        Held { last: RefCell::new(None) }
    }

    /// See [`Normalizer::describe`].
    pub fn describe(&self) -> Description {
        report_panics();
        N::describe()
    }

    /// See [`Normalizer::split`].
    ///
    /// # Errors
    /// The words of the rejection, also when the settings cannot be read.
    pub fn split(&self, settings: &str, delivery: &Delivery) -> Result<Vec<Routed>, String> {
        report_panics();
        self.with(settings, |settings| N::split(settings, delivery)).map_err(|rejection| rejection.0)
    }

    /// One outcome per event, in order.
    pub fn normalize(&self, settings: &str, events: &[Event]) -> Vec<Outcome> {
        report_panics();
        let outcome = |event: &Event| Outcome {
            index: event.index,
            said: self.with(settings, |settings| N::normalize_one(settings, event)).map_err(|rejection| rejection.0),
        };
        events.iter().map(outcome).collect()
    }

    fn with<T>(&self, text: &str, work: impl FnOnce(&N::Settings) -> Result<T, Rejection>) -> Result<T, Rejection> {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|last| last.text != text) {
            *last = Some(Last { text: text.to_owned(), settings: read_settings::<N>(text) });
        }
        match last.as_ref().map(|last| &last.settings) {
            Some(Ok(settings)) => work(settings),
            Some(Err(rejection)) => Err(rejection.clone()),
            None => Err(Rejection::new("the settings were not read")),
        }
    }
}

impl<N: Normalizer> Default for Held<N> {
    fn default() -> Self {
        Self::new()
    }
}

fn read_settings<N: Normalizer>(text: &str) -> Result<N::Settings, Rejection> {
    // No settings at all is the same as an empty table.
    let text = if text.trim().is_empty() { "{}" } else { text };
    json::parse(text.as_bytes()).and_then(|document| N::settings(document.root())).map_err(|Rejection(words)| {
        let words = words.strip_prefix("document: ").unwrap_or(&words);
        Rejection(format!("the source's settings: {words}"))
    })
}

/// Writes into the host's log; on any other target than wasm, to standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::concord::plugin::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// A panic traps, and a trap has no text: hand it to the host before.
fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string()))));
    }
}
