//! `UCP-Agent`: the platform that sends a request. The header is an RFC 8941 dictionary whose member `profile` is the
//! address of the platform's profile (overview, "Platform Advertisement on Request").
//!
//! The address is not fetched. Any client can name any platform until signatures are verified.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use domain::context::{Caller, Platform, PlatformId, RequestContext};
use sfv::visitor::{DictionaryVisitor, EntryVisitor};
use sfv::{BareItem, Dictionary, KeyRef, ListEntry, Parser};
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

/// A dictionary whose parsing fails if `profile` or `version` is repeated. In RFC 8941 the last one counts. The shop is
/// stricter, because a proxy that reads the first one would take the request for one of another platform.
struct WithoutRepetition(Dictionary);

#[derive(Debug, thiserror::Error)]
#[error("a member is repeated")]
struct Repetition;

impl<'de> DictionaryVisitor<'de> for WithoutRepetition {
    type Out = Dictionary;
    type Error = Repetition;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Repetition> {
        if ["profile", "version"].contains(&key.as_str()) && self.0.contains_key(key) {
            return Err(Repetition);
        }
        DictionaryVisitor::entry(&mut self.0, key).map_err(|never| match never {})
    }

    fn finish(self) -> Result<Dictionary, Repetition> {
        Ok(self.0)
    }
}

fn parse(header: &[u8], policy: AgentPolicy) -> Result<Platform, Problem> {
    let dictionary = Parser::new(header).parse_dictionary_with_visitor(WithoutRepetition(Dictionary::new()));
    let dictionary = dictionary
        .map_err(|_| invalid("UCP-Agent must be an RFC 8941 dictionary, with profile and version at most once"))?;
    let Some(ListEntry::Item(profile)) = dictionary.get("profile") else {
        return Err(invalid("UCP-Agent must have a member profile"));
    };
    let BareItem::String(address) = &profile.bare_item else {
        return Err(invalid("The profile of UCP-Agent must be a quoted string"));
    };
    // The version may be a member of its own, or a parameter of the profile.
    let member = dictionary.get("version").map(|entry| match entry {
        ListEntry::Item(item) => Some(&item.bare_item),
        ListEntry::InnerList(_) => None,
    });
    let parameter = profile.params.get("version").map(Some);
    let is_ours =
        |version: Option<&BareItem>| matches!(version, Some(BareItem::String(version)) if version.as_str() == VERSION);
    if ![member, parameter].into_iter().flatten().all(is_ours) {
        let content = format!("This shop supports version {VERSION}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "version_unsupported", content));
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
