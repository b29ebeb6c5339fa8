//! A server that answers by script and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use workflow_client::{Auth, Engine, Settings};

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Seen {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn number(&self, name: &str) -> usize {
        self.query[name].parse().unwrap()
    }
}

/// What the script answers.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    pub(crate) hang: bool,
}

pub(crate) fn reply(status: u16, body: impl ToString) -> Reply {
    Reply { status, headers: Vec::new(), body: body.to_string(), hang: false }
}

impl Reply {
    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Reply {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Never answers.
    pub(crate) fn hanging(mut self) -> Reply {
        self.hang = true;
        self
    }
}

pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// `script` gets the request and how many came before it.
    pub(crate) async fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let log = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| {
            let (script, log) = (Arc::clone(&script), Arc::clone(&log));
            async move {
                let seen = read(request).await;
                let reply = {
                    let mut log = log.lock().unwrap();
                    log.push(seen.clone());
                    script(&seen, log.len() - 1)
                };
                if reply.hang {
                    std::future::pending::<()>().await;
                }
                let mut response = Response::builder().status(reply.status);
                for (name, value) in reply.headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(reply.body)).unwrap()
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Server { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line() == line).count()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }

    pub(crate) fn flowable(&self) -> Engine {
        Engine::new(Settings::flowable(&self.url, Auth::None)).unwrap()
    }

    pub(crate) fn opentext(&self) -> Engine {
        Engine::new(Settings::opentext(&self.url, Auth::None)).unwrap()
    }

    pub(crate) fn tokens(&self) -> Auth {
        Auth::ClientCredentials {
            token_url: format!("{}/tenants/t1/oauth2/token", self.url),
            client_id: "connector".into(),
            client_secret: "geheim".to_owned().into(),
        }
    }
}

async fn read(request: Request) -> Seen {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let url = format!("http://x/?{query}").parse::<reqwest::Url>().unwrap();
    Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers: parts.headers,
        text: String::from_utf8(to_bytes(body, 1 << 26).await.unwrap().to_vec()).unwrap(),
    }
}

/// What a server below HTTP does once it has read a whole request.
#[derive(Clone, Copy)]
pub(crate) enum Raw {
    /// Answers and keeps the connection.
    Answer(&'static str),
    /// Answers and closes the connection.
    AnswerAndClose(&'static str),
    /// Closes the connection without a word.
    Close,
}

/// A server below HTTP that goes through `answers`, one per request, then only closes. The counter says how many
/// requests it has read whole, so how many took effect.
pub(crate) async fn raw_server(answers: Vec<Raw>) -> (String, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let effects = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&effects);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            while read_request(&mut stream).await {
                let number = {
                    let mut count = counter.lock().unwrap();
                    *count += 1;
                    *count - 1
                };
                match answers.get(number).copied().unwrap_or(Raw::Close) {
                    Raw::Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                    Raw::AnswerAndClose(text) => {
                        stream.write_all(text.as_bytes()).await.unwrap();
                        break;
                    }
                    Raw::Close => break,
                }
            }
        }
    });
    (url, effects)
}

async fn read_request(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return true;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
