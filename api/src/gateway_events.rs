//! What the payment gateway tells of its own accord: `POST /payments/events`.
//!
//! Only that something happened to a payment is believed, and only once; what happened is looked up at the gateway. So
//! events may come twice, late, or in any order.

use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::clock::{Clock, Timestamp};
use domain::context::RequestContext;
use domain::payment::{AttemptStore, GatewayEvent};
use serde_json::json;
use slog::{info, warn};

use crate::http::{Body, Field, Problem, Routes, fault_problem};
use crate::runtime::Supervisor;

/// Reads an event if its signature is good at the given time. The header is the one that the gateway signs in.
pub type ReadEvent = Arc<dyn Fn(&[u8], &str, Timestamp) -> Result<GatewayEvent, EventRefused> + Send + Sync>;

/// Why an event is not heeded. Senders are told the same whatever it is, short of a body that is none.
#[derive(Clone, Debug)]
pub enum EventRefused {
    /// It is not the gateway's, or too old to tell.
    Signature(String),
    Malformed(String),
}

#[derive(Clone)]
pub struct Payments {
    pub read: ReadEvent,
    pub attempts: Arc<dyn AttemptStore>,
    pub clock: Arc<dyn Clock>,
    pub supervisor: Supervisor,
}

pub fn routes(routes: &mut Routes) {
    routes.on(Method::POST, "/payments/events", event);
}

const OPERATION: &str = "payment.record_event";

async fn event(
    req: HttpRequest,
    payments: web::Data<Payments>,
    ctx: web::ReqData<RequestContext>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let now = payments.clock.now();
    let header = Field::of(req.headers(), "stripe-signature").text().unwrap_or_default();
    let event = (payments.read)(&body.0, header, now).map_err(|refused| problem(&ctx, &refused))?;
    let id = event.id.clone();
    let is_new = payments.attempts.record_event(&ctx, event, now).await.map_err(|fault| fault_problem(&ctx, &fault))?;
    info!(ctx.log(), "gateway event heeded"; "op" => OPERATION, "event_id" => id,
        "result" => if is_new { "new" } else { "duplicate" });
    if is_new {
        payments.supervisor.wake("payment_reconciler");
    }
    Ok(HttpResponse::Ok().json(json!({"received": true})))
}

/// The body is not repeated: whoever sent it may not be who they say.
fn problem(ctx: &RequestContext, refused: &EventRefused) -> Problem {
    let (result, error) = match refused {
        EventRefused::Signature(error) => ("bad_signature", error),
        EventRefused::Malformed(error) => ("malformed", error),
    };
    warn!(ctx.log(), "gateway event refused"; "op" => OPERATION, "result" => result, "error" => error,
        "error_code" => result);
    match refused {
        EventRefused::Signature(_) => {
            Problem::new(StatusCode::UNAUTHORIZED, "bad_signature", "The signature is missing, wrong or too old")
        }
        EventRefused::Malformed(_) => Problem::bad_request("malformed_event", "The event cannot be read"),
    }
}
