//! `/checkout-sessions`: create, read, update, complete, cancel (checkout, REST binding).

mod limits;
mod refused;
mod request;
mod response;

pub(super) use response::{AddressDto, ItemDto, address};

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use domain::checkout::{
    Answer, COMPLETE, Checkout, CheckoutId, CheckoutRefusal, CompleteCommand, NewCheckout, Outcome, Status,
};
use domain::context::{Deadline, RequestContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::idempotency::Write;
use domain::outbox::Channel;
use tokio::sync::watch;

pub(super) use refused::Refused;
use request::{CheckoutBody, CompleteBody};

use super::agent::Agent;
use super::envelope::{in_band_refusal, not_found};
use super::message::message;
use super::problem::checkout_error;
use super::write::KeyedWrite;
use super::{Shopping, Surface};
use crate::http::{Problem, Routes, fault_problem};

pub(super) fn routes(routes: &mut Routes) {
    routes.on(Method::POST, "/checkout-sessions", create);
    routes.on(Method::GET, "/checkout-sessions/{id}", read);
    routes.on(Method::PUT, "/checkout-sessions/{id}", update);
    routes.on(Method::POST, "/checkout-sessions/{id}/complete", complete);
    routes.on(Method::POST, "/checkout-sessions/{id}/cancel", cancel);
}

async fn create(shopping: web::Data<Shopping>, write: KeyedWrite) -> Result<HttpResponse, Problem> {
    let operation = ("checkout.create", "", StatusCode::CREATED);
    let parse = |body: &[u8]| request::read(body).and_then(CheckoutBody::parse);
    let command = |ctx: &RequestContext, write: Write, request| {
        let new = NewCheckout::of(request, write.now, shopping.currency, shopping.expires_after);
        shopping.checkouts.create(ctx, write, new)
    };
    write.run(&shopping, operation, parse, command).await
}

async fn read(shopping: web::Data<Shopping>, agent: Agent, id: web::Path<String>) -> HttpResponse {
    let ctx = agent.0;
    let Some(id) = CheckoutId::parse(&id) else { return not_found("There is no such checkout") };
    match shopping.checkouts.read(&ctx, id).await {
        Ok(checkout) => {
            let checkout = checkout.as_of(shopping.clock.now());
            HttpResponse::Ok().json(response::checkout(&checkout, &shopping.surface))
        }
        Err(error) => checkout_error(&ctx, &error),
    }
}

async fn update(
    shopping: web::Data<Shopping>,
    id: web::Path<String>,
    write: KeyedWrite,
) -> Result<HttpResponse, Problem> {
    let operation = ("checkout.update", id.as_str(), StatusCode::OK);
    let parse = |body: &[u8]| Ok((request::read(body).and_then(CheckoutBody::parse)?, existing(&id)?));
    let command = |ctx: &RequestContext, write, (request, id)| shopping.checkouts.update(ctx, write, id, request);
    write.run(&shopping, operation, parse, command).await
}

async fn cancel(
    shopping: web::Data<Shopping>,
    id: web::Path<String>,
    write: KeyedWrite,
) -> Result<HttpResponse, Problem> {
    let operation = ("checkout.cancel", id.as_str(), StatusCode::OK);
    let command = |ctx: &RequestContext, write, id| shopping.checkouts.cancel(ctx, write, id);
    write.run(&shopping, operation, |_| existing(&id), command).await
}

/// An id that may name a checkout.
fn existing(id: &str) -> Result<CheckoutId, Refused> {
    CheckoutId::parse(id).ok_or(Refused::NotFound)
}

/// Completes. Past the point of no return the caller's deadline ends only the waiting: the answer is then the checkout
/// as it stands, `complete_in_progress`.
async fn complete(
    shopping: web::Data<Shopping>,
    id: web::Path<String>,
    write: KeyedWrite,
) -> Result<HttpResponse, Problem> {
    let parse = |body: &[u8]| {
        let choice = request::read(body).and_then(|body: CompleteBody| body.parse(&shopping.surface.handlers))?;
        Ok((choice, existing(&id)?))
    };
    let (claim, (choice, id)) = match write.read(&shopping.surface, COMPLETE, &id, parse) {
        Ok(read) => read,
        Err(refused) => return refused.respond(),
    };
    let ctx = write.ctx;

    let (tell_begun, begun) = watch::channel(None);
    let on_point_of_no_return =
        Box::new(move |checkout: &Checkout| drop(tell_begun.send_replace(Some(checkout.clone()))));
    let (use_case, command) = (shopping.complete.clone(), CompleteCommand { claim, id, choice, on_point_of_no_return });
    let supervisor = shopping.supervisor.clone();
    let work = |ctx| async move {
        let answer = use_case.run(&ctx, command).await;
        // Here, since whoever asked may be gone when the order is placed.
        if answer.as_ref().is_ok_and(|answer| status_of(answer) == Some(Status::Completed)) {
            supervisor.wake(Channel::Webhook.task());
            supervisor.wake(Channel::Mail.task());
        }
        answer
    };
    let finished = tokio::select! {
        // An answer that is there goes before a deadline that has passed.
        biased;
        answer = shopping.commands.run(&ctx, COMPLETE, work) => answer,
        fault = out_of_time(ctx.deadline(), begun.clone()) => Err(fault),
    };
    let answer = match (finished, begun.borrow().clone()) {
        (Ok(answer), _) => answer,
        // Past the point of no return, whatever cuts the waiting short is no fault: this is how the checkout stands.
        (Err(_), Some(checkout)) => Ok(Answer { outcome: Outcome::Checkout(checkout), replayed: false }),
        (Err(fault), None) => Err(fault.into()),
    };
    if answer.as_ref().is_ok_and(|answer| status_of(answer) == Some(Status::CompleteInProgress)) {
        shopping.supervisor.wake("payment_reconciler");
    }
    Ok(respond(&ctx, &shopping.surface, StatusCode::OK, answer))
}

fn status_of(answer: &Answer) -> Option<Status> {
    match &answer.outcome {
        Outcome::Checkout(checkout) => Some(checkout.status),
        _ => None,
    }
}

/// Kept back from the deadline, so that the answer still arrives.
const RESERVE: Duration = Duration::from_millis(50);

/// Completes at the deadline, if the point of no return was passed before; else never.
async fn out_of_time(deadline: Deadline, mut begun: watch::Receiver<Option<Checkout>>) -> Fault {
    if begun.wait_for(Option::is_some).await.is_err() {
        return std::future::pending().await;
    }
    tokio::time::sleep(deadline.remaining().saturating_sub(RESERVE)).await;
    Fault::new(FaultKind::DeadlineExceeded, COMPLETE)
}

/// Renders an outcome. The same outcome always gives the same bytes, so a repetition is answered like the first.
pub(super) fn respond(
    ctx: &RequestContext,
    surface: &Surface,
    success: StatusCode,
    answer: Result<Answer, Failure<CheckoutRefusal>>,
) -> HttpResponse {
    let Answer { outcome, replayed } = match answer {
        Ok(answer) => answer,
        Err(Failure::Fault(fault)) => {
            return fault_problem(ctx, &fault).respond(Some(ctx.request_id().as_str()));
        }
        Err(error) => return checkout_error(ctx, &error),
    };
    let mut response = match &outcome {
        Outcome::Checkout(checkout) => HttpResponse::build(success).json(response::checkout(checkout, surface)),
        // The specification calls it a business outcome; platforms expect the status that says so.
        Outcome::Declined(checkout) => {
            HttpResponse::build(StatusCode::PAYMENT_REQUIRED).json(response::checkout(checkout, surface))
        }
        Outcome::NothingToSell(messages) => in_band_refusal(messages.iter().map(message).collect()),
    };
    if replayed {
        use actix_web::http::header::{HeaderName, HeaderValue};
        let name = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    response
}
