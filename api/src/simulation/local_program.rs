//! Admits local programs to the test affordances and refuses web pages of other origins. A browser sends the requests
//! of any page to every address that it reaches, also to this machine.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, ORIGIN, TRANSFER_ENCODING};
use actix_web::{FromRequest, HttpRequest, web};

use super::Simulation;
use crate::http::Problem;

/// Extracts the test affordances from a request. Refuses a request that may not use them.
pub(super) struct LocalProgram(pub web::Data<Simulation>);

impl FromRequest for LocalProgram {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let internal = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no simulation");
        let simulation = req.app_data::<web::Data<Simulation>>().ok_or_else(internal);
        ready(simulation.and_then(|simulation| {
            check(req.headers(), &simulation.settings.public_url)?;
            Ok(Self(simulation.clone()))
        }))
    }
}

/// Refuses requests of other origins (`Origin`, `Sec-Fetch-Site`). Requires a content type for a body, because
/// [`crate::http::Body`] then accepts only JSON. A browser sends a JSON body to another origin only after a preflight
/// request.
fn check(headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    let is = |name: &str, allowed: &[&str]| {
        headers.get_all(name).all(|value| value.to_str().is_ok_and(|value| allowed.contains(&value)))
    };
    if !is(ORIGIN.as_str(), &[own]) || !is("sec-fetch-site", &["same-origin", "none"]) {
        let content = "A web page of another origin must not use the test affordances";
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross_origin_request", content));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let has_body = headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0");
    if has_body && !headers.contains_key(CONTENT_TYPE) {
        let content = "The body must be application/json, with a Content-Type";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", content));
    }
    Ok(())
}
