//! What `concord status` says of captured databases: while they are followed, while one is away, while nobody captures.

use concord_tests::servers::installed;
use concord_tests::two_systems::{Options, Stage};
use serde_json::Value;

/// The capture of a source.
fn of<'a>(status: &'a Value, source: &str) -> &'a Value {
    let all = status["captures"].as_array().expect("captures");
    all.iter().find(|capture| capture["source"] == source).unwrap_or_else(|| panic!("no {source}: {status}"))
}

#[test]
fn how_far_captures_are_and_what_keeps_them() {
    if !installed() {
        return;
    }
    if concord::engine::find_library(None).is_err() {
        return println!("skipped: no libchdb");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { seed: 7, transactions: 5, probes: 2, port: 0 };
    let mut stage = Stage::new(folder.path(), options).expect("servers and pipeline");
    stage.up().expect("it follows both");
    stage.watch(1).expect("changes of both are visible");
    let (code, words, status) = stage.status().expect("an answer");
    assert_eq!((code, &status["attention"]), (0, &Value::Array(Vec::new())), "{words}");
    assert!(words.contains("\ncaptured databases\n"), "{words}");
    for (source, database) in [("legacy", "MySQL at 127.0.0.1:"), ("cloud", "PostgreSQL cloud at ")] {
        let capture = of(&status, source);
        assert_eq!(capture["state"], "following", "{capture}");
        assert!(capture["database"].as_str().is_some_and(|text| text.starts_with(database)), "{capture}");
        for known in ["position", "end"] {
            assert!(capture[known].is_string(), "{known}: {capture}");
        }
        for known in ["behind_bytes", "last_change", "delay_millis"] {
            assert!(capture[known].is_i64(), "{known}: {capture}");
        }
        assert!(capture["records"].as_u64().is_some_and(|records| records > 0), "{capture}");
        assert!(words.contains(capture["position"].as_str().expect("a position")), "{words}");
    }
    stage.legacy.stop().expect("it stops");
    stage.wait_for("trying again").expect("a capture that fails");
    let (code, words, status) = stage.status().expect("an answer");
    assert_eq!(code, 1, "{words}");
    let (legacy, cloud) = (of(&status, "legacy"), of(&status, "cloud"));
    assert_eq!((legacy["state"].as_str(), cloud["state"].as_str()), (Some("failing"), Some("following")), "{status}");
    assert!(legacy["error"].is_string() && legacy["failing_since"].is_i64(), "{legacy}");
    assert!(words.contains("\nattention: source legacy: nothing is captured of MySQL at "), "{words}");
    assert_eq!(status["attention"].as_array().map(Vec::len), Some(1), "{status}");
    stage.down().expect("it ends");
    let (_, _, status) = stage.status().expect("an answer");
    let (legacy, cloud) = (of(&status, "legacy"), of(&status, "cloud"));
    assert_eq!((legacy["state"].as_str(), cloud["state"].as_str()), (Some("stopped"), Some("stopped")), "{status}");
    assert!(legacy["position"].as_str().is_some_and(|position| position.starts_with("bin.")), "{legacy}");
    assert_eq!(cloud["position"], "slot concord_cloud", "{cloud}");
}
