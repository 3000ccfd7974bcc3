//! Chat completions over HTTP: any server that speaks OpenAI's dialect, such as vLLM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::{ExtendedColorType, ImageFormat};
use seethink_core::Image;
use seethink_hub::roots;
use seethink_models::{Content, Message};
use seethink_rollout::Sampling;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Cursor;
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header;
use ureq::tls::TlsConfig;

/// A server and the model that it is to answer with.
#[derive(Debug, Clone)]
pub struct Endpoint {
    agent: Agent,
    options: EndpointOptions,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Everything before `/chat/completions`, such as `http://localhost:8000/v1`.
    pub url: String,
    /// The name that the server has for the model.
    pub model: String,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// Longest time for an answer.
    pub timeout: Duration,
    /// Requests that are made before an error is given up on, at least 1.
    pub tries: u32,
    /// Pause after the first failure; it doubles with every other, up to 32 times. A server's `Retry-After` takes precedence.
    pub pause: Duration,
}

/// Why a server gave no answer, after the last try.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// No connection, or not in time.
    #[error("no answer from {url} after {tries} tries")]
    Connection {
        /// The address.
        url: String,
        /// Requests made.
        tries: u32,
        /// What broke last.
        source: Box<ureq::Error>,
    },
    /// The server refused.
    #[error("{url} answered {status} after {tries} tries: {said}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Requests made.
        tries: u32,
        /// The beginning of what it said.
        said: String,
    },
    /// The server answered something else than completions.
    #[error("{url} answered after {tries} tries with `{said}`, expected JSON with {expected}")]
    Answer {
        /// The address.
        url: String,
        /// Requests made.
        tries: u32,
        /// The beginning of what it said.
        said: String,
        /// What it should have said.
        expected: String,
    },
    /// A picture could not be packed.
    #[error("a picture could not be encoded as PNG")]
    Picture(#[from] image::ImageError),
}

/// The part of an answer that is read.
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
    /// A client; nothing is sent yet.
    pub fn new(options: EndpointOptions) -> Self {
        let config = Agent::config_builder()
            .user_agent(concat!("seethink/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .timeout_global(Some(options.timeout))
            .tls_config(TlsConfig::builder().root_certs(roots()).build());
        Self { agent: config.build().into(), options }
    }

    /// What the server is to answer with.
    pub fn options(&self) -> &EndpointOptions {
        &self.options
    }

    /// `n` completions of a conversation, `images` being its pictures in order.
    ///
    /// Broken connections, 408, 409, 429, 5xx and answers that cannot be read are tried again.
    ///
    /// # Errors
    /// If the server gives no usable answer to the last try, or refuses.
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
            // Not OpenAI's, but vLLM's and SGLang's.
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

/// The texts of an answer, if there are enough.
fn completions(said: &str, n: usize) -> Option<Vec<String>> {
    let Answer { choices } = serde_json::from_str(said).ok()?;
    (choices.len() == n).then(|| choices.into_iter().map(|choice| choice.message.content).collect())
}

/// Enough of a text to see what it is.
fn beginning(text: &str) -> String {
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Messages in OpenAI's form, pictures as data.
fn conversation(messages: &[Message], images: &[Image]) -> Result<Vec<Value>, EndpointError> {
    let mut images = images.iter();
    let mut part = |content: &Content| {
        Ok::<_, EndpointError>(match content {
            Content::Text { text } => Some(json!({ "type": "text", "text": text })),
            Content::Image => match images.next() {
                Some(image) => Some(json!({ "type": "image_url", "image_url": { "url": data_url(image)? } })),
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

fn data_url(picture: &Image) -> Result<String, EndpointError> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (picture.width(), picture.height());
    image::write_buffer_with_format(
        &mut bytes,
        picture.rgb(),
        width,
        height,
        ExtendedColorType::Rgb8,
        ImageFormat::Png,
    )?;
    Ok(format!("data:image/png;base64,{}", BASE64.encode(bytes.into_inner())))
}
