//! The storefront: the shop's own JSON API for buyers, below `/store/v1`, and the pages that belong to it. A module has
//! one file here. `docs/ADDING_A_MODULE.md` explains how to add one.

mod buyer;
mod review;
mod review_page;

use std::sync::{Arc, LazyLock};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use domain::order::OrderStore;
use domain::review::ReviewStore;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr, ResponseBuilder};

use crate::http::{ProblemDetails, Routes, Writes};

pub use buyer::Buyer;

/// The parts of the storefront, built once by the composition root.
#[derive(Clone)]
pub struct Storefront {
    /// The name of the shop.
    pub shop: String,
    pub writes: Writes,
    pub orders: Arc<dyn OrderStore>,
    pub reviews: Arc<dyn ReviewStore>,
}

struct Module {
    routes: fn(&mut Routes),
    document: fn() -> Document,
}

const MODULES: &[Module] = &[
    // One line for each module.
    Module { routes: review::routes, document: review::Api::openapi },
];

pub fn routes(routes: &mut Routes) {
    routes.get(DOCUMENT, document);
    MODULES.iter().for_each(|module| (module.routes)(routes));
    review_page::routes(routes);
}

/// The OpenAPI document of the storefront, from the code.
pub fn openapi() -> Document {
    let mut document = Api::openapi();
    MODULES.iter().for_each(|module| document.merge((module.document)()));
    complete(&mut document);
    document
}

/// The address of the OpenAPI document.
const DOCUMENT: &str = "/store/v1/openapi.json";

/// Adds what all operations share: the page tokens, and the response to a request that fails.
fn complete(document: &mut Document) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The token in the address of an order's page: 32 hexadecimal digits"));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("page_token", SecurityScheme::Http(bearer.build()));
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let failed = ResponseBuilder::new().description("docs/ERRORS.md lists the codes");
    let failed = failed.content("application/problem+json", problem).build();
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
                    response.description = status.and_then(|status| status.canonical_reason()).unwrap_or("").to_owned();
                }
            }
            operation.responses.responses.insert("default".to_owned(), RefOr::T(failed.clone()));
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Tuckshop storefront", description = "The API of a shop for its buyers.", version = "1"),
    components(schemas(ProblemDetails))
)]
struct Api;

async fn document() -> HttpResponse {
    static ONCE: LazyLock<Document> = LazyLock::new(openapi);
    HttpResponse::Ok().json(&*ONCE)
}

#[cfg(test)]
mod tests;
