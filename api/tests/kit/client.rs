//! An HTTP client that sends the headers of the protocol as a platform and records every answer for the official
//! models.

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::logs::Record;

/// A profile on this machine. The shop treats the platform as registered.
pub const PLATFORM: &str = "http://localhost:9999/profiles/test.json";
/// Another profile on this machine.
pub const OTHER_PLATFORM: &str = "http://localhost:9998/profiles/other.json";
/// A profile on another machine. The platform is not registered.
pub const STRANGER: &str = "https://platform.example/profile.json";

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    agent: String,
    record: Arc<Record>,
}

impl Client {
    pub fn new(address: SocketAddr, record: Arc<Record>) -> Self {
        let redirects = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).redirect(redirects).no_proxy().build();
        Self { http: http.expect("a client"), url: format!("http://{address}"), agent: agent(PLATFORM), record }
    }

    /// The same client as another platform.
    #[must_use]
    pub fn as_platform(&self, profile: &str) -> Self {
        Self { agent: agent(profile), ..self.clone() }
    }

    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A POST with a fresh idempotency key and no body.
    pub fn post_empty(&self, path: &str) -> Request {
        self.request(Method::POST, path).key(&fresh_key())
    }

    /// A POST with a fresh idempotency key.
    pub fn post(&self, path: &str, body: &Value) -> Request {
        self.post_empty(path).json(body)
    }

    /// A PUT with a fresh idempotency key.
    pub fn put(&self, path: &str, body: &Value) -> Request {
        self.request(Method::PUT, path).key(&fresh_key()).json(body)
    }

    pub fn request(&self, method: Method, path: &str) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert("ucp-agent", HeaderValue::from_str(&self.agent).expect("a header"));
        Request { client: self.clone(), method, path: path.to_owned(), headers, body: Vec::new() }
    }
}

/// The value of `UCP-Agent` for a profile.
pub fn agent(profile: &str) -> String {
    format!("profile=\"{profile}\"")
}

pub fn fresh_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A request that is sent when it is awaited.
#[derive(Clone)]
pub struct Request {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    /// Sends this idempotency key instead of a fresh one.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.client.record.add_secret(key);
        self.header("idempotency-key", key)
    }

    /// Replaces a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Adds a header and keeps those of the same name.
    #[must_use]
    pub fn and_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    #[must_use]
    pub fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").raw(body.to_string())
    }

    /// Sends these bytes as they are.
    #[must_use]
    pub fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// Returns an error if no complete answer arrives.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let url = format!("{}{}", self.client.url, self.path);
        let mut request = self.client.http.request(self.method.clone(), url).headers(self.headers);
        if !self.body.is_empty() {
            request = request.body(self.body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let answer = Answer { status, headers, bytes, json };
        self.client.record.record_answer(&format!("{} {}", self.method, self.path), &answer);
        Ok(answer)
    }
}

impl IntoFuture for Request {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    /// `null` if the body is not JSON.
    pub json: Value,
}

impl Answer {
    /// Returns the answer if it has this status.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The JSON body, if the answer has this status.
    #[track_caller]
    pub fn body(self, status: u16) -> Value {
        self.expect(status).json
    }

    /// Returns the answer if it is a complete problem document with this status and code: it has `code`, `content` and
    /// `detail`, and the request id of its header.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json["code"], code, "{}", answer.text());
        let content = answer.json["content"].as_str().unwrap_or_default();
        assert!(!content.is_empty() && answer.json["detail"] == content, "{}", answer.text());
        assert_eq!(answer.json["request_id"].as_str(), answer.header("request-id"), "{}", answer.text());
        answer
    }

    /// The messages, if the answer is 200 without a resource.
    #[track_caller]
    pub fn refused_in_band(self) -> Vec<Value> {
        let answer = self.expect(200);
        assert_eq!(answer.json["ucp"]["status"], "error", "{}", answer.text());
        assert_eq!(answer.json["id"], Value::Null, "{}", answer.text());
        answer.json["messages"].as_array().expect("messages").clone()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of text"))
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
