//! What each system says, in the format that it speaks: OpenTravel XML, Booking.com's and Expedia's XML, schema.org JSON-LD.
//!
//! Knows the formats as their senders write them, one message per line. Does not know what is said, nor whether it makes sense:
//! broken things are written as they are.

use serde_json::{Value, json};

/// The systems, by the names of the pipeline's sources.
pub const SYSTEMS: [&str; 5] = ["pms", "booking-com", "expedia", "website", "revenue"];

/// The property management system.
pub const PMS: usize = 0;
/// Booking.com.
pub const BOOKING_COM: usize = 1;
/// Expedia.
pub const EXPEDIA: usize = 2;
/// The group's own website.
pub const WEBSITE: usize = 3;
/// The revenue managers' system, which sets prices.
pub const REVENUE: usize = 4;

/// The media type of what a source sends.
pub fn content_type(source: &str) -> &'static str {
    match source {
        "pms" | "booking-com" | "expedia" => "application/xml",
        "website" => "application/ld+json",
        _ => "application/json",
    }
}

/// A document (`property` with `reservation` or `inventory`, as the native form has them) as a system writes it. `said` is when it
/// says so, as an instant. `null` is half a message.
pub fn written(system: usize, document: &Value, said: &str) -> String {
    let message = Message { document, line: &document["reservation"]["lines"][0], said };
    match system {
        _ if document.is_null() => {
            "<OTA_HotelResNotifRQ Version=\"1.0\"><HotelReservations><HotelReservation ResSta".into()
        }
        PMS if document["inventory"]["fields"]["price"].is_object() => message.rates(),
        PMS if document["inventory"].is_object() => message.counts(),
        PMS => message.opentravel(),
        BOOKING_COM => message.booking_com(),
        EXPEDIA => message.expedia(),
        WEBSITE => message.json_ld(),
        _ => document.to_string(),
    }
}

struct Message<'m> {
    document: &'m Value,
    /// The booking's one room.
    line: &'m Value,
    said: &'m str,
}

impl Message<'_> {
    fn property(&self) -> &str {
        text(&self.document["property"])
    }

    fn number(&self) -> &str {
        text(&self.document["reservation"]["id"])
    }

    fn of_line(&self, key: &str) -> &str {
        text(&self.line[key])
    }

    /// The status in the words of a format; what no format knows stays as it is.
    fn status<'w>(&'w self, words: &[(&str, &'w str)]) -> &'w str {
        let status = self.of_line("status");
        words.iter().find(|(ours, _)| *ours == status).map_or(status, |(_, theirs)| *theirs)
    }

    fn guests(&self) -> u64 {
        self.line["guests"].as_u64().unwrap_or(1)
    }

    fn opentravel(&self) -> String {
        let status = self.status(&[
            ("confirmed", "Commit"),
            ("cancelled", "Cancel"),
            ("checked-in", "In-house"),
            ("checked-out", "Checked-Out"),
            ("no-show", "No-show"),
        ]);
        let room = self.line["room"].as_str().map_or(String::new(), |room| format!(" RoomID=\"{room}\""));
        let others = self.line["references"].as_array().into_iter().flatten().map(|reference| {
            let (issuer, value) = (text(&reference["issuer"]), text(&reference["value"]));
            format!("<HotelReservationID ResID_Type=\"34\" ResID_Value=\"{value}\" ResID_Source=\"{issuer}\"/>")
        });
        let others: String = others.collect();
        format!(
            "<OTA_HotelResNotifRQ xmlns=\"http://www.opentravel.org/OTA/2003/05\" Version=\"1.0\"><HotelReservations>\
             <HotelReservation ResStatus=\"{status}\" LastModifyDateTime=\"{said}\"><UniqueID Type=\"14\" ID=\"{number}\"/>\
             <RoomStays><RoomStay IndexNumber=\"1\"><RoomTypes><RoomType RoomTypeCode=\"{room_type}\"{room}/></RoomTypes>\
             <GuestCounts><GuestCount Count=\"{guests}\"/></GuestCounts><TimeSpan Start=\"{arrival}\" End=\"{departure}\"/>\
             <Total AmountAfterTax=\"{amount}\" CurrencyCode=\"EUR\"/><BasicPropertyInfo HotelCode=\"{hotel}\"/></RoomStay></RoomStays>\
             <ResGlobalInfo><HotelReservationIDs>{others}</HotelReservationIDs></ResGlobalInfo>\
             </HotelReservation></HotelReservations></OTA_HotelResNotifRQ>",
            said = self.said,
            number = self.number(),
            room_type = self.of_line("room_type"),
            guests = self.guests(),
            arrival = self.of_line("arrival"),
            departure = self.of_line("departure"),
            amount = self.of_line("amount"),
            hotel = self.property(),
        )
    }

    /// Where an inventory message holds: its end is the last day, not the day after.
    fn applies(&self) -> String {
        let inventory = &self.document["inventory"];
        let (first, end) = text(&inventory["nights"]).split_once('/').unwrap_or_default();
        let (room_type, last) = (text(&inventory["room_type"]), super::deliveries::day_before(end));
        format!("<StatusApplicationControl Start=\"{first}\" End=\"{last}\" InvTypeCode=\"{room_type}\"")
    }

    fn rates(&self) -> String {
        let price = &self.document["inventory"]["fields"]["price"];
        format!(
            "<OTA_HotelRateAmountNotifRQ xmlns=\"http://www.opentravel.org/OTA/2003/05\" Version=\"1.0\">\
             <RateAmountMessages HotelCode=\"{hotel}\"><RateAmountMessage>{applies} RatePlanCode=\"BAR\"/>\
             <Rates><Rate><BaseByGuestAmts><BaseByGuestAmt NumberOfGuests=\"2\" AmountAfterTax=\"{amount}\" CurrencyCode=\"{currency}\"/>\
             </BaseByGuestAmts></Rate></Rates></RateAmountMessage></RateAmountMessages></OTA_HotelRateAmountNotifRQ>",
            hotel = self.property(),
            applies = self.applies(),
            amount = text(&price["amount"]),
            currency = text(&price["currency"]),
        )
    }

    fn counts(&self) -> String {
        format!(
            "<OTA_HotelInvCountNotifRQ xmlns=\"http://www.opentravel.org/OTA/2003/05\" Version=\"1.0\">\
             <Inventories HotelCode=\"{hotel}\"><Inventory>{applies}/><InvCounts><InvCount CountType=\"1\" Count=\"{rooms}\"/></InvCounts>\
             </Inventory></Inventories></OTA_HotelInvCountNotifRQ>",
            hotel = self.property(),
            applies = self.applies(),
            rooms = self.document["inventory"]["fields"]["capacity"],
        )
    }

    fn booking_com(&self) -> String {
        let (date, time) = self.said.split_once('T').unwrap_or_default();
        format!(
            "<reservations><reservation><currencycode>EUR</currencycode><date>{date}</date><hotel_id>{hotel}</hotel_id><id>{number}</id>\
             <room><arrival_date>{arrival}</arrival_date><currencycode>EUR</currencycode><departure_date>{departure}</departure_date>\
             <id>{room_type}</id><numberofguests>{guests}</numberofguests><roomreservation_id>{number}1</roomreservation_id>\
             <totalprice>{amount}</totalprice></room><status>{status}</status><time>{time}</time></reservation></reservations>",
            time = time.get(..8).unwrap_or(time),
            hotel = self.property(),
            number = self.number(),
            arrival = self.of_line("arrival"),
            departure = self.of_line("departure"),
            room_type = self.of_line("room_type"),
            guests = self.guests(),
            amount = self.of_line("amount"),
            status = self.status(&[("confirmed", "new")]),
        )
    }

    fn expedia(&self) -> String {
        format!(
            "<BookingRetrievalRS xmlns=\"http://www.expediaconnect.com/EQC/BR/2014/01\"><Bookings>\
             <Booking id=\"{number}\" type=\"{kind}\" createDateTime=\"{said}\" source=\"Expedia\"><Hotel id=\"{hotel}\"/>\
             <RoomStay roomTypeID=\"{room_type}\" ratePlanID=\"BAR\"><StayDate arrival=\"{arrival}\" departure=\"{departure}\"/>\
             <GuestCount adult=\"{guests}\"/><Total amountAfterTaxes=\"{amount}\" currency=\"EUR\"/></RoomStay></Booking>\
             </Bookings></BookingRetrievalRS>",
            number = self.number(),
            kind = self.status(&[("confirmed", "Book"), ("cancelled", "Cancel")]),
            said = self.said,
            hotel = self.property(),
            room_type = self.of_line("room_type"),
            arrival = self.of_line("arrival"),
            departure = self.of_line("departure"),
            guests = self.guests(),
            amount = self.of_line("amount"),
        )
    }

    fn json_ld(&self) -> String {
        let status = self.status(&[("confirmed", "ReservationConfirmed"), ("cancelled", "ReservationCancelled")]);
        json!({
            "@context": "https://schema.org",
            "@type": "LodgingReservation",
            "reservationNumber": self.number(),
            "reservationStatus": format!("https://schema.org/{status}"),
            "modifiedTime": self.said,
            "checkinTime": format!("{}T15:00:00", self.of_line("arrival")),
            "checkoutTime": format!("{}T11:00:00", self.of_line("departure")),
            "lodgingUnitType": self.of_line("room_type"),
            "numAdults": self.guests(),
            "totalPrice": self.of_line("amount"),
            "priceCurrency": "EUR",
            "reservationFor": { "@type": "Hotel", "identifier": self.property() },
        })
        .to_string()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_speaks_its_own_format() {
        let booking = json!({ "property": "H1", "reservation": { "id": "7", "lines": [{ "status": "confirmed",
            "arrival": "2027-03-01", "departure": "2027-03-03", "room_type": "DBL", "amount": "258.00", "guests": 2 }] } });
        let said = "2027-02-01T09:30:00.000001Z";
        for (system, words) in [
            (PMS, "TimeSpan Start=\"2027-03-01\" End=\"2027-03-03\""),
            (BOOKING_COM, "<departure_date>2027-03-03</departure_date>"),
            (EXPEDIA, "createDateTime=\"2027-02-01T09:30:00.000001Z\""),
            (WEBSITE, "\"totalPrice\":\"258.00\""),
        ] {
            let message = written(system, &booking, said);
            assert!(message.contains(words) && !message.contains('\n'), "{message}");
        }
        let rooms = json!({ "property": "H1", "inventory": { "room_type": "DBL", "nights": "2027-03-01/2027-04-01", "fields": { "capacity": 5 } } });
        let message = written(PMS, &rooms, said);
        assert!(message.contains("End=\"2027-03-31\"") && message.contains("Count=\"5\""), "the last day: {message}");
    }
}
