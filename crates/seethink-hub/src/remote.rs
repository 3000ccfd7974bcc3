//! HTTP client of the hub.

use super::{HubError, HubOptions, Model, is_plain};
use serde::Deserialize;
use std::error::Error;
use std::thread;
use std::time::Duration;
use ureq::http::{Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

/// Maximum number of redirects, as in browsers.
const MAX_HOPS: usize = 20;
/// Timeout after which a stalled connection counts as broken.
const STALL: Duration = Duration::from_secs(60);

/// HTTP client for one model of a hub.
pub(super) struct Remote<'a> {
    agent: Agent,
    model: &'a Model,
    options: &'a HubOptions,
    endpoint: &'a str,
}

/// Commit and files of a revision.
pub(super) struct Contents {
    /// Commit that the revision stands for.
    pub(super) commit: String,
    files: Vec<String>,
}

impl Contents {
    pub(super) fn has(&self, file: &str) -> bool {
        self.files.iter().any(|name| name == file)
    }
}

/// Metadata of a file on the hub.
pub(super) struct Metadata {
    /// ETag: the SHA-256 of the content for large files, its SHA-1 as a git blob for small ones.
    pub(super) etag: String,
    pub(super) length: u64,
}

impl<'a> Remote<'a> {
    pub(super) fn new(model: &'a Model, options: &'a HubOptions) -> Self {
        let config = Agent::config_builder()
            .user_agent(concat!("seethink/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // Redirects are followed in `follow`: the token must not be sent on, and their headers
            // are needed.
            .max_redirects(0)
            .timeout_connect(Some(STALL))
            .timeout_recv_response(Some(STALL))
            .timeout_per_read(Some(STALL))
            .tls_config(TlsConfig::builder().root_certs(roots()).build());
        Self { agent: config.build().into(), model, options, endpoint: options.endpoint.trim_end_matches('/') }
    }

    /// Requests the commit and the files of the revision.
    pub(super) fn contents(&self) -> Result<Contents, HubError> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let Model { owner, name, revision } = self.model;
        let revision = revision.replace('/', "%2F");
        let url = format!("{}/api/models/{owner}/{name}/revision/{revision}", self.endpoint);
        let text = self.retry(|_| {
            let mut response = self.get(&url, 0)?;
            response.body_mut().read_to_string().map_err(connection(&url))
        })?;
        match serde_json::from_str(&text) {
            Ok(Info { sha, siblings }) if is_plain(&sha) => {
                Ok(Contents { commit: sha, files: siblings.into_iter().map(|file| file.rfilename).collect() })
            }
            _ => Err(HubError::Answer { url, expected: "JSON with a commit `sha` and its files, `siblings`" }),
        }
    }

    /// URL of a file.
    pub(super) fn url(&self, commit: &str, file: &str) -> String {
        let Model { owner, name, .. } = self.model;
        format!("{}/{owner}/{name}/resolve/{commit}/{file}", self.endpoint)
    }

    /// Requests the metadata of the file at `url`; if it redirects to another host, the hub's
    /// headers count.
    pub(super) fn metadata(&self, url: &str) -> Result<Metadata, HubError> {
        let response = self.retry(|_| {
            let linked = |response: &_| text(response, "x-linked-etag").and(text(response, "x-linked-size")).is_some();
            self.follow(url, |url| self.agent.head(url), linked)
        })?;
        let get = |linked, plain| text(&response, linked).or_else(|| text(&response, plain));
        let etag = get("x-linked-etag", "etag").map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let length = get("x-linked-size", "content-length").and_then(|length| length.parse().ok());
        match (etag, length) {
            (Some(etag), Some(length)) if is_plain(etag) => Ok(Metadata { etag: etag.to_owned(), length }),
            _ => Err(HubError::Answer { url: url.to_owned(), expected: "the file's ETag and its length" }),
        }
    }

    /// Requests the content at `url`, from byte `from` on if the server supports ranges.
    pub(super) fn get(&self, url: &str, from: u64) -> Result<Response<Body>, HubError> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let request = |url: &str| {
            let request = self.agent.get(url);
            if let Some(range) = &range { request.header(header::RANGE, range) } else { request }
        };
        self.follow(url, request, |_| false)
    }

    /// Retries after transient errors; an attempt may reset the count of failures when it makes
    /// progress.
    pub(super) fn retry<T>(&self, mut attempt: impl FnMut(&mut u32) -> Result<T, HubError>) -> Result<T, HubError> {
        let mut failures = 0;
        loop {
            match attempt(&mut failures) {
                Err(error) if error.is_passing() && failures + 1 < self.options.tries => {
                    thread::sleep(self.options.pause * 2u32.pow(failures.min(5)));
                    failures += 1;
                }
                done => return done,
            }
        }
    }

    /// Sends a request and follows redirects; the first answer that is `enough` is returned even if
    /// it is a redirect.
    fn follow(
        &self,
        url: &str,
        request: impl Fn(&str) -> RequestBuilder<WithoutBody>,
        enough: impl Fn(&Response<Body>) -> bool,
    ) -> Result<Response<Body>, HubError> {
        let mut url = url.to_owned();
        for _ in 0..MAX_HOPS {
            let mut request = request(&url).header(header::ACCEPT_ENCODING, "identity");
            if let Some(token) = &self.options.token
                && origin(&url) == origin(self.endpoint)
            {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(connection(&url))?;
            match response.status() {
                status if status.is_success() || (status.is_redirection() && enough(&response)) => return Ok(response),
                status if status.is_redirection() => url = target(&url, &response)?,
                status => return Err(self.refusal(&url, status.as_u16(), text(&response, "x-error-code"))),
            }
        }
        Err(HubError::Answer { url: shown(&url), expected: "fewer redirects" })
    }

    /// Error for a status other than success.
    fn refusal(&self, url: &str, status: u16, code: Option<&str>) -> HubError {
        let (model, endpoint) = (self.model.to_string(), self.endpoint.to_owned());
        let token = self.options.token.is_some();
        let lookup = url.strip_prefix(self.endpoint).is_some_and(|path| path.starts_with("/api/models/"));
        match (status, code) {
            _ if origin(url) != origin(self.endpoint) => HubError::Status { url: shown(url), status },
            (_, Some("GatedRepo")) => HubError::Gated { model, endpoint, token },
            (_, Some("RevisionNotFound")) => HubError::Revision { model },
            (_, Some("RepoNotFound")) => HubError::Unknown { model, endpoint, token },
            // Without a token, the hub does not tell whether a model exists.
            (401, _) if lookup && !token => HubError::Unknown { model, endpoint, token },
            (404, _) if lookup => HubError::Unknown { model, endpoint, token },
            (401 | 403, _) => HubError::Refused { model, endpoint, status, token },
            _ => HubError::Status { url: shown(url), status },
        }
    }
}

/// Root certificates: those that the system trusts, a private hub's among them, or else those of
/// Mozilla.
pub fn roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = found.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    if roots.is_empty() { RootCerts::WebPki } else { RootCerts::Specific(roots.into()) }
}

/// Creates a connection error of `url`, for `map_err`.
pub(super) fn connection<E: Error + Send + Sync + 'static>(url: &str) -> impl FnOnce(E) -> HubError {
    let url = shown(url);
    |source| HubError::Connection { url, source: Box::new(source) }
}

/// URL without its query, which may be a signature that grants access.
fn shown(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

/// Value of a header, if present and text.
pub(super) fn text<'r>(response: &'r Response<Body>, header: &str) -> Option<&'r str> {
    response.headers().get(header)?.to_str().ok()
}

/// Origin of a URL (scheme, host and port), to which a token is bound.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[host..].find(['/', '?', '#', '\\']).map_or(url.len(), |end| host + end);
    &url[..end]
}

/// Target of a redirect: a URL, or a path on the same host.
fn target(url: &str, response: &Response<Body>) -> Result<String, HubError> {
    match text(response, "location").unwrap_or_default() {
        there if there.starts_with("https://") || there.starts_with("http://") => Ok(there.to_owned()),
        path if path.starts_with('/') && !path.starts_with("//") => Ok(origin(url).to_owned() + path),
        _ => Err(HubError::Answer { url: shown(url), expected: "a redirect to an address or a path" }),
    }
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn an_origin_is_all_before_the_path() {
        assert_eq!(origin("https://hub.co/a?b=http://c/d"), "https://hub.co");
        assert_eq!(origin("http://127.0.0.1:80?x"), "http://127.0.0.1:80");
        for other in ["http://hub.co/", "https://hub.co:444/", "https://hub.co@evil/", "https://hub.com/"] {
            assert_ne!(origin(other), origin("https://hub.co"), "{other}");
        }
    }
}
