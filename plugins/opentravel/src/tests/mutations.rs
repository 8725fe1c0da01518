//! Ten thousand mutated messages: never a panic, never a room night out of bounds.

use concord_plugin::testing;

use super::inventory::{COUNTS, PLANS, RATES, STATUSES};
use super::reservations::{HTNG, SITEMINDER};
use crate::Opentravel;

#[test]
fn mutated_messages_are_read_or_refused() {
    let mut samples: Vec<Vec<u8>> =
        [HTNG, SITEMINDER, COUNTS, STATUSES, RATES, PLANS].iter().map(|text| text.as_bytes().to_vec()).collect();
    samples.extend(testing::samples("alpinebits", ".xml").into_iter().flatten().map(|(_, body)| body));
    let settings = r#"{"property": "H1", "rate_plan": "*", "currency": "EUR", "room_types": ["DBL"]}"#;
    testing::owes_on_mutations::<Opentravel>(settings, "application/xml", &samples, 20_261_124, 10_000);
}
