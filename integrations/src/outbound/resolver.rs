//! Names into addresses: where a destination given by others is checked, and pinned.
//!
//! The HTTP client asks this resolver and connects to what it answers, so there is no second look-up between the check
//! and the connection for a name to change its mind in. One forbidden address among several refuses them all: a public
//! name with a private address is either a mistake or an attack.
//!
//! The system's look-up blocks a thread and cannot be stopped. So the number of look-ups is bounded, and one that
//! nobody waits for any more still counts until it ends.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::{is_loopback, is_public};
use super::guard::{Blocked, GivenPolicy, LOCALHOST, Trust};

/// The answer of one look-up.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks up the addresses of a host. Production uses [`SystemLookup`]; tests choose the answers.
pub trait Lookup: Send + Sync {
    fn look_up(&self, host: String) -> Found;
}

/// Asks the operating system, as every other program on the machine does.
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn look_up(&self, host: String) -> Found {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.take(MOST_ADDRESSES).map(|address| address.ip()).collect())
        })
    }
}

const MOST_ADDRESSES: usize = 64;

/// A resolver for one kind of destination. Each kind has its own look-ups to wait for: a partner whose name servers are
/// slow takes none from the payment gateway.
#[derive(Clone)]
pub(super) struct CheckedResolver(Arc<Shared>);

struct Shared {
    trust: Trust,
    policy: GivenPolicy,
    lookup: Arc<dyn Lookup>,
    timeout: Duration,
    places: Arc<Semaphore>,
    abandoned: Mutex<Vec<Abandoned>>,
}

/// A look-up that outlived its caller, with the place it still takes.
struct Abandoned {
    host: String,
    question: Question,
}

/// A look-up under way, and the place it takes.
type Question = (Found, OwnedSemaphorePermit);

impl CheckedResolver {
    pub(super) fn new(
        trust: Trust,
        policy: GivenPolicy,
        lookup: Arc<dyn Lookup>,
        timeout: Duration,
        most: usize,
    ) -> Self {
        let places = Arc::new(Semaphore::new(most));
        Self(Arc::new(Shared { trust, policy, lookup, timeout, places, abandoned: Mutex::default() }))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
        if host.eq_ignore_ascii_case(LOCALHOST) {
            // RFC 6761, section 6.3: never a question for a name server.
            return self.checked(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], true);
        }
        self.forget_finished();
        let question = match self.take_over(host) {
            Some(question) => question,
            None => {
                let place = Arc::clone(&self.0.places).try_acquire_owned();
                let place = place.map_err(|_| "too many names are being looked up")?;
                (self.0.lookup.look_up(host.to_owned()), place)
            }
        };
        let asked = Asked { host, question: Some(question), home: self };
        let found =
            tokio::time::timeout(self.0.timeout, asked).await.map_err(|_| "no answer from the name server")??;
        self.checked(found, false)
    }

    fn checked(&self, found: Vec<IpAddr>, is_localhost: bool) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
        if self.0.trust == Trust::Given {
            let may_be_local = is_localhost && self.0.policy == GivenPolicy::DevelopmentLoopback;
            let is_allowed = |address: IpAddr| is_public(address) || may_be_local && is_loopback(address);
            if let Some(address) = found.iter().find(|address| !is_allowed(**address)) {
                return Err(Blocked::Address(*address).into());
            }
        }
        if found.is_empty() { Err("the name has no address".into()) } else { Ok(found) }
    }

    fn abandoned(&self) -> std::sync::MutexGuard<'_, Vec<Abandoned>> {
        self.0.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look-up of the same name that lost its caller and is still under way.
    fn take_over(&self, host: &str) -> Option<Question> {
        let mut abandoned = self.abandoned();
        let position = abandoned.iter().position(|waiting| waiting.host == host)?;
        Some(abandoned.swap_remove(position).question)
    }

    /// Frees the places of abandoned look-ups that have ended since.
    fn forget_finished(&self) {
        self.abandoned().retain_mut(|waiting| (&mut waiting.question.0).now_or_never().is_none());
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found = this.addresses(name.as_str()).await?;
            // The client puts the port of the URL in the place of 0.
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// A look-up with a caller. Dropped before its end, it moves to the abandoned.
struct Asked<'a> {
    host: &'a str,
    question: Option<Question>,
    home: &'a CheckedResolver,
}

impl Future for Asked<'_> {
    type Output = io::Result<Vec<IpAddr>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let Some((found, _)) = &mut self.question else { return std::task::Poll::Pending };
        let answer = std::task::ready!(found.poll_unpin(cx));
        self.question = None;
        std::task::Poll::Ready(answer)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(question) = self.question.take() {
            self.home.abandoned().push(Abandoned { host: self.host.to_owned(), question });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    /// Answers every question once it is told to.
    struct Slow(Arc<Notify>, Mutex<Vec<String>>);

    impl Lookup for Slow {
        fn look_up(&self, host: String) -> Found {
            self.1.lock().expect("sound").push(host);
            let told = Arc::clone(&self.0);
            Box::pin(async move {
                told.notified().await;
                Ok(vec![Ipv4Addr::new(1, 1, 1, 1).into()])
            })
        }
    }

    async fn ask(resolver: &CheckedResolver, host: &str) -> Result<Vec<IpAddr>, String> {
        resolver.addresses(host).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_look_up_ends_in_time_and_counts_until_it_really_ends() {
        let slow = Arc::new(Slow(Arc::default(), Mutex::default()));
        let timeout = Duration::from_millis(100);
        let resolver = CheckedResolver::new(Trust::Given, GivenPolicy::Public, slow.clone(), timeout, 1);
        assert_eq!(ask(&resolver, "slow.example").await, Err("no answer from the name server".to_owned()));
        assert_eq!(ask(&resolver, "other.example").await, Err("too many names are being looked up".to_owned()));
        // The same name asks no second question: it waits for the answer to the first.
        let (answer, ()) = tokio::join!(ask(&resolver, "slow.example"), async { slow.0.notify_one() });
        assert_eq!(answer, Ok(vec![ip("1.1.1.1")]));
        slow.0.notify_one();
        assert_eq!(ask(&resolver, "other.example").await, Ok(vec![ip("1.1.1.1")]));
        assert_eq!(slow.1.lock().expect("sound").as_slice(), ["slow.example", "other.example"]);
    }

    #[tokio::test]
    async fn a_look_up_that_ended_unheard_frees_its_place() {
        let slow = Arc::new(Slow(Arc::default(), Mutex::default()));
        let timeout = Duration::from_millis(100);
        let resolver = CheckedResolver::new(Trust::Trusted, GivenPolicy::Public, slow.clone(), timeout, 1);
        assert!(ask(&resolver, "slow.example").await.is_err());
        slow.0.notify_waiters();
        let (answer, ()) = tokio::join!(ask(&resolver, "other.example"), async {
            tokio::task::yield_now().await;
            slow.0.notify_waiters();
        });
        assert_eq!(answer, Ok(vec![ip("1.1.1.1")]));
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }
}
