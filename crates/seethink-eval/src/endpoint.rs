//! Client of OpenAI-compatible chat completions over HTTP, as served by vLLM.

use seethink_core::Image;
use seethink_data::png_base64;
use seethink_hub::roots;
use seethink_models::{Content, Message};
use seethink_rollout::Sampling;
use serde::Deserialize;
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header;
use ureq::tls::TlsConfig;

/// OpenAI-compatible endpoint: a server and a model on it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    agent: Agent,
    options: EndpointOptions,
}

/// Options of an endpoint: address, model, key, timeout and retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Base URL before `/chat/completions`, such as `http://localhost:8000/v1`.
    pub url: String,
    /// Name of the model on the server.
    pub model: String,
    /// API key, sent as a bearer token.
    pub key: Option<String>,
    /// Timeout of a request.
    pub timeout: Duration,
    /// Maximum number of attempts of a request, at least 1.
    pub tries: u32,
    /// Pause after the first failed attempt; it doubles with each further one, up to 32-fold. A
    /// server's `Retry-After` takes precedence.
    pub pause: Duration,
}

/// Errors of an endpoint, after the last attempt.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The server cannot be reached, or does not answer in time.
    #[error("no answer from {url} after {tries} tries")]
    Connection {
        /// The address.
        url: String,
        /// Number of attempts.
        tries: u32,
        /// Error of the last attempt.
        source: Box<ureq::Error>,
    },
    /// The server refused the request.
    #[error("{url} answered {status} after {tries} tries: {said}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Number of attempts.
        tries: u32,
        /// Beginning of the answer.
        said: String,
    },
    /// The answer does not hold the expected completions.
    #[error("{url} answered after {tries} tries with `{said}`, expected JSON with {expected}")]
    Answer {
        /// The address.
        url: String,
        /// Number of attempts.
        tries: u32,
        /// Beginning of the answer.
        said: String,
        /// Expected content of the answer.
        expected: String,
    },
    /// An image could not be encoded.
    #[error("a picture could not be encoded as PNG")]
    Picture(#[source] std::io::Error),
}

/// Parsed part of an answer.
#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
}

#[derive(Deserialize)]
struct Said {
    content: String,
}

impl Endpoint {
    /// Creates a client; no request is made yet.
    pub fn new(options: EndpointOptions) -> Self {
        let config = Agent::config_builder()
            .user_agent(concat!("seethink/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .timeout_global(Some(options.timeout))
            .tls_config(TlsConfig::builder().root_certs(roots()).build());
        Self { agent: config.build().into(), options }
    }

    /// Options of the endpoint.
    pub fn options(&self) -> &EndpointOptions {
        &self.options
    }

    /// Requests `n` completions of a conversation; `images` are its images in order.
    ///
    /// Broken connections, 408, 409, 429, 5xx and answers that cannot be parsed are retried.
    ///
    /// # Errors
    /// If the server gives no usable answer to the last attempt, or refuses the request.
    pub fn complete(
        &self,
        messages: &[Message],
        images: &[Image],
        sampling: &Sampling,
        n: usize,
        seed: u64,
    ) -> Result<Vec<String>, EndpointError> {
        let EndpointOptions { url, model, key, tries, pause, .. } = &self.options;
        let url = format!("{}/chat/completions", url.trim_end_matches('/'));
        let mut request = json!({
            "model": model, "messages": conversation(messages, images)?, "n": n, "seed": seed,
            "temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens,
        });
        if sampling.top_k > 0 {
            // An extension of vLLM and SGLang, unknown to OpenAI.
            request["top_k"] = sampling.top_k.into();
        }
        let body = request.to_string();
        for attempt in 1.. {
            let mut wait = *pause * 2u32.pow((attempt - 1).min(5));
            let mut post = self.agent.post(&url).header(header::CONTENT_TYPE, "application/json");
            if let Some(key) = key {
                post = post.header(header::AUTHORIZATION, format!("Bearer {key}"));
            }
            let sent = post.send(&body).and_then(|mut response| {
                let seconds = response.headers().get(header::RETRY_AFTER);
                let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.parse::<u64>().ok());
                let said = response.body_mut().read_to_string()?;
                Ok((response.status().as_u16(), seconds, said))
            });
            let error = match sent {
                Err(source) => EndpointError::Connection { url: url.clone(), tries: attempt, source: Box::new(source) },
                Ok((200..300, _, said)) => match completions(&said, n) {
                    Some(completions) => return Ok(completions),
                    None => EndpointError::Answer {
                        url: url.clone(),
                        tries: attempt,
                        said: beginning(&said),
                        expected: format!("{n} `choices`, each with a `message.content`"),
                    },
                },
                Ok((status, seconds, said)) => {
                    if let Some(seconds) = seconds {
                        wait = Duration::from_secs(seconds.min(self.options.timeout.as_secs().max(1)));
                    }
                    let error =
                        EndpointError::Status { url: url.clone(), status, tries: attempt, said: beginning(&said) };
                    if !matches!(status, 408 | 409 | 429 | 500..) {
                        return Err(error);
                    }
                    error
                }
            };
            if attempt >= *tries {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            thread::sleep(wait);
        }
        unreachable!("the last try returns")
    }
}

/// Texts of an answer; `None` unless there are exactly `n`.
fn completions(said: &str, n: usize) -> Option<Vec<String>> {
    let Answer { choices } = serde_json::from_str(said).ok()?;
    (choices.len() == n).then(|| choices.into_iter().map(|choice| choice.message.content).collect())
}

/// Beginning of a text, for error messages.
fn beginning(text: &str) -> String {
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Formats messages as OpenAI's JSON, with images as data URLs.
fn conversation(messages: &[Message], images: &[Image]) -> Result<Vec<Value>, EndpointError> {
    let mut images = images.iter();
    let mut part = |content: &Content| {
        Ok::<_, EndpointError>(match content {
            Content::Text { text } => Some(json!({ "type": "text", "text": text })),
            Content::Image => match images.next() {
                Some(image) => {
                    let png = png_base64(image).map_err(EndpointError::Picture)?;
                    Some(json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{png}") } }))
                }
                None => None,
            },
        })
    };
    let message = |message: &Message| {
        let parts = message.content.iter().filter_map(|content| part(content).transpose());
        Ok(json!({ "role": message.role, "content": parts.collect::<Result<Vec<_>, EndpointError>>()? }))
    };
    messages.iter().map(message).collect()
}
