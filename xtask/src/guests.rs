//! Builds the guests: `plugins/` for wasm32-unknown-unknown, then a component of each `cdylib`.
//!
//! Knows cargo, rustup and the component encoder. Does not know what the plugins do or who loads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const TARGET: &str = "wasm32-unknown-unknown";

/// The one interface with functions that a plugin may import.
const LOG: &str = "concord:plugin/log@";

/// Builds all guests of the repository at `root`. Adds the compiler's wasm target where it is missing, builds
/// into `<target>/guests`, and leaves the components in `<target>/plugins/<name>.wasm`; a file whose content
/// would stay the same is not touched. Returns the components' paths in alphabetical order.
///
/// # Errors
/// When the target cannot be added, a guest does not compile, or a component imports more than the log.
pub fn build(root: &Path) -> Result<Vec<PathBuf>> {
    let plugins = root.join("plugins");
    let target = crate::steps::target_dir(root);
    ensure_target(&plugins, TARGET)?;
    let out = target.join("plugins");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut components = Vec::new();
    for Module { name, path } in compile(&plugins, &target.join("guests"))? {
        let component = encode(&path).with_context(|| format!("cannot make a component of the plugin `{name}`"))?;
        check_imports(&component).with_context(|| format!("the plugin `{name}` is not a pure one"))?;
        let file = out.join(format!("{name}.wasm"));
        let note = if write_if_changed(&file, &component)? { "" } else { " (unchanged)" };
        eprintln!("{name:>12}  {:>4} KiB  {}{note}", component.len().div_ceil(1024), file.display());
        components.push(file);
    }
    components.sort();
    Ok(components)
}

/// Adds the target's standard library to the toolchain in use, unless it is there.
pub fn ensure_target(folder: &Path, target: &str) -> Result<()> {
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(folder)
        .output()
        .context("cannot run rustc; install Rust from https://rustup.rs")?;
    let path = String::from_utf8_lossy(&libraries.stdout);
    if libraries.status.success() && Path::new(path.trim()).is_dir() {
        return Ok(());
    }
    eprintln!("adding the compiler's target {target}");
    let added = Command::new("rustup").args(["target", "add", target]).current_dir(folder).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("`rustup target add {target}` failed; run it by hand to see why, then try again"),
        Err(error) => bail!(
            "the toolchain cannot build for {target} and rustup does not run ({error}); install rustup from \
             https://rustup.rs, or the target's standard library from where this rustc came from"
        ),
    }
}

/// A core module that cargo made.
struct Module {
    name: String,
    path: PathBuf,
}

fn compile(plugins: &Path, target_dir: &Path) -> Result<Vec<Module>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_the_outer_build) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .env("CARGO_ENCODED_RUSTFLAGS", same_everywhere(plugins))
        .args(["build", "--workspace", "--lib", "--release", "--target", TARGET])
        .args(["--quiet", "--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(target_dir)
        .current_dir(plugins)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the guests in {} do not build", plugins.display());
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")?;
    let mut modules = Vec::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo's messages are not JSON")?;
        modules.extend(module_of(&message));
    }
    ensure!(!modules.is_empty(), "no crate in {} is a cdylib, so there is no plugin", plugins.display());
    Ok(modules)
}

/// Compiler flags that take this machine's folders out of the guests' panic messages, so that the same source
/// makes the same bytes, and the same digest, wherever it is built.
fn same_everywhere(plugins: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let folders = home.iter().map(|home| (home.as_path(), "cargo")).chain([(plugins, "plugins")]);
    let flags: Vec<String> =
        folders.map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())).collect();
    flags.join("\u{1f}")
}

/// The wasm file of a "compiler-artifact" message about a cdylib.
fn module_of(message: &serde_json::Value) -> Option<Module> {
    let target = message.get("target")?;
    let is_cdylib = target.get("crate_types")?.as_array()?.iter().any(|kind| kind == "cdylib");
    let files = message.get("filenames")?.as_array()?.iter().filter_map(|file| file.as_str());
    let path = files.map(PathBuf::from).find(|file| file.extension().is_some_and(|ending| ending == "wasm"))?;
    is_cdylib.then_some(Module { name: target.get("name")?.as_str()?.replace('_', "-"), path })
}

/// Variables that cargo sets for this process, or that are meant for host code, would end up in the guests:
/// other flags make other bytes, and a plugin's digest is part of the configuration.
fn is_of_the_outer_build(variable: &str) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];
    let of_cargo = variable.starts_with("CARGO_") && !KEPT.iter().any(|kept| variable.starts_with(kept));
    of_cargo || matches!(variable, "RUSTFLAGS" | "RUSTDOCFLAGS" | "RUSTC_WORKSPACE_WRAPPER")
}

fn encode(module: &Path) -> Result<Vec<u8>> {
    let module = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    wit_component::ComponentEncoder::default().validate(true).module(&module)?.encode()
}

/// Refuses imports beyond the log. Interfaces that only lend their types are no imports in that sense.
fn check_imports(component: &[u8]) -> Result<()> {
    let wit_component::DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("the encoder made a package of interfaces, not a component");
    };
    let imports = &resolve.worlds.get(world).context("the component's world is missing")?.imports;
    for name in imports.keys().map(|key| resolve.name_world_key(key)) {
        let interface = resolve.interfaces.iter().find(|(id, _)| resolve.id_of(*id).as_deref() == Some(&name));
        let only_types = interface.is_some_and(|(_, interface)| interface.functions.is_empty());
        ensure!(
            name.starts_with(LOG) || (name.starts_with("concord:plugin/") && only_types),
            "it imports `{name}`, and a plugin may import nothing but {LOG}*"
        );
    }
    Ok(())
}

/// Writes through a neighbour, so that nobody ever reads half a component. `false` if there was nothing to do.
fn write_if_changed(file: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(file).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    let neighbour = file.with_extension("wasm.new");
    fs::write(&neighbour, bytes).with_context(|| format!("cannot write {}", neighbour.display()))?;
    fs::rename(&neighbour, file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_outer_build_stay_outside() {
        for variable in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_PKG_NAME",
        ] {
            assert!(is_of_the_outer_build(variable), "{variable}");
        }
        for variable in
            ["CARGO", "CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_REGISTRIES_X_INDEX", "RUSTUP_TOOLCHAIN", "PATH"]
        {
            assert!(!is_of_the_outer_build(variable), "{variable}");
        }
    }

    #[test]
    fn only_cdylibs_are_plugins() {
        let message = |kind: &str| {
            serde_json::json!({"reason": "compiler-artifact", "target": {"name": "my_source", "crate_types": [kind]},
                "filenames": ["/t/libmy_source.rlib", "/t/my_source.wasm"]})
        };
        let module = module_of(&message("cdylib")).map(|module| (module.name, module.path));
        assert_eq!(module, Some(("my-source".to_owned(), PathBuf::from("/t/my_source.wasm"))));
        assert!(module_of(&message("rlib")).is_none());
        assert!(module_of(&serde_json::json!({"reason": "build-finished", "success": true})).is_none());
    }
}
