//! The platform that `tuckshop demo` is: a profile on this machine, and a receiver for what the shop tells it.

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
    told: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
}

/// A webhook, as far as the demo shows it.
pub(super) struct Event {
    pub kind: String,
    pub id: String,
    pub signed: bool,
}

/// More than one purchase causes.
const MOST_EVENTS: usize = 16;
/// The first webhook goes out at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the answers that are being written may take. The shop reads them at once.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

impl Platform {
    pub(super) fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (told, events) = mpsc::channel(MOST_EVENTS);
        Ok(Self { address: listener.local_addr()?, listener, told, events })
    }

    /// What requests say in `UCP-Agent`.
    pub(super) fn agent(&self) -> String {
        format!("profile=\"http://{}/profile.json\"", self.address)
    }

    /// Runs `purchase`, and when it is done waits for a webhook about it. Returns when every request that arrived is
    /// answered, or after [`LAST_ANSWERS`]: a webhook without an answer counts as not delivered, and the shop would repeat
    /// it to an address where nothing listens.
    pub(super) async fn during<T, E>(
        self,
        purchase: impl Future<Output = Result<T, E>>,
    ) -> io::Result<Result<Option<Event>, E>> {
        let Self { listener, address, told, mut events } = self;
        let server = HttpServer::new(move || {
            let told = web::Data::new(told.clone());
            App::new()
                .app_data(told)
                .route("/profile.json", web::get().to(move || async move { profile(address) }))
                .route("/orders", web::post().to(receive))
        });
        // A connection ends with its answer, so that the stop need not wait for idle ones.
        let server = server.workers(1).keep_alive(KeepAlive::Disabled).disable_signals();
        let server = server.shutdown_timeout(LAST_ANSWERS.as_secs()).listen(listener)?.run();
        let (handle, mut server) = (server.handle(), pin!(server));
        let work = async {
            purchase.await?;
            Ok(tokio::time::timeout(PATIENCE, events.recv()).await.ok().flatten())
        };
        let done = tokio::select! {
            ended = &mut server => {
                return Err(ended.err().unwrap_or_else(|| io::Error::other("the platform's server ended")));
            }
            done = work => done,
        };
        let stop = async { tokio::join!(handle.stop(true), server) };
        // What is not answered by now never will be.
        let _ = tokio::time::timeout(LAST_ANSWERS, stop).await;
        Ok(done)
    }
}

fn profile(address: SocketAddr) -> HttpResponse {
    let order = json!([{"version": VERSION, "config": {"webhook_url": format!("http://{address}/orders")}}]);
    HttpResponse::Ok().json(json!({"ucp": {"version": VERSION, "capabilities": {"dev.ucp.shopping.order": order}}}))
}

async fn receive(req: HttpRequest, told: web::Data<mpsc::Sender<Event>>) -> HttpResponse {
    let header = |name: &str| req.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let event = Event {
        kind: header("x-event-type"),
        id: header("webhook-id"),
        signed: req.headers().contains_key("signature") && req.headers().contains_key("content-digest"),
    };
    // Nobody listens any more: it was one too many, or the demo is over.
    let _ = told.try_send(event);
    HttpResponse::NoContent().finish()
}
