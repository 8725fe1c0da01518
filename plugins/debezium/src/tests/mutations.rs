//! Ten thousand mutated events: never a panic, never a room night out of bounds.

use concord_plugin::testing;

use super::{cloud, legacy};
use crate::Debezium;

#[test]
fn mutated_events_are_read_or_refused() {
    let row = r#"{"id":7,"haus_nr":12,"kategorie":"DZ","gueltig_von":20513,"gueltig_bis":"2026-03-03","anzahl_zimmer":8,"preis_cent":"12050","gesperrt":"N"}"#;
    let at = r#""gtid":"ab:3","file":"mysql-bin.000003","pos":484,"row":0"#;
    let mut legacy_samples: Vec<Vec<u8>> = vec![
        legacy::event("c", "null", row, at).into(),
        legacy::event("u", row, &row.replace("DZ", "EZ"), at).into(),
        legacy::event("d", row, "null", at).into(),
        format!(r#"{{"database":"hotel","table":"kontingente","type":"update","position":"master.000006:8","data":{row},"old":{{"preis_cent":"1"}}}}"#).into(),
    ];
    legacy_samples.extend(testing::samples("cdc", ".json").into_iter().flatten().map(|(_, body)| body));
    testing::owes_on_mutations::<Debezium>(legacy::SETTINGS, "application/json", &legacy_samples, 20_261_124, 10_000);
    let cloud_samples: Vec<Vec<u8>> = vec![
        cloud::event("c", "null", &cloud::night("20513", "\"120.5000\""), "room_nights").into(),
        cloud::event("u", "null", &cloud::night("20513", r#"{"scale":1,"value":"BLU="}"#), "room_nights").into(),
        br#"{"nextlsn":"0/10","change":[{"kind":"insert","schema":"public","table":"room_nights","columnnames":["property_id","room_type_id","night","free_units","price","currency","min_stay","note"],"columnvalues":["H1","T1","2026-03-01",3,120.5,"EUR",2,"x"]}]}"#.to_vec(),
        br#"{"action":"I","lsn":"16/B374D848","schema":"public","table":"reservation_rooms","columns":[{"name":"id","value":1},{"name":"reservation_id","value":"7"},{"name":"property_id","value":"H"},{"name":"status","value":"confirmed"},{"name":"check_in","value":"2026-03-01"},{"name":"check_out","value":"2026-03-02"},{"name":"room_type_id","value":"T"},{"name":"total","value":"1"},{"name":"guests","value":2},{"name":"channel","value":"x"},{"name":"channel_code","value":"9"},{"name":"group_id","value":null}]}"#.to_vec(),
    ];
    testing::owes_on_mutations::<Debezium>(cloud::SETTINGS, "application/json", &cloud_samples, 20_261_125, 10_000);
}
