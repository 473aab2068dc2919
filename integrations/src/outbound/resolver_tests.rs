//! Tests of `resolver.rs`.

use tokio::sync::Notify;

use super::*;

/// Ends a look-up when the test notifies it, and records the hosts.
struct Slow(Arc<Notify>, Mutex<Vec<String>>);

impl Lookup for Slow {
    fn look_up(&self, host: String) -> LookupFuture {
        self.1.lock().expect("sound").push(host);
        let answer = Arc::clone(&self.0);
        Box::pin(async move {
            answer.notified().await;
            Ok(vec![Ipv4Addr::new(1, 1, 1, 1).into()])
        })
    }
}

async fn ask(resolver: &CheckedResolver, host: &str) -> Result<Vec<IpAddr>, String> {
    resolver.addresses(host).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn look_up_without_caller_counts_until_it_ends() {
    let slow = Arc::new(Slow(Arc::default(), Mutex::default()));
    let timeout = Duration::from_millis(100);
    let resolver = CheckedResolver::new(Trust::Untrusted, UntrustedPolicy::Public, slow.clone(), timeout, 1);
    assert_eq!(ask(&resolver, "slow.example").await, Err("no answer from the name server".to_owned()));
    assert_eq!(ask(&resolver, "other.example").await, Err("too many names are being looked up".to_owned()));
    // A second call for the same name waits for the first look-up.
    let (answer, ()) = tokio::join!(ask(&resolver, "slow.example"), async { slow.0.notify_one() });
    assert_eq!(answer, Ok(vec![ip("1.1.1.1")]));
    slow.0.notify_one();
    assert_eq!(ask(&resolver, "other.example").await, Ok(vec![ip("1.1.1.1")]));
    assert_eq!(slow.1.lock().expect("sound").as_slice(), ["slow.example", "other.example"]);
}

#[tokio::test]
async fn look_up_that_ended_without_caller_makes_room() {
    let slow = Arc::new(Slow(Arc::default(), Mutex::default()));
    let timeout = Duration::from_millis(100);
    let resolver = CheckedResolver::new(Trust::Trusted, UntrustedPolicy::Public, slow.clone(), timeout, 1);
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
