//! Watched folders.

use std::io::Write;
use std::time::{Duration, SystemTime};

use concord::connect::OpenError;

use crate::support::{Source, message};

const USUAL: &str = "[source.folder]\npath = \"in\"\nsettle = \"0s\"\nevery = \"10ms\"";

/// Puts a file into the folder as a careful sender does: under another name, then renamed. `minute` orders the files.
fn put(source: &Source, name: &str, content: impl AsRef<[u8]>, minute: u64) {
    let unfinished = source.path(&format!("in/{name}.part"));
    std::fs::create_dir_all(source.path("in")).expect("a folder");
    let mut file = std::fs::File::create(&unfinished).expect("a file");
    file.write_all(content.as_ref()).expect("written");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 60 * minute)).expect("a time");
    std::fs::rename(unfinished, source.path(&format!("in/{name}"))).expect("renamed");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("packed");
    encoder.finish().expect("packed")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_delivered_in_order_and_put_away() {
    let source = Source::new(USUAL);
    put(&source, "b.json.gz", gzip(&message(2)), 1);
    put(&source, "a.json", message(3), 2);
    std::fs::write(source.path("in/c.json.part"), message(4)).expect("a file");
    let connectors = source.start();
    for (offset, expected) in [(0, message(2)), (1, message(3))] {
        assert_eq!(source.record(offset).await.data, expected);
    }
    // What is written while it watches comes as well; half a file does not.
    put(&source, "d.json", message(5), 3);
    assert_eq!(source.record(2).await.data, message(5));
    connectors.close().await;
    assert_eq!(source.end().await, 3);
    for name in ["in/done/a.json", "in/done/b.json.gz", "in/done/d.json", "in/c.json.part"] {
        assert!(source.path(name).exists(), "{name}");
    }
    let ids: Vec<String> = [source.record(0).await.id, source.record(1).await.id].into();
    assert!(ids[0].starts_with("b.json.gz@") && ids[1].starts_with("a.json@"), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_append_and_move_repeats_the_same_ids() {
    let source = Source::new(&format!("{USUAL}\nlines = true"));
    put(&source, "a.jsonl", format!("{}\n\n{}\n", message(1), message(2)), 1);
    let connectors = source.start();
    let first = [source.record(0).await, source.record(1).await];
    connectors.close().await;
    // As it lies after a crash: in the log, and not yet put away.
    std::fs::rename(source.path("in/done/a.jsonl"), source.path("in/.taken/a.jsonl")).expect("moved");
    let connectors = source.start();
    let again = [source.record(2).await, source.record(3).await];
    connectors.close().await;
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((&first.id, &first.data), (&again.id, &again.data));
    }
    assert_ne!(first[0].id, first[1].id);
    assert!(source.path("in/done/a.jsonl").exists());
    // The same content under the same name, written later, is said anew.
    put(&source, "a.jsonl", format!("{}\n", message(1)), 2);
    let connectors = source.start();
    assert_ne!(source.record(4).await.id, first[0].id);
    connectors.close().await;
    assert!(source.path("in/done/a.jsonl.1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_lies_beside_its_reason() {
    let source = Source::new(&format!("{USUAL}\nlines = true\nbody_limit = \"1 KiB\""));
    let packed = gzip(&message(1));
    put(&source, "broken.jsonl.gz", &packed[..packed.len() - 4], 1);
    put(&source, "mixed.jsonl", format!("{}\nnonsense\n{}\n", message(2), message(3)), 2);
    put(&source, "large.jsonl", format!("{}\n{}\n{}\n", message(4), "x".repeat(2_000), message(5)), 3);
    put(&source, "last.jsonl", message(6), 4);
    let connectors = source.start();
    let mut offset = 0;
    // The last one's record says that all before it are dealt with.
    let mut seen = Vec::new();
    while seen.last().is_none_or(|data| *data != message(6)) {
        seen.push(source.record(offset).await.data);
        offset += 1;
    }
    connectors.close().await;
    for wanted in [2, 3, 4] {
        assert!(seen.iter().any(|data| *data == message(wanted)), "{wanted}");
    }
    assert!(seen.iter().any(|data| *data == "nonsense"), "a dead letter is in the log");
    assert!(!seen.iter().any(|data| *data == message(5)), "nothing behind a line that is too large");
    let reason = |name: &str| source.read(&format!("in/failed/{name}.reason.txt"));
    assert!(reason("broken.jsonl.gz").contains("no whole gzip"), "{}", reason("broken.jsonl.gz"));
    assert!(reason("mixed.jsonl").starts_with("3 deliveries, 3 records in the log, 1 wrong\n\nline 2: "));
    assert!(reason("large.jsonl").contains("line 2 has more than 1024 bytes"), "{}", reason("large.jsonl"));
    for name in ["broken.jsonl.gz", "mixed.jsonl", "large.jsonl"] {
        assert!(source.path(&format!("in/failed/{name}")).exists(), "{name}");
    }
    assert!(source.path("in/done/last.jsonl").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn card_data_in_files_goes_no_further() {
    let source = Source::new(USUAL);
    let body = message(1).replacen('{', "{\"note\":\"4111 1111 1111 1111\",\"cvv\":\"973\",", 1);
    put(&source, "4111111111111111.json", body, 1);
    let connectors = source.start();
    let record = source.record(0).await;
    connectors.close().await;
    let text = String::from_utf8(record.data.to_vec()).expect("text");
    assert!(text.contains("**** **** **** 1111") && text.contains("\"cvv\":\"***\""), "{text}");
    assert!(!record.id.contains("4111111111111111"), "{}", record.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_vouches_for_what_came_and_for_itself() {
    let source = Source::new(USUAL);
    put(&source, "a.json", message(1), 1);
    let connectors = source.start();
    source.record(0).await;
    let found = source.heartbeats(&connectors, 3).await;
    connectors.close().await;
    let alone = found.iter().filter(|property| property.is_none()).count();
    let of_h1 = found.iter().filter(|property| property.as_deref() == Some("H1")).count();
    assert_eq!((alone, of_h1), (2, 1), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_is_said_at_once() {
    let source = Source::new(USUAL);
    std::fs::write(source.path("in"), "a file").expect("a file");
    let error = source.open().err().expect("no folder");
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
    assert!(
        error.to_string().starts_with("source pms: ") && error.to_string().contains("/in cannot be made"),
        "{error}"
    );
}
