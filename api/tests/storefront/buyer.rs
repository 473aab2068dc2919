//! A buyer of the storefront: requests with the token of an order's page, and their problems.

use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::Server;
use crate::kit::client::{Answer, Request};

/// A buyer with an order of one item.
pub struct Buyer<'s> {
    server: &'s Server,
    pub token: String,
}

impl<'s> Buyer<'s> {
    /// Buys one item.
    pub async fn of(server: &'s Server, item: &str) -> Self {
        let bought = server.buy(&[(item, 1)]).await;
        let page = bought["order"]["permalink_url"].as_str().expect("a page");
        Self { server, token: page.rsplit('/').next().expect("a token").to_owned() }
    }

    /// A POST with a fresh idempotency key.
    pub fn post(&self, path: &str, body: &Value) -> Request {
        self.signed(self.server.post(path, body))
    }

    pub fn get(&self, path: &str) -> Request {
        self.signed(self.server.get(path))
    }

    /// A PUT of the version with this ETag.
    pub fn put(&self, path: &str, etag: &str, body: &Value) -> Request {
        self.signed(self.server.request(Method::PUT, path)).header("if-match", etag).json(body)
    }

    /// A DELETE of the version with this ETag.
    pub fn delete(&self, path: &str, etag: &str) -> Request {
        self.signed(self.server.request(Method::DELETE, path)).header("if-match", etag)
    }

    /// Submits the form of a page, as a browser does.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = serde_urlencoded::to_string(fields).expect("a form");
        let request = self.server.request(Method::POST, path);
        request.header("content-type", "application/x-www-form-urlencoded").raw(body).await
    }

    fn signed(&self, request: Request) -> Request {
        request.header("authorization", &format!("Bearer {}", self.token))
    }
}

/// Returns the problem details of an answer, which must have this status and code.
#[track_caller]
pub fn problem(answer: Answer, status: u16, code: &str) -> Value {
    let problem = answer.clone().body(status);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{problem}");
    assert_eq!(problem["request_id"].as_str(), answer.header("request-id"));
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}
