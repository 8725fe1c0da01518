//! Builds guests for tests: crates of a guest workspace, encoded as components.
//!
//! Knows cargo and where its output lies. Does not know what the guests do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, bail};

/// How a guest gets its standard library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// wasm32-unknown-unknown: a core module that imports nothing; encoded as a component here.
    Bare,
    /// wasm32-wasip2: a component that imports WASI.
    Wasi,
}

impl Target {
    fn triple(self) -> &'static str {
        match self {
            Target::Bare => "wasm32-unknown-unknown",
            Target::Wasi => "wasm32-wasip2",
        }
    }
}

/// A guest of `tests/hostile` as a component.
pub fn hostile(package: &str, target: Target) -> anyhow::Result<Arc<[u8]>> {
    type Built = Mutex<HashMap<(String, Target), Arc<[u8]>>>;
    static BUILT: OnceLock<Built> = OnceLock::new();
    let mut built = BUILT.get_or_init(Built::default).lock().unwrap_or_else(PoisonError::into_inner);
    let key = (package.to_owned(), target);
    if let Some(component) = built.get(&key) {
        return Ok(component.clone());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile");
    let component: Arc<[u8]> = build(&workspace, package, target)?.into();
    built.insert(key, component.clone());
    Ok(component)
}

/// Builds one package of a guest workspace into `<workspace>/target/components/<package>.wasm` and
/// returns its bytes. Cargo itself decides whether anything has to be done.
pub fn build(workspace: &Path, package: &str, target: Target) -> anyhow::Result<Vec<u8>> {
    let output = workspace.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "--target", target.triple(), "--package", package, "--target-dir"])
        .arg(&output)
        .current_dir(workspace)
        // The host's own settings must not leak into the guests.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .context("cannot run cargo")?;
    if !built.status.success() {
        bail!(
            "cannot build the guest {package} (is the target installed? `rustup target add {}`):\n{}",
            target.triple(),
            String::from_utf8_lossy(&built.stderr)
        );
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    let path = output.join(target.triple()).join("release").join(file);
    let module = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let component = match target {
        Target::Wasi => module,
        Target::Bare => encode(&module).with_context(|| format!("cannot encode {package}"))?,
    };
    keep(&output.join("components"), package, &component)?;
    Ok(component)
}

/// Makes a component of a core module built with wit-bindgen.
pub fn encode(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    wit_component::ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// Writes the component where other tools find it; by renaming, since tests run side by side.
fn keep(directory: &Path, package: &str, component: &[u8]) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!("{package}.wasm"));
    if std::fs::read(&path).is_ok_and(|kept| kept == component) {
        return Ok(path);
    }
    let draft = tempfile::NamedTempFile::new_in(directory)?;
    std::fs::write(draft.path(), component)?;
    draft.persist(&path)?;
    Ok(path)
}
