//! AlpineBits' own sample messages, those that a validator must refuse among them.

use concord_plugin::testing;

use super::parts_with;

/// Enough to read them: the rate plan of their prices, and the room type that a house without any named closes.
const SETTINGS: &str = r#"{"rate_plan": "Rate1-4-HB", "room_types": ["double"]}"#;

/// What the beginning of a file's name says about the whole.
enum Expected {
    Taken(&'static str),
    Refused(&'static str),
}
use Expected::{Refused, Taken};

const FILES: &[(&str, Expected)] = &[
    ("BaseRates-", Refused("is none of the messages that are read")),
    ("FreeRooms-OTA_HotelAvailNotifRQ-empty", Taken("replace * 1900-01-01/2299-12-31 of availability,capacity,closed")),
    ("FreeRooms-OTA_HotelAvailNotifRQ", Taken("  double 2010-08-21/2010-08-31 availability=1")),
    ("GuestRequests-OTA_HotelResNotifRQ", Taken("  1 confirmed 2012-01-01/2012-01-12 bigsuite 299 EUR 4 guests")),
    ("GuestRequests-OTA_HotelResNotifRS", Refused("is none of the messages")),
    ("GuestRequests-OTA_ReadRQ", Refused("is none of the messages")),
    ("GuestRequests-OTA_ResRetrieveRS-cancellation", Refused("no HotelCode or HotelName")),
    ("GuestRequests-OTA_ResRetrieveRS-request", Refused("asks for an offer and is no booking")),
    ("GuestRequests-OTA_ResRetrieveRS-reservation-empty", Refused("there is nothing to read")),
    (
        "GuestRequests-OTA_ResRetrieveRS-reservation",
        Taken("  1 confirmed 2012-01-01/2012-01-12 bigsuite 299 EUR 4 guests"),
    ),
    ("RatePlans-", Taken("  double 2014-03-03/2014-03-09 price=192 EUR")),
    (
        "HotelAvailNotifRQ_err_categories-and-rooms-mixed",
        Refused("Inventory[2]/StatusApplicationControl: room types and single rooms are mixed"),
    ),
    ("HotelAvailNotifRQ_err_closing-seasons-must-not-overlap", Refused("overlaps the closed season")),
    ("HotelAvailNotifRQ_err_closing-seasons-no-inv-counts", Refused("a closed season has no counts")),
    ("HotelAvailNotifRQ_err_closing-seasons-not-on-top", Refused("closed seasons come first")),
    ("HotelAvailNotifRQ_err_no-hotelcode", Refused("no HotelCode or HotelName")),
    ("HotelAvailNotifRQ_err_no-uniqueid-and-reset", Refused("Instance=\"CompleteSet\"")),
    ("HotelAvailNotifRQ_ok_closing-seasons", Taken("  DOUBLE 2020-08-31/2020-10-01 closed=true")),
    ("HotelAvailNotifRQ_ok_complete-set", Taken("  double 2010-08-21/2010-08-31 availability=0")),
    ("HotelAvailNotifRQ_ok_delta-and-categories", Taken("set double 2010-08-01/2010-08-11 availability=0")),
    ("HotelAvailNotifRQ_ok_delta-and-rooms", Refused("does not say how many rooms of its type are free")),
    ("HotelAvailNotifRQ_ok_reset", Taken("replace * 1900-01-01/2299-12-31 of availability,capacity,closed")),
    ("HotelAvailNotifRQ_support_closing-seasons", Taken("  double 2010-08-01/2010-08-11 closed=true")),
    ("HotelAvailNotifRQ_support_deltas", Taken("set double 2010-08-01/2010-08-11 availability=0")),
    ("HotelAvailNotifRQ_support_out-of", Taken("  double 2010-08-01/2010-08-11 availability=0")),
    ("HotelAvailNotifRQ_support_", Taken("  double 2010-08-01/2010-08-11 availability=3")),
];

#[test]
fn every_sample_is_read_or_refused_as_it_should_be() {
    let Some(files) = testing::samples("alpinebits", ".xml") else { return };
    assert!(files.len() > 30, "{} files", files.len());
    for (path, body) in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let expected = FILES.iter().find(|(beginning, _)| name.starts_with(beginning));
        let (_, expected) = expected.unwrap_or_else(|| panic!("{name} is new here"));
        let parts = parts_with(SETTINGS, &String::from_utf8(body).unwrap());
        assert_eq!(parts.len(), 1, "{name}");
        match (&parts[0], expected) {
            (Ok(told), Taken(line)) => assert!(told.iter().any(|told| told == line), "{name}: {told:#?}"),
            (Err(reason), Refused(words)) => assert!(reason.contains(words), "{name}: {reason}"),
            (outcome, _) => panic!("{name}: {outcome:#?}"),
        }
    }
}

/// The sample that names no hotel is one of a hotel that the transport knows.
#[test]
fn the_cancellation_is_one_where_the_hotel_is_known() {
    let Some(files) = testing::samples("alpinebits", "cancellation.xml") else { return };
    for (_, body) in files {
        let parts = parts_with(r#"{"property": "123"}"#, &String::from_utf8(body).unwrap());
        assert_eq!(parts, [Ok(["at 123", "reservation c24e8b15ca469388"].map(str::to_owned).to_vec())]);
    }
}
