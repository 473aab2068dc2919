//! `GET /.well-known/ucp`: the profile of the shop with its capabilities, endpoint, payment handlers and signing keys
//! (overview, "Discovery").

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use domain::context::RequestContext;
use serde_json::{Value, json};

use super::envelope::{BUYER_CONSENT, CHECKOUT, DISCOUNT, FULFILLMENT, ORDER, by_name};
use super::{Shopping, VERSION};
use crate::http::{Problem, fault_problem};

pub(super) async fn profile(
    shopping: web::Data<Shopping>,
    ctx: web::ReqData<RequestContext>,
) -> Result<HttpResponse, Problem> {
    let settings = &shopping.settings;
    let keys = (shopping.signing_keys)(&ctx).await.map_err(|fault| fault_problem(&ctx, &fault))?;
    let extension = |name: &str| {
        let mut entry = entry(name);
        entry["extends"] = json!(CHECKOUT);
        json!([entry])
    };
    let mut fulfillment = extension("fulfillment");
    fulfillment[0]["config"] = json!({"allows_multi_destination": {"shipping": false, "pickup": false}, "allows_method_combinations": [["shipping"]]});
    let profile = json!({
        "ucp": {
            "version": VERSION,
            "services": {
                "dev.ucp.shopping": [{
                    "version": VERSION,
                    "spec": format!("https://ucp.dev/{VERSION}/specification/overview"),
                    "transport": "rest",
                    "schema": format!("https://ucp.dev/{VERSION}/services/shopping/rest.openapi.json"),
                    "endpoint": settings.public_url,
                }],
            },
            "capabilities": {
                CHECKOUT: [entry("checkout")],
                DISCOUNT: extension("discount"),
                FULFILLMENT: fulfillment,
                BUYER_CONSENT: extension("buyer_consent"),
                ORDER: [entry("order")],
            },
            "payment_handlers": by_name(&settings.handlers),
        },
        "signing_keys": keys,
    });
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(profile))
}

/// The entry of a capability, with the URLs of its specification and schema.
fn entry(name: &str) -> Value {
    let page = name.replace('_', "-");
    json!({
        "version": VERSION,
        "spec": format!("https://ucp.dev/{VERSION}/specification/{page}"),
        "schema": format!("https://ucp.dev/{VERSION}/schemas/shopping/{name}.json"),
    })
}
