//! What all HTTP surfaces share: connections, the request scope, the reading of bodies, problems and routes.

mod body;
pub mod connection;
mod field;
mod html;
mod json;
mod page;
mod problem;
mod routes;
mod scope;
pub mod validation;
mod write;

pub use body::{Body, BodyLimits};
pub use field::Field;
pub use html::html;
pub use json::{ObjectOnly, document, json, typed};
pub use page::{PageParams, PageQuery};
pub use problem::{Problem, ProblemDetails, ProblemFormat, fault_problem};
pub use routes::Routes;
pub use scope::{NamedPlatform, Scope, request_scope};
pub use write::{
    Authenticated, KeyedForm, KeyedWrite, SimulatedKeyOutage, VersionedWrite, Writes, etag, key_refused, mark_replayed,
};
