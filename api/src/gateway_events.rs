//! Events that the payment gateway sends: `POST /payments/events`.
//!
//! An event only makes a payment due for the reconciler, which asks the gateway for the outcome. Each event is recorded
//! once, by its id. So it does no harm if events arrive twice, late, or in any order.

use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::clock::{Clock, Timestamp};
use domain::context::RequestContext;
use domain::payment::{AttemptStore, GatewayEvent, PaymentReconciler};
use serde_json::json;
use slog::{info, warn};

use crate::http::{Body, Field, Problem, Routes, fault_problem};
use crate::runtime::Supervisor;

/// A function that verifies the signature of an event and reads the event. It takes the body, the signature header and
/// the present time.
pub type ReadEvent = Arc<dyn Fn(&[u8], &str, Timestamp) -> Result<GatewayEvent, EventRefused> + Send + Sync>;

/// Why an event is refused.
#[derive(Clone, Debug)]
pub enum EventRefused {
    /// The signature is missing, wrong or too old. The text is for the log; the response does not repeat it.
    Signature(String),
    /// The body is not an event.
    Malformed,
}

#[derive(Clone)]
pub struct GatewayEvents {
    pub read: ReadEvent,
    pub attempts: Arc<dyn AttemptStore>,
    pub clock: Arc<dyn Clock>,
    pub supervisor: Supervisor,
}

pub fn routes(routes: &mut Routes) {
    routes.unkeyed(Method::POST, "/payments/events", "an event is recorded once, by its id", event);
}

const OPERATION: &str = "payment.record_event";

async fn event(
    req: HttpRequest,
    gateway: web::Data<GatewayEvents>,
    ctx: web::ReqData<RequestContext>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let now = gateway.clock.now();
    let header = Field::of(req.headers(), "stripe-signature").text().unwrap_or_default();
    let event = (gateway.read)(&body.0, header, now).map_err(|refused| problem(&ctx, &refused))?;
    let id = event.id.clone();
    let is_new = gateway.attempts.record_event(&ctx, event, now).await.map_err(|fault| fault_problem(&ctx, &fault))?;
    info!(ctx.log(), "gateway event recorded"; "op" => OPERATION, "event_id" => id,
        "result" => if is_new { "new" } else { "duplicate" });
    if is_new {
        gateway.supervisor.wake(PaymentReconciler::TASK);
    }
    Ok(HttpResponse::Ok().json(json!({"received": true})))
}

/// Logs the reason and builds the response. Neither repeats the body, because its sender may not be the gateway.
fn problem(ctx: &RequestContext, refused: &EventRefused) -> Problem {
    let (result, error) = match refused {
        EventRefused::Signature(error) => ("bad_signature", error.as_str()),
        EventRefused::Malformed => ("malformed", "not an event"),
    };
    warn!(ctx.log(), "gateway event refused"; "op" => OPERATION, "result" => result, "error" => error,
        "error_code" => result);
    match refused {
        EventRefused::Signature(_) => {
            Problem::new(StatusCode::UNAUTHORIZED, "bad_signature", "The signature is missing, wrong or too old")
        }
        EventRefused::Malformed => Problem::bad_request("malformed_event", "The event cannot be read"),
    }
}
