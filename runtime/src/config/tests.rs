//! The configuration as a whole: the complete example, its document, and what goes wrong.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const PIPELINE: &str = include_str!("example/pipeline.toml");
const PROPERTIES: &str = include_str!("example/properties.toml");
const MAPPING: &str = include_str!("example/mappings/pms.toml");
const RULES: &str = include_str!("example/rules/hotels.toml");

/// The smallest thing that looks like a component: the eight bytes of the head and a distinguishing rest.
fn component(rest: &[u8]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0", rest].concat()
}

/// The example in a directory of its own.
struct Example(TempDir);

impl Example {
    fn new() -> Example {
        let example = Example(tempfile::tempdir().unwrap());
        example.write("pipeline.toml", PIPELINE);
        example.write("properties.toml", PROPERTIES);
        example.write("mappings/pms.toml", MAPPING);
        example.write("rules/hotels.toml", RULES);
        example.write("precedence.wasm", component(b"p"));
        example.write("pms.wasm", component(b"n"));
        example.write("website.wasm", component(b"n"));
        example
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Replaces a text that occurs exactly once.
    fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.0.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    fn read(&self) -> Result<Proposal, ConfigErrors> {
        Proposal::read(&PipelineFile::read(&self.0.path().join("pipeline.toml"))?)
    }

    fn document(&self) -> Document {
        self.read().unwrap_or_else(|errors| panic!("{errors}")).document
    }

    /// The errors without the directory's name.
    fn errors(&self) -> String {
        self.read().unwrap_err().to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn the_complete_example_is_read() {
    let file = PipelineFile::parse(Path::new("etc/pipeline.toml"), PIPELINE).unwrap();
    assert_eq!(file.name, "hotels");
    assert_eq!(file.data_dir, Path::new("etc/data"));
    assert_eq!(file.key_file, Path::new("etc/data/control.key"));
    assert_eq!(file.author.as_deref(), Some("revenue-team"));
    assert_eq!(
        file.log,
        LogSettings { kind: LogKind::Embedded, partitions: Some(8), max_record_bytes: 1 << 20, first_position: 0 }
    );
    assert_eq!(
        file.clickhouse.place,
        ClickHousePlace::Embedded { listen: "127.0.0.1:8123".parse().unwrap(), library: None }
    );
    assert_eq!(file.fields.len(), 5);
    assert_eq!(file.sources[0].settings, r#"{"price":{"guests":2,"rate_plan":"BAR"},"time_zone":"Europe/Berlin"}"#);
    assert_eq!(file.sources[1].mapping, None);
    assert!(!file.sources[1].inventory);
    // The example shows the defaults.
    assert_eq!((file.limits, file.tuning, file.policies), Default::default());
}

#[test]
fn the_least_pipeline_takes_the_defaults() {
    let text = "[pipeline]\nname = \"p\"\n[rules]\nfile = \"r\"\nplugin = \"w\"\n[[source]]\nname = \"s\"\nplugin = \"s\"\nidentity = true\n";
    let file = PipelineFile::parse(Path::new("p.toml"), text).unwrap();
    assert_eq!(file.data_dir, Path::new("data"));
    assert_eq!(file.key_file, Path::new("data/control.key"));
    assert_eq!(file.sources[0].settings, "{}");
    assert_eq!((file.limits, file.tuning), Default::default());
}

#[test]
fn a_proposal_is_complete_and_repeatable() {
    let example = Example::new();
    let proposal = example.read().unwrap_or_else(|errors| panic!("{errors}"));
    let document = &proposal.document;
    assert_eq!(proposal.plugin_bytes.keys().collect::<Vec<_>>(), document.plugins().keys().collect::<Vec<_>>());
    // pms and website share a plugin.
    assert_eq!(proposal.plugin_bytes.len(), 2);
    assert_eq!(document.rules.header(), ("hotels".into(), "2026-11-23".into()));
    assert_eq!(document.field_type("price"), Some(crate::types::FieldType::Money));
    assert_eq!(document.field_type("closed"), Some(crate::types::FieldType::Boolean));
    let again = Document::from_bytes(&document.to_bytes()).unwrap();
    assert_eq!((&again, again.digest()), (document, document.digest()));
    assert_eq!(example.document().to_bytes(), document.to_bytes());
}

#[test]
fn what_does_not_decide_is_not_in_the_document() {
    let example = Example::new();
    let before = example.document();
    example.edit("pipeline.toml", "127.0.0.1:8123", "127.0.0.1:0");
    example.edit("pipeline.toml", "batch_records = 4096", "batch_records = 1");
    example.edit("pipeline.toml", "cache = \"256 MiB\"", "cache = \"1 MiB\"");
    example.edit(
        "pipeline.toml",
        "price = \"money\"\nmin_stay = \"integer\"",
        "min_stay = \"integer\"\nprice = \"money\"",
    );
    assert_eq!(example.document().to_bytes(), before.to_bytes());
}

#[test]
fn differences_are_told_in_lines() {
    let example = Example::new();
    let active = example.document();
    assert_eq!(difference(Some(&active), &active), Vec::<String>::new());
    assert_eq!(difference(None, &active)[0], "first configuration of the pipeline hotels");

    example.edit("rules/hotels.toml", "2026-11-23", "2026-11-24");
    example.edit("mappings/pms.toml", "EZ = \"SGL\"", "EZ = \"DBL2\"\nSU = \"SGL\"");
    example.edit("properties.toml", "DBL = 10,", "DBL = 12, DBL2 = 1,");
    example.edit("properties.toml", "MAD001", "MAD002");
    example.edit("mappings/pms.toml", "MAD001", "MAD002");
    example.edit("pipeline.toml", "max_stay_nights = 365", "max_stay_nights = 30");
    example.edit("pipeline.toml", "discount = \"decimal\"", "discount = \"integer\"");
    example.edit("pipeline.toml", "name = \"website\"", "name = \"web\"");
    example.edit("pipeline.toml", "\"stop-selling\" ", "\"warn\" ");
    example.write("pms.wasm", component(b"new"));
    let lines = difference(Some(&active), &example.document());
    let expected = [
        "rule set hotels: 2026-11-23 -> 2026-11-24",
        "source web: added",
        "source pms: plugin: ",
        "source pms: property codes changed: MADRID: MAD001 -> MAD002",
        "source pms: room type codes added: SU = SGL",
        "source pms: room type codes changed: EZ: SGL -> DBL2",
        "source website: removed",
        "field discount: decimal -> integer",
        "property MAD002: added (1 room types, 0 rooms)",
        "property H1: default capacities added: DBL2 = 1",
        "property H1: default capacities changed: DBL: 10 -> 12",
        "property MAD001: removed",
        "limit max_stay_nights: 365 -> 30",
        "policy stale_data: stop-selling -> warn",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, part) in lines.iter().zip(expected) {
        assert!(line.starts_with(part), "{line} / {part}");
    }
}

#[test]
fn every_mistake_in_the_pipeline_file_is_reported_at_once() {
    let text = r#"[pipeline]
name = "My Hotels"
[log]
kind = "kafka"
partitions = 0

[clickhouse]
listen = "0.0.0.0:8123"
url = "http://x"
[fields]
Price = "money"
booked = "integer"
closed = "boolean"
rate = "money"
rate_currency = "text"
[rules]
file = "r"
[[source]]
name = "pms"
plugin = "p"
[[source]]
name = "pms"
plugin = "p"
mapping = "m"
identity = true
settings = { x = nan }
[[source]]
nmae = "ota"
[limits]
memory = "64 MB"
[limit]
"#;
    let errors = PipelineFile::parse(Path::new("p.toml"), text).unwrap_err();
    let shown = errors.to_string();
    for part in [
        "p.toml:2:8: `My Hotels` is no name of a pipeline",
        "p.toml:4:8: unknown log `kafka`; write kind = \"embedded\" or \"fluvio\"",
        "p.toml:5:14: 0 is out of bounds; 1 to 1024",
        "p.toml:8:10: `0.0.0.0:8123` is no loopback address",
        "p.toml:9:7: `url` belongs to kind = \"server\"",
        "p.toml:11:1: `Price` is no name of a field",
        "p.toml:12:1: room_nights has a column `booked`",
        "p.toml:13:1: every pipeline has the field `closed`",
        "p.toml:15:1: `rate_currency` is the column of a money field's currency",
        "p.toml:16:1: `plugin` is missing; add a line plugin = ...",
        "p.toml:19:8: the source `pms` has no mapping",
        "p.toml:22:8: there are two sources `pms`",
        "p.toml:24:11: both `mapping` and `identity = true`",
        "p.toml:26:12: a setting is NaN, which JSON cannot hold",
        "p.toml:28:1: unknown field `nmae`",
        "p.toml:30:10: `64 MB` is no size; expected one such as \"64 MiB\"",
        "p.toml:31:2: unknown section `limit`",
    ] {
        assert!(shown.contains(part), "{part}\n--\n{shown}");
    }
}

#[test]
fn a_fluvio_log_has_a_topic_and_a_place() {
    let with = |lines: &str| {
        let text =
            PIPELINE.replace("kind = \"embedded\"\npartitions", &format!("kind = \"fluvio\"\n{lines}\npartitions"));
        PipelineFile::parse(Path::new("etc/p.toml"), &text).map(|file| file.log.kind).map_err(|e| e.to_string())
    };
    let fluvio = |place| Ok(LogKind::Fluvio(FluvioSettings { place, topic: "hotels".into() }));
    assert_eq!(with("topic = \"hotels\""), fluvio(FluvioPlace::Profile(None)));
    assert_eq!(with("topic = \"hotels\"\nprofile = \"cloud\""), fluvio(FluvioPlace::Profile(Some("cloud".into()))));
    let tls = FluvioTls {
        domain: "fluvio.example".into(),
        ca_cert: "etc/ca.pem".into(),
        cert: "etc/c.pem".into(),
        key: "/run/k.pem".into(),
    };
    let lines = "topic = \"hotels\"\nendpoint = \"sc.example:9003\"\n\
                 tls = { domain = \"fluvio.example\", ca_cert = \"ca.pem\", cert = \"c.pem\", key = \"/run/k.pem\" }";
    assert_eq!(with(lines), fluvio(FluvioPlace::Endpoint { address: "sc.example:9003".into(), tls: Some(tls) }));
    for (lines, expected) in [
        ("", "kind = \"fluvio\" needs `topic`; write topic"),
        ("topic = \"Hotels\"", "`Hotels` is no name of a topic"),
        ("topic = \"t\"\nendpoint = \"here\"", "`here` is no address with a port"),
        ("topic = \"t\"\nendpoint = \"h:1\"\nprofile = \"p\"", "both `endpoint` and `profile`"),
        (
            "topic = \"t\"\ntls = { domain = \"d\", ca_cert = \"a\", cert = \"b\", key = \"c\" }",
            "`tls` goes with `endpoint`",
        ),
    ] {
        let errors = with(lines).unwrap_err();
        assert!(errors.contains(expected), "{expected}\n--\n{errors}");
    }
}

#[test]
fn a_server_needs_an_address_without_a_password() {
    let with = |lines: &str| {
        let text = PIPELINE.replace("kind = \"embedded\"                    # or", "kind = \"server\" # or");
        let text = text.replace("listen = \"127.0.0.1:8123\"", lines);
        PipelineFile::parse(Path::new("etc/p.toml"), &text).map_err(|errors| errors.to_string())
    };
    let file = with("url = \"https://ch.example:8443/\"\npassword_file = \"pw\"\ncluster = \"c\"").unwrap();
    assert_eq!(
        file.clickhouse.place,
        ClickHousePlace::Server {
            url: "https://ch.example:8443".into(),
            user: "default".into(),
            password_file: Some("etc/pw".into()),
            cluster: Some("c".into()),
        }
    );
    assert!(with("").unwrap_err().contains("needs `url`"));
    assert!(with("url = \"https://me:secret@ch\"").unwrap_err().contains("holds a user"));
    assert!(with("url = \"ch:8123\"").unwrap_err().contains("no address of a server"));
    assert!(with("url = \"http://ch\"\nlibrary = \"x\"").unwrap_err().contains("belongs to kind = \"embedded\""));
}

#[test]
fn missing_files_say_what_is_expected() {
    let missing = PipelineFile::read(Path::new("nowhere/pipeline.toml")).unwrap_err().to_string();
    assert!(
        missing.starts_with("nowhere/pipeline.toml: there is no such file; expected is a pipeline file"),
        "{missing}"
    );

    let example = Example::new();
    for name in ["properties.toml", "rules/hotels.toml", "mappings/pms.toml", "website.wasm"] {
        fs::remove_file(example.0.path().join(name)).unwrap();
    }
    example.write("pms.wasm", b"\0asm\x01\0\0\0");
    example.write("precedence.wasm", b"#!/bin/sh");
    let shown = example.errors();
    for part in [
        "properties.toml: there is no such file; expected is the master data",
        "rules/hotels.toml: there is no such file; expected is the rule set",
        "mappings/pms.toml: there is no such file; expected is a mapping",
        "website.wasm: there is no such file; expected is a normalizer plugin",
        "pms.wasm: this is a WebAssembly module, not a component",
        "precedence.wasm: this is no WebAssembly",
    ] {
        assert!(shown.contains(part), "{part}\n--\n{shown}");
    }
}

#[test]
fn collisions_are_refused_for_inventory_only() {
    let example = Example::new();
    example.edit("mappings/pms.toml", "DZ = \"DBL\"", "DZ = \"DBL\"\nDZM = \"DBL\"");
    let shown = example.errors();
    assert!(shown.starts_with("mappings/pms.toml: `DZ`, `DZM` all mean room type DBL; "), "{shown}");
    example.edit("pipeline.toml", "name = \"pms\"", "name = \"pms\"\ninventory = false");
    assert!(!example.document().sources["pms"].inventory);
}

#[test]
fn a_document_over_the_record_limit_is_refused_before_it_is_sent() {
    let example = Example::new();
    example.edit("pipeline.toml", "max_record_bytes = \"1 MiB\"", "max_record_bytes = \"16 KiB\"");
    example.write("rules/hotels.toml", format!("{RULES}# {}\n", "x".repeat(16 << 10)));
    let shown = example.errors();
    assert!(shown.contains("over the limit of 16384; raise log.max_record_bytes"), "{shown}");
}

#[test]
fn files_that_are_no_utf8_are_named() {
    let example = Example::new();
    example.write("rules/hotels.toml", b"a = 1\nb = \"\xff\"\n");
    assert!(example.errors().contains("rules/hotels.toml:2:6: this is not UTF-8"), "{}", example.errors());
}

#[test]
fn a_password_is_the_file_without_its_last_line_break() {
    let example = Example::new();
    example.write("pw", "s3 cret\r\n");
    let server = |password_file| ClickHousePlace::Server {
        url: "http://ch".into(),
        user: "u".into(),
        password_file,
        cluster: None,
    };
    assert_eq!(server(Some(example.0.path().join("pw"))).password().unwrap(), "s3 cret");
    assert_eq!(server(None).password().unwrap(), "");
    assert!(server(Some(example.0.path().join("none"))).password().unwrap_err().to_string().contains("password_file"));
}

/// Wherever a file is cut off or a character goes missing: an answer, never a panic, and never an error without a word.
#[test]
fn damaged_files_are_answered() {
    let answer = |text: &str| {
        if let Err(errors) = PipelineFile::parse(Path::new("p.toml"), text) {
            assert!(!errors.0.is_empty(), "{text}");
        }
    };
    for (at, character) in PIPELINE.char_indices() {
        answer(&PIPELINE[..at]);
        answer(&format!("{}{}", &PIPELINE[..at], &PIPELINE[at + character.len_utf8()..]));
    }
    let example = Example::new();
    let path = example.0.path().join("m.toml");
    let known = master::parse_text(PROPERTIES).unwrap();
    for text in [MAPPING, PROPERTIES] {
        for (at, _) in text.char_indices() {
            fs::write(&path, &text[..at]).unwrap();
            for errors in [Mapping::read(&path, &known).err(), MasterData::read(&path).err()].into_iter().flatten() {
                assert!(!errors.0.is_empty(), "{}", &text[..at]);
            }
        }
    }
}
