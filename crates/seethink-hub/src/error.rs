//! Errors of finding and downloading a checkpoint.

use super::{INDEX, SINGLE};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Errors of finding and downloading a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Neither the name of a folder nor that of a model on the hub.
    #[error(
        "`{model}` is no checkpoint: there is no such folder, and a model of the hub is named `owner/name` or \
         `owner/name@revision`"
    )]
    Name {
        /// Requested name.
        model: String,
    },
    /// Offline, and the model is not in the cache.
    #[error(
        "`{model}` is not cached: {} lacks {}; as this is offline (HF_HUB_OFFLINE), nothing is downloaded",
        folder.display(), missing.join(", ")
    )]
    NotCached {
        /// The model.
        model: String,
        /// Expected folder in the cache.
        folder: PathBuf,
        /// Missing files.
        missing: Vec<String>,
    },
    /// The hub has no such model, or hides it.
    #[error("there is no folder `{model}`, and {endpoint} has no such model, or it is private: {}", advice(*token))]
    Unknown {
        /// The model.
        model: String,
        /// Address of the hub.
        endpoint: String,
        /// True if an access token was sent.
        token: bool,
    },
    /// The model has no such revision.
    #[error("`{model}` has no such revision; expected a branch, a tag or a commit")]
    Revision {
        /// Model and revision.
        model: String,
    },
    /// The model has terms that must be accepted.
    #[error("`{model}` is gated: accept its terms on its page at {endpoint}; {}", advice(*token))]
    Gated {
        /// The model.
        model: String,
        /// Address of the hub.
        endpoint: String,
        /// True if an access token was sent.
        token: bool,
    },
    /// Access refused with status 401 or 403 for another reason.
    #[error("{endpoint} refuses access to `{model}` (status {status}): {}", advice(*token))]
    Refused {
        /// The model.
        model: String,
        /// Address of the hub.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// True if an access token was sent.
        token: bool,
    },
    /// The model has no weights that seethink reads.
    #[error("`{model}` has neither {SINGLE} nor {INDEX}; weights in other formats are not read")]
    NoWeights {
        /// The model.
        model: String,
    },
    /// HTTP status other than success.
    #[error("{url} answers with status {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The host cannot be reached, or the connection breaks repeatedly.
    #[error("no answer, or not all of it, from {url}; HF_HUB_OFFLINE=1 uses what is cached")]
    Connection {
        /// The address.
        url: String,
        /// Cause of the failure.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server's answer is not that of a hub.
    #[error("{url} does not answer as a hub does: expected {expected}")]
    Answer {
        /// The address.
        url: String,
        /// Missing or malformed part of the answer.
        expected: &'static str,
    },
    /// A downloaded file does not match the hub's metadata; it was deleted.
    #[error("{file} arrived damaged and was deleted: its {what} is {found}, expected {expected}")]
    Damaged {
        /// The file.
        file: String,
        /// Compared property: length or checksum.
        what: &'static str,
        /// Value of the downloaded file.
        found: String,
        /// Value announced by the hub.
        expected: String,
    },
    /// The index of the weights is malformed.
    #[error("{} is no index of weight files", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Error of the parser.
        source: serde_json::Error,
    },
    /// The index names something other than a weight file beside it.
    #[error("{} names `{shard}`; expected the plain name of a .safetensors file", path.display())]
    Shard {
        /// The index.
        path: PathBuf,
        /// The name.
        shard: String,
    },
    /// The cache cannot be read, written or locked.
    #[error("the cache of models fails at {}", path.display())]
    Cache {
        /// Path in the cache.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
}

impl HubError {
    /// Creates an error of the cache at `path`, for `map_err`.
    pub(super) fn cache(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Cache { path, source }
    }

    /// Returns whether a retry may succeed.
    pub(super) fn is_passing(&self) -> bool {
        use ureq::Error::{BadUri, Http};
        match self {
            Self::Connection { source, .. } => !matches!(source.downcast_ref(), Some(BadUri(_) | Http(_))),
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

/// Advice on the access token after a refusal.
fn advice(token: bool) -> &'static str {
    if token {
        "the token that was given (HF_TOKEN) does not allow it"
    } else {
        "set HF_TOKEN to the token of an account that may read it"
    }
}
