//! Server on loopback with the scripted models behind OpenAI's API, as far as the pipeline needs
//! it.

use super::reply;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Interval of requests that are told to come again.
const BUSY: usize = 97;

/// Server of the scripted models, for as long as the program runs.
#[derive(Debug)]
pub struct ScriptedServer {
    url: String,
}

impl ScriptedServer {
    /// Starts the server, on a port that is free.
    ///
    /// # Errors
    /// If loopback cannot be listened on.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let n_requests = Arc::new(AtomicUsize::new(1));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let n_requests = n_requests.clone();
                // A client that disconnects does no harm.
                thread::spawn(move || serve(stream, &n_requests).ok());
            }
        });
        Ok(Self { url })
    }

    /// Base URL: everything before `/chat/completions`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Answers one request.
fn serve(stream: TcpStream, n_requests: &AtomicUsize) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request: Value = serde_json::from_slice(&body)?;
    let is_busy = n_requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(BUSY);
    let (status, text) = match reply(&request) {
        _ if is_busy => (503, "busy".to_owned()),
        None => (400, "expected messages with text, a model, a seed and n".to_owned()),
        Some(texts) => {
            let choice = |text| json!({ "message": { "role": "assistant", "content": text } });
            (200, json!({ "choices": texts.into_iter().map(choice).collect::<Value>() }).to_string())
        }
    };
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    reader.get_mut().write_all((head + &text).as_bytes())
}
