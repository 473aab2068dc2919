//! `/orders/{id}`: the whole order as it stands (order, "GET").

pub(crate) mod dto;

use actix_web::http::Method;
use actix_web::{HttpResponse, web};
use domain::context::{Caller, RequestContext};
use domain::order::{Order, OrderId};

use super::agent::Agent;
use super::envelope::not_found;
use super::{Shopping, Surface};
use crate::http::{Routes, fault_problem};

pub(super) fn routes(routes: &mut Routes) {
    routes.on(Method::GET, "/orders/{id}", read);
}

async fn read(shopping: web::Data<Shopping>, agent: Agent, id: web::Path<String>) -> HttpResponse {
    let ctx = agent.0;
    let Some(id) = OrderId::parse(&id) else { return not_found("There is no such order") };
    match shopping.orders.read(&ctx, id).await {
        Ok(Some(order)) if may_read(&ctx, &shopping.surface, &order) => {
            HttpResponse::Ok().json(dto::order(&order, &shopping.surface))
        }
        // Whoever may not see it cannot tell it from one that does not exist.
        Ok(_) => not_found("There is no such order"),
        Err(fault) => fault_problem(&ctx, &fault).respond(Some(ctx.request_id().as_str())),
    }
}

fn may_read(ctx: &RequestContext, surface: &Surface, order: &Order) -> bool {
    surface.open_orders
        || match ctx.caller() {
            Caller::Platform(platform) => platform.id == order.owner,
            Caller::Anonymous | Caller::Task(_) => false,
        }
}
