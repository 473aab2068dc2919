//! One attempt of a call: connection, request, status and body. One deadline covers all of them.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::context::{Deadline, RequestContext};
use http_body_util::{BodyExt, Full};
use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use reqwest::{Client, Method, Request, Response};

use super::call::{Call, Reply};
use super::error::{CallError, Effect, Reason};
use super::guard::Blocked;
use super::resolver::TooManyLookups;

/// Sends the request once.
pub(super) async fn attempt(client: &Client, ctx: &RequestContext, call: &Call) -> Result<Reply, CallError> {
    let deadline = ctx.deadline().min(Deadline::after(call.limits.attempt));
    let is_sent = Arc::new(AtomicBool::new(call.body.is_empty()));
    let request = request(call, &is_sent);
    let request = request.ok_or_else(|| CallError::without_effect(call.operation, Reason::BadRequest))?;
    let in_time = InTime { ctx, deadline };

    let response = match in_time.wait(client.execute(request)).await {
        Ok(response) => response,
        Err(failure) => {
            let is_sent = failure.may_be_sent && is_sent.load(Ordering::SeqCst);
            return Err(no_response(call, is_sent, failure));
        }
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let is_needed = call.limits.body_is_needed;
    let (body, failure) = read(&in_time, response, call.limits.body_bytes).await;
    if let Some(failure) = failure.filter(|_| is_needed) {
        return Err(no_response(call, true, failure));
    }
    if is_needed && (200..300).contains(&status) && !(call.is_readable)(&body) {
        return Err(no_response(call, true, Failure::of(Reason::Unreadable)));
    }
    Ok(Reply { status, headers, body, attempts: 1, in_doubt: false })
}

fn request(call: &Call, is_sent: &Arc<AtomicBool>) -> Option<Request> {
    let mut request = Request::new(call.method.clone(), call.to.url().clone());
    let mut headers = call.headers.clone()?;
    // Asks for a response without compression, because nothing here decompresses it.
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    *request.headers_mut() = headers;
    if !call.body.is_empty() {
        // The client takes the body when the connection is made, before it sends the first byte. An error before that
        // time means that the request had no effect, because a server that has not seen the body cannot have acted on
        // it.
        let is_sent = Arc::clone(is_sent);
        let body = Full::new(call.body.clone()).inspect_frame(move |_| is_sent.store(true, Ordering::SeqCst));
        *request.body_mut() = Some(reqwest::Body::wrap(body));
    }
    Some(request)
}

/// Reads at most `most` bytes of the body. Fails at once if `Content-Length` is larger than `most`. Returns the bytes
/// that were read, and the failure if the body is not complete.
async fn read(in_time: &InTime<'_>, mut response: Response, most: usize) -> (Vec<u8>, Option<Failure>) {
    let mut body = Vec::new();
    if response.content_length().is_some_and(|length| length > most as u64) {
        return (body, Some(Failure::of(Reason::TooLarge)));
    }
    loop {
        match in_time.wait(response.chunk()).await {
            Ok(Some(piece)) if piece.len() <= most - body.len() => body.extend_from_slice(&piece),
            Ok(Some(piece)) => {
                body.extend_from_slice(&piece[..most - body.len()]);
                return (body, Some(Failure::of(Reason::TooLarge)));
            }
            Ok(None) => return (body, None),
            Err(failure) => return (body, Some(failure)),
        }
    }
}

fn no_response(call: &Call, is_sent: bool, failure: Failure) -> CallError {
    let effect = if call.method == Method::POST && is_sent { Effect::Unknown } else { Effect::None };
    CallError { operation: call.operation, effect, reason: failure.reason, source: failure.source }
}

struct Failure {
    reason: Reason,
    /// `false` if the client reports that it sent nothing, because it had no connection or the request was invalid.
    may_be_sent: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    fn of(reason: Reason) -> Self {
        Self { reason, may_be_sent: true, source: None }
    }

    fn from_client(error: reqwest::Error) -> Self {
        // The URL may contain a secret in its query.
        let error = error.without_url();
        let may_be_sent = !error.is_connect() && !error.is_builder();
        let reason = match cause::<Blocked>(&error) {
            Some(blocked) => Reason::Blocked(*blocked),
            None if cause::<TooManyLookups>(&error).is_some() => Reason::Busy,
            None if error.is_builder() => Reason::BadRequest,
            None if error.is_connect() => Reason::Unreachable,
            None => Reason::Broken,
        };
        Self { reason, may_be_sent, source: Some(error.into()) }
    }
}

/// Returns the error of this type among the sources of the client's error. The resolver's refusals are found so.
fn cause<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut sources = std::iter::successors(error.source(), |&error| error.source());
    sources.find_map(|error| error.downcast_ref())
}

/// Ends a wait at the deadline, or when the caller cancels. A result that is ready at that moment counts.
struct InTime<'a> {
    ctx: &'a RequestContext,
    deadline: Deadline,
}

impl InTime<'_> {
    async fn wait<T>(&self, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            answer = tokio::time::timeout_at(self.deadline.instant().into(), work) => match answer {
                Ok(answer) => answer.map_err(Failure::from_client),
                Err(_) => Err(Failure::of(Reason::Deadline)),
            },
            () = self.ctx.cancellation().cancelled() => Err(Failure::of(Reason::Cancelled)),
        }
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
