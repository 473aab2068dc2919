//! The simulator's own addresses, under `/_sim`: the ledger, the clock, the faults and the webhooks.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::books::Outcome;
use crate::faults::{Mix, Script};
use crate::gateway::Gateway;
use crate::webhooks::Webhooks;

pub(crate) fn addresses(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("/_sim")
            .route("/ledger", web::get().to(ledger))
            .route("/clock", web::get().to(clock))
            .route("/clock", web::post().to(advance))
            .route("/faults", web::get().to(faults_dealt))
            .route("/faults", web::post().to(add_faults))
            .route("/faults", web::delete().to(clear_faults))
            .route("/settle", web::post().to(settle))
            .route("/webhooks", web::get().to(deliveries))
            .route("/webhooks", web::post().to(send_webhooks))
            .route("/webhooks", web::delete().to(stop_webhooks)),
    );
}

type Sim = web::Data<Gateway>;

#[derive(Deserialize)]
struct Grouping {
    /// A key of the metadata.
    by: Option<String>,
}

async fn ledger(gateway: Sim, grouping: web::Query<Grouping>) -> HttpResponse {
    let ledger = gateway.ledger();
    let groups = grouping.by.as_ref().map(|key| ledger.by_metadata(key));
    let totals = ledger.totals();
    HttpResponse::Ok().json(json!({"entries": ledger.entries, "totals": totals, "groups": groups}))
}

async fn clock(gateway: Sim) -> HttpResponse {
    HttpResponse::Ok().json(json!({"now": gateway.now()}))
}

#[derive(Deserialize)]
struct Advance {
    advance_seconds: u64,
}

async fn advance(gateway: Sim, by: web::Json<Advance>) -> HttpResponse {
    gateway.advance(Duration::from_secs(by.advance_seconds));
    clock(gateway).await
}

async fn faults_dealt(gateway: Sim) -> HttpResponse {
    HttpResponse::Ok().json(json!({"dealt": gateway.faults_dealt()}))
}

/// One of the two, told apart by `shares`.
async fn add_faults(gateway: Sim, asked: web::Json<Value>) -> HttpResponse {
    let asked = asked.into_inner();
    let read = if asked.get("shares").is_some() {
        serde_json::from_value::<Mix>(asked).map(|mix| gateway.mix(mix))
    } else {
        serde_json::from_value::<Script>(asked).map(|script| gateway.script(script))
    };
    match read {
        Ok(()) => faults_dealt(gateway).await,
        Err(error) => HttpResponse::BadRequest().json(json!({"error": error.to_string()})),
    }
}

async fn clear_faults(gateway: Sim) -> HttpResponse {
    gateway.clear_faults();
    faults_dealt(gateway).await
}

#[derive(Deserialize)]
struct Settle {
    intent: String,
    outcome: Outcome,
}

async fn settle(gateway: Sim, asked: web::Json<Settle>) -> HttpResponse {
    match gateway.settle(&asked.intent, asked.outcome) {
        Ok(intent) => HttpResponse::Ok().json(intent),
        Err(refusal) => HttpResponse::BadRequest().json(refusal.body()),
    }
}

async fn deliveries(gateway: Sim) -> HttpResponse {
    HttpResponse::Ok().json(gateway.deliveries())
}

async fn send_webhooks(gateway: Sim, webhooks: web::Json<Webhooks>) -> HttpResponse {
    gateway.send_webhooks(Some(webhooks.into_inner()));
    deliveries(gateway).await
}

async fn stop_webhooks(gateway: Sim) -> HttpResponse {
    gateway.send_webhooks(None);
    deliveries(gateway).await
}
