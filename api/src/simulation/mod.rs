//! Test affordances: routes that ship and adjust orders, age idempotency keys, and simulate an outage. They exist in
//! simulation only, never in production.

mod local_program;
mod request;

use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::checkout::LineId;
use domain::clock::Clock;
use domain::context::RequestContext;
use domain::fault::Failure;
use domain::idempotency::IdempotencyStore;
use domain::order::{
    Order, OrderChange, OrderChangeKind, OrderChangeRefusal, OrderId, OrderRefusal, OrderStore, Shipment,
};
use domain::outbox::Channel;
use domain::payment::PaymentCapture;
use domain::secret::Secret;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use validator::Validate;

use crate::http::validation::violations;
use crate::http::{Body, Field, Problem, Routes, SimulatedKeyOutage, fault_problem, json};
use crate::runtime::Supervisor;
use crate::shopping::v2026_04_08::{ShoppingSettings, render_order};
use local_program::LocalProgram;

#[derive(Clone)]
pub struct Simulation {
    pub secret: Secret,
    pub orders: Arc<dyn OrderStore>,
    pub records: Arc<dyn IdempotencyStore>,
    pub clock: Arc<dyn Clock>,
    pub supervisor: Supervisor,
    pub settings: ShoppingSettings,
    pub outage: SimulatedKeyOutage,
}

/// Why no route has an idempotency key.
const TEST_ONLY: &str = "only tests send it";

pub fn routes(routes: &mut Routes) {
    routes.unkeyed(Method::POST, "/testing/simulate-shipping/{id}", TEST_ONLY, simulate_shipping);
    routes.unkeyed(Method::POST, "/testing/orders/{id}/fulfill", TEST_ONLY, fulfill);
    routes.unkeyed(Method::POST, "/testing/orders/{id}/adjust", TEST_ONLY, adjust);
    routes.unkeyed(Method::POST, "/testing/idempotency/age", TEST_ONLY, age);
    routes.unkeyed(Method::POST, "/testing/idempotency/outage", TEST_ONLY, outage);
    routes.unkeyed(Method::PUT, "/orders/{id}", TEST_ONLY, put_order);
}

/// Ships everything that is not shipped yet. Answers 403 unless `Simulation-Secret` is right.
async fn simulate_shipping(
    req: HttpRequest,
    LocalProgram(simulation): LocalProgram,
    ctx: web::ReqData<RequestContext>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let given = Field::of(req.headers(), "simulation-secret");
    if given.text() != Some(simulation.secret.expose()) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "wrong_simulation_secret",
            "Simulation-Secret is missing, wrong or repeated",
        ));
    }
    ship_everything(&simulation, &ctx, &id).await
}

/// Ships everything that is not shipped yet.
async fn fulfill(
    LocalProgram(simulation): LocalProgram,
    ctx: web::ReqData<RequestContext>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    ship_everything(&simulation, &ctx, &id).await
}

async fn ship_everything(simulation: &Simulation, ctx: &RequestContext, id: &str) -> Result<HttpResponse, Problem> {
    let number = Uuid::new_v4().simple();
    let shipment = Shipment {
        kind: "shipped".to_owned(),
        lines: Vec::new(),
        tracking_number: Some(format!("TRACK{number}")),
        tracking_url: Some(format!("https://carrier.example/track/TRACK{number}")),
        carrier: Some("Example Carrier".to_owned()),
        description: Some("Handed to the carrier".to_owned()),
    };
    let occurred_at = simulation.clock.now();
    let change =
        OrderChange { id: format!("evt_shipped_{number}"), occurred_at, kind: OrderChangeKind::ShippedRest(shipment) };
    append(simulation, ctx, id, vec![change]).await
}

/// Records that the buyer returns units of a line, and refunds them.
async fn adjust(
    LocalProgram(simulation): LocalProgram,
    ctx: web::ReqData<RequestContext>,
    id: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let wanted: request::AdjustBody = parse(&body.0)?;
    let kind = OrderChangeKind::TakenBack {
        kind: wanted.kind.unwrap_or_else(|| "refund".to_owned()),
        line: LineId(wanted.line_item_id),
        units: wanted.quantity,
    };
    let id_of_change = format!("adj_{}", Uuid::new_v4().simple());
    let change = OrderChange { id: id_of_change, occurred_at: simulation.clock.now(), kind };
    append(&simulation, &ctx, &id, vec![change]).await
}

/// Appends the fulfillment events and adjustments that the order does not have yet. Ignores all other members.
async fn put_order(
    LocalProgram(simulation): LocalProgram,
    ctx: web::ReqData<RequestContext>,
    id: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let wanted: request::OrderBody = parse(&body.0).map_err(|mut problem| {
        problem.status = StatusCode::UNPROCESSABLE_ENTITY;
        problem
    })?;
    append(&simulation, &ctx, &id, wanted.changes()?).await
}

/// Moves the claims of an idempotency key back in time, by the given hours.
async fn age(
    LocalProgram(simulation): LocalProgram,
    ctx: web::ReqData<RequestContext>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let wanted: request::AgeBody = parse(&body.0)?;
    let aged = simulation.records.age(&ctx, wanted.key, wanted.hours).await;
    let aged = aged.map_err(|fault| fault_problem(&ctx, &fault))?;
    Ok(HttpResponse::Ok().json(serde_json::json!({"aged": aged})))
}

/// Begins or ends a simulated outage of the idempotency records, during which every keyed write is refused with 503.
async fn outage(LocalProgram(simulation): LocalProgram, body: Body) -> Result<HttpResponse, Problem> {
    let wanted: request::OutageBody = parse(&body.0)?;
    simulation.outage.set(wanted.enabled);
    Ok(HttpResponse::Ok().json(serde_json::json!({"enabled": wanted.enabled})))
}

async fn append(
    simulation: &Simulation,
    ctx: &RequestContext,
    id: &str,
    changes: Vec<OrderChange>,
) -> Result<HttpResponse, Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such order");
    let id = OrderId::parse(id).ok_or_else(missing)?;
    match simulation.orders.append(ctx, id, changes, simulation.clock.now()).await {
        Ok(order) => {
            simulation.supervisor.wake(Channel::Webhook.task());
            simulation.supervisor.wake(PaymentCapture::TASK);
            answer(simulation, &order)
        }
        Err(Failure::Fault(fault)) => Err(fault_problem(ctx, &fault)),
        Err(Failure::Refused(OrderRefusal::NotFound)) => Err(missing()),
        Err(Failure::Refused(OrderRefusal::TooManyEvents)) => {
            let content = format!("The order has {} events, the most that an order may have", Order::MAX_EVENTS);
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "order_full", content))
        }
        Err(Failure::Refused(OrderRefusal::Change(refused))) => Err(unprocessable(&refused)),
    }
}

fn answer(simulation: &Simulation, order: &Order) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(render_order(order, &simulation.settings)))
}

/// The response to a change that the order refuses.
fn unprocessable(refused: &OrderChangeRefusal) -> Problem {
    let content = match refused {
        OrderChangeRefusal::UnknownLine(line) => format!("The order has no line {:?}", line.0),
        OrderChangeRefusal::NoUnits(line) => format!("No units of line {:?}: a quantity is at least 1", line.0),
        OrderChangeRefusal::TooMany(line) => format!("Line {:?} has not that many units left", line.0),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "order_change_refused", content)
}

/// Reads and validates a body. The problem names the member that is wrong.
fn parse<T: DeserializeOwned + Validate>(body: &[u8]) -> Result<T, Problem> {
    let body = json(body)?;
    match violations(&body).into_iter().next() {
        None => Ok(body),
        Some(violation) => {
            Err(Problem::bad_request("malformed_body", format!("{}: {}", violation.path, violation.content)))
        }
    }
}
