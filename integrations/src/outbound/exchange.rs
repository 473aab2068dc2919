//! One attempt: connection, request, status, body, all before one deadline.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use domain::context::{Deadline, RequestContext};
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use reqwest::{Client, Request, Response};

use super::call::{AnswerLimit, BodyEnd, Call, Method, Reply};
use super::error::{CallError, Effect, Reason};
use super::guard::Blocked;

/// Makes the request once.
pub(super) async fn attempt(client: &Client, ctx: &RequestContext, call: &Call) -> Result<Reply, CallError> {
    let deadline = ctx.deadline().min(Deadline::after(call.limits.attempt));
    let sent = Arc::new(AtomicBool::new(call.body.is_empty()));
    let request = request(call, &sent);
    let request = request.ok_or_else(|| CallError::without_effect(call.operation, Reason::BadRequest))?;
    let in_time = InTime { ctx, deadline };

    let response = match in_time.wait(client.execute(request)).await {
        Ok(response) => response,
        Err(failure) => {
            let may_have_had_effect = call.method == Method::Post && failure.may_be_sent && sent.load(Ordering::SeqCst);
            return Err(no_answer(call, may_have_had_effect, failure));
        }
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (most, is_needed) = match call.limits.answer {
        AnswerLimit::Whole { bytes } => (bytes, true),
        AnswerLimit::StatusOnly { bytes } => (bytes, false),
    };
    let (body, failure) = read(&in_time, response, most).await;
    let body_end = match failure {
        Some(failure) if is_needed => return Err(no_answer(call, call.method == Method::Post, failure)),
        None => BodyEnd::Complete,
        Some(failure) => match failure.reason {
            Reason::TooLarge => BodyEnd::TooLarge,
            Reason::Deadline | Reason::Cancelled => BodyEnd::Deadline,
            Reason::Broken
            | Reason::Unreachable
            | Reason::Unreadable
            | Reason::Busy
            | Reason::BadRequest
            | Reason::Blocked(_) => BodyEnd::Broken,
        },
    };
    if is_needed && (200..300).contains(&status) && !(call.is_readable)(&body) {
        return Err(no_answer(call, call.method == Method::Post, Failure::of(Reason::Unreadable)));
    }
    Ok(Reply { status, headers, body, body_end, attempts: 1, in_doubt: false })
}

fn request(call: &Call, sent: &Arc<AtomicBool>) -> Option<Request> {
    let method = match call.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
    };
    let mut request = Request::new(method, call.to.url().clone());
    let mut headers = call.headers.clone()?;
    // An answer is read as it is sent: nothing here decompresses.
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    *request.headers_mut() = headers;
    if !call.body.is_empty() {
        let body = TellingBody { body: Some(call.body.clone()), sent: Arc::clone(sent) };
        *request.body_mut() = Some(reqwest::Body::wrap(body));
    }
    Some(request)
}

/// Reads piece by piece, at most `most` bytes. A length that is announced and too great is believed at once.
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

fn no_answer(call: &Call, may_have_had_effect: bool, failure: Failure) -> CallError {
    let effect = if may_have_had_effect { Effect::Unknown } else { Effect::None };
    CallError { operation: call.operation, effect, reason: failure.reason, source: failure.source }
}

struct Failure {
    reason: Reason,
    /// `false` when the client itself says that there was no connection.
    may_be_sent: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    fn of(reason: Reason) -> Self {
        Self { reason, may_be_sent: true, source: None }
    }

    fn from_client(error: reqwest::Error) -> Self {
        // The URL in the client's error may hold a secret in its query.
        let error = error.without_url();
        let blocked = blocked(&error);
        let may_be_sent = !error.is_connect() && !error.is_builder();
        let reason = match blocked {
            Some(blocked) => Reason::Blocked(blocked),
            None if error.is_builder() => Reason::BadRequest,
            None if error.is_connect() => Reason::Unreachable,
            None => Reason::Broken,
        };
        Self { reason, may_be_sent, source: Some(error.into()) }
    }
}

/// What the resolver refused, at the bottom of the client's error.
fn blocked(error: &reqwest::Error) -> Option<Blocked> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(blocked) = error.downcast_ref::<Blocked>() {
            return Some(*blocked);
        }
        next = error.source();
    }
    None
}

/// Ends a wait at the deadline, or when the caller leaves.
struct InTime<'a> {
    ctx: &'a RequestContext,
    deadline: Deadline,
}

impl InTime<'_> {
    async fn wait<T>(&self, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.ctx.cancellation().cancelled() => Err(Failure::of(Reason::Cancelled)),
            answer = tokio::time::timeout_at(self.deadline.instant().into(), work) => match answer {
                Ok(answer) => answer.map_err(Failure::from_client),
                Err(_) => Err(Failure::of(Reason::Deadline)),
            },
        }
    }
}

/// A request body that tells when it is asked for: after the connection stands, before the first byte is on its way. Up
/// to then the request had no effect, whatever the client's error calls it; a server that has not seen the body cannot
/// have acted on it. A request without a body counts as sent from the start.
struct TellingBody {
    body: Option<Bytes>,
    sent: Arc<AtomicBool>,
}

impl Body for TellingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sent.store(true, Ordering::SeqCst);
        Poll::Ready(self.body.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.as_ref().map_or(0, |body| body.len() as u64))
    }
}
