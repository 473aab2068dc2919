//! The buyer of an order, who presents the token of the order's page: as a bearer token (RFC 6750), or in the address of
//! a page.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use domain::context::{Caller, RequestContext};
use domain::id::PageToken;
use domain::order::Order;
use futures_util::future::LocalBoxFuture;

use super::Storefront;
use crate::http::{Authenticated, Field, Problem, fault_problem};

/// The buyer of an order, as an extractor.
pub struct Buyer {
    ctx: RequestContext,
    pub order: Order,
}

impl Authenticated for Buyer {
    fn ctx(&self) -> &RequestContext {
        &self.ctx
    }
}

impl FromRequest for Buyer {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move {
            let internal = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no request scope");
            let storefront = req.app_data::<web::Data<Storefront>>().ok_or_else(internal)?;
            let ctx = req.extensions().get::<RequestContext>().cloned().ok_or_else(internal)?;
            let token = token(&req)?;
            let order = storefront.orders.read_page(&ctx, token).await;
            let order = order.map_err(|fault| fault_problem(&ctx, &fault))?.ok_or_else(unknown)?;
            Ok(Self { ctx: ctx.for_caller(Caller::Buyer(order.id.clone())), order })
        })
    }
}

fn token(req: &HttpRequest) -> Result<PageToken, Problem> {
    if let Some(token) = req.match_info().get("token") {
        return PageToken::parse(token).ok_or_else(unknown);
    }
    let field = Field::of(req.headers(), AUTHORIZATION).text().and_then(|text| text.split_once(' '));
    let bearer = field.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = bearer else {
        let content = "The header Authorization must have the token of the order's page, once, as a bearer token";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "missing_page_token", content)
            .with(WWW_AUTHENTICATE, "Bearer realm=\"storefront\""));
    };
    PageToken::parse(token.trim()).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unknown_page_token", "No order has a page with this token")
        .with(WWW_AUTHENTICATE, "Bearer realm=\"storefront\", error=\"invalid_token\"")
}
