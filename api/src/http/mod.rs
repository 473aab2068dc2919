//! What all HTTP surfaces share: connections, the request scope, the reading of bodies, problems and routes.

mod body;
pub mod connection;
mod field;
mod json;
mod problem;
mod routes;
mod scope;
pub mod validation;

pub use body::{Body, BodyLimits};
pub use field::Field;
pub use json::{ObjectOnly, document, json, typed};
pub use problem::{Problem, fault_problem};
pub use routes::Routes;
pub use scope::{NamedPlatform, Scope, request_scope};
