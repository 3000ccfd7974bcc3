//! Model checkpoints from a folder, or from the Hugging Face hub through the cache of Python's
//! `huggingface_hub`.
//!
//! Only the files that seethink reads are downloaded, each is verified before it appears under its
//! name, and an interrupted download is resumed.

mod cache;
mod download;
mod error;
mod fetch;
mod remote;

pub use error::HubError;
pub use fetch::fetch;
pub use remote::roots;

use cache::Cache;
use download::Download;
use remote::Remote;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt, fs};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Files downloaded beside the weights, where the model has them.
const FILES: [&str; 13] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    CONFIG,
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
];

/// Settings of the hub: endpoint, cache folder, access token and retries.
#[derive(Clone)]
pub struct HubOptions {
    /// Address of the hub.
    pub endpoint: String,
    /// Folder of the cache, the one that holds `models--owner--name`.
    pub cache: PathBuf,
    /// Access token: sent to the endpoint, and to no host that it redirects to.
    pub token: Option<String>,
    /// Offline mode: use the cache and make no request.
    pub offline: bool,
    /// Consecutive attempts without a new byte before a request fails.
    pub tries: u32,
    /// Pause after the first failed attempt; it doubles with each further one, up to 32-fold.
    pub pause: Duration,
}

impl HubOptions {
    /// Settings from the environment, as `huggingface_hub` reads them: `HF_ENDPOINT`,
    /// `HF_HUB_CACHE` or else `HF_HOME`, `HF_TOKEN` or else the token file, `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        Self::from_vars(|name| env::var(name).ok())
    }

    fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let path = |name| var(name).map(PathBuf::from);
        let user_cache = || path("XDG_CACHE_HOME").or_else(|| Some(env::home_dir()?.join(".cache")));
        let home = path("HF_HOME").unwrap_or_else(|| user_cache().unwrap_or_default().join("huggingface"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let kept = || fs::read_to_string(token_file).ok().map(|token| token.trim().to_owned());
        let offline = var("HF_HUB_OFFLINE").map(|value| value.to_uppercase());
        Self {
            endpoint: var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            cache: path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            token: var("HF_TOKEN").or_else(kept).filter(|token| !token.is_empty()),
            offline: offline.is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.as_str())),
            tries: 5,
            pause: Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for HubOptions {
    /// Formats all settings but the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, cache, token, offline, tries, pause } = self;
        let mut fields = f.debug_struct("HubOptions");
        fields.field("endpoint", endpoint).field("cache", cache).field("token", &token.as_ref().map(|_| "…"));
        fields.field("offline", offline).field("tries", tries).field("pause", pause).finish()
    }
}

/// Progress of the download of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownloadProgress<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Bytes present so far.
    pub done: u64,
    /// Total number of bytes.
    pub total: u64,
}

/// Resolves `model` to a checkpoint folder: the folder of that name if there is one, or else the
/// model `owner/name` or `owner/name@revision` of the hub, downloaded if the cache lacks it.
///
/// Cached files are not requested again; the commit of the revision is requested each time, unless
/// offline.
///
/// # Errors
/// If there is no such folder, model or revision, if access is refused, if a file arrives damaged
/// or not at all, if the cache cannot be written, or, offline, if the cache lacks a required file.
pub fn resolve(
    model: &str,
    options: &HubOptions,
    progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    if Path::new(model).is_dir() {
        return Ok(model.into());
    }
    let model = Model::parse(model).ok_or_else(|| HubError::Name { model: model.to_owned() })?;
    let cache = Cache::new(&options.cache, &model);
    if options.offline {
        return cache.whole(&model);
    }
    let remote = Remote::new(&model, options);
    let contents = remote.contents()?;
    let mut download = Download { remote: &remote, cache: &cache, commit: &contents.commit, progress };
    for file in FILES.into_iter().filter(|&file| contents.has(file)) {
        download.fetch(file)?;
    }
    if contents.has(SINGLE) {
        download.fetch(SINGLE)?;
    } else if contents.has(INDEX) {
        download.fetch(INDEX)?;
        for shard in shards(&cache.snapshot(&contents.commit).join(INDEX))? {
            download.fetch(&shard)?;
        }
    } else {
        return Err(HubError::NoWeights { model: model.to_string() });
    }
    // Written last, so that the offline mode keeps finding the last complete checkpoint of a
    // branch.
    cache.write_ref(&model.revision, &contents.commit)?;
    Ok(cache.snapshot(&contents.commit))
}

/// A model of the hub at a revision.
struct Model {
    owner: String,
    name: String,
    revision: String,
}

impl Model {
    fn parse(model: &str) -> Option<Self> {
        let (id, revision) = model.split_once('@').unwrap_or((model, "main"));
        let (owner, name) = id.split_once('/')?;
        let plain = [owner, name].into_iter().chain(revision.split('/')).all(is_plain);
        // Two dashes separate owner and name in the cache; the hub allows them in neither.
        let parsed = || Self { owner: owner.to_owned(), name: name.to_owned(), revision: revision.to_owned() };
        (plain && !id.contains("--")).then(parsed)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, name, revision } = self;
        write!(f, "{owner}/{name}")?;
        if revision == "main" { Ok(()) } else { write!(f, "@{revision}") }
    }
}

/// Returns whether a name is safe as one part of a path and of an address; every name received from
/// outside is checked before either use.
fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed)
}

/// Weight files (shards) named by an index.
fn shards(index: &Path) -> Result<BTreeSet<String>, HubError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = fs::read(index).map_err(HubError::cache(index))?;
    let parsed = serde_json::from_slice(&text).map_err(|source| HubError::Index { path: index.to_owned(), source });
    let Index { weight_map } = parsed?;
    let shards: BTreeSet<_> = weight_map.into_values().collect();
    match shards.iter().find(|shard| !is_plain(shard) || !shard.ends_with(".safetensors")) {
        Some(shard) => Err(HubError::Shard { path: index.to_owned(), shard: shard.clone() }),
        None => Ok(shards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(vars: &[(&str, &str)]) -> HubOptions {
        HubOptions::from_vars(|name| vars.iter().find(|var| var.0 == name).map(|var| var.1.to_owned()))
    }

    #[test]
    fn the_environment_is_read_as_python_does() {
        let default = options(&[("XDG_CACHE_HOME", "/c")]);
        assert_eq!(default.endpoint, "https://huggingface.co");
        assert_eq!(default.cache, Path::new("/c/huggingface/hub"));
        assert!(default.token.is_none() && !default.offline);
        assert_eq!(options(&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/c")]).cache, Path::new("/h/hub"));
        let all = [("HF_HOME", "/h"), ("HF_HUB_CACHE", "/k"), ("HF_TOKEN", " secret\n"), ("HF_HUB_OFFLINE", "true")];
        let all = options(&all);
        assert_eq!((all.cache.as_path(), all.token.as_deref(), all.offline), (Path::new("/k"), Some("secret"), true));
        assert!(!format!("{all:?}").contains("secret"));
        assert!(!options(&[("HF_HOME", "/h"), ("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn the_token_file_stands_in_for_the_variable() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token"), "kept\n").unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(options(&[("HF_HOME", path)]).token.as_deref(), Some("kept"));
        assert_eq!(options(&[("HF_HOME", path), ("HF_TOKEN", "given")]).token.as_deref(), Some("given"));
    }

    #[test]
    fn names_have_an_owner_and_perhaps_a_revision() {
        let parsed = |name| Model::parse(name).map(|model| model.to_string());
        assert_eq!(parsed("Qwen/Qwen3-VL-2B-Instruct").as_deref(), Some("Qwen/Qwen3-VL-2B-Instruct"));
        assert_eq!(parsed("a/b@refs/pr/1").as_deref(), Some("a/b@refs/pr/1"));
        assert_eq!(parsed("a/b@main").as_deref(), Some("a/b"));
        for name in ["", "gpt2", "/a/b", "a/b/c", "a/", "../b", "a/..", "a/b@", "a/b@../x", "a b/c", "a--b/c", "~/a"] {
            assert_eq!(parsed(name), None, "{name}");
        }
    }
}
