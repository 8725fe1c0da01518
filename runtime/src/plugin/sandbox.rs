//! The cell a guest runs in: engine settings, its store's data, its bounds, its log.
//!
//! Knows how a guest is held in and why a call failed. Does not know what the calls are about.

use std::fmt::Write as _;
use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};
use wasmtime::{Config, Engine, OptLevel, ResourceLimiter, Store, StoreContextMut, Trap};

use super::error::{Failure, HostError};
use super::limits::Limits;

/// Native stack of wasm frames, in bytes: deeper recursion traps. It is wasmtime's own default, which
/// interpreters are built for; the calling thread needs as much and some more.
const STACK: usize = 512 << 10;
/// Log lines kept for a fault, the bytes of one, and of all.
const LOG_LINES: usize = 8;
const LOG_LINE_BYTES: usize = 1_024;
/// Lines forwarded to our own log during one call; a chatty guest must not fill the disk.
const LOG_FORWARDED: u32 = 64;
/// Fuel for a call into the host, and for each byte handed over: host code burns no fuel by itself.
const HOSTCALL_FUEL: u64 = 500;
const HOSTCALL_FUEL_PER_BYTE: u64 = 1;

/// An engine whose guests behave the same on every machine and in every run.
pub(super) fn engine() -> Result<Engine, HostError> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .relaxed_simd_deterministic(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .max_wasm_stack(STACK)
        .concurrency_support(false)
        // Frames of stripped guests say nothing, and collecting them slows every trap.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    Engine::new(&config).map_err(|e| HostError::Engine(format!("{e:#}")))
}

/// What a store carries for its guest.
pub(super) struct Cell {
    plugin: Arc<str>,
    memory_limit: usize,
    /// Bytes of linear memory in use, over all memories.
    memory: usize,
    /// The size that a refused growth would have led to.
    refused: Option<usize>,
    lines: Vec<String>,
    forwarded: u32,
    /// Where the inert random numbers stand; set back before every call.
    pub(super) random: u64,
    /// An output line that the guest has not finished.
    partial: String,
}

impl Cell {
    /// Bytes of linear memory in use.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    fn begin_call(&mut self) {
        self.lines.clear();
        self.partial.clear();
        self.forwarded = 0;
        self.refused = None;
        self.random = 0;
    }

    /// Takes a line of the guest's log.
    fn line(&mut self, level: Level, text: &str) {
        let text = clip(text.trim_end(), LOG_LINE_BYTES);
        if text.is_empty() {
            return;
        }
        if self.forwarded < LOG_FORWARDED {
            self.forwarded += 1;
            tracing::debug!(target: "concord::plugin::guest", plugin = %self.plugin, level = level.as_str(), "{text}");
        }
        if self.lines.len() == LOG_LINES {
            self.lines.remove(0);
        }
        self.lines.push(text.to_owned());
    }

    /// Takes what the guest writes to standard output or error, line by line.
    pub(super) fn output(&mut self, bytes: &[u8]) {
        for piece in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            if self.partial.len() < LOG_LINE_BYTES {
                self.partial.push_str(piece);
            }
            if piece.ends_with('\n') {
                let line = std::mem::take(&mut self.partial);
                self.line(Level::Info, &line);
            }
        }
    }

    /// The guest's last lines, oldest first.
    fn last_words(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        self.line(Level::Info, &rest);
        (!self.lines.is_empty()).then(|| self.lines.join(" | "))
    }
}

impl ResourceLimiter for Cell {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory + desired.saturating_sub(current);
        if total > self.memory_limit {
            // A trap rather than a failed growth: a guest that goes on with less would answer by
            // how much the records before it had used.
            self.refused = Some(total);
            return Err(wasmtime::Error::msg("memory limit"));
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > 1_000_000 {
            return Err(wasmtime::Error::msg("a table of more than 1,000,000 entries"));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        100
    }

    fn tables(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        16
    }
}

/// A store with the plugin's bounds and no fuel yet.
pub(super) fn store(engine: &Engine, plugin: &Arc<str>, limits: &Limits) -> Store<Cell> {
    let cell = Cell {
        plugin: plugin.clone(),
        memory_limit: limits.memory_bytes,
        memory: 0,
        refused: None,
        lines: Vec::new(),
        forwarded: 0,
        random: 0,
        partial: String::new(),
    };
    let mut store = Store::new(engine, cell);
    store.limiter(|cell| cell);
    store
}

/// What one call may use.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    pub(super) fuel: u64,
    pub(super) output_bytes: usize,
    /// For whom it is, in a message: "one record", "one delivery".
    pub(super) purpose: &'static str,
    /// The name of the limit that grants the fuel.
    pub(super) limit: &'static str,
}

/// Grants a call its budget and makes it, turning whatever goes wrong into a [`Failure`].
pub(super) fn call<R>(
    store: &mut Store<Cell>,
    budget: Budget,
    make: impl FnOnce(&mut Store<Cell>) -> wasmtime::Result<R>,
) -> Result<R, Failure> {
    store.data_mut().begin_call();
    store.set_hostcall_fuel(budget.output_bytes);
    let granted = store.set_fuel(budget.fuel);
    granted.and_then(|()| make(store)).map_err(|error| explain(store, budget, &error))
}

/// A failure of the guest that no trap reports: its answer makes no sense.
pub(super) fn nonsense(store: &mut Store<Cell>, what: impl Into<String>) -> Failure {
    with_last_words(store, what.into())
}

/// Fuel that is left of the last call's budget.
pub(super) fn fuel_left(store: &Store<Cell>) -> u64 {
    store.get_fuel().unwrap_or(0)
}

fn explain(store: &mut Store<Cell>, budget: Budget, error: &wasmtime::Error) -> Failure {
    let message = if let Some(wanted) = store.data().refused {
        format!(
            "the plugin wanted {wanted} bytes of memory for {}; it may have {} (limit `memory_bytes`)",
            budget.purpose,
            store.data().memory_limit
        )
    } else {
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => format!(
                "the plugin did not finish {} within {} units of fuel (limit `{}`): an endless loop, or too much work",
                budget.purpose, budget.fuel, budget.limit
            ),
            Some(Trap::StackOverflow) => format!("the plugin's recursion on {} is too deep", budget.purpose),
            Some(Trap::UnreachableCodeReached) => format!("the plugin panicked on {}", budget.purpose),
            // Guests keep large frames in their own memory, below everything else.
            Some(Trap::MemoryOutOfBounds) => format!(
                "the plugin reached outside its memory on {}: too deep a recursion, or unsafe code",
                budget.purpose
            ),
            Some(trap) => format!("the plugin trapped on {}: {trap}", budget.purpose),
            None => foreign(budget, error),
        }
    };
    with_last_words(store, message)
}

/// Errors that are no traps: a reply that cannot be read, an import that refused.
fn foreign(budget: Budget, error: &wasmtime::Error) -> String {
    let text = error.root_cause().to_string();
    if text.contains("fuel allocated for hostcalls") {
        let bytes = budget.output_bytes;
        return format!("the plugin's reply to {} is larger than {bytes} bytes (limit `output_bytes`)", budget.purpose);
    }
    format!("the plugin failed on {}: {}", budget.purpose, clip(&text, LOG_LINE_BYTES))
}

fn with_last_words(store: &mut Store<Cell>, mut message: String) -> Failure {
    if let Some(words) = store.data_mut().last_words() {
        let _ = write!(message, "; its last words: {words}");
    }
    Failure { message }
}

/// The level of a log line, as the interface has it.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[allow(dead_code, reason = "the guest makes them")]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// Gives guests `concord:plugin/log`.
pub(super) fn add_log(linker: &mut Linker<Cell>, name: &str) -> wasmtime::Result<()> {
    linker.instance(name)?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, Cell>, (level, message): (Level, WasmStr)| {
            // Read before it is paid for: the string's length is known only from the text, which
            // itself is bounded by the reply limit.
            let text = message.to_str(&store)?.into_owned();
            charge(&mut store, text.len())?;
            store.data_mut().line(level, &text);
            Ok(())
        },
    )
}

/// Makes the guest pay for work of the host.
pub(super) fn charge(store: &mut StoreContextMut<'_, Cell>, bytes: usize) -> wasmtime::Result<()> {
    let cost = HOSTCALL_FUEL + HOSTCALL_FUEL_PER_BYTE * bytes as u64;
    match store.get_fuel()?.checked_sub(cost) {
        Some(left) => store.set_fuel(left),
        None => Err(Trap::OutOfFuel.into()),
    }
}

/// At most `bytes` of a text, cut between characters; control characters become spaces.
pub(super) fn clip(text: &str, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut clipped: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        clipped.push_str(" ...");
    }
    clipped
}
