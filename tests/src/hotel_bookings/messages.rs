//! What each system sends about a booking: Booking.com's XML, schema.org JSON-LD, OPERA's reservation JSON.
//!
//! Does not know when something is told.

use concord::types::Day;
use serde_json::{Value, json};

use super::{Desk, Outcome, Row, Source, Step};

/// One message.
pub struct Message<'r> {
    /// The row's number, from 1.
    pub number: usize,
    pub row: &'r Row,
    pub step: Step,
    /// Minutes since 1970-01-01.
    pub at: i64,
    pub desk: Desk,
}

impl Message<'_> {
    /// As this system writes it, on one line.
    pub fn written(&self, source: Source) -> String {
        match source {
            Source::Ota => self.booking_com(),
            Source::Website => self.lodging().to_string(),
            Source::Pms => self.opera().to_string(),
        }
    }

    fn ended(&self, outcome: Outcome) -> bool {
        self.step == Step::Ended && self.row.outcome == outcome
    }

    /// At first children are forgotten.
    fn guests(&self) -> u32 {
        let told = self.step != Step::Booked || !self.row.changed;
        self.row.adults + if told { self.row.children } else { 0 }
    }

    /// `2016-03-01T09:00:00Z`.
    fn instant(&self) -> String {
        let (day, minute) = (self.at.div_euclid(24 * 60), self.at.rem_euclid(24 * 60));
        format!("{}T{:02}:{:02}:00Z", Day(day as i32), minute / 60, minute % 60)
    }

    fn amount(&self) -> String {
        let (sign, size) = (if self.row.amount < 0 { "-" } else { "" }, self.row.amount.unsigned_abs());
        format!("{sign}{}.{:04}", size / 10_000, size % 10_000)
    }

    /// Booking.com tells when a reservation was made, whatever becomes of it.
    fn booking_com(&self) -> String {
        let Row { arrival, booked, .. } = self.row;
        let status = match self.step {
            Step::Booked => "new",
            Step::Changed | Step::Assigned => "modified",
            Step::Ended => "cancelled",
        };
        let hotel = if self.row.hotel == "City Hotel" { "4480022" } else { "4480021" };
        let letter = self.row.reserved.bytes().next().unwrap_or(b'A').saturating_sub(b'A') + 1;
        format!(
            "<reservations><reservation><currencycode>EUR</currencycode><date>{booked}</date><hotel_id>{hotel}</hotel_id>\
             <id>{number}</id><room><arrival_date>{arrival}</arrival_date><currencycode>EUR</currencycode>\
             <departure_date>{departure}</departure_date><id>{hotel}{letter:02}</id><numberofguests>{guests}</numberofguests>\
             <roomreservation_id>{number}1</roomreservation_id><totalprice>{amount}</totalprice></room>\
             <status>{status}</status><time>09:00:00</time></reservation></reservations>",
            number = self.channel_number(),
            guests = self.guests(),
            departure = self.row.departure(),
            amount = self.amount(),
        )
    }

    /// The number of whoever sold the booking.
    fn channel_number(&self) -> String {
        match self.row.segment.as_str() {
            "Online TA" => format!("{}", 40_000_000 + self.number),
            _ => format!("W-{}", self.number),
        }
    }

    fn lodging(&self) -> Value {
        let status = if self.step == Step::Ended { "ReservationCancelled" } else { "ReservationConfirmed" };
        json!({
            "@context": "https://schema.org",
            "@type": "LodgingReservation",
            "reservationNumber": self.channel_number(),
            "reservationStatus": format!("https://schema.org/{status}"),
            "modifiedTime": self.instant(),
            "checkinTime": format!("{}T15:00:00+01:00", self.row.arrival),
            "checkoutTime": format!("{}T11:00:00+01:00", self.row.departure()),
            "lodgingUnitType": {"@type": "QualitativeValue", "name": self.row.reserved},
            "numAdults": self.guests(),
            "totalPrice": self.amount(),
            "priceCurrency": "EUR",
            "reservationFor": {"@type": "Hotel", "name": self.row.hotel},
        })
    }

    fn opera(&self) -> Value {
        let status = match (self.step, self.row.outcome) {
            (Step::Ended, Outcome::Canceled) => "Cancelled",
            (Step::Ended, Outcome::CheckOut) => "CheckedOut",
            (Step::Ended, Outcome::NoShow) => "NoShow",
            (Step::Assigned, _) if self.desk == Desk::ChecksIn => "InHouse",
            _ => "Reserved",
        };
        let assigned = self.step == Step::Assigned || self.ended(Outcome::CheckOut);
        let room_type = if assigned { &self.row.assigned } else { &self.row.reserved };
        let outside = match self.row.segment.as_str() {
            "Online TA" => json!([{"id": self.channel_number(), "idContext": "BOOKING.COM"}]),
            "Direct" => json!([{"id": self.channel_number(), "idContext": "WEBSITE"}]),
            _ => json!([]),
        };
        json!({"reservations": {"reservation": [{
            "reservationIdList": [
                {"id": self.number.to_string(), "type": "Reservation"},
                {"id": (1_000_000 + self.number).to_string(), "type": "Confirmation"},
            ],
            "externalReferences": outside,
            "roomStay": {
                "arrivalDate": self.row.arrival.to_string(),
                "departureDate": self.row.departure().to_string(),
                "roomRates": [{"roomType": room_type, "roomTypeCharged": self.row.reserved, "numberOfUnits": 1,
                    "total": {"amountAfterTax": self.amount(), "currencyCode": "EUR"}}],
                "guestCounts": {"adults": self.guests()},
            },
            "hotelId": if self.row.hotel == "City Hotel" { "CITY" } else { "RESORT" },
            "reservationStatus": status,
            "lastModifyDateTime": self.instant(),
        }]}})
    }
}
