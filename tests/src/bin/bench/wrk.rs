//! `wrk`, where it is installed: a load generator that is none of ours, in a process of its own.
//!
//! It sends the requests that the built-in senders would send, byte for byte, and tells its figures by its script. Knows its
//! command line; does not know who answers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::webhooks::CONNECTIONS;

/// How long it sends.
const SECONDS: u32 = 10;

/// `wrk` with requests to send.
pub struct Wrk {
    program: PathBuf,
    script: PathBuf,
}

/// Where `wrk` is, if it is on the path.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("wrk")).find(|file| file.is_file())
}

impl Wrk {
    /// Writes the requests and the script into `dir`; `None` where `wrk` is not installed.
    pub fn find(dir: &Path, requests: &[Vec<u8>]) -> Result<Option<Wrk>> {
        let Some(program) = program() else { return Ok(None) };
        let (file, script) = (dir.join("requests"), dir.join("webhooks.lua"));
        // No request has a NUL.
        std::fs::write(&file, requests.join(&0))?;
        std::fs::write(&script, text(&file))?;
        Ok(Some(Wrk { program, script }))
    }

    /// Sends for some seconds, from the first request on again when all are sent. Every answer has to be a success.
    pub async fn send(&self, address: SocketAddr) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command.arg(format!("-c{CONNECTIONS}")).args(["-t1", "--timeout", "30s"]).arg(format!("-d{SECONDS}s"));
        let output = command.arg("-s").arg(&self.script).arg(format!("http://{address}/")).output().await?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk: {said}{}", String::from_utf8_lossy(&output.stderr));
        let told = said.lines().find(|line| line.starts_with('{')).with_context(|| format!("wrk said:\n{said}"))?;
        let told: Value = serde_json::from_str(told)?;
        let of = |name: &str| told[name].as_f64().unwrap_or(f64::NAN);
        ensure!(of("failed") == 0.0, "not every request was answered with success: {told}");
        let per_second = of("requests") / of("micros") * 1e6;
        Ok(json!({ "per_second": per_second, "p50": of("p50") / 1000.0, "p99": of("p99") / 1000.0 }))
    }
}

/// Every connection takes the next request of all.
fn text(requests: &Path) -> String {
    format!(
        r#"local requests, last = {{}}, 0

function init()
  local file = assert(io.open("{}", "rb"))
  for request in file:read("*a"):gmatch("[^%z]+") do
    requests[#requests + 1] = request
  end
  file:close()
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format('{{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"failed":%d}}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
"#,
        requests.display()
    )
}
