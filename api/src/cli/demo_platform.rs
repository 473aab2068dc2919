//! The platform of `tuckshop demo`: a small server with a profile and a receiver of webhooks.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::time::Duration;

use actix_web::http::KeepAlive;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::json;
use tokio::sync::mpsc;

use crate::shopping::v2026_04_08::VERSION;

pub(super) struct Platform {
    listener: TcpListener,
    address: SocketAddr,
    received: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
}

/// The part of a webhook that the demo shows.
pub(super) struct Event {
    pub kind: String,
    pub id: String,
    pub signed: bool,
}

/// The most webhooks that are kept. One purchase causes fewer.
const MOST_EVENTS: usize = 16;
/// How long the demo waits for a webhook after the purchase.
const EVENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take at its end to send its last responses.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

impl Platform {
    pub(super) fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (received, events) = mpsc::channel(MOST_EVENTS);
        Ok(Self { address: listener.local_addr()?, listener, received, events })
    }

    /// The value of `UCP-Agent`.
    pub(super) fn agent(&self) -> String {
        format!("profile=\"http://{}/profile.json\"", self.address)
    }

    /// Serves the platform while `purchase` runs, then waits for a webhook. Returns the webhook, or `None` if none
    /// arrived within [`EVENT_TIMEOUT`], or the error of `purchase`. At the end the server still answers every received
    /// request, for at most [`LAST_ANSWERS`], because the shop repeats a webhook that got no response.
    pub(super) async fn during<T, E>(
        self,
        purchase: impl Future<Output = Result<T, E>>,
    ) -> io::Result<Result<Option<Event>, E>> {
        let Self { listener, address, received, mut events } = self;
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(received.clone()))
                .route("/profile.json", web::get().to(move || async move { profile(address) }))
                .route("/orders", web::post().to(receive))
        });
        // Each response closes its connection, so the stop does not wait for idle connections.
        let server = server.workers(1).keep_alive(KeepAlive::Disabled).disable_signals();
        let server = server.shutdown_timeout(LAST_ANSWERS.as_secs()).listen(listener)?.run();
        let (handle, mut server) = (server.handle(), pin!(server));
        let work = async {
            purchase.await?;
            Ok(tokio::time::timeout(EVENT_TIMEOUT, events.recv()).await.ok().flatten())
        };
        let done = tokio::select! {
            ended = &mut server => {
                return Err(ended.err().unwrap_or_else(|| io::Error::other("the platform's server ended")));
            }
            done = work => done,
        };
        let stop = async { tokio::join!(handle.stop(true), server) };
        // A timeout is ignored, because the process ends next.
        let _ = tokio::time::timeout(LAST_ANSWERS, stop).await;
        Ok(done)
    }
}

fn profile(address: SocketAddr) -> HttpResponse {
    let order = json!([{"version": VERSION, "config": {"webhook_url": format!("http://{address}/orders")}}]);
    HttpResponse::Ok().json(json!({"ucp": {"version": VERSION, "capabilities": {"dev.ucp.shopping.order": order}}}))
}

async fn receive(req: HttpRequest, received: web::Data<mpsc::Sender<Event>>) -> HttpResponse {
    let header = |name: &str| req.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let event = Event {
        kind: header("x-event-type"),
        id: header("webhook-id"),
        signed: req.headers().contains_key("signature") && req.headers().contains_key("content-digest"),
    };
    // An error means that the channel is full or that the demo ends. In both cases the event is not shown.
    let _ = received.try_send(event);
    HttpResponse::NoContent().finish()
}
