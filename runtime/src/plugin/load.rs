//! From bytes to a component that may be started: is it a plugin, and what does it import?
//!
//! Knows the plugin interface's names and who else is let in. Does not call the guest.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use super::cache::Cache;
use super::error::LoadError;
use super::sandbox::{self, Cell};
use super::wasi;

/// The interface's package and version.
const PACKAGE: &str = "concord:plugin@0.1.0";
const LOG: &str = "concord:plugin/log@0.1.0";
const PREFIX: &str = "concord:plugin/";
/// The largest component taken, in bytes: an interpreter with its standard library fits.
const COMPONENT_BYTES: usize = 64 << 20;

/// One of the two worlds, by what it exports.
#[derive(Clone, Copy)]
pub(super) struct World {
    pub(super) name: &'static str,
    /// Without the version.
    interface: &'static str,
    export: &'static str,
}

pub(super) const NORMALIZER: World =
    World { name: "normalizer", interface: "concord:plugin/normalize", export: "concord:plugin/normalize@0.1.0" };
pub(super) const PRECEDENCE: World =
    World { name: "precedence", interface: "concord:plugin/rules", export: "concord:plugin/rules@0.1.0" };

/// Checks and links a component; it can be started from then on.
pub(super) fn link(engine: &Engine, cache: &Cache, bytes: &[u8], world: World) -> Result<InstancePre<Cell>, LoadError> {
    header(bytes)?;
    let component = cache.component(engine, bytes).map_err(|e| invalid(&e))?;
    exports(engine, &component, world)?;
    let linker = imports(engine, &component)?;
    linker.instantiate_pre(&component).map_err(|e| interface(&e))
}

/// Which plugin a component is; everything that [`link`] checks but the types.
pub(super) fn inspect(engine: &Engine, cache: &Cache, bytes: &[u8]) -> Result<(World, Vec<String>), LoadError> {
    header(bytes)?;
    let component = cache.component(engine, bytes).map_err(|e| invalid(&e))?;
    let world = match exports(engine, &component, NORMALIZER) {
        Err(LoadError::WrongWorld { .. }) => PRECEDENCE,
        found => found.map(|()| NORMALIZER)?,
    };
    imports(engine, &component)?;
    let kind = component.component_type();
    Ok((world, kind.imports(engine).map(|(name, _)| name.to_owned()).collect()))
}

/// The types of an interface are not the expected ones.
pub(super) fn interface(error: &wasmtime::Error) -> LoadError {
    LoadError::Interface { package: PACKAGE, reason: format!("{error:#}") }
}

fn invalid(error: &wasmtime::Error) -> LoadError {
    LoadError::Invalid(sandbox::clip(&format!("{error:#}"), 1_000))
}

/// Tells a component from everything else by its first eight bytes.
fn header(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => {}
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => return Err(LoadError::CoreModule),
        [0, b'a', b's', b'm', ..] => return Err(LoadError::Invalid("its version is unknown".into())),
        _ => return Err(LoadError::NotWasm),
    }
    if bytes.len() > COMPONENT_BYTES {
        return Err(LoadError::TooLarge { size: bytes.len(), limit: COMPONENT_BYTES });
    }
    Ok(())
}

fn exports(engine: &Engine, component: &Component, world: World) -> Result<(), LoadError> {
    let kind = component.component_type();
    let names: Vec<&str> = kind.exports(engine).map(|(name, _)| name).collect();
    if names.contains(&world.export) {
        return Ok(());
    }
    let other = if world.name == NORMALIZER.name { PRECEDENCE } else { NORMALIZER };
    if names.contains(&other.export) {
        return Err(LoadError::WrongWorld { wanted: world.name, found: other.name, export: world.export });
    }
    let of = |name: &&&str| matches!(name.split_once('@'), Some((i, _)) if i == world.interface);
    if let Some(found) = names.iter().find(of) {
        return Err(LoadError::WrongVersion { wanted: world.export, found: (*found).to_owned() });
    }
    let found = match names.as_slice() {
        [] => "nothing".to_owned(),
        names => sandbox::clip(&format!("`{}`", names.join("`, `")), 300),
    };
    Err(LoadError::NoPlugin { wanted: world.name, export: world.export, found })
}

/// A linker that offers what the component imports, if all of that is allowed.
fn imports(engine: &Engine, component: &Component) -> Result<Linker<Cell>, LoadError> {
    let mut linker = Linker::new(engine);
    let kind = component.component_type();
    for (name, item) in kind.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            return Err(forbidden(name));
        };
        let mut functions =
            instance.exports(engine).filter(|(_, e)| !matches!(e.ty, ComponentItem::Type(_))).peekable();
        let defined = if name == LOG {
            sandbox::add_log(&mut linker, name)
        } else if name.starts_with(PREFIX) && functions.peek().is_none() {
            // Words only; there is nothing to offer.
            linker.instance(name).map(|_| ())
        } else if wasi::offers(name) {
            linker.instance(name).and_then(|mut i| wasi::define(&mut i, name, functions.map(|(n, e)| (n, e.ty))))
        } else {
            return Err(forbidden(name));
        };
        defined.map_err(|e| invalid(&e))?;
    }
    Ok(linker)
}

fn forbidden(import: &str) -> LoadError {
    let remedy = if import.starts_with("wasi:sockets") || import.starts_with("wasi:http") {
        "a plugin reaches no network, and what it needs comes with the delivery or in the source's `settings`; \
         toolchains that import this unasked can leave it out (componentize-py: `--stub-wasi`, \
         componentize-js: `--disable http --disable fetch-event`)"
    } else if import.starts_with("wasi:") {
        "only the parts of WASI 0.2 that a standard library needs exist, and they do nothing; build for \
         wasm32-unknown-unknown or wasm32-wasip2 without what needs this"
    } else if import.starts_with(PREFIX) {
        "it belongs to another version of the plugin interface; build against the `wit/` of this version"
    } else {
        "a plugin may import `concord:plugin/log` and nothing else; remove the dependency that needs it"
    };
    LoadError::ForbiddenImport { import: import.to_owned(), remedy }
}
