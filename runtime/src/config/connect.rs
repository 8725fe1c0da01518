//! Sources that are fetched: `[source.folder]` and `[source.poll]` in the pipeline file.
//!
//! Of this machine alone, as the gateway's doors are: nothing here travels in the log. Secrets are named, never written. Does
//! not open, watch or ask anything (`read` turns text into these).

use std::path::PathBuf;
use std::time::Duration;

use super::gateway::SecretPlace;

mod read;

pub(super) use read::{RawFolder, RawPoll};

/// A watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where files appear.
    pub path: PathBuf,
    /// Where files go that are in the log.
    pub done: PathBuf,
    /// Where files go that are not, or of which nothing can be made; a file beside each says why.
    pub failed: PathBuf,
    /// How often is looked.
    pub every: Duration,
    /// A file is complete when its size and time of change have stood still for so long.
    pub settle: Duration,
    /// What lies in `done` and `failed` for longer is deleted. `None`: somebody else's business.
    pub keep: Option<Duration>,
    /// Each line is a delivery, instead of each file.
    pub lines: bool,
    /// `None`: by the file's ending.
    pub content_type: Option<String>,
    /// What a transport would say of each delivery, by name.
    pub attributes: Vec<(String, String)>,
    /// Of one delivery, unpacked, in bytes.
    pub body_bytes: usize,
}

/// A polled HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// `http://` or `https://`, without user and fragment.
    pub url: String,
    pub auth: Option<PollAuth>,
    /// Sent with each request; names in lower case.
    pub headers: Vec<(String, String)>,
    /// How often is asked while all is well.
    pub every: Duration,
    /// For a whole answer.
    pub timeout: Duration,
    pub cursor: Option<Cursor>,
    /// PEM file of authorities to believe instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `None`: what the answer says.
    pub content_type: Option<String>,
    pub attributes: Vec<(String, String)>,
    /// Of one answer, unpacked, in bytes.
    pub body_bytes: usize,
}

/// How Concord shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollAuth {
    Bearer(SecretPlace),
    Basic {
        user: String,
        password: SecretPlace,
    },
    /// A header with the secret alone, such as `x-api-key`.
    Header {
        name: String,
        secret: SecretPlace,
    },
}

/// How an answer says where the next question goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub from: CursorPlace,
    /// The query parameter that takes it in the next question.
    pub parameter: String,
    /// For the first question; `None` asks without the parameter.
    pub first: Option<String>,
    /// Ask again at once while the cursor moves: for endpoints that answer page by page.
    pub drain: bool,
}

/// Where the cursor stands in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorPlace {
    /// RFC 6901, into a JSON body: a string or a number.
    Pointer(String),
    /// Lower case.
    Header(String),
}

#[cfg(test)]
mod tests;
