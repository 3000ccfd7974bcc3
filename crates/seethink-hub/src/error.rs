//! Why there is no checkpoint.

use super::{INDEX, SINGLE};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why a checkpoint could not be made available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Not the name of anything.
    #[error(
        "`{model}` is no checkpoint: there is no such folder, and a model of the hub is named `owner/name` or \
         `owner/name@revision`"
    )]
    Name {
        /// What was asked for.
        model: String,
    },
    /// Offline, and not in the cache.
    #[error(
        "`{model}` is not cached: {} lacks {}; as this is offline (HF_HUB_OFFLINE), nothing is downloaded",
        folder.display(), missing.join(", ")
    )]
    NotCached {
        /// The model.
        model: String,
        /// Where it should be.
        folder: PathBuf,
        /// The files that are not there.
        missing: Vec<String>,
    },
    /// The hub has no such model, or does not show it.
    #[error("there is no folder `{model}`, and {endpoint} has no such model, or it is private: {}", advice(*token))]
    Unknown {
        /// The model.
        model: String,
        /// The hub.
        endpoint: String,
        /// Whether a token was shown.
        token: bool,
    },
    /// The model has no such revision.
    #[error("`{model}` has no such revision; expected a branch, a tag or a commit")]
    Revision {
        /// The model with the revision.
        model: String,
    },
    /// The model has terms that must be accepted.
    #[error("`{model}` is gated: accept its terms on its page at {endpoint}; {}", advice(*token))]
    Gated {
        /// The model.
        model: String,
        /// The hub.
        endpoint: String,
        /// Whether a token was shown.
        token: bool,
    },
    /// 401 or 403 for another reason.
    #[error("{endpoint} refuses access to `{model}` (status {status}): {}", advice(*token))]
    Refused {
        /// The model.
        model: String,
        /// The hub.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// Whether a token was shown.
        token: bool,
    },
    /// The model has no weights that seethink reads.
    #[error("`{model}` has neither {SINGLE} nor {INDEX}; weights in other formats are not read")]
    NoWeights {
        /// The model.
        model: String,
    },
    /// Another status than success.
    #[error("{url} answers with status {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The host cannot be reached, or the connection breaks again and again.
    #[error("no answer, or not all of it, from {url}; HF_HUB_OFFLINE=1 uses what is cached")]
    Connection {
        /// The address.
        url: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An answer that is not a hub's.
    #[error("{url} does not answer as a hub does: expected {expected}")]
    Answer {
        /// The address.
        url: String,
        /// What is missing or malformed.
        expected: &'static str,
    },
    /// A file is not what the hub has; it was deleted.
    #[error("{file} arrived damaged and was deleted: its {what} is {found}, expected {expected}")]
    Damaged {
        /// The file.
        file: String,
        /// What was compared.
        what: &'static str,
        /// Of the file that arrived.
        found: String,
        /// By the hub.
        expected: String,
    },
    /// The index of the weights is malformed.
    #[error("{} is no index of weight files", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The index names something that is no weight file beside it.
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
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl HubError {
    /// For `map_err`: an error of the cache at `path`.
    pub(super) fn cache(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Cache { path, source }
    }

    /// Whether another try may succeed.
    pub(super) fn is_passing(&self) -> bool {
        use ureq::Error::{BadUri, Http};
        match self {
            Self::Connection { source, .. } => !matches!(source.downcast_ref(), Some(BadUri(_) | Http(_))),
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

/// What to do about a refusal.
fn advice(token: bool) -> &'static str {
    if token {
        "the token that was given (HF_TOKEN) does not allow it"
    } else {
        "set HF_TOKEN to the token of an account that may read it"
    }
}
