//! The XML plugins as components, under the host's usual limits: what large and hostile documents become.
//!
//! A value or a rejection with its reason, never a fault: fuel and memory suffice for whatever the reader lets in.

use std::path::Path;

use concord::plugin::{Delivery, Event, Host, Limits, Normalized, Normalizer, Split};
use concord::types::Day;
use concord_tests::pipeline::plugins_dir;

const PLUGINS: [&str; 3] = ["opentravel", "booking-com", "expedia"];
const SETTINGS: &str = "{}";

fn with_plugin(name: &str, work: impl FnOnce(&mut Normalizer)) {
    let cache = tempfile::tempdir().expect("temporary directory");
    let host = Host::new(&cache.path().join("compiled")).expect("host");
    let file = plugins_dir().join(Path::new(name).with_extension("wasm"));
    let component = std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask guests` makes it", file.display()));
    work(&mut host.normalizer(&component, Limits::default()).expect("plugin"));
}

fn delivery(body: impl Into<Vec<u8>>) -> Delivery {
    Delivery { content_type: "text/xml".into(), attributes: vec![], body: body.into().into() }
}

/// Documents that want more than a message may.
fn hostile() -> Vec<(&'static str, String)> {
    let many = |text: &str, bytes: usize| text.repeat(bytes / text.len());
    let attributes: String = (0..200_000).map(|n| format!(" a{n}=''")).collect();
    let bomb: String = (1..20).map(|n| format!("<!ENTITY e{n} \"&e{};&e{};\">", n - 1, n - 1)).collect();
    vec![
        ("nothing but blanks", " ".repeat(8 << 20)),
        ("too long", "x".repeat((8 << 20) + 1)),
        ("elements without an end", many("<a>", 8 << 20)),
        ("empty elements", format!("<a>{}</a>", many("<b/>", 8 << 20))),
        ("one element of many attributes", format!("<a{attributes}/>")),
        ("many elements of attributes", format!("<a>{}</a>", many(&format!("<b{}/>", &attributes[..2000]), 7 << 20))),
        ("one enormous attribute", format!("<a b=\"{}\"/>", "x".repeat(7 << 20))),
        ("one enormous text", format!("<a>{}</a>", "x".repeat(7 << 20))),
        ("a text in pieces", format!("<a>{}</a>", many("x&amp;", 7 << 20))),
        ("comments", format!("<a>{}", many("<!-- x -->", 7 << 20))),
        ("an entity bomb", format!("<!DOCTYPE a [<!ENTITY e0 \"ha\">{bomb}]><a>&e19;</a>")),
        ("an external entity", "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///dev/zero\">]><a>&x;</a>".into()),
        ("UTF-16 with a mark", "\u{feff}<a/>".encode_utf16().flat_map(u16::to_le_bytes).map(char::from).collect()),
    ]
}

#[test]
fn hostile_documents_are_rejections() {
    for plugin in PLUGINS {
        with_plugin(plugin, |normalizer| {
            for (name, body) in hostile() {
                match normalizer.split(SETTINGS, &delivery(body)).expect("host") {
                    Split::Rejected(reason) => assert!(!reason.is_empty(), "{plugin}, {name}"),
                    other => panic!("{plugin}, {name}: {other:?}"),
                }
            }
        });
    }
}

/// The largest deliveries that are read are split within the limits, every part of them.
#[test]
fn large_deliveries_are_split() {
    let units = |unit: &str, count: usize| (0..count).map(|n| unit.replace('#', &n.to_string())).collect::<String>();
    let reservations =
        units(r##"<HotelReservation ResStatus="Cancel"><UniqueID Type="14" ID="#"/></HotelReservation>"##, 49_000);
    let rooms =
        units(r#"<reservation><hotel_id>H1</hotel_id><id>#</id><status>cancelled</status></reservation>"#, 24_000);
    let bookings = units(
        r##"<Booking id="#" type="Cancel" createDateTime="2026-03-01T12:00:00Z"><Hotel id="H1"/></Booking>"##,
        49_000,
    );
    let documents = [
        format!(
            "<OTA_HotelResNotifRQ HotelCode=\"H1\"><HotelReservations>{reservations}</HotelReservations></OTA_HotelResNotifRQ>"
        ),
        format!("<reservations>{rooms}</reservations>"),
        format!("<BookingRetrievalRS><Bookings>{bookings}</Bookings></BookingRetrievalRS>"),
    ];
    for ((plugin, document), count) in PLUGINS.into_iter().zip(documents).zip([49_000, 24_000, 49_000]) {
        with_plugin(plugin, |normalizer| match normalizer.split(SETTINGS, &delivery(document)).expect("host") {
            Split::Routed(parts) => assert_eq!(parts.len(), count, "{plugin}"),
            other => panic!("{plugin}: {other:?}"),
        });
    }
}

/// A record of 160 KB, a thousand room types, is read with half of the fuel that a record may take.
#[test]
fn large_records_are_read() {
    let inventory = |n: usize| {
        format!(
            r#"<Inventory><StatusApplicationControl Start="2026-03-01" End="2026-03-07" InvTypeCode="T{n}"/><InvCounts><InvCount CountType="2" Count="3"/></InvCounts></Inventory>"#
        )
    };
    let body: String = (0..1_000).map(inventory).collect();
    let body = format!(
        "<OTA_HotelInvCountNotifRQ><Inventories HotelCode=\"H1\">{body}</Inventories></OTA_HotelInvCountNotifRQ>"
    );
    with_plugin("opentravel", |normalizer| {
        let event = Event {
            id: "1".into(),
            time: None,
            property: "H1".into(),
            date: Day(20_513),
            content_type: "text/xml".into(),
            attributes: vec![],
            body: body.into_bytes().into(),
        };
        match normalizer.normalize(SETTINGS, &[event]).expect("host").pop() {
            Some(Normalized::Said { changes, .. }) => assert_eq!(changes.len(), 1_000),
            other => panic!("{other:?}"),
        }
    });
}
