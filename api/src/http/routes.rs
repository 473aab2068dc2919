//! The routes of a server. A path answers HEAD wherever it answers GET (the request scope turns HEAD into GET), answers
//! OPTIONS, and refuses every other method with 405 and `Allow` (RFC 9110, sections 9.1 and 15.5.6).

use std::cell::Cell;
use std::rc::Rc;

use actix_web::dev::Extensions;
use actix_web::guard::fn_guard;
use actix_web::http::header::ALLOW;
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Responder, Route, web};

use super::{KeyedForm, KeyedWrite, Problem, VersionedWrite};

/// The routes of one server, collected by path so that each path knows all of its methods.
#[derive(Default)]
pub struct Routes(Vec<Resource>);

struct Resource {
    path: &'static str,
    methods: Vec<Method>,
    routes: Vec<Route>,
}

impl Routes {
    /// Adds a handler that reads.
    pub fn get<F, Args>(&mut self, path: &'static str, handler: F)
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::GET, path, handler);
    }

    /// Adds a handler that writes. Its last argument makes a repeated request harmless.
    ///
    /// ```
    /// # use actix_web::{HttpResponse, http::Method};
    /// # use api::{http::{KeyedWrite, Routes}, storefront::Buyer};
    /// async fn create(write: KeyedWrite<Buyer>) -> HttpResponse {
    ///     HttpResponse::Ok().finish()
    /// }
    /// Routes::default().write(Method::POST, "/things", create);
    /// ```
    ///
    /// A handler without such an argument does not compile:
    ///
    /// ```compile_fail,E0277
    /// # use actix_web::{HttpResponse, http::Method};
    /// # use api::http::{Body, Routes};
    /// async fn create(body: Body) -> HttpResponse {
    ///     HttpResponse::Ok().finish()
    /// }
    /// Routes::default().write(Method::POST, "/things", create);
    /// ```
    pub fn write<F, Args>(&mut self, method: Method, path: &'static str, handler: F)
    where
        F: Handler<Args>,
        Args: FromRequest + WriteArguments + 'static,
        F::Output: Responder + 'static,
    {
        self.on(method, path, handler);
    }

    /// Adds a handler that writes, without a key or a version. `_reason` says why a repeated request is harmless.
    pub fn unkeyed<F, Args>(&mut self, method: Method, path: &'static str, _reason: &'static str, handler: F)
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(method, path, handler);
    }

    /// The methods and paths of all handlers.
    pub fn all(&self) -> impl Iterator<Item = (&Method, &'static str)> {
        self.0.iter().flat_map(|resource| resource.methods.iter().map(|method| (method, resource.path)))
    }

    /// Adds a handler. Each pair of path and method may be added only once.
    fn on<F, Args>(&mut self, method: Method, path: &'static str, handler: F)
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = web::method(method.clone()).to(handler);
        match self.0.iter_mut().find(|resource| resource.path == path) {
            Some(resource) => {
                resource.methods.push(method);
                resource.routes.push(route);
            }
            None => self.0.push(Resource { path, methods: vec![method], routes: vec![route] }),
        }
    }

    pub fn install(self, config: &mut web::ServiceConfig) {
        for Resource { path, methods, routes } in self.0 {
            let allow = allow(&methods);
            let resource = web::resource(path).guard(fn_guard(move |ctx| {
                let is_reached = is_literal(path, ctx.head().uri.path());
                if is_reached {
                    MatchedRoute::note(&ctx.req_data(), path);
                }
                is_reached
            }));
            let resource = routes.into_iter().fold(resource, |resource, route| resource.route(route));
            let other = move |req: HttpRequest| {
                let answer = other_method(&req, &allow);
                async move { answer }
            };
            config.service(resource.default_service(web::to(other)));
        }
    }
}

/// The arguments of a handler that writes: at most four, and the last one is a [`WriteArgument`].
pub trait WriteArguments {}

/// An argument that makes a repeated request harmless: a keyed or a versioned write.
#[diagnostic::on_unimplemented(
    message = "the last argument of a writing handler must be a `KeyedWrite`, a `KeyedForm` or a `VersionedWrite`",
    note = "docs/ADDING_A_MODULE.md explains which one to use; `Routes::unkeyed` is for writes that need neither"
)]
pub trait WriteArgument {}
impl<A> WriteArgument for KeyedWrite<A> {}
impl<A> WriteArgument for KeyedForm<A> {}
impl<A> WriteArgument for VersionedWrite<A> {}

impl<W: WriteArgument> WriteArguments for (W,) {}
impl<A, W: WriteArgument> WriteArguments for (A, W) {}
impl<A, B, W: WriteArgument> WriteArguments for (A, B, W) {}
impl<A, B, C, W: WriteArgument> WriteArguments for (A, B, C, W) {}

/// The path pattern that the router matched for a request. The access line needs this copy if the client disconnects or
/// the handler panics. The request is lost then: the router must own it, so the middleware can keep no reference.
#[derive(Clone, Default)]
pub struct MatchedRoute(Rc<Cell<Option<&'static str>>>);

impl MatchedRoute {
    fn note(extensions: &Extensions, pattern: &'static str) {
        if let Some(route) = extensions.get::<Self>() {
            route.0.set(Some(pattern));
        }
    }

    pub fn pattern(&self) -> Option<&'static str> {
        self.0.get()
    }
}

fn allow(methods: &[Method]) -> String {
    let head = methods.contains(&Method::GET).then_some(Method::HEAD);
    let all = methods.iter().cloned().chain(head).chain([Method::OPTIONS]);
    all.map(|method| method.to_string()).collect::<Vec<_>>().join(", ")
}

fn other_method(req: &HttpRequest, allow: &str) -> Result<HttpResponse, Problem> {
    if req.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((ALLOW, allow)).finish());
    }
    let content = format!("This address accepts {allow}");
    Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", content).with(ALLOW, allow))
}

/// Whether the fixed segments of the path are written without percent-encoding. The router would read `%73tatusz` as
/// `statusz`, but a proxy's rule for `/statusz` would not match it.
fn is_literal(pattern: &str, path: &str) -> bool {
    pattern.split('/').zip(path.split('/')).all(|(fixed, given)| fixed.starts_with('{') || fixed == given)
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
