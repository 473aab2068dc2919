//! Refusals to statuses. Exhaustive, with no catch-all: a new refusal does not compile until it has an answer here.
//!
//! A commerce outcome travels in-band with 200 (checkout, "Error Handling"); what is listed here is about the request.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use domain::checkout::{CheckoutRefusal, Status};
use domain::context::RequestContext;
use domain::fault::Failure;
use domain::idempotency::KeyRefusal;

use super::envelope::not_found;
use crate::http::{Problem, fault_problem};

pub(super) fn checkout_error(ctx: &RequestContext, error: &Failure<CheckoutRefusal>) -> HttpResponse {
    let problem = match error {
        Failure::Fault(fault) => fault_problem(ctx, fault),
        Failure::Refused(refusal) => match refusal {
            CheckoutRefusal::NotFound => return not_found("There is no such checkout"),
            CheckoutRefusal::InProgress => {
                conflict("checkout_in_progress", "The checkout is being completed").retry_after(1)
            }
            CheckoutRefusal::NotModifiable(status) => {
                let word = if *status == Status::Completed { "completed" } else { "canceled" };
                conflict("checkout_not_modifiable", &format!("The checkout is {word}"))
            }
            CheckoutRefusal::NotReady(message) => Problem::bad_request("checkout_not_ready", &message.content),
            CheckoutRefusal::UnknownHandler => {
                Problem::bad_request("unknown_payment_handler", "The instrument names a handler that is not offered")
            }
            CheckoutRefusal::InstrumentMissing => {
                Problem::bad_request("invalid_request", "payment.instruments: must not be empty")
            }
            CheckoutRefusal::UnknownInstrument => {
                let content = "The instrument brings no credential, and none is on file for it";
                Problem::bad_request("unknown_payment_instrument", content)
            }
            CheckoutRefusal::Key(refusal) => refused_key(*refusal),
        },
    };
    problem.respond(Some(ctx.request_id().as_str()))
}

pub(super) fn refused_key(refusal: KeyRefusal) -> Problem {
    match refusal {
        KeyRefusal::Reused => {
            conflict("idempotency_key_reused", "The idempotency key was used before for another request")
        }
        KeyRefusal::InProgress => {
            conflict("idempotency_in_progress", "The first request with this idempotency key is still at work")
                .retry_after(1)
        }
        KeyRefusal::Unavailable => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "idempotency_unavailable",
            "Idempotency cannot be assured now; nothing happened",
        )
        .retry_after(1),
    }
}

fn conflict(code: &'static str, content: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, content)
}
