//! Two signals from the HTTP service to the guard of its connection: the handler begins to read the body, and the
//! response is complete.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, Payload, Request, Response};
use actix_service::{Service, ServiceFactory, apply_fn_factory};
use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::http::ConnectionType;
use actix_web::web::Bytes;
use futures_util::Stream;
use futures_util::future::ready;
use futures_util::stream::once;

use super::cuts::Connections;
use super::framing::Body;

/// The state that the guard and the service of one connection share. Both run on the same thread.
pub struct Exchange {
    /// Whether the whole request has arrived.
    pub(super) whole: Cell<bool>,
    /// Whether the guard passes on the body. If not, the body would not arrive before its deadline.
    has_body: Cell<bool>,
    /// Whether the handler has begun to read the body.
    pub(super) wants_body: Cell<bool>,
    /// Whether the response is complete.
    pub(super) answered: Cell<bool>,
    /// The size of the response's body in bytes, 0 if it is not known.
    pub(super) size: Cell<usize>,
    connections: Arc<Connections>,
}

impl Exchange {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        let no = || Cell::new(false);
        Self { whole: no(), has_body: no(), wants_body: no(), answered: no(), size: Cell::new(0), connections }
    }

    pub(super) fn begin(&self, body: Body) {
        self.whole.set(body.is_whole());
        self.has_body.set(body != Body::Doubtful);
        self.wants_body.set(false);
        self.answered.set(false);
    }

    /// Whether the connection must close after this response, because the rest of the request will not be read, or
    /// because connections are scarce.
    fn must_close(&self) -> bool {
        !self.whole.get() || self.connections.are_scarce()
    }
}

/// The body of a response. The service drops the body when the response is complete, and the drop signals this to the
/// guard.
pub struct Answer<B> {
    body: B,
    _complete: Option<Complete>,
}

struct Complete(Rc<Exchange>);

impl Drop for Complete {
    fn drop(&mut self) {
        self.0.answered.set(true);
    }
}

impl<B: MessageBody + Unpin> MessageBody for Answer<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// The body of a request with `Expect: 100-continue`. When the handler begins to read the body, this stream signals to
/// the guard that the interim response is wanted.
struct Wanted {
    payload: Payload<BoxedPayloadStream>,
    exchange: Rc<Exchange>,
}

impl Stream for Wanted {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.exchange.wants_body.set(true);
        Pin::new(&mut self.payload).poll_next(cx)
    }
}

/// Wraps the application so that it sends both signals to the guard of its connection.
pub fn reported<F, B>(
    application: F,
) -> impl ServiceFactory<
    Request,
    Config = F::Config,
    Response = Response<Answer<EitherBody<B>>>,
    Error = HttpResponse,
    InitError = F::InitError,
>
where
    F: ServiceFactory<Request>,
    F::Response: Into<Response<B>>,
    F::Error: Into<actix_web::Error>,
    B: MessageBody + Unpin + 'static,
{
    let application =
        actix_service::ServiceFactoryExt::map_err(application, |error: F::Error| error.into().error_response());
    apply_fn_factory(application, |mut req: Request, service: &_| {
        let exchange = req.conn_data::<Rc<Exchange>>().cloned();
        if exchange.as_ref().is_some_and(|exchange| !exchange.has_body.get()) {
            // A handler that reads the body answers at once. A handler that needs no body is not affected.
            let unreadable = once(ready(Err(PayloadError::EncodingCorrupted)));
            *req.payload() = Payload::Stream { payload: Box::pin(unreadable) };
        } else if let Some(exchange) = exchange.as_ref().filter(|_| req.head().expect()) {
            let wanted = Wanted { payload: req.take_payload(), exchange: Rc::clone(exchange) };
            *req.payload() = Payload::Stream { payload: Box::pin(wanted) };
        }
        let asks_for_upgrade = req.head().connection_type() == ConnectionType::Upgrade;
        answer(call(service, req), exchange, asks_for_upgrade)
    })
}

/// Calls a service whose type cannot be named.
pub fn call<R, S: Service<R>>(service: &S, request: R) -> S::Future {
    service.call(request)
}

async fn answer<R, B>(
    response: impl Future<Output = Result<R, HttpResponse>>,
    exchange: Option<Rc<Exchange>>,
    asks_for_upgrade: bool,
) -> Result<Response<Answer<EitherBody<B>>>, HttpResponse>
where
    R: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let mut response = match response.await {
        Ok(response) => response.into().map_body(|_, body| EitherBody::<B, BoxBody>::left(body)),
        Err(error) => Response::<BoxBody>::from(error).map_body(|_, body| EitherBody::right(body)),
    };
    // actix-http closes the connection after a request with `Connection: upgrade`, and without this header it would
    // announce an upgrade instead of the end.
    if asks_for_upgrade || exchange.as_ref().is_some_and(|exchange| exchange.must_close()) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    if let Some(exchange) = &exchange {
        exchange.size.set(match response.body().size() {
            BodySize::Sized(size) => usize::try_from(size).unwrap_or(usize::MAX),
            BodySize::None | BodySize::Stream => 0,
        });
    }
    Ok(response.map_body(|_, body| Answer { body, _complete: exchange.map(Complete) }))
}
