//! A Concord normalizer in one file.
//!
//! A normalizer translates what one source says into changes to inventory and to bookings. Implement
//! [`Normalizer`], name the type in [`normalizer!`](crate::normalizer!), and build the crate as a
//! `cdylib` for `wasm32-unknown-unknown`; `cargo xtask` makes a component of it. `plugins/template` is a
//! complete example to copy.
//!
//! This crate holds what every format needs: the types of the plugin interface ([`Change`],
//! [`Action`], ...), days and instants ([`time`]), exact numbers ([`number`]), the pieces of a booking ([`stay`])
//! and a strict JSON reader ([`json`]). It does not know any source's format, and it does not know how changes are merged.

pub mod json;
pub mod number;
mod run;
pub mod stay;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;
pub mod xml;
#[cfg(feature = "zones")]
pub mod zone;

/// What `wit/concord.wit` says, as Rust. Use the names that this crate exports at its root.
#[allow(missing_docs, reason = "the interface file holds the words")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "normalizer",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "concord_plugin::bindings",
        additional_derives: [PartialEq],
    });
}

pub use bindings::concord::plugin::changes::{
    Action, Cancellation, Change, Field, InventoryReplacement, Line, LineOf, Reference, ReservationReplacement,
    RoomNights, Scope, Status,
};
pub use bindings::concord::plugin::log::Level;
pub use bindings::concord::plugin::types::{Day, Days, Decimal, Money, Revision, Value};
pub use bindings::exports::concord::plugin::normalize::{Delivery, Description, Event, Outcome, Routed, Said};
pub use run::{Held, log};

/// Why a message is refused, in words for the person who sent it. The message becomes a dead letter
/// of kind `rejected` with these words; nothing of it is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection(pub String);

impl Rejection {
    /// A rejection with these words.
    pub fn new(words: impl Into<String>) -> Self {
        Rejection(words.into())
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Rejection {}

impl From<String> for Rejection {
    fn from(words: String) -> Self {
        Rejection(words)
    }
}

impl From<&str> for Rejection {
    fn from(words: &str) -> Self {
        Rejection(words.to_owned())
    }
}

/// The translator of one message format.
///
/// All functions are pure: equal input gives equal output. There is no clock, no network and no file;
/// what time it is, the event says.
pub trait Normalizer {
    /// The source's settings, read once and kept as long as they stay the same.
    type Settings;

    /// Name, version, formats and the inventory fields that it may set.
    fn describe() -> Description;

    /// Reads the source's `settings` table. Refuse what you do not know by name: a misspelt setting
    /// that is ignored costs somebody a day.
    fn settings(table: json::At<'_>) -> Result<Self::Settings, Rejection>;

    /// Which property and which date each part of a delivery belongs to, in the source's own codes.
    /// `date` is the arrival or the first night.
    fn split(settings: &Self::Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection>;

    /// What one record says. All of it is about one property.
    fn normalize_one(settings: &Self::Settings, event: &Event) -> Result<Said, Rejection>;
}

/// Makes the component's exports of a [`Normalizer`]: `concord_plugin::normalizer!(MySource);`.
#[macro_export]
macro_rules! normalizer {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::exports::concord::plugin::normalize as interface;

            struct Component;

            std::thread_local! {
                static HELD: $crate::Held<$plugin> = const { $crate::Held::new() };
            }

            impl interface::Guest for Component {
                fn describe() -> interface::Description {
                    HELD.with(|held| held.describe())
                }

                fn split(settings: String, delivery: interface::Delivery) -> Result<Vec<interface::Routed>, String> {
                    HELD.with(|held| held.split(&settings, &delivery))
                }

                fn normalize(settings: String, events: Vec<interface::Event>) -> Vec<interface::Outcome> {
                    HELD.with(|held| held.normalize(&settings, &events))
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}
