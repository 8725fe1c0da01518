//! The conformance kit: what every normalizer owes, tried on a folder of cases.
//!
//! A normalizer has to say the same about the same message: twice, in any company, in a fresh instance and in a used
//! one. Where it files a part and what it then says must be about the same property and date. Nothing that arrives
//! may make it trap or run away. Knows cases, checks and mutations; does not know any format, nor who prints what
//! is found.

mod cases;
mod check;
mod mutate;
pub mod native;

use std::path::{Path, PathBuf};

pub use cases::{Case, CaseError, Suite};

use crate::plugin::{Host, HostError, Limits, LoadError};

/// What is tried beyond the cases.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the mutations; equal seeds make equal inputs.
    pub seed: u64,
    /// How many mutated inputs are tried.
    pub mutations: u64,
    /// Writes the expected answers anew instead of comparing them.
    pub refresh: bool,
    /// Further files to be mutated; nothing is expected of them but an answer.
    pub samples: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options { seed: 1, mutations: 10_000, refresh: false, samples: Vec::new() }
    }
}

/// Something that a plugin owes and did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The case or sample, for a mutated input with the number of the mutation.
    pub about: String,
    /// What was checked: `expected`, `repeatable`, `agreement`, `fault`.
    pub check: &'static str,
    pub detail: String,
    /// The input that shows it, where no file holds it.
    pub input: Option<Vec<u8>>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// `name@version` of the plugin.
    pub plugin: String,
    pub cases: usize,
    /// Files that were only mutated.
    pub samples: usize,
    pub mutations: u64,
    /// Of the mutated inputs, how many were taken and how many refused in words.
    pub taken: u64,
    pub refused: u64,
    /// The most fuel that a record took, about, and what it may take.
    pub fuel: u64,
    pub fuel_limit: u64,
    /// Expected answers written.
    pub refreshed: usize,
    pub findings: Vec<Finding>,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    #[error(transparent)]
    Case(#[from] CaseError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Mutated inputs with findings after which no more are tried: the plugin has a fault to repair first.
const ENOUGH: usize = 20;

/// Tries a component on the cases in `folder`.
///
/// # Errors
/// Cases that cannot be read, a component that Concord would not load, and the host's failures.
pub fn test(
    host: &Host,
    component: &[u8],
    folder: &Path,
    limits: &Limits,
    options: &Options,
) -> Result<Report, KitError> {
    let suite = Suite::read(folder)?;
    let mut trial = check::Trial::new(host, component, &suite, limits)?;
    let mut report = Report {
        plugin: trial.plugin(),
        cases: suite.cases.len(),
        fuel_limit: limits.fuel_per_record,
        ..Report::default()
    };
    for case in &suite.cases {
        let told = trial.told(case)?;
        if options.refresh {
            report.refreshed += usize::from(case.write_expected(&told)?);
        } else {
            report.findings.extend(case.compare(&told));
        }
        report.findings.extend(trial.agreement(case)?);
    }
    report.findings.extend(trial.repeatable(&suite.cases)?);
    let samples = cases::samples(folder, &options.samples)?;
    report.samples = samples.len();
    let mut numbers = mutate::Numbers(options.seed);
    let inputs: Vec<(&str, &[u8], &Case)> = suite
        .cases
        .iter()
        .map(|case| (case.name.as_str(), &*case.body, case))
        .chain(samples.iter().map(|sample| (sample.name.as_str(), &*sample.body, sample)))
        .collect();
    let bodies: Vec<&[u8]> = inputs.iter().map(|(_, body, _)| *body).collect();
    for number in 0..if inputs.is_empty() { 0 } else { options.mutations } {
        let (at, body) = mutate::mutated(&bodies, &mut numbers);
        let (name, _, case) = inputs[at];
        let tried = trial.mutated(case, &body)?;
        report.mutations += 1;
        report.taken += u64::from(tried.taken);
        report.refused += u64::from(!tried.taken && tried.finding.is_none());
        if let Some((check, detail)) = tried.finding {
            report.findings.push(Finding {
                about: format!("{name}, mutation {number}"),
                check,
                detail,
                input: Some(body),
            });
            if report.findings.len() >= ENOUGH {
                break;
            }
        }
    }
    report.fuel = trial.most_fuel();
    Ok(report)
}
