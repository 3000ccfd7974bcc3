//! Test server on loopback for OpenAI's API, with replies defined by a test.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::eval::{Endpoint, EndpointOptions};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Reply: status, further headers and body; `None` closes the connection.
pub type Reply = Option<(u16, &'static str, String)>;

/// Reply of the server to a request, from its number and its body.
type Behaviour = dyn Fn(usize, &Value) -> Reply + Send + Sync;

/// Server, with the requests that it received.
#[derive(Debug)]
pub struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    /// Starts the server.
    ///
    /// # Panics
    /// If loopback cannot be listened on.
    pub fn start(behaviour: impl Fn(usize, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, behaviour): (_, Arc<Behaviour>) = (requests.clone(), Arc::new(behaviour));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, behaviour) = (seen.clone(), behaviour.clone());
                std::thread::spawn(move || serve(stream, &seen, &*behaviour));
            }
        });
        Self { url, requests }
    }

    /// Client with this number of tries and no waiting time between them.
    pub fn endpoint(&self, tries: u32) -> Endpoint {
        Endpoint::new(EndpointOptions {
            url: self.url.clone(),
            model: "small".into(),
            key: Some("secret".into()),
            timeout: Duration::from_secs(2),
            tries,
            pause: Duration::from_millis(1),
        })
    }

    /// Requests received, in order.
    ///
    /// # Panics
    /// If serving a request failed.
    pub fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }

    /// Number of requests received.
    pub fn n_requests(&self) -> usize {
        self.requests().len()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Value>>, behaviour: &Behaviour) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut authorised) = (String::new(), 0, false);
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        authorised |= line.trim_end().ends_with("Bearer secret");
        line.clear();
    }
    assert!(authorised, "no token");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    if let Some((status, headers, text)) = behaviour(number, &request) {
        let head =
            format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", text.len());
        let _ = reader.get_mut().write_all((head + &text).as_bytes());
    }
}

/// Reply with as many completions as the request asks for.
///
/// # Panics
/// If the request has no number of completions.
pub fn answer(request: &Value, text: impl Fn(usize) -> String) -> Reply {
    let n = request["n"].as_u64().unwrap() as usize;
    let choices: Vec<Value> =
        (0..n).map(|i| json!({ "index": i, "message": { "role": "assistant", "content": text(i) } })).collect();
    Some((200, "", json!({ "choices": choices }).to_string()))
}
