//! Every plugin of the repository against the conformance kit, and the kit against plugins that fail it.

use std::path::{Path, PathBuf};

use concord::kit::{self, Options};
use concord::plugin::Limits;
use concord_tests::guests::{self, Target};
use concord_tests::pipeline::files::golden_dir;
use concord_tests::pipeline::{host, plugins_dir};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// Inputs that show a finding are printed: they are damaged, so they stay short.
fn printed(findings: &[kit::Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let input = finding.input.as_deref().map(String::from_utf8_lossy);
        format!("{}: {}: {} {}", finding.about, finding.check, finding.detail, input.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `CONCORD_GOLDEN=refresh` writes the expected answers anew.
#[test]
fn every_plugin_with_cases_does_what_a_normalizer_owes() {
    let refresh = std::env::var("CONCORD_GOLDEN").is_ok_and(|word| word == "refresh");
    let host = host();
    let mut tried = 0;
    for entry in std::fs::read_dir(repository().join("plugins")).expect("the plugins") {
        let folder = entry.expect("an entry").path();
        if !folder.join("cases").is_dir() {
            continue;
        }
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let component =
            std::fs::read(plugins_dir().join(format!("{name}.wasm"))).expect("cargo xtask guests builds it");
        let options = Options { refresh, ..Options::default() };
        let report = kit::test(&host, &component, &folder, &Limits::default(), &options).expect("a trial");
        println!(
            "{}: {} cases, {} mutations, {} taken, {} refused, at most {} fuel",
            report.plugin, report.cases, report.mutations, report.taken, report.refused, report.fuel
        );
        assert!(report.findings.is_empty(), "{name} (seed {}):\n{}", options.seed, printed(&report.findings));
        assert_eq!(report.mutations, options.mutations);
        assert!(report.taken > 0 && report.refused > 0, "the damage is too little or too much: {report:?}");
        tried += 1;
    }
    assert!(tried >= 2, "only {tried} plugins have cases");
}

/// The tables of plugins/README.md that say where each situation is tried: every plugin stands in both, what they name is
/// there, and where they name nothing they say why.
#[test]
fn the_tables_of_situations_name_cases_that_exist() {
    let text = std::fs::read_to_string(repository().join("plugins/README.md")).expect("plugins/README.md");
    let (_, tables) = text.split_once("## Situations and their cases").expect("the section");
    let rows: Vec<Vec<&str>> = tables
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let (messages, sequences): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.len() == 8);
    for (table, rows) in [("messages", &messages), ("sequences", &sequences)] {
        let named: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(named, FORMATS, "the table of {table}");
        assert!(rows.iter().flat_map(|row| *row).all(|cell| !cell.is_empty()), "an empty cell in the table of {table}");
    }
    let mut folders: Vec<String> = std::fs::read_dir(repository().join("plugins"))
        .expect("the plugins")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("cases").is_dir() && !path.ends_with("template"))
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let mut formats = FORMATS;
    formats.sort_unstable();
    assert_eq!(folders, formats, "every normalizer of a format stands in the tables");
    let names: usize = messages.into_iter().map(|row| cases_named(row)).sum();
    let deliveries: usize = sequences.into_iter().map(|row| deliveries_named(row)).sum();
    assert!(names > 70 && deliveries > 60, "only {names} cases and {deliveries} deliveries are named");
}

/// How many cases a row names; each has to be there.
fn cases_named(row: &[&str]) -> usize {
    let cases = repository().join("plugins").join(row[0].trim_matches('`')).join("cases");
    let names: Vec<&str> = row[1..].iter().flat_map(|cell| quoted(cell)).collect();
    for name in &names {
        let expected = cases.join(format!("{name}.expected.json"));
        assert!(expected.is_file(), "{} is not there", expected.display());
    }
    names.len()
}

/// How many deliveries of golden cases a row names; each has to be there.
fn deliveries_named(row: &[&str]) -> usize {
    let usual = row[1].trim_matches('`');
    let entries: Vec<&str> = row[2..].iter().flat_map(|cell| cell.split(", ")).collect();
    for entry in &entries {
        let folder = quoted(entry).next().unwrap_or(usual);
        let number = entry.split_once('#').and_then(|(_, rest)| rest.split(':').next()?.parse::<usize>().ok());
        let number = number.unwrap_or_else(|| panic!("{}: {entry:?} names no delivery", row[0]));
        let input = std::fs::read_to_string(golden_dir().join(folder).join("input.jsonl"));
        let input = input.unwrap_or_else(|error| panic!("tests/golden/{folder}: {error}"));
        let all = input.lines().filter(|line| line.starts_with('{')).count();
        assert!((1..=all).contains(&number), "{}: {folder} has {all} deliveries, not {entry}", row[0]);
    }
    entries.len()
}

/// The normalizers of real formats, as the tables list them.
const FORMATS: [&str; 11] = [
    "native",
    "opentravel",
    "booking-com",
    "expedia",
    "opera",
    "mews",
    "cloudbeds",
    "apaleo",
    "channex",
    "website",
    "debezium",
];

/// What stands in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What the kit finds about the hostile guest when its only case is this command.
fn findings(command: &str, mutations: u64) -> Vec<kit::Finding> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("cases")).expect("cases");
    std::fs::write(folder.path().join("cases/only.txt"), command).expect("a case");
    let component = guests::hostile("hostile-normalizer", Target::Bare).expect("the guest");
    let host = host();
    let options = Options { mutations, refresh: true, ..Options::default() };
    kit::test(&host, &component, folder.path(), &Limits::default(), &options).expect("a trial").findings
}

#[test]
fn a_plugin_that_remembers_is_found() {
    let found = findings("count", 0);
    assert!(found.iter().any(|finding| finding.check == "repeatable"), "{found:?}");
}

#[test]
fn a_plugin_that_says_something_about_another_property_is_found() {
    let found = findings("elsewhere", 0);
    assert!(found.iter().any(|f| f.check == "agreement" && f.detail.contains("OTHER")), "{found:?}");
}

#[test]
fn a_plugin_that_traps_on_a_case_is_found() {
    let found = findings("panic now", 0);
    assert!(found.iter().any(|f| f.check == "fault" && f.detail.contains("no room now")), "{found:?}");
}

#[test]
fn a_plugin_that_traps_on_damaged_messages_is_found_with_the_message() {
    let found = findings("quiet panic", 2_000);
    let fault = found.iter().find(|f| f.check == "fault").expect("a fault");
    assert!(fault.input.as_ref().is_some_and(|input| input.starts_with(b"panic")), "{fault:?}");
}

#[test]
fn a_folder_without_cases_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let component = guests::hostile("hostile-normalizer", Target::Bare).expect("the guest");
    let host = host();
    let refused = kit::test(&host, &component, folder.path(), &Limits::default(), &Options::default());
    assert!(refused.is_err_and(|error| error.to_string().contains("holds no cases")));
}
