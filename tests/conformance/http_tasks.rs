//! HTTP tasks: what they send, what fails them, and that they try again

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use workflow_client::{Instance, Variable};

use super::subject::Subject;

/// Answers each request with the next status of its script, closes the connection where that is `None`, and repeats the last one
struct Listener {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Heard {
    /// The request line, then the headers in small letters
    head: Vec<String>,
    body: String,
}

impl Listener {
    async fn answering(script: &'static [Option<u16>]) -> Listener {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/told/by?task=1", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = hear(&mut stream).await;
                let count = {
                    let mut heard = hears.lock().unwrap();
                    heard.push(request);
                    heard.len()
                };
                if let Some(status) = script.get(count - 1).or(script.last()).copied().flatten() {
                    let answer = format!("HTTP/1.1 {status} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    // Whoever hung up asks again.
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        Listener { url, heard, task }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(stream: &mut TcpStream) -> Heard {
    let (mut reader, mut heard) = (BufReader::new(stream), Heard::default());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => heard.head.push(match line.split_once(':') {
                Some((name, value)) if !heard.head.is_empty() => format!("{}:{value}", name.to_lowercase()),
                _ => line.to_owned(),
            }),
        }
    }
    let length = heard.head.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.unwrap();
    heard.body = String::from_utf8(body).unwrap();
    heard
}

/// An instance that tells the listener, once it has ended
async fn told(on: &Subject, listener: &Listener, failing: &str) -> Instance {
    let variables = [Variable::new("url", listener.url.as_str()), Variable::new("failing", failing)];
    let (_, instance) = on.started("http", &variables).await;
    on.ended(&instance).await
}

pub(super) async fn an_http_task_sends_what_its_fields_say(on: &Subject) {
    let listener = Listener::answering(&[Some(202)]).await;
    let instance = told(on, &listener, "4XX, 5XX").await;
    let heard = listener.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].head[0], "POST /told/by?task=1 HTTP/1.1");
    let body: Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!(body, json!({ "id": instance.id, "key": "order/4711" }), "an expression is evaluated");
    for header in ["content-type: application/json", "x-text: ${url}"] {
        assert!(heard[0].head.iter().any(|line| line == header), "text is sent as it is written: {:?}", heard[0].head);
    }
}

pub(super) async fn a_status_that_the_model_lists_and_a_lost_answer_are_tried_again(on: &Subject) {
    let listener = Listener::answering(&[Some(503), None, Some(404), Some(202)]).await;
    let instance = told(on, &listener, "404, 5XX").await;
    let heard = listener.heard();
    assert_eq!(heard.len(), 4, "{heard:?}");
    assert!(heard.iter().all(|heard| heard.body.contains(&instance.id)), "each names the instance: {heard:?}");
}

pub(super) async fn a_status_that_the_model_does_not_list_passes(on: &Subject) {
    // Not 503: that the client of Flowable sends again by itself, once, whatever the model says.
    let listener = Listener::answering(&[Some(500), Some(202)]).await;
    told(on, &listener, "4XX").await;
    assert_eq!(listener.heard().len(), 1, "the process went on, though nobody heard it");
}
