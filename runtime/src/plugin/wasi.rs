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
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, ResourceType};

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
const RANDOM_BYTES: u64 = 64 << 10;
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
type Answer<T> = wasmtime::Result<(T,)>;
type Written = Result<(), StreamError>;

/// Whether guests get this interface (`wasi:cli/exit@0.2.3`).
pub(super) fn offers(import: &str) -> bool {
    import.split_once('@').is_some_and(|(name, version)| INTERFACES.contains(&name) && version.starts_with("0.2."))
}

/// Defines what the component imports of one interface.
pub(super) fn define<'a>(
    instance: &mut LinkerInstance<'_, Cell>,
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
fn resource(instance: &mut LinkerInstance<'_, Cell>, name: &str) -> wasmtime::Result<()> {
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
fn function(instance: &mut LinkerInstance<'_, Cell>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match interface {
        "wasi:cli/environment"
        | "wasi:cli/exit"
        | "wasi:cli/stdin"
        | "wasi:cli/stdout"
        | "wasi:cli/stderr"
        | "wasi:cli/terminal-stdin"
        | "wasi:cli/terminal-stdout"
        | "wasi:cli/terminal-stderr" => cli(instance, name),
        "wasi:clocks/monotonic-clock" | "wasi:clocks/wall-clock" => clock(instance, interface, name),
        "wasi:filesystem/preopens" | "wasi:filesystem/types" => files(instance, name),
        "wasi:io/streams" => stream(instance, name),
        "wasi:io/error" | "wasi:io/poll" => poll(instance, name),
        "wasi:random/random" | "wasi:random/insecure" | "wasi:random/insecure-seed" => random(instance, name),
        _ => Ok(false),
    }
}

fn cli(instance: &mut LinkerInstance<'_, Cell>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "get-environment" => {
            instance.func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Vec<(String, String)>> { Ok((Vec::new(),)) })?
        }
        "get-arguments" => {
            instance.func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Vec<String>> { Ok((Vec::new(),)) })?
        }
        "initial-cwd" => instance.func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Option<String>> { Ok((None,)) })?,
        "exit" => instance.func_wrap(name, |_: Store<'_>, (_,): (Result<(), ()>,)| -> wasmtime::Result<()> {
            Err(wasmtime::Error::msg("it called `exit`"))
        })?,
        "get-stdin" => instance
            .func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Resource<InputStream>> { Ok((Resource::new_own(0),)) })?,
        "get-stdout" | "get-stderr" => instance
            .func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Resource<OutputStream>> {
                Ok((Resource::new_own(0),))
            })?,
        "get-terminal-stdin" => instance
            .func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Option<Resource<TerminalInput>>> { Ok((None,)) })?,
        "get-terminal-stdout" | "get-terminal-stderr" => instance
            .func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Option<Resource<TerminalOutput>>> { Ok((None,)) })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn clock(instance: &mut LinkerInstance<'_, Cell>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    let wall = interface == "wasi:clocks/wall-clock";
    match name {
        "now" if wall => instance.func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Datetime> {
            Ok((Datetime { seconds: 0, nanoseconds: 0 },))
        })?,
        "resolution" if wall => instance.func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Datetime> {
            Ok((Datetime { seconds: 1, nanoseconds: 0 },))
        })?,
        "now" => instance.func_wrap(name, |_: Store<'_>, (): ()| -> Answer<u64> { Ok((0,)) })?,
        "resolution" => instance.func_wrap(name, |_: Store<'_>, (): ()| -> Answer<u64> { Ok((1_000_000_000,)) })?,
        "subscribe-instant" | "subscribe-duration" => {
            instance.func_wrap(name, |mut store: Store<'_>, (_,): (u64,)| -> Answer<Resource<Pollable>> {
                charge(&mut store, 0)?;
                Ok((Resource::new_own(0),))
            })?
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn files(instance: &mut LinkerInstance<'_, Cell>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "get-directories" => {
            instance.func_wrap(name, |_: Store<'_>, (): ()| -> Answer<Vec<(Resource<Descriptor>, String)>> {
                Ok((Vec::new(),))
            })?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn poll(instance: &mut LinkerInstance<'_, Cell>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "poll" => instance.func_wrap(
            name,
            |mut store: Store<'_>, (list,): (Vec<Resource<Pollable>>,)| -> Answer<Vec<u32>> {
                charge(&mut store, list.len())?;
                Ok(((0..list.len() as u32).collect(),))
            },
        )?,
        "[method]pollable.ready" => {
            instance.func_wrap(name, |mut store: Store<'_>, (_,): (Resource<Pollable>,)| -> Answer<bool> {
                charge(&mut store, 0)?;
                Ok((true,))
            })?
        }
        "[method]pollable.block" => {
            instance.func_wrap(name, |mut store: Store<'_>, (_,): (Resource<Pollable>,)| charge(&mut store, 0))?
        }
        "[method]error.to-debug-string" => instance
            .func_wrap(name, |_: Store<'_>, (_,): (Resource<IoError>,)| -> Answer<String> { Ok((String::new(),)) })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn stream(instance: &mut LinkerInstance<'_, Cell>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => instance.func_wrap(
            name,
            |mut store: Store<'_>, (_, _): (Resource<InputStream>, u64)| -> Answer<Result<Vec<u8>, StreamError>> {
                charge(&mut store, 0)?;
                Ok((Err(StreamError::Closed),))
            },
        )?,
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => instance.func_wrap(
            name,
            |mut store: Store<'_>, (_, _): (Resource<InputStream>, u64)| -> Answer<Result<u64, StreamError>> {
                charge(&mut store, 0)?;
                Ok((Err(StreamError::Closed),))
            },
        )?,
        "[method]output-stream.check-write" => instance.func_wrap(
            name,
            |mut store: Store<'_>, (_,): (Resource<OutputStream>,)| -> Answer<Result<u64, StreamError>> {
                charge(&mut store, 0)?;
                Ok((Ok(STREAM_ROOM),))
            },
        )?,
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => instance.func_wrap(
            name,
            |mut store: Store<'_>, (_, bytes): (Resource<OutputStream>, Vec<u8>)| -> Answer<Written> {
                charge(&mut store, bytes.len())?;
                store.data_mut().output(&bytes);
                Ok((Ok(()),))
            },
        )?,
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            instance.func_wrap(name, |mut store: Store<'_>, (_,): (Resource<OutputStream>,)| -> Answer<Written> {
                charge(&mut store, 0)?;
                Ok((Ok(()),))
            })?
        }
        "[method]input-stream.subscribe" => instance.func_wrap(
            name,
            |mut store: Store<'_>, (_,): (Resource<InputStream>,)| -> Answer<Resource<Pollable>> {
                charge(&mut store, 0)?;
                Ok((Resource::new_own(0),))
            },
        )?,
        "[method]output-stream.subscribe" => instance.func_wrap(
            name,
            |mut store: Store<'_>, (_,): (Resource<OutputStream>,)| -> Answer<Resource<Pollable>> {
                charge(&mut store, 0)?;
                Ok((Resource::new_own(0),))
            },
        )?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn random(instance: &mut LinkerInstance<'_, Cell>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "get-random-bytes" | "get-insecure-random-bytes" => {
            instance.func_wrap(name, |mut store: Store<'_>, (length,): (u64,)| -> Answer<Vec<u8>> {
                if length > RANDOM_BYTES {
                    return Err(wasmtime::Error::msg(format!("it asked for {length} random bytes at once")));
                }
                charge(&mut store, length as usize)?;
                let cell = store.data_mut();
                let mut bytes = Vec::with_capacity(length as usize + 8);
                while (bytes.len() as u64) < length {
                    bytes.extend_from_slice(&next(cell).to_le_bytes());
                }
                bytes.truncate(length as usize);
                Ok((bytes,))
            })?
        }
        "get-random-u64" | "get-insecure-random-u64" => {
            instance.func_wrap(name, |mut store: Store<'_>, (): ()| -> Answer<u64> { Ok((next(store.data_mut()),)) })?
        }
        "insecure-seed" => instance.func_wrap(name, |mut store: Store<'_>, (): ()| -> Answer<(u64, u64)> {
            let cell = store.data_mut();
            Ok(((next(cell), next(cell)),))
        })?,
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
