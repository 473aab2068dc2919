//! `UCP-Agent`: the platform that sends a request. The header is an RFC 8941 dictionary whose member `profile` is the
//! address of the platform's profile (overview, "Platform Advertisement on Request").
//!
//! The address is not fetched. Any client can name any platform until signatures are verified.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use domain::context::{Caller, Platform, PlatformId, RequestContext};
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use url::{Host, Url};

use super::{Shopping, VERSION};
use crate::http::{Authenticated, Field, NamedPlatform, Problem};

/// Which platforms may send requests.
#[derive(Clone, Copy, Debug)]
pub struct AgentPolicy {
    /// Whether profiles on this machine may use plain http and count as registered. For development.
    pub trust_loopback: bool,
}

/// The context of a request by a platform.
pub struct Agent(pub RequestContext);

impl FromRequest for Agent {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(identify(req))
    }
}

impl Authenticated for Agent {
    fn ctx(&self) -> &RequestContext {
        &self.0
    }
}

/// A keyed write of a platform (REST binding, "Idempotency-Key").
pub(super) type KeyedWrite = crate::http::KeyedWrite<Agent>;

fn identify(req: &HttpRequest) -> Result<Agent, Problem> {
    let internal = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no request scope");
    let shopping = req.app_data::<web::Data<Shopping>>().ok_or_else(internal)?;
    let ctx = req.extensions().get::<RequestContext>().cloned().ok_or_else(internal)?;
    NamedPlatform::vary(&req.extensions());
    let header = match Field::of(req.headers(), "ucp-agent") {
        Field::Once(header) => header.as_bytes(),
        Field::Repeated => return Err(invalid("UCP-Agent must be given once")),
        Field::Missing => return Err(invalid("The header UCP-Agent is required")),
    };
    let platform = parse(header, shopping.settings.agents)?;
    NamedPlatform::note(&req.extensions(), &platform.id);
    Ok(Agent(ctx.for_caller(Caller::Platform(platform))))
}

fn parse(header: &[u8], policy: AgentPolicy) -> Result<Platform, Problem> {
    let dictionary: Dictionary =
        Parser::new(header).parse().map_err(|_| invalid("UCP-Agent must be an RFC 8941 dictionary"))?;
    let Some(ListEntry::Item(profile)) = dictionary.get("profile") else {
        return Err(invalid("UCP-Agent must have a member profile"));
    };
    let BareItem::String(address) = &profile.bare_item else {
        return Err(invalid("The profile of UCP-Agent must be a quoted string"));
    };
    let member = match dictionary.get("version") {
        Some(ListEntry::Item(item)) => Some(&item.bare_item),
        _ => None,
    };
    match profile.params.get("version").or(member) {
        None => {}
        Some(BareItem::String(version)) if version.as_str() == VERSION => {}
        Some(_) => {
            let content = format!("This shop supports version {VERSION}");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "version_unsupported", content));
        }
    }
    platform(address.as_str(), policy)
}

/// Identifies a platform by the address of its profile. An address that no request may name is a problem.
pub fn platform(address: &str, policy: AgentPolicy) -> Result<Platform, Problem> {
    if address.len() > PlatformId::MAX_LENGTH {
        return Err(invalid("The profile of UCP-Agent is too long"));
    }
    let mut url = Url::parse(address).map_err(|_| invalid("The profile of UCP-Agent must be a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("The profile of UCP-Agent must be a URL without a user name"));
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(invalid("The profile of UCP-Agent must be a URL with a host")),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback && policy.trust_loopback => {}
        _ => return Err(invalid("The profile of UCP-Agent must be an https URL")),
    }
    url.set_fragment(None);
    Ok(Platform { id: PlatformId(url.to_string()), registered: loopback && policy.trust_loopback })
}

fn invalid(content: &str) -> Problem {
    Problem::bad_request("invalid_profile_url", content)
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
