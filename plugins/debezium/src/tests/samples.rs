//! The connectors' own sample events. Their tables know no hotels: a mapping for each makes room types of customers.

use concord_plugin::testing;

use super::{parts, refused};

/// Each row a night of its own; the date is the same for all.
fn settings(table: &str, id: &str, text: &str) -> String {
    format!(
        r#"{{"property": "H1", "tables": [{{"table": "{table}", "row": "booking", "reservation": "{id}", "arrival": "{text}", "departure": "{text}", "room_type": {{"value": "T"}}}}]}}"#
    )
}

/// What becomes of each sample of Debezium's under a mapping for its table: who is refused, and why.
const DEBEZIUM: [(&str, &str); 25] = [
    ("event-changes-01", "is missing"),
    ("event-flattening-01", "is missing"),
    ("mysqlmariadb-01", "a change of the schema"),
    ("mysqlmariadb-02", "a change of the schema"),
    ("mysqlmariadb-03", "source is missing"),
    ("mysqlmariadb-05", "neither"),
    ("mysqlmariadb-06", "is not a date"),
    ("mysqlmariadb-07", "is not a date"),
    ("mysqlmariadb-08", "cancel @[0, 3, 805, 0] 1004/1"),
    ("mysqlmariadb-09", "the key \"name\" stands twice"),
    ("pg-01", "source is missing"),
    ("pg-04", "is not a date"),
    ("pg-07", "names no booking"),
    ("pg-08", "a message in the log"),
    ("test-response", ""),
    ("test-sample", ""),
    ("test-serde", "is not a date"),
    ("timezone-converter", ""),
    ("tut-deleting-record-database-viewing-delete-event-01", "neither"),
    ("tut-deleting-record-database-viewing-delete-event-02", "the key \"name\" stands twice"),
    ("tut-deleting-record-database-viewing-delete-event-04", "a tombstone says nothing"),
    ("tut-updating-database-viewing-update-event-01", "neither"),
    ("tut-updating-database-viewing-update-event-02", "the key \"name\" stands twice"),
    ("tut-viewing-create-event-01", "neither"),
    ("tut-viewing-create-event-02", "is not a date"),
];

#[test]
fn samples_of_debezium() {
    let Some(files) = testing::samples("cdc/debezium", ".json") else { return };
    assert!(files.len() > 25);
    for (path, body) in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let expected = DEBEZIUM.iter().find(|(begin, _)| name.starts_with(begin)).unwrap().1;
        let outcome = parts(&settings("customers", "id", "first_name"), &String::from_utf8(body).unwrap());
        let outcome = outcome[0].clone().map_or_else(|reason| reason, |told| told[1].clone());
        assert!(outcome.contains(expected), "{name}: {outcome}");
    }
}

/// Maxwell's test files: statements, and behind `->` the events that they cause.
#[test]
fn samples_of_maxwell() {
    let Some(files) = testing::samples("cdc/maxwell", ".txt") else { return };
    let mut read = 0;
    for (path, body) in files {
        let text = String::from_utf8(body).unwrap();
        for event in text.split("->").skip(1) {
            // An event ends where the next statement begins; some span lines.
            let event = event.trim_start();
            let end = (1..=event.len()).filter(|end| event.is_char_boundary(*end)).find(|end| {
                event[..*end].ends_with('}') && concord_plugin::json::parse(&event.as_bytes()[..*end]).is_ok()
            });
            let Some(end) = end else { continue };
            let reason = parts(&settings("no_such_table", "id", "id"), &event[..end])[0].clone().unwrap_err();
            let known = [
                "is not in the mapping",
                "a change of the schema",
                "the edge of a bootstrap",
                "old is missing",
                "data is missing",
            ];
            assert!(
                known.iter().any(|words| reason.contains(words)),
                "{}: {reason}: {}",
                path.display(),
                &event[..end]
            );
            read += 1;
        }
    }
    assert!(read > 25, "{read} events");
}

#[test]
fn samples_of_maxwell_with_dates() {
    let Some(files) = testing::samples("cdc/maxwell/sqljson", "test_1j.txt") else { return };
    let text = String::from_utf8(files[0].1.clone()).unwrap();
    let mapping = settings("test_table", "id", "datecol");
    let events = text.lines().filter_map(|line| line.trim().strip_prefix("->"));
    let reasons: Vec<_> = events.map(|event| parts(&mapping, event.trim())[0].clone()).collect();
    // Arrival and departure are the same column here, so that there is no night where there is a date.
    let with = |words: &str| reasons.iter().filter(|reason| reason.as_ref().is_err_and(|r| r.contains(words))).count();
    assert!(with("is not after the arrival 1979-10-01") >= 2, "{reasons:?}");
    assert!(with("the column datecol is not in the row") >= 2, "{reasons:?}");
    assert!(reasons.iter().flatten().any(|told| told[1].starts_with("cancel ")), "deleted rows: {reasons:?}");
}

/// What wal2json writes into its tests' output: documents of format 2 on one line each, of format 1 over several.
#[test]
fn samples_of_wal2json() {
    let Some(files) = testing::samples("cdc/wal2json", ".out") else { return };
    let (mut second, mut first) = (0, 0);
    for (_, body) in files {
        let text = String::from_utf8(body).unwrap();
        for line in text.lines().map(str::trim).filter(|line| line.starts_with("{\"action\"")) {
            let reason = refused(&settings("no_such_table", "id", "id"), line);
            let known = ["is not in the mapping", "boundary", "a message"];
            assert!(known.iter().any(|words| reason.contains(words)), "{reason}: {line}");
            second += 1;
        }
        let mut document = String::new();
        for line in text.lines() {
            let Some(begun) = line.trim_end().strip_suffix('+').or(Some(line.trim_end())) else { continue };
            if begun.trim() == "{" {
                document.clear();
            }
            document.push_str(begun);
            if begun.trim() == "}" && document.contains("\"change\"") {
                let reasons = parts(&settings("no_such_table", "id", "id"), document.trim());
                let known = ["is not in the mapping", "without changes to rows", "bad JSON"];
                let fine = |reason: &Result<Vec<String>, String>| {
                    reason.as_ref().is_err_and(|reason| known.iter().any(|words| reason.contains(words)))
                };
                assert!(reasons.iter().all(fine), "{reasons:?}: {document}");
                first += 1;
                document.clear();
            }
        }
    }
    assert!(second > 50 && first > 10, "{second}, {first}");
}
