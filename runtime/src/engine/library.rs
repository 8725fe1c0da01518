//! libchdb: ClickHouse as a library, loaded at run time.
//!
//! Knows the C functions and who frees what; everything `unsafe` of the engine is in this file. Does
//! not know HTTP, users or which statements are allowed. The library's header is not shipped with it,
//! so the few functions in use are declared here.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use super::EngineError;

/// An opaque thing that the library owns until the matching function frees it.
#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

/// The answer of `chdb_classify_query_n`; `size` says how much of it the caller knows.
#[repr(C)]
#[derive(Default)]
struct Analysis {
    size: u32,
    statements: u32,
    flags: u32,
    class: u32,
}

macro_rules! functions {
    ($($field:ident = $symbol:literal: $type:ty;)*) => {
        struct Functions { $($field: $type,)* }

        impl Functions {
            fn find(library: &libloading::Library, path: &Path) -> Result<Self, EngineError> {
                $(
                    // SAFETY: the type is the one that the library's header declares for this symbol.
                    let $field = *unsafe { library.get::<$type>($symbol) }.map_err(|error| EngineError::Library {
                        path: path.to_owned(),
                        reason: error.to_string(),
                    })?;
                )*
                Ok(Self { $($field,)* })
            }
        }
    };
}

functions! {
    set_signal_handlers = b"chdb_set_signal_handlers_enabled": unsafe extern "C" fn(c_int);
    connect = b"chdb_connect": unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut *mut Opaque;
    close = b"chdb_close_conn": unsafe extern "C" fn(*mut *mut Opaque);
    version = b"chdb_version": unsafe extern "C" fn() -> *const c_char;
    classify = b"chdb_classify_query_n":
        unsafe extern "C" fn(*mut Opaque, *const c_char, usize, *const c_char, usize, *mut Analysis) -> c_int;
    query = b"chdb_query_with_params_n": QueryFunction;
    stream_query = b"chdb_stream_query_with_params_n": QueryFunction;
    stream_fetch = b"chdb_stream_fetch_result": unsafe extern "C" fn(*mut Opaque, *mut Opaque) -> *mut Opaque;
    stream_cancel = b"chdb_stream_cancel_query": unsafe extern "C" fn(*mut Opaque, *mut Opaque);
    stream_insert = b"chdb_stream_insert_with_params_n": QueryFunction;
    insert_append = b"chdb_stream_append": unsafe extern "C" fn(*mut Opaque, *const c_void, usize) -> c_int;
    insert_done = b"chdb_stream_done": unsafe extern "C" fn(*mut Opaque) -> *mut Opaque;
    insert_error = b"chdb_stream_insert_error": unsafe extern "C" fn(*mut Opaque) -> *const c_char;
    insert_free = b"chdb_destroy_insert_stream": unsafe extern "C" fn(*mut Opaque);
    result_error = b"chdb_result_error": unsafe extern "C" fn(*mut Opaque) -> *const c_char;
    result_buffer = b"chdb_result_buffer": unsafe extern "C" fn(*mut Opaque) -> *const c_char;
    result_length = b"chdb_result_length": unsafe extern "C" fn(*mut Opaque) -> usize;
    result_rows_read = b"chdb_result_storage_rows_read": unsafe extern "C" fn(*mut Opaque) -> u64;
    result_bytes_read = b"chdb_result_storage_bytes_read": unsafe extern "C" fn(*mut Opaque) -> u64;
    result_rows_written = b"chdb_result_rows_written": unsafe extern "C" fn(*mut Opaque) -> u64;
    result_bytes_written = b"chdb_result_bytes_written": unsafe extern "C" fn(*mut Opaque) -> u64;
    result_free = b"chdb_destroy_query_result": unsafe extern "C" fn(*mut Opaque);
}

/// Connection, statement, format, then names and values of parameters, each with their lengths.
type QueryFunction = unsafe extern "C" fn(
    *mut Opaque,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> *mut Opaque;

/// The loaded library. It is never unloaded: its threads may outlive every connection.
pub(super) struct Library {
    functions: Functions,
    path: PathBuf,
}

/// A process can hold the library once; a second load of another file would clash with the first.
static LOADED: Mutex<Option<Arc<Library>>> = Mutex::new(None);

impl Library {
    /// Loads the library, or returns the one that is loaded already.
    pub fn load(path: &Path) -> Result<Arc<Library>, EngineError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = &*loaded {
            return Ok(library.clone());
        }
        let failed =
            |error: libloading::Error| EngineError::Library { path: path.to_owned(), reason: error.to_string() };
        // SAFETY: running the library's initialisers is what loading it means; the operator chose the file.
        let library = unsafe { libloading::Library::new(path) }.map_err(failed)?;
        let functions = Functions::find(&library, path)?;
        // Its handlers would take the faults that wasmtime turns into traps. They must be off before the
        // first connection and stay off.
        // SAFETY: takes an integer by value and may be called at any time before the first connection.
        unsafe { (functions.set_signal_handlers)(0) };
        std::mem::forget(library);
        let library = Arc::new(Library { functions, path: path.to_owned() });
        *loaded = Some(library.clone());
        Ok(library)
    }

    /// The file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library's version, e.g. `26.7.3`.
    pub fn version(&self) -> String {
        // SAFETY: returns a static string or null; `text` checks for null and copies.
        unsafe { text((self.functions.version)()) }.unwrap_or_default()
    }

    /// Opens a connection; the first one of a process starts the engine with its arguments. `None`
    /// when the library declines, for example because another process holds the path.
    pub fn connect(self: &Arc<Self>, arguments: &[String]) -> Option<Connection> {
        let owned: Vec<CString> = std::iter::once("clickhouse")
            .chain(arguments.iter().map(String::as_str))
            .map(|a| CString::new(a).ok())
            .collect::<Option<_>>()?;
        let mut pointers: Vec<*mut c_char> = owned.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` has `count` NUL-terminated strings that live until the call returns; the
        // library copies what it keeps.
        let handle = NonNull::new(unsafe { (self.functions.connect)(count, pointers.as_mut_ptr()) })?;
        let connection = Connection { library: self.clone(), handle };
        // SAFETY: a handle that is not null points to the connection's pointer until it is closed.
        if unsafe { *handle.as_ptr() }.is_null() { None } else { Some(connection) }
    }
}

/// Copies a C string.
///
/// # Safety
/// `pointer` is null or points to a NUL-terminated string that stays valid during the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, and NUL-terminated by the caller's promise.
    Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// A parameter `{name:Type}` of a statement and its value in ClickHouse's escaped text form.
pub(super) type Parameter = (String, String);

/// The parameters as the C functions take them: pointers into the borrowed strings.
struct Parameters<'a> {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
    _borrowed: std::marker::PhantomData<&'a [Parameter]>,
}

impl<'a> Parameters<'a> {
    fn new(parameters: &'a [Parameter]) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
            _borrowed: std::marker::PhantomData,
        }
    }
}

/// One session with the engine: its own current database and settings, one statement at a time.
pub(super) struct Connection {
    library: Arc<Library>,
    handle: NonNull<*mut Opaque>,
}

// SAFETY: the library lets any thread use a connection as long as only one does at a time, which
// `&mut self` on every method that runs something sees to.
unsafe impl Send for Connection {}

/// ClickHouse's error text, beginning with `Code: N. DB::Exception:`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct StatementError(pub String);

/// What a statement does, as ClickHouse's own parser sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// 0 when the text did not parse.
    pub statements: u32,
    /// SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK.
    pub read_only: bool,
}

impl Connection {
    /// Asks ClickHouse's parser; runs nothing. `None` when the library cannot say.
    pub fn classify(&mut self, sql: &str) -> Option<Class> {
        let mut analysis = Analysis { size: size_of::<Analysis>() as u32, ..Analysis::default() };
        let functions = &self.library.functions;
        // SAFETY: the connection is open, `sql` is given with its length, the database may be null, and
        // `analysis` is writable for the size that it states.
        let state =
            unsafe { (functions.classify)(self.raw(), sql.as_ptr().cast(), sql.len(), ptr::null(), 0, &mut analysis) };
        (state == 0).then_some(Class { statements: analysis.statements, read_only: analysis.class == 0 })
    }

    /// Runs a statement and returns its whole answer.
    pub fn query(&mut self, sql: &str, format: &str, parameters: &[Parameter]) -> Result<Answer, StatementError> {
        let result = self.call(self.library.functions.query, sql, format, parameters);
        Answer::check(self.library.clone(), result)
    }

    /// Starts a SELECT whose answer comes block by block, each a document of its own in `format`.
    pub fn stream(
        self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
    ) -> Result<Stream, (Connection, StatementError)> {
        let result = self.call(self.library.functions.stream_query, sql, format, parameters);
        match Answer::check(self.library.clone(), result) {
            Ok(start) => Ok(Stream { start, connection: Some(self), ended: false }),
            Err(error) => Err((self, error)),
        }
    }

    /// Runs an INSERT whose rows are `data` in `format`; `sql` has neither FORMAT nor rows. All of
    /// `data` is one insert: the engine cuts it into blocks by its settings only.
    pub fn insert(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
        data: &[&[u8]],
    ) -> Result<Answer, StatementError> {
        let raw = self.call(self.library.functions.stream_insert, sql, format, parameters);
        let stream = InsertStream { functions: &self.library.functions, raw };
        if raw.is_null() {
            return Err(StatementError(NOTHING.to_owned()));
        }
        stream.check()?;
        for piece in data.iter().flat_map(|part| part.chunks(APPEND_BYTES)) {
            // SAFETY: the stream is open and not finished; the piece is copied before the call returns.
            if unsafe { (stream.functions.insert_append)(raw, piece.as_ptr().cast(), piece.len()) } != 0 {
                // The result of finishing has the reason; the stream may have it too.
                break;
            }
        }
        // SAFETY: the stream is open; finishing is called once. The result is ours to free.
        let result = unsafe { (stream.functions.insert_done)(raw) };
        let answer = Answer::check(self.library.clone(), result)?;
        stream.check()?;
        Ok(answer)
    }

    fn raw(&self) -> *mut Opaque {
        // SAFETY: the handle is valid until `drop` closes it.
        unsafe { *self.handle.as_ptr() }
    }

    fn call(&self, function: QueryFunction, sql: &str, format: &str, parameters: &[Parameter]) -> *mut Opaque {
        let p = Parameters::new(parameters);
        // SAFETY: the connection is open and used by this thread alone; every string is given with its
        // length, the four arrays have `parameters.len()` entries, and all outlive the call.
        unsafe {
            function(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                p.names.as_ptr(),
                p.name_lengths.as_ptr(),
                p.values.as_ptr(),
                p.value_lengths.as_ptr(),
                parameters.len(),
            )
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from `connect` and is closed only here. Streams own their connection
        // and destroy their handle first; an `Answer` owns its memory and needs no connection.
        unsafe { (self.library.functions.close)(self.handle.as_ptr()) };
    }
}

/// The library answers null only when it could not even allocate an error.
const NOTHING: &str = "Code: 1001. DB::Exception: The engine gave no answer. (STD_EXCEPTION)";

/// What one call of `chdb_stream_append` gets, so that the copy it makes stays small.
const APPEND_BYTES: usize = 4 << 20;

struct InsertStream<'a> {
    functions: &'a Functions,
    raw: *mut Opaque,
}

impl InsertStream<'_> {
    fn check(&self) -> Result<(), StatementError> {
        // SAFETY: the stream is alive until `drop`; the message is copied.
        match unsafe { text((self.functions.insert_error)(self.raw)) } {
            Some(error) if !error.is_empty() => Err(StatementError(error)),
            _ => Ok(()),
        }
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: freed once, here; a stream that is not finished is cancelled by this.
            unsafe { (self.functions.insert_free)(self.raw) };
        }
    }
}

/// A result of the library, freed when dropped.
pub(super) struct Answer {
    library: Arc<Library>,
    raw: NonNull<Opaque>,
}

// SAFETY: a result is plain memory with its own lifetime; nothing in it belongs to a thread.
unsafe impl Send for Answer {}
// SAFETY: the functions that take a result by shared reference only read it.
unsafe impl Sync for Answer {}

impl Answer {
    /// Takes a result over; an error in it becomes `Err`.
    fn check(library: Arc<Library>, raw: *mut Opaque) -> Result<Answer, StatementError> {
        let Some(raw) = NonNull::new(raw) else { return Err(StatementError(NOTHING.to_owned())) };
        let answer = Answer { library, raw };
        // SAFETY: the result is alive; the message is copied.
        match unsafe { text((answer.library.functions.result_error)(raw.as_ptr())) } {
            Some(error) if !error.is_empty() => Err(StatementError(error)),
            _ => Ok(answer),
        }
    }

    /// The formatted rows.
    pub fn bytes(&self) -> &[u8] {
        let functions = &self.library.functions;
        // SAFETY: the result is alive.
        let (buffer, length) =
            unsafe { ((functions.result_buffer)(self.raw.as_ptr()), (functions.result_length)(self.raw.as_ptr())) };
        if buffer.is_null() || length == 0 {
            return &[];
        }
        // SAFETY: the library gives `length` readable bytes that stay until the result is freed, and the
        // slice borrows `self`.
        unsafe { std::slice::from_raw_parts(buffer.cast(), length) }
    }

    /// Rows and bytes read from tables, rows and bytes written.
    pub fn counts(&self) -> [u64; 4] {
        let (functions, raw) = (&self.library.functions, self.raw.as_ptr());
        // SAFETY: the result is alive; each function only reads a number.
        unsafe {
            [
                (functions.result_rows_read)(raw),
                (functions.result_bytes_read)(raw),
                (functions.result_rows_written)(raw),
                (functions.result_bytes_written)(raw),
            ]
        }
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: the result is freed once, here.
        unsafe { (self.library.functions.result_free)(self.raw.as_ptr()) };
    }
}

/// A SELECT that is being read block by block. Dropping it cancels what is left.
pub(super) struct Stream {
    // Declared before the connection: fields drop in this order, and the handle must go first.
    start: Answer,
    /// `None` only after `finish` took it.
    connection: Option<Connection>,
    ended: bool,
}

impl Stream {
    /// The next block; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Answer>, StatementError> {
        let Some(connection) = self.connection.as_ref().filter(|_| !self.ended) else { return Ok(None) };
        let library = connection.library.clone();
        // SAFETY: the stream's handle and its connection are alive and used by this thread alone.
        let raw = unsafe { (library.functions.stream_fetch)(connection.raw(), self.start.raw.as_ptr()) };
        let block = Answer::check(library, raw).inspect_err(|_| self.ended = true)?;
        self.ended = block.bytes().is_empty();
        Ok((!self.ended).then_some(block))
    }

    /// The connection, when the stream was read to its end; else the statement is cancelled.
    pub fn finish(mut self) -> Option<Connection> {
        if self.ended { self.connection.take() } else { None }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.as_ref().filter(|_| !self.ended) {
            let cancel = connection.library.functions.stream_cancel;
            // SAFETY: handle and connection are alive and used by this thread alone; the handle is freed
            // after this, and the connection after the handle.
            unsafe { cancel(connection.raw(), self.start.raw.as_ptr()) };
        }
    }
}

/// Sets TCP_QUICKACK on a connection; failing costs only time.
#[cfg(target_os = "linux")]
pub(super) fn acknowledge_now(stream: &tokio::net::TcpStream) {
    use std::os::fd::AsRawFd as _;
    let on: c_int = 1;
    // SAFETY: the descriptor is open while `stream` is borrowed, and the option's value is an int whose
    // size is given.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_QUICKACK,
            (&raw const on).cast(),
            size_of::<c_int>() as libc::socklen_t,
        );
    }
}

/// Ends the process without running what libraries do at an exit: libchdb's threads still use what that would free.
pub fn leave_at_once(status: i32) -> ! {
    // SAFETY: `_exit` takes any number, touches no memory and does not return.
    unsafe { libc::_exit(status) }
}
