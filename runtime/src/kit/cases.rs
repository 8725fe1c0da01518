//! A folder of cases: messages, what surrounds them, and what a plugin must say about them.
//!
//! ```text
//! cases.toml                   what holds for all of them (optional)
//! cases/NAME.xml               a delivery's body; any ending
//! cases/NAME.toml              what holds for this one (optional)
//! cases/NAME.expected.json     what the plugin must say, in the native form
//! samples/...                  further bodies, only to be damaged; folders in it too
//! ```
//!
//! Knows files. Does not know what is checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Finding;
use crate::types::FieldType;

/// A case that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Content { path: PathBuf, reason: String },
    #[error("{} holds no cases: put messages into its folder `cases`, such as cases/new.json", folder.display())]
    None { folder: PathBuf },
}

/// What surrounds a message, as `cases.toml` or `NAME.toml` say it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Around {
    /// RFC 2046 media type.
    content_type: Option<String>,
    /// From the transport.
    attributes: BTreeMap<String, String>,
    /// The source's settings.
    settings: Option<toml::Table>,
    /// Inventory fields that the pipeline declares, with their types; in `cases.toml` only.
    fields: BTreeMap<String, FieldType>,
}

impl Around {
    /// What is said here, and where nothing is said, what `common` says.
    fn over(self, common: &Around) -> Around {
        let mut attributes = common.attributes.clone();
        attributes.extend(self.attributes);
        Around {
            content_type: self.content_type.or_else(|| common.content_type.clone()),
            attributes,
            settings: self.settings.or_else(|| common.settings.clone()),
            fields: common.fields.clone(),
        }
    }
}

/// One message and what surrounds it.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub body: Vec<u8>,
    pub content_type: String,
    pub attributes: Vec<(String, String)>,
    /// A JSON object.
    pub settings: String,
    expected: PathBuf,
}

/// The cases of a folder, in the order of their names.
#[derive(Clone, Debug)]
pub struct Suite {
    pub cases: Vec<Case>,
    /// Inventory fields that the pipeline declares.
    pub fields: Vec<(String, FieldType)>,
}

impl Suite {
    /// Reads `cases` in the folder.
    ///
    /// # Errors
    /// Files that cannot be read, unknown keys, and a folder without any case.
    pub fn read(folder: &Path) -> Result<Suite, CaseError> {
        let common = around(&folder.join("cases.toml"))?;
        let mut cases = Vec::new();
        for path in files(&folder.join("cases"))? {
            if is_body(&path) {
                cases.push(case(&path, &common)?);
            }
        }
        if cases.is_empty() {
            return Err(CaseError::None { folder: folder.to_owned() });
        }
        Ok(Suite { cases, fields: common.fields.into_iter().collect() })
    }
}

/// Bodies to be damaged: the folder's own, and those of further files and folders with all that is in them.
pub(super) fn samples(folder: &Path, more: &[PathBuf]) -> Result<Vec<Case>, CaseError> {
    let common = around(&folder.join("cases.toml"))?;
    let mut samples = Vec::new();
    let own = folder.join("samples");
    for place in own.is_dir().then_some(&own).into_iter().chain(more) {
        if !place.is_dir() {
            samples.push(case(place, &common)?);
            continue;
        }
        let mut paths = Vec::new();
        bodies_below(place, &mut paths)?;
        for path in paths {
            // Two folders may have files of one name.
            let within = path.strip_prefix(place).unwrap_or(&path).with_extension("");
            samples.push(Case { name: within.to_string_lossy().into_owned(), ..case(&path, &common)? });
        }
    }
    Ok(samples)
}

/// Whether a file is a message, and not what surrounds one or is expected of it.
fn is_body(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    !(name.ends_with(".toml") || name.ends_with(".expected.json") || name.starts_with('.'))
}

/// A file as a case; what surrounds it lies beside it.
fn case(path: &Path, common: &Around) -> Result<Case, CaseError> {
    let around = around(&path.with_extension("toml"))?.over(common);
    let content_type = around.content_type.unwrap_or_else(|| media_type(path).to_owned());
    let settings = serde_json::to_string(&around.settings.unwrap_or_default())
        .map_err(|error| CaseError::Content { path: path.to_owned(), reason: error.to_string() })?;
    Ok(Case {
        name: path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        body: std::fs::read(path).map_err(|error| CaseError::File { path: path.to_owned(), error })?,
        content_type,
        attributes: around.attributes.into_iter().collect(),
        settings,
        expected: path.with_extension("expected.json"),
    })
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("xml") => "application/xml",
        Some("json") => "application/json",
        _ => "",
    }
}

fn around(path: &Path) -> Result<Around, CaseError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Around::default()),
        Err(error) => return Err(CaseError::File { path: path.to_owned(), error }),
    };
    toml::from_str(&text).map_err(|error| CaseError::Content { path: path.to_owned(), reason: error.to_string() })
}

/// The files of a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CaseError::File { path: folder.to_owned(), error }),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| CaseError::File { path: folder.to_owned(), error })?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The messages in a folder and in the folders below it: those of a folder before those of its folders, by name. Links to
/// folders are not followed, since they may lead in circles.
fn bodies_below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), CaseError> {
    found.extend(files(folder)?.into_iter().filter(|path| is_body(path)));
    let failed = |error| CaseError::File { path: folder.to_owned(), error };
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() && is_body(&entry.path()) {
            folders.push(entry.path());
        }
    }
    folders.sort();
    folders.iter().try_for_each(|folder| bodies_below(folder, found))
}

impl Case {
    /// Writes what the plugin said as what is expected; tells whether that is new.
    pub(super) fn write_expected(&self, told: &serde_json::Value) -> Result<bool, CaseError> {
        let text = format!("{told:#}\n");
        if std::fs::read_to_string(&self.expected).is_ok_and(|known| known == text) {
            return Ok(false);
        }
        std::fs::write(&self.expected, text).map_err(|error| CaseError::File { path: self.expected.clone(), error })?;
        Ok(true)
    }

    /// What differs from what is expected.
    pub(super) fn compare(&self, told: &serde_json::Value) -> Option<Finding> {
        let finding = |detail| Some(Finding { about: self.name.clone(), check: "expected", detail, input: None });
        let text = match std::fs::read_to_string(&self.expected) {
            Ok(text) => text,
            Err(error) => {
                let path = self.expected.display();
                return finding(format!("{path}: {error}; look at what the plugin says, and write it with --refresh"));
            }
        };
        let expected: serde_json::Value = match serde_json::from_str(&text) {
            Ok(expected) => expected,
            Err(error) => return finding(format!("{}: {error}", self.expected.display())),
        };
        if expected == *told {
            return None;
        }
        let (old, new) = (format!("{expected:#}\n"), format!("{told:#}\n"));
        let diff = similar::TextDiff::from_lines(&old, &new);
        finding(format!(
            "it says something else:\n{}",
            diff.unified_diff().context_radius(3).header("expected", "said")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_in_folders_of_any_depth() {
        let folder = tempfile::tempdir().expect("a folder");
        let recorded = folder.path().join("recorded");
        for name in ["b.json", "a.json", "2026/march/new.xml", "2026/new.xml", "2026/new.toml", ".git/config"] {
            let path = recorded.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            let body = if name.ends_with("toml") { "content_type = \"text/xml\"" } else { name };
            std::fs::write(path, body).expect("a file");
        }
        let alone = recorded.join("a.json");
        let found = samples(folder.path(), &[recorded, alone]).expect("samples");
        let found: Vec<_> = found.iter().map(|case| (&*case.name, &*case.body, &*case.content_type)).collect();
        assert_eq!(
            found,
            [
                ("a", &b"a.json"[..], "application/json"),
                ("b", b"b.json", "application/json"),
                ("2026/new", b"2026/new.xml", "text/xml"),
                ("2026/march/new", b"2026/march/new.xml", "application/xml"),
                ("a", b"a.json", "application/json"),
            ]
        );
    }

    #[test]
    fn a_folder_of_samples_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = samples(folder.path(), &[folder.path().join("recorded")]);
        assert!(refused.is_err_and(|error| error.to_string().contains("recorded")));
    }
}
