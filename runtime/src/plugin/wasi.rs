//! A WASI 0.2 in which nothing happens, for guests whose standard library imports one.
//!
//! The clocks stand at 1970-01-01T00:00:00Z, random numbers are the same in every call, there are no
//! arguments, variables, files or sockets, and waiting ends at once. What is printed goes to the
//! guest's log. Knows which functions have such an answer; every other one traps with its name.
//!
//! The clock is no batch's time: a verdict would then depend on which records travel together. An
//! event carries its own time.

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, LinkerInstance, Lower, Resource, ResourceType};

use super::sandbox::{Cell, charge};

/// Interfaces that guests may import, in any version 0.2.x.
const INTERFACES: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The most random bytes of one call; a guest that wants more is not seeding a hash table.
const RANDOM_BYTES: usize = 64 << 10;
/// What an output stream takes at once, in bytes.
const STREAM_ROOM: u64 = 4 << 10;

struct IoError;
struct Pollable;
struct InputStream;
struct OutputStream;
struct TerminalInput;
struct TerminalOutput;
struct Descriptor;
struct DirectoryEntryStream;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "part of the type; nothing here fails")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lower, Lift)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Store<'a> = StoreContextMut<'a, Cell>;
type Instance<'a> = LinkerInstance<'a, Cell>;
/// What a function of the guest's gets.
type Answer<T> = wasmtime::Result<(T,)>;
/// Whether a function was defined.
type Defined = wasmtime::Result<bool>;
type Flushed = Result<(), StreamError>;

/// Whether guests get this interface (`wasi:cli/exit@0.2.3`).
pub(super) fn offers(import: &str) -> bool {
    import.split_once('@').is_some_and(|(name, version)| INTERFACES.contains(&name) && version.starts_with("0.2."))
}

/// Defines what the component imports of one interface.
pub(super) fn define<'a>(
    instance: &mut Instance<'_>,
    import: &str,
    items: impl Iterator<Item = (&'a str, ComponentItem)>,
) -> wasmtime::Result<()> {
    let interface = import.split_once('@').map_or(import, |(name, _)| name);
    for (name, item) in items {
        match item {
            ComponentItem::Resource(_) => resource(instance, name)?,
            ComponentItem::ComponentFunc(_) if !function(instance, interface, name)? => {
                let message = format!("`{import}` `{name}` does not exist for plugins: they compute, and nothing else");
                instance.func_new(name, move |_, _, _, _| Err(wasmtime::Error::msg(message.clone())))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The host's type for a resource; names are unique over the interfaces offered.
fn resource(instance: &mut Instance<'_>, name: &str) -> wasmtime::Result<()> {
    let kind = match name {
        "error" => ResourceType::host::<IoError>(),
        "pollable" => ResourceType::host::<Pollable>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        "terminal-input" => ResourceType::host::<TerminalInput>(),
        "terminal-output" => ResourceType::host::<TerminalOutput>(),
        "descriptor" => ResourceType::host::<Descriptor>(),
        "directory-entry-stream" => ResourceType::host::<DirectoryEntryStream>(),
        _ => return Ok(()),
    };
    instance.resource(name, kind, |_, _| Ok(()))
}

/// Defines one function; `false` when it has no inert answer.
fn function(instance: &mut Instance<'_>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match interface {
        "wasi:cli/environment" | "wasi:cli/exit" => environment(instance, name),
        "wasi:cli/stdin"
        | "wasi:cli/stdout"
        | "wasi:cli/stderr"
        | "wasi:cli/terminal-stdin"
        | "wasi:cli/terminal-stdout"
        | "wasi:cli/terminal-stderr" => terminal(instance, name),
        "wasi:clocks/monotonic-clock" => monotonic(instance, name),
        "wasi:clocks/wall-clock" => wall(instance, name),
        "wasi:filesystem/preopens" => files(instance, name),
        "wasi:io/streams" => stream(instance, name),
        "wasi:io/error" | "wasi:io/poll" => poll(instance, name),
        "wasi:random/random" | "wasi:random/insecure" | "wasi:random/insecure-seed" => random(instance, name),
        _ => Ok(false),
    }
}

/// A function whose answer is always the same. The guest pays for the call like for any other.
fn fixed<P, R>(instance: &mut Instance<'_>, name: &str, answer: impl Fn() -> R + Send + Sync + 'static) -> Defined
where
    P: ComponentNamedList + Lift + 'static,
    R: ComponentType + Lower + 'static,
{
    instance.func_wrap(name, move |mut store: Store<'_>, _: P| -> Answer<R> {
        charge(&mut store, 0)?;
        Ok((answer(),))
    })?;
    Ok(true)
}

/// A handle to something of which there is only one, and nothing in it.
fn handle<T: 'static>() -> Resource<T> {
    Resource::new_own(0)
}

fn environment(instance: &mut Instance<'_>, name: &str) -> Defined {
    match name {
        "get-environment" => fixed::<(), Vec<(String, String)>>(instance, name, Vec::new),
        "get-arguments" => fixed::<(), Vec<String>>(instance, name, Vec::new),
        "initial-cwd" => fixed::<(), Option<String>>(instance, name, || None),
        "exit" => {
            instance.func_wrap(name, |_: Store<'_>, (_,): (Result<(), ()>,)| -> wasmtime::Result<()> {
                Err(wasmtime::Error::msg("it called `exit`"))
            })?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn terminal(instance: &mut Instance<'_>, name: &str) -> Defined {
    match name {
        "get-stdin" => fixed::<(), _>(instance, name, handle::<InputStream>),
        "get-stdout" | "get-stderr" => fixed::<(), _>(instance, name, handle::<OutputStream>),
        "get-terminal-stdin" => fixed::<(), Option<Resource<TerminalInput>>>(instance, name, || None),
        "get-terminal-stdout" | "get-terminal-stderr" => {
            fixed::<(), Option<Resource<TerminalOutput>>>(instance, name, || None)
        }
        _ => Ok(false),
    }
}

fn monotonic(instance: &mut Instance<'_>, name: &str) -> Defined {
    match name {
        "now" => fixed::<(), u64>(instance, name, || 0),
        "resolution" => fixed::<(), u64>(instance, name, || 1_000_000_000),
        "subscribe-instant" | "subscribe-duration" => fixed::<(u64,), _>(instance, name, handle::<Pollable>),
        _ => Ok(false),
    }
}

fn wall(instance: &mut Instance<'_>, name: &str) -> Defined {
    match name {
        "now" => fixed::<(), _>(instance, name, || Datetime { seconds: 0, nanoseconds: 0 }),
        "resolution" => fixed::<(), _>(instance, name, || Datetime { seconds: 1, nanoseconds: 0 }),
        _ => Ok(false),
    }
}

fn files(instance: &mut Instance<'_>, name: &str) -> Defined {
    match name {
        "get-directories" => fixed::<(), Vec<(Resource<Descriptor>, String)>>(instance, name, Vec::new),
        _ => Ok(false),
    }
}

fn poll(instance: &mut Instance<'_>, name: &str) -> Defined {
    match name {
        "poll" => {
            instance.func_wrap(
                name,
                |mut store: Store<'_>, (list,): (Vec<Resource<Pollable>>,)| -> Answer<Vec<u32>> {
                    charge(&mut store, list.len())?;
                    Ok(((0..).take(list.len()).collect(),))
                },
            )?;
            Ok(true)
        }
        "[method]pollable.ready" => fixed::<(Resource<Pollable>,), bool>(instance, name, || true),
        "[method]pollable.block" => {
            instance.func_wrap(name, |mut store: Store<'_>, (_,): (Resource<Pollable>,)| charge(&mut store, 0))?;
            Ok(true)
        }
        "[method]error.to-debug-string" => fixed::<(Resource<IoError>,), String>(instance, name, String::new),
        _ => Ok(false),
    }
}

fn stream(instance: &mut Instance<'_>, name: &str) -> Defined {
    type Read = (Resource<InputStream>, u64);
    type Output = (Resource<OutputStream>,);
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            fixed::<Read, Result<Vec<u8>, StreamError>>(instance, name, || Err(StreamError::Closed))
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            fixed::<Read, Result<u64, StreamError>>(instance, name, || Err(StreamError::Closed))
        }
        "[method]output-stream.check-write" => {
            fixed::<Output, Result<u64, StreamError>>(instance, name, || Ok(STREAM_ROOM))
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            instance.func_wrap(
                name,
                |mut store: Store<'_>, (_, bytes): (Resource<OutputStream>, Vec<u8>)| -> Answer<Flushed> {
                    charge(&mut store, bytes.len())?;
                    store.data_mut().output(&bytes);
                    Ok((Ok(()),))
                },
            )?;
            Ok(true)
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            fixed::<Output, Flushed>(instance, name, || Ok(()))
        }
        "[method]input-stream.subscribe" => fixed::<(Resource<InputStream>,), _>(instance, name, handle::<Pollable>),
        "[method]output-stream.subscribe" => fixed::<Output, _>(instance, name, handle::<Pollable>),
        _ => Ok(false),
    }
}

fn random(instance: &mut Instance<'_>, name: &str) -> Defined {
    match name {
        "get-random-bytes" | "get-insecure-random-bytes" => {
            instance.func_wrap(name, |mut store: Store<'_>, (length,): (u64,)| -> Answer<Vec<u8>> {
                let length = match usize::try_from(length) {
                    Ok(length) if length <= RANDOM_BYTES => length,
                    _ => return Err(wasmtime::Error::msg(format!("it asked for {length} random bytes at once"))),
                };
                charge(&mut store, length)?;
                let cell = store.data_mut();
                let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
                while bytes.len() < length {
                    bytes.extend_from_slice(&next(cell).to_le_bytes());
                }
                bytes.truncate(length);
                Ok((bytes,))
            })?;
        }
        "get-random-u64" | "get-insecure-random-u64" => {
            instance.func_wrap(name, |mut store: Store<'_>, (): ()| -> Answer<u64> {
                charge(&mut store, 0)?;
                Ok((next(store.data_mut()),))
            })?;
        }
        "insecure-seed" => {
            instance.func_wrap(name, |mut store: Store<'_>, (): ()| -> Answer<(u64, u64)> {
                charge(&mut store, 0)?;
                let cell = store.data_mut();
                Ok(((next(cell), next(cell)),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The next number of a splitmix64 sequence that begins anew with every call.
fn next(cell: &mut Cell) -> u64 {
    cell.random = cell.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = cell.random;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
