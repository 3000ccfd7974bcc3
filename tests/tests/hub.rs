//! Downloads of checkpoints from a small hub on the loopback interface, which leaves large files to
//! a second host as the real one does.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::hub::{DownloadProgress, HubError, HubOptions, resolve};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Hash in git of a file that holds `{}`.
const BRACES: &str = "9e26dfeeb6e641a33dae4961196235bdb965b21b";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// State of the hub: its files, its failures, and the requests received.
#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Token that requests must show.
    token: Option<&'static str>,
    /// Number of bytes after which the connection breaks, for one answer each.
    cuts: Vec<usize>,
    /// Number of answers of the hub with the status of a busy server.
    busy: usize,
    /// True if the CDN answers a range with the whole file.
    ignores_ranges: bool,
    /// True if the CDN sends other bytes than were promised.
    garbles: bool,
    requests: Vec<Request>,
}

#[derive(Clone, Debug)]
struct Request {
    host: &'static str,
    method: String,
    path: String,
    range: Option<String>,
    token: Option<String>,
}

impl Request {
    fn read(host: &'static str, stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let first = lines.next()?;
        let (method, path) = first.split_once(' ')?;
        let path = path.split(' ').next()?.to_owned();
        let mut request = Self { host, method: method.to_owned(), path, range: None, token: None };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ")?;
            match name.to_lowercase().as_str() {
                "range" => request.range = Some(value.to_owned()),
                "authorization" => request.token = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(request)
    }

    /// Name of the requested file.
    fn file(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }
}

/// Answer: status, further headers, body.
type Answer = (u16, String, Vec<u8>);

struct Hub {
    state: Arc<Mutex<State>>,
    endpoint: String,
    home: TempDir,
}

impl Hub {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|&(name, content)| (name.to_owned(), content.to_owned())).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let cdn = serve("cdn", &state, |state, request| {
            let mut body = state.files[request.file()].clone();
            if state.garbles {
                body[0] ^= 1;
            }
            let from = request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
            match from.filter(|_| !state.ignores_ranges) {
                Some(from) => {
                    let headers = format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
                    (206, headers, body.split_off(from.parse().unwrap()))
                }
                None => (200, String::new(), body),
            }
        });
        let endpoint = serve("hub", &state, move |state, request| hub(state, request, cdn));
        Self { state, endpoint: format!("http://{endpoint}"), home: TempDir::new().unwrap() }
    }

    /// Hub with a checkpoint of two shards, and files that must not be downloaded.
    fn sharded() -> Self {
        let [first, second] = SHARDS;
        let index = format!(r#"{{"weight_map": {{"a": "{first}", "b": "{second}", "c": "{first}"}}}}"#);
        Self::new(&[
            ("config.json", b"{}"),
            ("tokenizer.json", b"{}"),
            ("README.md", b"{}"),
            ("pytorch_model.bin", b"pickle"),
            ("model.safetensors.index.json", index.as_bytes()),
            (first, &weights(3)),
            (second, &weights(5)),
            ("model-00003-of-00002.safetensors", &weights(7)),
        ])
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Requests since the last call.
    fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// Ranges of the first shard that were requested from the CDN since the last call.
    fn ranges(&self) -> Vec<String> {
        let first = |request: &Request| request.host == "cdn" && request.file() == SHARDS[0];
        self.requests().into_iter().filter(first).map(|request| request.range.unwrap_or_default()).collect()
    }

    fn options(&self) -> HubOptions {
        HubOptions {
            endpoint: self.endpoint.clone() + "/",
            cache: self.home.path().join("hub"),
            token: None,
            offline: false,
            tries: 3,
            pause: Duration::from_millis(1),
        }
    }

    fn get(&self) -> Result<PathBuf, HubError> {
        resolve("lab/tiny", &self.options(), &mut |_| {})
    }

    fn repo(&self) -> PathBuf {
        self.home.path().join("hub/models--lab--tiny")
    }
}

/// Answer of the hub itself.
fn hub(state: &State, request: &Request, cdn: SocketAddr) -> Answer {
    if state.token.is_some_and(|token| request.token.as_deref() != Some(&format!("Bearer {token}"))) {
        return (401, "X-Error-Code: GatedRepo\r\n".into(), vec![]);
    }
    if let Some(revision) = request.path.strip_prefix("/api/models/lab/tiny/revision/") {
        if revision != "main" && revision != "refs%2Fpr%2F1" {
            return (404, "X-Error-Code: RevisionNotFound\r\n".into(), vec![]);
        }
        let siblings: Vec<_> = state.files.keys().map(|name| format!(r#"{{"rfilename": "{name}"}}"#)).collect();
        let body = format!(r#"{{"sha": "{COMMIT}", "siblings": [{}]}}"#, siblings.join(", "));
        return (200, String::new(), body.into());
    }
    let name = request.path.strip_prefix("/lab/tiny/resolve/").and_then(|path| path.strip_prefix(COMMIT));
    let Some(content) = name.and_then(|name| state.files.get(&name[1..])) else {
        return (404, String::new(), vec![]);
    };
    let name = request.file();
    if name.ends_with(".safetensors") {
        let (sha, length) = (sha256(content), content.len());
        let linked = format!("X-Linked-Etag: \"{sha}\"\r\nX-Linked-Size: {length}\r\n");
        return (302, format!("Location: http://{cdn}/{name}\r\nETag: \"other\"\r\n{linked}"), vec![]);
    }
    let etag = if content == b"{}" { BRACES } else { "no-checksum" };
    (200, format!("ETag: W/\"{etag}\"\r\n"), content.clone())
}

/// Serves one request per connection.
fn serve(
    host: &'static str,
    state: &Arc<Mutex<State>>,
    answer: impl Fn(&State, &Request) -> Answer + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let state = state.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let Some(request) = Request::read(host, &stream) else { continue };
            let mut state = state.lock().unwrap();
            let busy = host == "hub" && state.busy > 0;
            state.busy -= usize::from(busy);
            let (status, headers, mut body) =
                if busy { (503, String::new(), vec![]) } else { answer(&state, &request) };
            let length = body.len();
            if request.method == "HEAD" {
                body.clear();
            } else if host == "cdn" && !state.cuts.is_empty() {
                body.truncate(state.cuts.remove(0));
            }
            state.requests.push(request);
            drop(state);
            let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}

/// Bytes that repeat late, and exceed one read.
fn weights(seed: u32) -> Vec<u8> {
    (0..700_000_u32).map(|i| (i.wrapping_mul(i + seed) >> 7) as u8).collect()
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Message of an error with its sources.
fn told(result: Result<PathBuf, HubError>) -> String {
    let error = result.unwrap_err();
    let sources = std::iter::successors(Some(&error as &dyn Error), |&error| error.source());
    sources.map(|error| error.to_string()).collect::<Vec<_>>().join(": ")
}

#[test]
fn what_is_read_is_downloaded_once() {
    let hub = Hub::sharded();
    let mut heard = BTreeMap::new();
    let mut listen = |DownloadProgress { file, done, total }: DownloadProgress<'_>| {
        assert!(done <= total);
        heard.insert(file.to_owned(), (done, total));
    };
    let folder = resolve("lab/tiny", &hub.options(), &mut listen).unwrap();
    assert_eq!(folder, hub.repo().join("snapshots").join(COMMIT));
    let expected = ["config.json", "model.safetensors.index.json", "tokenizer.json", SHARDS[0], SHARDS[1]];
    assert_eq!(names(&folder), expected.map(String::from).into());
    assert_eq!(fs::read(folder.join(SHARDS[1])).unwrap(), weights(5));
    assert_eq!(heard.len(), 4, "the same content is brought once: {heard:?}");
    assert_eq!(heard[SHARDS[0]], (700_000, 700_000));

    assert_eq!(fs::read_to_string(hub.repo().join("refs/main")).unwrap(), COMMIT);
    let blobs = [BRACES.into(), "no-checksum".into(), sha256(&weights(3)), sha256(&weights(5))];
    assert_eq!(names(&hub.repo().join("blobs")), blobs.into());
    #[cfg(unix)]
    assert_eq!(fs::read_link(folder.join("config.json")).unwrap(), Path::new("../../blobs").join(BRACES));

    hub.requests();
    assert_eq!(hub.get().unwrap(), folder);
    let again: Vec<_> = hub.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(again, ["/api/models/lab/tiny/revision/main"]);

    let other = resolve("lab/tiny@refs/pr/1", &hub.options(), &mut |_| {}).unwrap();
    assert_eq!(other, folder);
    assert_eq!(fs::read_to_string(hub.repo().join("refs/refs/pr/1")).unwrap(), COMMIT);
}

#[test]
fn one_weight_file_is_preferred_to_shards() {
    let weights = weights(3);
    let hub = Hub::new(&[("config.json", b"{}"), ("model.safetensors", &weights)]);
    hub.set(|state| drop(state.files.insert("model.safetensors.index.json".to_owned(), b"?".into())));
    let folder = hub.get().unwrap();
    assert_eq!(names(&folder), ["config.json", "model.safetensors"].map(String::from).into());
}

#[test]
fn offline_the_cache_must_do() {
    let hub = Hub::sharded();
    let offline = HubOptions { offline: true, ..hub.options() };
    let get = |model: &str| resolve(model, &offline, &mut |_| {});
    let nothing = told(get("lab/tiny"));
    assert!(nothing.contains("config.json") && nothing.contains("HF_HUB_OFFLINE"), "{nothing}");
    assert!(hub.requests().is_empty());

    let folder = hub.get().unwrap();
    hub.requests();
    assert_eq!(get("lab/tiny").unwrap(), folder);
    assert_eq!(get(&format!("lab/tiny@{COMMIT}")).unwrap(), folder);
    assert!(told(get("lab/tiny@v2")).contains("`lab/tiny@v2` is not cached"));

    fs::remove_file(folder.join(SHARDS[1])).unwrap();
    let message = told(get("lab/tiny"));
    assert!(message.contains(&format!("lacks {};", SHARDS[1])), "{message}");
    assert!(hub.requests().is_empty());
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let hub = Hub::sharded();
    // More cuts than tries: each try brings a part. The last brings nothing.
    hub.set(|state| state.cuts = vec![300_000, 100_000, 100_000, 50_000, 0]);
    let folder = hub.get().unwrap();
    assert_eq!(fs::read(folder.join(SHARDS[0])).unwrap(), weights(3));
    let expected = ["", "bytes=300000-", "bytes=400000-", "bytes=500000-", "bytes=550000-", "bytes=550000-"];
    assert_eq!(hub.ranges(), expected);

    // A host that does not support ranges starts again.
    let hub = Hub::sharded();
    hub.set(|state| (state.cuts, state.ignores_ranges) = (vec![300_000, 400_000], true));
    assert_eq!(fs::read(hub.get().unwrap().join(SHARDS[0])).unwrap(), weights(3));
}

#[test]
fn what_an_earlier_run_left_is_used_if_it_is_sound() {
    for (left, reused) in [(&weights(3)[..200_000], true), (&weights(5)[..200_000], false)] {
        let hub = Hub::sharded();
        // Every try is cut at once: the run ends with an error.
        hub.set(|state| state.cuts = vec![0; 3]);
        let message = told(hub.get());
        assert!(message.contains(SHARDS[0]) && message.contains("HF_HUB_OFFLINE=1"), "{message}");
        fs::write(hub.repo().join("blobs").join(sha256(&weights(3)) + ".incomplete"), left).unwrap();
        hub.requests();
        assert_eq!(fs::read(hub.get().unwrap().join(SHARDS[0])).unwrap(), weights(3));
        assert_eq!(hub.ranges(), if reused { vec!["bytes=200000-"] } else { vec!["bytes=200000-", ""] });
    }
}

#[test]
fn a_busy_hub_is_asked_again() {
    let hub = Hub::sharded();
    hub.set(|state| state.busy = 2);
    assert!(hub.get().is_ok());
    hub.set(|state| state.busy = 3);
    let message = told(hub.get());
    assert!(message.ends_with("/api/models/lab/tiny/revision/main answers with status 503"), "{message}");
}

#[test]
fn damaged_files_do_not_stay() {
    let hub = Hub::sharded();
    hub.set(|state| state.garbles = true);
    let message = told(hub.get());
    assert!(message.contains(SHARDS[0]) && message.contains("SHA-256"), "{message}");
    assert!(message.contains(&sha256(&weights(3))), "{message}");
    let small = [BRACES, "no-checksum"].map(String::from);
    assert_eq!(names(&hub.repo().join("blobs")), small.into());
    assert!(!hub.repo().join("refs").exists());

    hub.set(|state| state.garbles = false);
    assert_eq!(fs::read(hub.get().unwrap().join(SHARDS[0])).unwrap(), weights(3));
}

#[test]
fn refusals_are_told_apart() {
    let hub = Hub::sharded();
    let get = |model: &str| told(resolve(model, &hub.options(), &mut |_| {}));
    assert!(get("lab/other").contains("has no such model"), "{}", get("lab/other"));
    assert!(get("lab/tiny@v2").contains("`lab/tiny@v2` has no such revision"), "{}", get("lab/tiny@v2"));

    hub.set(|state| state.token = Some("secret"));
    let gated = get("lab/tiny");
    assert!(gated.contains("is gated") && gated.contains("set HF_TOKEN"), "{gated}");
    let wrong = HubOptions { token: Some("wrong".to_owned()), ..hub.options() };
    let wrong = told(resolve("lab/tiny", &wrong, &mut |_| {}));
    assert!(wrong.contains("is gated") && wrong.contains("does not allow it"), "{wrong}");

    let hub = Hub::new(&[("config.json", b"{}"), ("pytorch_model.bin", b"pickle")]);
    assert!(told(hub.get()).contains("neither model.safetensors nor"));
}

#[test]
fn the_token_stays_with_the_hub() {
    let hub = Hub::sharded();
    hub.set(|state| state.token = Some("secret"));
    let options = HubOptions { token: Some("secret".to_owned()), ..hub.options() };
    resolve("lab/tiny", &options, &mut |_| {}).unwrap();
    let requests = hub.requests();
    assert!(requests.iter().any(|request| request.host == "cdn"));
    for request in requests {
        let expected = (request.host == "hub").then_some("Bearer secret");
        assert_eq!(request.token.as_deref(), expected, "{request:?}");
    }
}

#[test]
fn an_index_names_files_beside_it_only() {
    for shard in ["../../x.safetensors", "/etc/x.safetensors", "..", "a/b.safetensors", r"..\x.safetensors", "x.bin"] {
        let index = serde_json::json!({"weight_map": {"a": shard}}).to_string();
        let hub = Hub::new(&[("config.json", b"{}"), ("model.safetensors.index.json", index.as_bytes())]);
        let message = told(hub.get());
        assert!(message.contains(&format!("`{shard}`")), "{message}");
        assert!(hub.requests().iter().all(|request| !request.path.ends_with(shard)));
    }
}

#[test]
fn folders_are_taken_as_they_are_and_the_rest_must_be_a_name() {
    let hub = Hub::sharded();
    let folder = hub.home.path().to_str().unwrap();
    assert_eq!(resolve(folder, &hub.options(), &mut |_| {}).unwrap(), hub.home.path());
    for name in ["gpt2", "no/such/folder", "../up", ""] {
        let message = told(resolve(name, &hub.options(), &mut |_| {}));
        assert!(message.contains(&format!("`{name}`")) && message.contains("owner/name"), "{message}");
    }
    assert!(hub.requests().is_empty());
}

#[test]
fn two_at_once_share_the_work() {
    let hub = Hub::sharded();
    let folders: Vec<_> = std::thread::scope(|scope| {
        let runs = [0, 1].map(|_| scope.spawn(|| hub.get().unwrap()));
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(fs::read(folders[0].join(SHARDS[1])).unwrap(), weights(5));
    assert_eq!(hub.requests().iter().filter(|request| request.host == "cdn").count(), 2);
}
