//! Reservations in the dialects of those who send them.

use concord_plugin::{Normalizer as _, json, testing, xml};

use super::{parts_with, refused, refused_with, told, told_with};
use crate::Opentravel;

/// Two rooms, one of them for two units, prices per night, no TimeSpan, a card: as a channel manager pushes it over SOAP.
pub const SITEMINDER: &str = include_str!("../../cases/channel_manager.xml");

/// A modification by a central reservation system: rates only, an assigned room, foreign scripts.
pub const HTNG: &str = include_str!("../../cases/foreign_scripts.xml");

/// A reservation of one room with the pieces that a test is about.
fn booking(attributes: &str, stay: &str) -> String {
    format!(
        r#"<OTA_HotelResNotifRQ><HotelReservations><HotelReservation {attributes}><UniqueID Type="14" ID="R1"/>
        <RoomStays><RoomStay><RoomTypes><RoomType RoomTypeCode="DBL"/></RoomTypes>{stay}<BasicPropertyInfo HotelCode="H1"/></RoomStay>
        </RoomStays></HotelReservation></HotelReservations></OTA_HotelResNotifRQ>"#
    )
}

const SPAN: &str = r#"<TimeSpan Start="2026-03-01" End="2026-03-04"/>"#;

#[test]
fn a_channel_manager_pushes_several_rooms() {
    assert_eq!(
        told(SITEMINDER),
        [
            "at H1",
            "reservation @2026-02-01T09:59:00Z BDC-4711",
            "  501 confirmed 2026-03-01/2026-03-04 DBL 320.10 EUR 3 guests booking:booking-com:BDC-4711 booking:pms:P-9",
            "  502 confirmed 2026-03-01/2026-03-02 SGL 50.00 EUR booking:booking-com:BDC-4711 booking:pms:P-9",
            "  502.2 confirmed 2026-03-01/2026-03-02 SGL 50.00 EUR booking:booking-com:BDC-4711 booking:pms:P-9",
        ]
    );
}

#[test]
fn foreign_scripts_and_missing_offsets() {
    let expected = |revision: &str| {
        vec![
            "at ホテル".to_owned(),
            format!("reservation @{revision} 予約-7"),
            "  1 checked-in 2026-03-01/2026-03-03 دبل room \"１０４\" 20000 JPY booking:crs:予約-7".to_owned(),
        ]
    };
    assert_eq!(told(HTNG), expected("2026-03-01T15:00:00Z"), "without an offset, UTC");
    assert_eq!(told_with(r#"{"utc_offset": "+09:00"}"#, HTNG), expected("2026-03-01T06:00:00Z"));
}

#[test]
fn what_must_not_reach_the_log_does_not() {
    let delivery = testing::delivery("text/xml", SITEMINDER);
    let settings = Opentravel::settings(json::parse(b"{}").unwrap().root()).unwrap();
    let parts = Opentravel::split(&settings, &delivery).unwrap();
    let body = String::from_utf8(parts[0].body.clone().unwrap()).unwrap();
    for secret in ["4444333322221111", "123\"", "s3cret", "PaymentCard"] {
        assert!(!body.contains(secret), "{secret} in {body}");
    }
    assert!(body.contains("BDC-4711") && body.contains("CompanyName"), "{body}");
    let text = booking("", &format!("{SPAN}<Comments><Comment>my card: 4444 3333 2222 1111</Comment></Comments>"));
    let parts = Opentravel::split(&settings, &testing::delivery("text/xml", text)).unwrap();
    assert!(String::from_utf8(parts[0].body.clone().unwrap()).unwrap().contains("**** **** **** 1111"));
}

#[test]
fn several_reservations_are_several_records() {
    let one = |id: &str, hotel: &str, start: &str| {
        format!(
            r#"<HotelReservation><UniqueID Type="14" ID="{id}"/><RoomStays><RoomStay><RoomTypes><RoomType RoomTypeCode="DBL"/>
            </RoomTypes><TimeSpan Start="{start}" Duration="P2N"/><BasicPropertyInfo HotelCode="{hotel}"/></RoomStay></RoomStays></HotelReservation>"#
        )
    };
    let body = format!(
        "<OTA_ResRetrieveRS><Success/><ReservationsList>{}{}{}</ReservationsList></OTA_ResRetrieveRS>",
        one("R1", "H1", "2026-03-01"),
        one("R2", "H2", "soon"),
        one("R3", "H2", "2026-04-01"),
    );
    let parts = parts_with("{}", &body);
    assert_eq!(parts[0].as_ref().unwrap()[1..], ["reservation R1", "  1 confirmed 2026-03-01/2026-03-03 DBL"]);
    assert_eq!(
        parts[1].as_ref().unwrap_err(),
        "ReservationsList/HotelReservation/RoomStays/RoomStay/TimeSpan/@Start: \"soon\" is not a date from 1900-01-01 to \
         2299-12-31 (YYYY-MM-DD)"
    );
    assert_eq!(parts[2].as_ref().unwrap()[..2], ["at H2", "reservation R3"]);
}

#[test]
fn every_status_has_a_meaning() {
    for (word, status) in [
        ("Reserved", "confirmed"),
        ("Commit", "confirmed"),
        ("Book", "confirmed"),
        ("modify", "confirmed"),
        ("Waitlisted", "tentative"),
        ("In-house", "checked-in"),
        ("InHouse", "checked-in"),
        ("Checked-Out", "checked-out"),
        ("No-show", "no-show"),
        ("NoShow", "no-show"),
    ] {
        let told = told(&booking(&format!("ResStatus='{word}'"), SPAN));
        assert_eq!(told[2], format!("  1 {status} 2026-03-01/2026-03-04 DBL"), "{word}");
    }
    assert!(refused(&booking("ResStatus='Lost'", SPAN)).contains("\"Lost\" is not one of Reserved, Commit"));
    assert!(refused(&booking("ResStatus='Requested'", SPAN)).contains("asks for an offer"));
}

#[test]
fn cancellations_in_every_spelling() {
    for word in ["Cancel", "Cancelled", "Canceled", "CANCELLED"] {
        let told = told(&booking(&format!("ResStatus='{word}'"), SPAN));
        assert_eq!(told[1..], ["reservation R1", "  1 cancelled 2026-03-01/2026-03-04 DBL"], "{word}");
    }
    let modified = r#"LastModifyDateTime="2026-02-01T00:00:00Z""#;
    let by_message =
        booking(modified, SPAN).replace("<OTA_HotelResNotifRQ>", "<OTA_HotelResNotifRQ ResStatus='Cancel'>");
    assert_eq!(
        told(&by_message)[1..],
        ["reservation @2026-02-01T00:00:00Z R1", "  1 cancelled 2026-03-01/2026-03-04 DBL"]
    );
    let by_type = booking("ResStatus='Cancelled'", "<Poor/>").replace("Type=\"14\"", "Type=\"15\"");
    assert_eq!(told(&by_type)[1..], ["reservation R1", "  1 cancelled"], "whatever else can be read");
    let by_room = booking("", &format!("{SPAN}</RoomStay><RoomStay RoomStayStatus='Cancelled'>"));
    assert_eq!(told(&by_room)[2..], ["  1 confirmed 2026-03-01/2026-03-04 DBL", "  2 cancelled"]);
    let by_omission = booking("", SPAN);
    let start = by_omission.find("<RoomStay>").unwrap();
    let end = by_omission.find("</RoomStays>").unwrap();
    let emptied = format!("{}{}", &by_omission[..start], &by_omission[end..]);
    assert_eq!(told_with(r#"{"property": "H1"}"#, &emptied)[1..], ["reservation R1"]);
}

#[test]
fn a_cancellation_by_another_message() {
    let body = |ids: &str| format!("<OTA_CancelRQ CancelType='Commit'>{ids}</OTA_CancelRQ>");
    let ours = r#"<UniqueID Type="3" ID="P-9"/><UniqueID Type="14" ID="R1"/>"#;
    let settings = r#"{"property": "H1"}"#;
    assert_eq!(told_with(settings, &body(ours)), ["at H1", "reservation R1"]);
    let inside = format!("{ours}<TPA_Extensions><BasicPropertyInfo HotelCode=\"H7\"/></TPA_Extensions>");
    assert_eq!(told(&body(&inside))[0], "at H7");
    assert!(refused_with(settings, &body("<UniqueID Type='1' ID='x'/>")).contains("no identifier"));
    for (attributes, words) in [
        ("CancelType='Initiate'", "@CancelType: \"Initiate\" is not one of Cancel, Commit"),
        ("SimulateCancelAndGetPenaltyAmount='true'", "asks what a cancellation would cost"),
    ] {
        let reason = refused_with(settings, &body(ours).replace("CancelType='Commit'", attributes));
        assert!(reason.contains(words), "{reason}");
    }
    // Expedia names the hotel in the envelope only.
    let soap = format!(
        r#"<s:Envelope xmlns:s="urn:s"><s:Header><Interface><PayloadInfo><CommDescriptor><Authentication Username="u" Password="geheim"/>
        </CommDescriptor><PayloadDescriptor><PayloadReference SupplierHotelCode="H&amp;8"/></PayloadDescriptor></PayloadInfo></Interface>
        </s:Header><s:Body>{}</s:Body></s:Envelope>"#,
        body(ours)
    );
    assert_eq!(told(&soap)[0], "at H&8");
}

#[test]
fn who_a_reservation_is_and_who_knows_it() {
    let with = |ids: &str| booking("", SPAN).replace(r#"<UniqueID Type="14" ID="R1"/>"#, ids);
    let global =
        |ids: &str| with(&format!("<ResGlobalInfo><HotelReservationIDs>{ids}</HotelReservationIDs></ResGlobalInfo>"));
    let own = |body: &str| told(body)[1].clone();
    assert_eq!(own(&with(r#"<UniqueID Type="15" ID="C"/><UniqueID Type="14" ID="R"/>"#)), "reservation R");
    assert_eq!(
        own(&global(
            r#"<HotelReservationID ResID_Type="3" ResID_Value="P"/><HotelReservationID ResID_Type="8" ResID_Value="E"/>"#
        )),
        "reservation E"
    );
    assert_eq!(own(&global(r#"<HotelReservationID ResID_Value="312"/>"#)), "reservation 312");
    assert!(refused(&with("")).contains("no identifier"));

    let expedia = with(
        r#"<UniqueID Type="14" ID="668"/><ResGlobalInfo><HotelReservationIDs><HotelReservationID ResID_Type="3" ResID_Value="P-1"/>
        <HotelReservationID ResID_Type="13" ResID_Value="top banner"/></HotelReservationIDs></ResGlobalInfo>"#,
    );
    let line = |settings: &str| told_with(settings, &expedia)[2].clone();
    assert_eq!(line("{}"), "  1 confirmed 2026-03-01/2026-03-04 DBL booking:pms:P-1");
    assert_eq!(
        line(r#"{"issuer": "Expedia", "issuers": {"3": "opera", "13": "ads"}}"#),
        "  1 confirmed 2026-03-01/2026-03-04 DBL booking:expedia:668 booking:opera:P-1 booking:ads:top banner"
    );
}

#[test]
fn nights_come_from_wherever_they_stand() {
    for (stay, nights) in [
        (r#"<TimeSpan Start="2026-03-01T14:00:00+01:00" End="2026-03-04T11:00:00+01:00"/>"#, "2026-03-01/2026-03-04"),
        (r#"<TimeSpan Start="2026-03-01" Duration="P3D"/>"#, "2026-03-01/2026-03-04"),
        (r#"<TimeSpan Start="2026-03-01" Duration="2" End=""/>"#, "2026-03-01/2026-03-03"),
        (
            r#"<RatePlans><RatePlan EffectiveDate="2026-03-01" ExpireDate="2026-03-03"/></RatePlans>"#,
            "2026-03-01/2026-03-03",
        ),
        (
            r#"<RoomRates><RoomRate><Rates><Rate EffectiveDate="2026-03-02"/><Rate EffectiveDate="2026-03-01"/></Rates></RoomRate></RoomRates>"#,
            "2026-03-01/2026-03-03",
        ),
        (
            r#"<RoomRates><RoomRate><Rates><Rate EffectiveDate="2026-03-01" ExpireDate="2026-03-03" ExpireDateExclusiveInd="false"/></Rates></RoomRate></RoomRates>"#,
            "2026-03-01/2026-03-04",
        ),
    ] {
        assert_eq!(told(&booking("", stay))[2], format!("  1 confirmed {nights} DBL"), "{stay}");
    }
}

#[test]
fn what_is_no_stay_is_refused_at_its_place() {
    let place = "HotelReservations/HotelReservation/RoomStays/RoomStay";
    for (stay, words) in [
        (
            r#"<TimeSpan Start="2026-03-04" End="2026-03-04"/>"#,
            "TimeSpan/@End: 2026-03-04 is not after the arrival 2026-03-04",
        ),
        (
            r#"<TimeSpan Start="2026-03-04" End="2029-03-04"/>"#,
            "TimeSpan/@End: 2026-03-04 to 2029-03-04 are 1096 nights",
        ),
        (r#"<TimeSpan Start="2026-02-30" End="2026-03-04"/>"#, "TimeSpan/@Start: \"2026-02-30\" is not a date"),
        (r#"<TimeSpan Start="2026-03-04" Duration="P99999999999D"/>"#, "is not a number of nights"),
        (r#"<TimeSpan End="2026-03-04"/>"#, "the attribute Start is missing"),
        (r#"<TimeSpan Start="2026-03-04"/>"#, "the attribute End is missing"),
        (
            r#"<TimeSpan><StartDateWindow EarliestDate="2026-03-01" LatestDate="2026-03-09"/></TimeSpan>"#,
            "a window of arrival dates",
        ),
        ("", "no TimeSpan and no rates with dates"),
        (
            r#"<RatePlans><RatePlan EffectiveDate="2026-03-01"/><RatePlan EffectiveDate="2026-03-04"/></RatePlans>"#,
            "the rates leave out nights",
        ),
        (
            r#"<TimeSpan Start="2026-03-01" End="2026-03-04"/><Total AmountAfterTax="99"/>"#,
            "Total/@AmountAfterTax: the amount has no CurrencyCode",
        ),
        (
            r#"<TimeSpan Start="2026-03-01" End="2026-03-04"/><Total AmountAfterTax="12,50" CurrencyCode="EUR"/>"#,
            "\"12,50\" is not a decimal",
        ),
        (
            r#"<TimeSpan Start="2026-03-01" End="2026-03-04"/><Total AmountAfterTax="NaN" CurrencyCode="EUR"/>"#,
            "\"NaN\" is not a decimal",
        ),
        (
            r#"<TimeSpan Start="2026-03-01" End="2026-03-04"/><GuestCounts><GuestCount Count="-1"/></GuestCounts>"#,
            "\"-1\" is not a whole number",
        ),
    ] {
        let reason = refused(&booking("", stay));
        assert!(reason.starts_with(place) && reason.contains(words), "{stay}: {reason}");
    }
    let two =
        booking("", SPAN).replace("RoomTypeCode=\"DBL\"/>", "RoomTypeCode=\"DBL\"/><RoomType RoomTypeCode=\"SGL\"/>");
    assert!(refused(&two).contains("another room type than \"DBL\""));
    let many = booking("", SPAN).replace("RoomTypeCode=\"DBL\"", "RoomTypeCode=\"DBL\" NumberOfUnits=\"1000000\"");
    assert!(refused(&many).contains("a number of rooms from 1 to 100"));
    let none = booking("", SPAN).replace("RoomTypeCode=\"DBL\"", "");
    assert!(refused(&none).contains("no room type"));
}

#[test]
fn acknowledgements_and_errors_are_no_bookings() {
    let body = "<OTA_HotelResModifyNotifRQ><HotelResModifies><HotelResModify><UniqueID Type='14' ID='1'/></HotelResModify></HotelResModifies></OTA_HotelResModifyNotifRQ>";
    assert!(refused_with(r#"{"property": "H1"}"#, body).contains("an acknowledgement is no booking"));
    let body = "<OTA_ResRetrieveRS><Errors><Error ShortText='no such hotel'/></Errors></OTA_ResRetrieveRS>";
    assert!(refused(body).contains("the message reports an error: no such hotel"));
    let hotels =
        booking("", SPAN).replace("</RoomStay>", "</RoomStay><RoomStay><BasicPropertyInfo HotelCode='H2'/></RoomStay>");
    assert!(refused(&hotels).contains("is another hotel than \"H1\""));
}

#[test]
fn money_before_and_after_tax() {
    let stay = format!(r#"{SPAN}<Total AmountBeforeTax="90" AmountAfterTax="100" CurrencyCode="EUR"/>"#);
    assert!(told(&booking("", &stay))[2].ends_with("100 EUR"));
    assert!(told_with(r#"{"tax": "before"}"#, &booking("", &stay))[2].ends_with("90 EUR"));
    let bare = format!(r#"{SPAN}<Total AmountAfterTax="100"/>"#);
    assert!(told_with(r#"{"currency": "CHF"}"#, &booking("", &bare))[2].ends_with("100 CHF"));
    // Three rooms for 100.00: a third of it is no amount.
    let three = booking("", &format!(r#"{SPAN}<Total AmountAfterTax="100.00" CurrencyCode="EUR"/>"#))
        .replace("RoomTypeCode=\"DBL\"", "RoomTypeCode=\"DBL\" NumberOfUnits=\"3\"");
    assert_eq!(told(&three).len(), 5);
    assert!(told(&three)[2].ends_with("DBL"));
}

#[test]
fn attributes_of_the_transport_name_the_hotel() {
    let body = booking("", SPAN).replace("<BasicPropertyInfo HotelCode=\"H1\"/>", "");
    let mut delivery = testing::delivery("text/xml", body.clone());
    delivery.attributes.push(("property".into(), "H9".into()));
    let said = testing::through::<Opentravel>("{}", &delivery).unwrap();
    assert_eq!(said[0].as_ref().unwrap().property, "H9");
    assert!(refused(&body).contains("no HotelCode or HotelName"));
    let name = booking("", SPAN).replace("HotelCode", "HotelName");
    assert_eq!(told(&name)[0], "at H1", "AlpineBits allows the name instead of the code");
}

#[test]
fn settings_are_strict() {
    for (settings, words) in [
        (r#"{"proprety": "H1"}"#, "unknown key \"proprety\""),
        (r#"{"utc_offset": "Europe/Madrid"}"#, "is not an offset"),
        (r#"{"tax": "none"}"#, "is not \"after\" or \"before\""),
        (r#"{"fields": {"prices": "p"}}"#, "unknown field \"prices\""),
        (r#"{"fields": {"closed": "c"}}"#, "unknown field \"closed\""),
    ] {
        let reason = refused_with(settings, SITEMINDER);
        assert!(reason.contains(words), "{reason}");
    }
    let text = xml::decode(b"<a/>").unwrap();
    assert!(xml::parse(&text).is_ok());
}
