//! What the sections of fetched sources say, and what is said about what is wrong in them.

use std::path::Path;

use super::*;
use crate::config::{PipelineFile, SourceSettings};

fn read(section: &str) -> Result<SourceSettings, String> {
    let text = format!(
        "[pipeline]\nname = \"p\"\n[rules]\nfile = \"r.toml\"\nplugin = \"p.wasm\"\n\
         [[source]]\nname = \"pms\"\nplugin = \"n.wasm\"\nidentity = true\n{section}"
    );
    let file = PipelineFile::parse(Path::new("etc/p.toml"), &text).map_err(|errors| errors.to_string())?;
    file.sources.into_iter().next().ok_or_else(|| "no source".to_owned())
}

#[test]
fn short_sections_have_sensible_defaults() {
    let folder = read("[source.folder]\npath = \"in\"").expect("a source").folder.expect("a folder");
    assert_eq!((folder.done, folder.failed), ("etc/in/done".into(), "etc/in/failed".into()));
    assert_eq!((folder.settle, folder.keep, folder.lines), (Duration::from_secs(2), None, false));
    let poll = read("[source.poll]\nurl = \"https://h/r\"").expect("a source").poll.expect("an endpoint");
    assert_eq!((poll.every, poll.timeout), (Duration::from_secs(60), Duration::from_secs(30)));
    assert_eq!((poll.auth, poll.cursor), (None, None));
}

#[test]
fn an_endpoint_with_everything() {
    let section = "[source.poll]\nurl = \"http://10.0.0.1:8080/r?x=1\"\nplaintext = true\nevery = \"5m\"\n\
        headers = { Accept = \"application/json\" }\nattributes = { property = \"H1\" }\n\
        auth = { kind = \"header\", header = \"X-Api-Key\", secret = \"env:KEY\" }\n\
        cursor = { pointer = \"/meta/next\", parameter = \"since\", drain = true }";
    let poll = read(section).expect("a source").poll.expect("an endpoint");
    let secret = SecretPlace::Env("KEY".into());
    assert_eq!(poll.auth, Some(PollAuth::Header { name: "x-api-key".into(), secret }));
    let from = CursorPlace::Pointer("/meta/next".into());
    assert_eq!(poll.cursor, Some(Cursor { from, parameter: "since".into(), first: None, drain: true }));
    assert_eq!(poll.headers, [("accept".to_owned(), "application/json".to_owned())]);
}

#[test]
fn what_is_wrong_is_said_with_the_remedy_and_no_secret_is_repeated() {
    let poll = |line: &str| format!("[source.poll]\nurl = \"https://h/\"\n{line}");
    for (section, expected) in [
        ("[source.folder]".to_owned(), "`path` is missing"),
        ("[source.folder]\npath = \"in\"\ndone = \"in\"".to_owned(), "give `path`, `done` and `failed` a folder each"),
        ("[source.folder]\npath = \"in\"\nkeep = \"1m\"".to_owned(), "1h to 3660d"),
        ("[source.poll]\nurl = \"http://h/\"".to_owned(), "write https://"),
        ("[source.poll]\nurl = \"ftp://h/\"".to_owned(), "neither http:// nor https://"),
        ("[source.poll]\nurl = \"https://me:s3cret@h/\"".to_owned(), "without user"),
        ("[source.poll]\nurl = \"/r\"".to_owned(), "without user and fragment"),
        (poll("headers = { Authorization = \"s3cret\" }"), "`authorization` is set by Concord"),
        (poll("auth = { kind = \"bearer\", secret = \"s3cret\" }"), "this names no place of a secret"),
        (poll("auth = { kind = \"bearer\", secret = 53 }"), "`secret` is no text"),
        (poll("auth = { kind = \"basic\", secret = \"env:S\" }"), "needs `user`"),
        (poll("auth = { kind = \"header\", secret = \"env:S\" }"), "needs `header`"),
        (poll("auth = { kind = \"bearer\", user = \"u\", secret = \"env:S\" }"), "belongs to kind = \"basic\""),
        (poll("cursor = { parameter = \"since\" }"), "one of pointer"),
        (poll("cursor = { pointer = \"next\", parameter = \"since\" }"), "begin with `/`"),
        (poll("cursor = { pointer = \"/next\", parameter = \"a b\" }"), "no name of a query parameter"),
        (poll("attributes = { Property = \"H1\" }"), "lower-case letters and digits"),
        (poll("every = \"1ms\""), "10ms to 1d"),
    ] {
        let said = read(&section).expect_err(&section);
        assert!(said.contains(expected), "{section}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}
