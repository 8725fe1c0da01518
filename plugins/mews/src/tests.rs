//! Reservations and groups of Mews, and what is wrong with others.

use concord_plugin::testing;

use super::Mews;

const RESERVATIONS: &str = r#"{"Reservations":[
    {"Id":"res-1","ServiceId":"svc","GroupId":"grp","Number":"52","State":"Confirmed","ChannelNumber":"999","ChannelManagerGroupNumber":"123456","ChannelManagerNumber":"01","TravelAgencyId":"ta-1",
     "ScheduledStartUtc":"2026-03-28T23:30:00Z","ScheduledEndUtc":"2026-03-30T09:00:00Z","RequestedResourceCategoryId":"cat-1","AssignedResourceId":"room-7",
     "PersonCounts":[{"AgeCategoryId":"a","Count":2},{"AgeCategoryId":"c","Count":1}],"CreatedUtc":"2026-01-01T00:00:00Z","UpdatedUtc":"2026-02-01T12:00:00Z",
     "TotalAmount":{"Currency":"EUR","GrossValue":310.5,"NetValue":290}},
    {"Id":"res-2","ServiceId":"svc","State":"Canceled","CancellationReason":"NoShow","StartUtc":"2026-03-01T14:00:00Z","EndUtc":"2026-03-02T10:00:00Z","RequestedCategoryId":"cat-1","AdultCount":1,"UpdatedUtc":"2026-03-02T04:00:00Z"}],
    "Customers":[{"FirstName":"Ngọc"}],"Cursor":null}"#;

const GROUP: &str = r#"{"clientToken":"secret-1","connectionToken":"secret-2","channelId":"EXP-1","channelManagerId":"123456","currencyCode":"EUR","channel":{"code":1,"name":"Expedia"},
    "paymentCard":{"number":"4111111111111111","cvv":"666"},"comments":["4111 1111 1111 1111 房间"],
    "reservations":[
      {"code":"01","from":"2026-03-05","to":"2026-03-07","spaceTypeCode":"SGL","adultCount":1,"childCount":0,"state":1,"totalAmount":{"gross":260,"net":208}},
      {"code":"02","from":"2026-03-06","to":"2026-03-09","spaceTypeCode":"DBL","adultCount":"2","state":"2","totalAmount":{"gross":"340.00"}},
      {"code":"03","from":"2026-03-06","spaceTypeCode":"DBL","state":3}]}"#;

const SETTINGS: &str = r#"{"property":"H1","time_zone":"Europe/Prague","channels":{"ta-1":"booking-com"}}"#;

fn parts(settings: &str, body: &str) -> Vec<Result<Vec<String>, String>> {
    testing::told_parts::<Mews>(settings, &testing::delivery("application/json", body))
}

fn refused(settings: &str, body: &str) -> String {
    parts(settings, body).into_iter().find_map(Result::err).unwrap_or_else(|| panic!("taken: {body}"))
}

#[test]
fn instants_become_nights_at_the_hotel() {
    let told: Vec<_> = parts(SETTINGS, RESERVATIONS).into_iter().map(Result::unwrap).collect();
    assert_eq!(
        told[0],
        [
            "at H1",
            "line @2026-02-01T12:00:00Z res-1: 1 confirmed 2026-03-29/2026-03-30 cat-1 room \"room-7\" 310.5 EUR 3 guests booking:mews:52 booking:booking-com:999 booking:mews-channel-manager:123456/01 group:mews:grp",
        ],
        "half past midnight in Prague, and summer time begins that night"
    );
    assert_eq!(
        told[1],
        ["at H1", "line @2026-03-02T04:00:00Z res-2: 1 no-show 2026-03-01/2026-03-02 cat-1 room \"\" 1 guests"]
    );
    assert_eq!(parts(r#"{"time_zone":"UTC"}"#, RESERVATIONS)[0].clone().unwrap()[0], "at svc");
    assert!(parts(r#"{"time_zone":"UTC"}"#, RESERVATIONS)[0].clone().unwrap()[1].contains(" 2026-03-28/2026-03-30 "));
    let older = RESERVATIONS.replace("\"State\":\"Confirmed\"", "\"State\":\"Started\"");
    assert!(parts(SETTINGS, &older)[0].clone().unwrap()[1].contains("checked-in"));
}

#[test]
fn without_a_time_zone_no_night_is_guessed() {
    let reason = refused(r#"{"property":"H1"}"#, RESERVATIONS);
    assert!(
        reason.contains("ScheduledStartUtc: is an instant") || reason.contains("needs the setting \"time_zone\""),
        "{reason}"
    );
    assert!(
        refused(r#"{"time_zone":"Europe/Atlantis"}"#, RESERVATIONS).contains("\"Europe/Atlantis\" is not a time zone")
    );
    let cancelled = RESERVATIONS.replace("\"Confirmed\"", "\"Canceled\"");
    assert!(
        parts(r#"{"property":"H1"}"#, &cancelled)[0].clone().unwrap()[1].contains("res-1: 1 cancelled booking"),
        "a cancellation needs none"
    );
}

#[test]
fn a_group_is_told_whole() {
    assert_eq!(
        parts(SETTINGS, GROUP)[0].clone().unwrap(),
        [
            "at H1",
            "reservation 123456",
            "  01 confirmed 2026-03-05/2026-03-07 SGL 260 EUR 1 guests booking:expedia:EXP-1 booking:mews-channel-manager:123456/01",
            "  02 confirmed 2026-03-06/2026-03-09 DBL 340.00 EUR 2 guests booking:expedia:EXP-1 booking:mews-channel-manager:123456/02",
            "  03 cancelled booking:expedia:EXP-1 booking:mews-channel-manager:123456/03",
        ]
    );
    for all in ["null", "[]"] {
        let cancelled = format!(r#"{{"channelManagerId":"123456","reservations":{all}}}"#);
        assert_eq!(parts(SETTINGS, &cancelled)[0].clone().unwrap(), ["at H1", "reservation 123456"], "{all}");
    }
    assert!(refused(SETTINGS, r#"{"channelManagerId":"123456"}"#).contains("reservations is missing"));
    let net = r#"{"property":"H1","tax":"before"}"#;
    assert!(parts(net, GROUP)[0].clone().unwrap()[2].contains("208 EUR"));
}

#[test]
fn what_is_thin_or_no_stay_says_so() {
    for (body, words) in [
        (
            r#"{"EnterpriseId":"e","Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"res-1"}}]}"#,
            "carries ids only",
        ),
        (r#"{"messageId":"1","availabilityBlock":{"code":"33"}}"#, "an availability block"),
        (r#"{"Reservations":[]}"#, "there is nothing to read"),
        ("7", "is not an object"),
    ] {
        assert!(refused(SETTINGS, body).contains(words), "{body}");
    }
    let parking = SETTINGS.replacen('{', r#"{"services":["stay"],"#, 1);
    assert!(refused(&parking, RESERVATIONS).contains("ServiceId: \"svc\" is not among"));
}

#[test]
fn cards_and_tokens_stay_outside() {
    use concord_plugin::{Normalizer, json};
    let settings = json::parse(SETTINGS.as_bytes()).unwrap();
    let settings = Mews::settings(settings.root()).unwrap();
    let parts = <Mews as Normalizer>::split(&settings, &testing::delivery("application/json", GROUP)).unwrap();
    let body = String::from_utf8(parts[0].body.clone().unwrap()).unwrap();
    assert!(!body.contains("4111111111111111") && !body.contains("4111 1111") && !body.contains("secret"), "{body}");
    assert!(body.contains("房间"), "{body}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (sample, from, to, words) in [
        (RESERVATIONS, "2026-03-30T09", "2026-03-28T23", "ScheduledEndUtc: 2026-03-29 is not after the arrival"),
        (RESERVATIONS, "2026-03-30T09", "2062-03-30T09", "at most 365 are taken"),
        (RESERVATIONS, "\"2026-03-28T23:30:00Z\"", "1774740600", "is not a string"),
        (RESERVATIONS, "\"Confirmed\"", "\"Inquired\"", "an enquiry holds no room"),
        (RESERVATIONS, "\"Confirmed\"", "\"Odd\"", "\"Odd\" is not one of Inquired"),
        (RESERVATIONS, "\"RequestedResourceCategoryId\":\"cat-1\",", "", "RequestedResourceCategoryId is missing"),
        (RESERVATIONS, "310.5", "310.50001", "at most four decimals"),
        (GROUP, "\"2026-03-07\"", "\"2026-03-05\"", "reservations[0].to: 2026-03-05 is not after"),
        (GROUP, "\"02\"", "\"01\"", "the code 01 stands twice"),
        (GROUP, "\"state\":1", "\"state\":4", "state: 4 is not one of 1, 2, 3"),
        (GROUP, "\"currencyCode\":\"EUR\",", "", "the amount has no currency"),
        (GROUP, "\"adultCount\":1", "\"adultCount\":4294967296", "is not a whole number from 0 on"),
    ] {
        assert!(sample.contains(from), "{from}");
        let reason = refused(SETTINGS, &sample.replacen(from, to, 1));
        assert!(reason.contains(words), "{to}: {reason}");
    }
    assert!(refused(r#"{"time_zone":"UTC"}"#, GROUP).contains("neither an attribute nor the setting"));
}

#[test]
fn mutated_messages_are_read_or_refused() {
    testing::owes_on_mutations::<Mews>(
        SETTINGS,
        "application/json",
        &[RESERVATIONS.into(), GROUP.into()],
        20_261_124,
        10_000,
    );
}
