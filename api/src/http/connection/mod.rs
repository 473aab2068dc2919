//! The connections of the HTTP server, with limits on their memory and time.
//!
//! A connection carries one request at a time. Bytes that a peer sends ahead stay in the kernel's bounded buffers.
//! Every wait for a peer has a deadline: the end of a head, the end of a body, the next request, room for the response,
//! and the rest of a request after an early response. A connection that exceeds a deadline is cut, counted by reason,
//! and logged.

mod answer;
mod closing;
mod cuts;
mod deadlines;
mod framing;
mod guard;
mod limits;

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, apply_fn_factory, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use tokio::net::TcpStream;

pub use cuts::{Connections, Cut};
pub use limits::Limits;

use answer::{Exchange, call, reported};
use closing::{Socket, close};
use guard::Guarded;

/// Serves the application that `factory` creates for each worker, over guarded connections. The guard replaces the
/// deadlines of actix-http, which are switched off.
pub fn listen<F, I, S, B>(
    server: ServerBuilder,
    listener: TcpListener,
    connections: Arc<Connections>,
    factory: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + Unpin + 'static,
{
    let address = listener.local_addr()?;
    let stopping = server.graceful_shutdown_signal();
    let server = server.listen("http", listener, move || {
        let (stopping, connections) = (stopping.clone(), Arc::clone(&connections));
        let application = reported(factory().into_factory());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(Duration::ZERO)
            // When the client closes, the service drops the handler's future, which cancels the context of the request.
            .h1_allow_half_closed(false)
            .local_addr(address)
            .on_connect_ext(|stream: &Guarded, data| {
                data.insert::<Rc<Exchange>>(Rc::clone(&stream.exchange));
            })
            .finish(map_config(application, |()| AppConfig::default()));
        apply_fn_factory(http, move |stream: TcpStream, http: &_| {
            let socket = Socket::new(stream, Arc::clone(&connections));
            let (guarded, peer) = (Guarded::new(Rc::clone(&socket)), socket.peer);
            let served = call(http, (guarded, Protocol::Http1, peer));
            async move {
                let served = served.await;
                close(socket).await;
                served
            }
        })
    })?;
    Ok(server.run())
}
