//! `concord plugin test`: the conformance kit on the command line.
//!
//! Knows how it is called and what is printed. What is checked, `kit` knows.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Found, Scratch, print};
use crate::config::Limits;
use crate::kit::{self, Finding, Options, Report};
use crate::plugin::Host;
use crate::worker::active::plugin_limits;

pub const EXAMPLES: &str = "The folder holds the plugin's cases:
  cases.toml                what holds for all of them: content_type, [attributes], [settings], [fields]
  cases/NAME.xml            a delivery's body, of any ending; NAME.toml beside it, what holds for this one
  cases/NAME.expected.json  what the plugin must say, in Concord's native form (plugins/native/README.md)
  samples/                  further bodies, only to be damaged, in folders of any depth

Checked are: the expected answers; that every answer is the same alone, in company, in a fresh instance and in a
used one; that what is filed under a property and date is about them; that no damaged input makes the plugin trap,
loop or grow beyond its limits.

Examples:
  concord plugin test plugins/opentravel --component target/plugins/opentravel.wasm
  concord plugin test my-plugin --component my.wasm --refresh       # writes cases/*.expected.json: read them
  concord plugin test my-plugin --component my.wasm --mutations 1000000 --seed 7 --samples recorded/

Exit status 1 if the plugin failed a check. Inputs that made it fail are left in a folder that is named.";

#[derive(clap::Args)]
pub struct Arguments {
    /// The folder with the cases
    folder: PathBuf,
    /// The component (.wasm)
    #[arg(long, value_name = "FILE")]
    component: PathBuf,
    /// Damaged inputs to try
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    mutations: u64,
    /// Seed of the damage; equal seeds damage equally
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Further files to damage, or folders of them of any depth
    #[arg(long, value_name = "PATH")]
    samples: Vec<PathBuf>,
    /// Write what the plugin says as what is expected
    #[arg(long)]
    refresh: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Found> {
    let file = &arguments.component;
    let component = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let scratch = Scratch::new()?;
    let host = Host::new(scratch.path())?;
    let options = Options {
        seed: arguments.seed,
        mutations: arguments.mutations,
        refresh: arguments.refresh,
        samples: arguments.samples.clone(),
    };
    let limits = plugin_limits(&Limits::default());
    let report = kit::test(&host, &component, &arguments.folder, &limits, &options)?;
    let kept = keep_inputs(&report.findings)?;
    let text = if arguments.json {
        format!("{}\n", json(&report, kept.as_deref(), arguments.seed))
    } else {
        text(&report, kept.as_deref(), arguments.seed)
    };
    print(&text)?;
    Ok(if report.findings.is_empty() { Found::Fine } else { Found::Something })
}

/// Leaves the inputs that no file holds, for who repairs the plugin.
fn keep_inputs(findings: &[Finding]) -> Result<Option<PathBuf>> {
    let inputs: Vec<&Vec<u8>> = findings.iter().filter_map(|finding| finding.input.as_ref()).collect();
    if inputs.is_empty() {
        return Ok(None);
    }
    let folder = std::env::temp_dir().join(format!("concord-plugin-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (number, input) in (1..).zip(inputs) {
        let path = folder.join(format!("{number}.input"));
        std::fs::write(&path, input).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(Some(folder))
}

fn text(report: &Report, kept: Option<&Path>, seed: u64) -> String {
    let Report { plugin, cases, samples, mutations, taken, refused, fuel, fuel_limit, refreshed, findings } = report;
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!("{}: {}: {}\n", finding.about, finding.check, finding.detail));
    }
    if let Some(folder) = kept {
        text.push_str(&format!("the inputs are in {}, in this order\n", folder.display()));
    }
    if *refreshed > 0 {
        text.push_str(&format!("{refreshed} expected answers written: read them before you commit them\n"));
    }
    text.push_str(&format!(
        "{plugin}: {cases} cases, {samples} samples, {mutations} damaged inputs (seed {seed}): {taken} taken, {refused} refused; \
         at most {fuel} of {fuel_limit} fuel per record\n",
    ));
    text.push_str(match findings.len() {
        0 => "fine\n",
        _ => "not fine\n",
    });
    text
}

fn json(report: &Report, kept: Option<&Path>, seed: u64) -> serde_json::Value {
    let findings: Vec<serde_json::Value> = report
        .findings
        .iter()
        .map(|finding| serde_json::json!({ "about": finding.about, "check": finding.check, "detail": finding.detail }))
        .collect();
    serde_json::json!({
        "plugin": report.plugin,
        "cases": report.cases,
        "samples": report.samples,
        "mutations": report.mutations,
        "seed": seed,
        "taken": report.taken,
        "refused": report.refused,
        "fuel_per_record": report.fuel,
        "fuel_per_record_limit": report.fuel_limit,
        "expected_written": report.refreshed,
        "findings": findings,
        "inputs": kept.map(|folder| folder.display().to_string()),
    })
}
