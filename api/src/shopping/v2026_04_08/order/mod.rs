//! `GET /orders/{id}`: the present state of an order (order, "GET").

pub(crate) mod dto;

use actix_web::{HttpResponse, web};
use domain::context::{Caller, RequestContext};
use domain::order::{Order, OrderId};

use super::agent::Agent;
use super::problem::Refused;
use super::{Shopping, ShoppingSettings};
use crate::http::{Routes, fault_problem};

pub(super) fn routes(routes: &mut Routes) {
    routes.get("/orders/{id}", read);
}

async fn read(shopping: web::Data<Shopping>, agent: Agent, id: web::Path<String>) -> Result<HttpResponse, Refused> {
    let ctx = agent.0;
    let not_found = || Refused::not_found("There is no such order");
    let id = OrderId::parse(&id).ok_or_else(not_found)?;
    let order = shopping.orders.read(&ctx, id).await.map_err(|fault| fault_problem(&ctx, &fault))?;
    // The response does not show whether an order of another platform exists.
    let order = order.filter(|order| may_read(&ctx, &shopping.settings, order)).ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(dto::order(&order, &shopping.settings)))
}

fn may_read(ctx: &RequestContext, settings: &ShoppingSettings, order: &Order) -> bool {
    settings.open_orders
        || match ctx.caller() {
            Caller::Platform(platform) => platform.id == order.owner,
            Caller::Anonymous | Caller::Buyer(_) | Caller::Task(_) => false,
        }
}
