//! Hostile connections: each kind is opened many times concurrently and repeatedly. Every connection ends whatever its
//! peer does, the memory of the shop is bounded, ordinary clients are served, and cut connections are counted and
//! logged.
//!
//! The extent `full` keeps 1,000 connections of each kind for a minute, with the default deadlines.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::extent::extent;
use crate::kit::basket::basket;
use crate::kit::client::{PLATFORM, agent};
use crate::kit::command::tuckshop_at;
use crate::kit::raw::{Raw, post};
use crate::kit::{Place, Server, until};

const GET: &str = "GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n";
const CHECKOUTS: &str = "/checkout-sessions";
/// The most that one connection may send: what the shop discards after an answer, and the buffers of both kernels.
const MAX_SENT: usize = 16 << 20;
const MIB: u64 = 1 << 10;
/// A build without optimization has larger code and larger futures.
const MAX_MEMORY_KIB: u64 = if cfg!(debug_assertions) { 200 * MIB } else { 150 * MIB };
/// The allowed growth of the process between its start and the end of the test.
const MAX_GROWTH_KIB: u64 = 20 * MIB;

/// The size of the attack.
struct Extent {
    at_once: usize,
    time: Duration,
    /// The value of every deadline of the shop.
    deadline: Duration,
    /// The pause between the pieces of a peer that trickles.
    pause: Duration,
    /// The limit for 99 of 100 ordinary requests.
    latency: Duration,
}

fn attack_size() -> Extent {
    let millis = Duration::from_millis;
    extent(
        Extent {
            at_once: 60,
            time: millis(700),
            deadline: millis(500),
            pause: millis(50),
            latency: Duration::from_secs(5),
        },
        Extent {
            at_once: 1_000,
            time: Duration::from_secs(60),
            deadline: Duration::from_secs(5),
            pause: millis(500),
            // A build without optimization needs several times as long for each of a million requests.
            latency: if cfg!(debug_assertions) { millis(1_000) } else { millis(250) },
        },
    )
}

/// The behaviour of a hostile peer after its first bytes.
enum Then {
    /// Sends no more and reads.
    Nothing,
    /// Sends this repeatedly with a pause between, and goes on after an answer.
    Trickle(&'static str),
    /// Sends this as fast as possible and reads nothing.
    Flood(Arc<str>),
    /// Neither sends nor reads.
    Stall,
    /// Reads a few bytes at intervals.
    ReadSlowly,
}

struct Sort {
    name: &'static str,
    first: String,
    then: Then,
    /// The logged reason of the cut. `None` if the shop answers and closes as for every client.
    reason: Option<&'static str>,
}

impl Sort {
    /// Whether each request is expensive for the shop. The edge bounds the memory of requests, not their rate: ordinary
    /// requests wait behind them.
    fn is_costly(&self) -> bool {
        matches!(self.then, Then::Stall | Then::ReadSlowly)
    }
}

/// All kinds of hostile connections. `large` is the path of a document of more than 300 kB.
fn sorts(large: &str) -> Vec<Sort> {
    let sort = |name, first: &str, then, reason| Sort { name, first: first.to_owned(), then, reason };
    let chunk: Arc<str> = format!("4000\r\n{}\r\n", "z".repeat(0x4000)).into();
    let gets: Arc<str> = GET.repeat(500).into();
    let last = "GET /livez HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
    let header: Arc<str> = format!("x: {}\r\n", "y".repeat(1_000)).into();
    let large = format!("GET {large} HTTP/1.1\r\nhost: shop\r\nucp-agent: {}\r\n\r\n", agent(PLATFORM));
    let chunked = post(CHECKOUTS, "transfer-encoding: chunked\r\n");
    let almost = format!("{}{}", post(CHECKOUTS, "content-length: 262144\r\n"), " ".repeat(262_100));
    vec![
        sort("no byte at all", "", Then::Nothing, Some("silent")),
        sort("a first head that trickles", "GET /livez HTTP/1.1\r\nx: ", Then::Trickle("y"), Some("slow_head")),
        sort("a second head that does not end", &format!("{GET}G"), Then::Nothing, Some("slow_head")),
        sort("a head without end", "GET /livez HTTP/1.1\r\n", Then::Flood(header), Some("large_head")),
        sort("pipelined requests, answers not read", GET, Then::Flood(Arc::clone(&gets)), Some("slow_reader")),
        sort("a large answer, not read", &large, Then::Stall, Some("slow_reader")),
        sort("a large answer, read by the byte", &large, Then::ReadSlowly, Some("slow_reader")),
        sort("a body that trickles", &chunked, Then::Trickle("1\r\n \r\n"), Some("unread_body")),
        sort("a large body that never ends", &almost, Then::Nothing, None),
        sort(
            "a body that trickles after a 404",
            &format!("POST /none {CHUNKED}"),
            Then::Trickle("1\r\nz\r\n"),
            Some("unread_body"),
        ),
        sort(
            "a body without end after a 404",
            &format!("POST /none {CHUNKED}"),
            Then::Flood(Arc::clone(&chunk)),
            Some("unread_body"),
        ),
        sort("a body without end after a 413", &chunked, Then::Flood(chunk), Some("unread_body")),
        sort("requests without end after a last answer", last, Then::Flood(Arc::clone(&gets)), Some("unread_body")),
        sort("requests without end after a 400", "GET\r\n\r\n", Then::Flood(Arc::clone(&gets)), Some("unread_body")),
        sort("an idle connection", GET, Then::Nothing, None),
    ]
}

/// Connects with a small receive buffer, so that unread bytes stay with the shop.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 * 1024)?;
    socket.connect(address).await
}

/// One hostile connection until the shop ends it. Returns the number of bytes sent.
async fn attack(address: SocketAddr, sort: &Sort, pause: Duration) -> std::io::Result<usize> {
    let mut stream = connect(address).await?;
    let mut sent = stream.write(sort.first.as_bytes()).await?;
    // The rest of a large body. The shop may have answered meanwhile.
    let rest = stream.write_all(&sort.first.as_bytes()[sent..]).await;
    sent = if rest.is_ok() { sort.first.len() } else { sent };
    let mut bytes = vec![0; 16 * 1024];
    match &sort.then {
        Then::Nothing => while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {},
        Then::Trickle(piece) => {
            let mut beat = tokio::time::interval(pause);
            while stream.write_all(piece.as_bytes()).await.is_ok() {
                sent += piece.len();
                beat.tick().await;
                match stream.try_read(&mut bytes) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => break,
                    // A hostile peer goes on after the end of the stream.
                    _ => {}
                }
            }
        }
        Then::Flood(piece) => {
            while let Ok(more) = stream.write(piece.as_bytes()).await {
                sent += more;
            }
        }
        Then::Stall => {
            let mut beat = tokio::time::interval(pause);
            loop {
                let seen = stream.ready(Interest::READABLE | Interest::ERROR).await?;
                if seen.is_error() || seen.is_read_closed() {
                    break;
                }
                beat.tick().await;
            }
        }
        Then::ReadSlowly => {
            let mut beat = tokio::time::interval(pause);
            while stream.read(&mut bytes[..16]).await.is_ok_and(|read| read > 0) {
                tokio::select! {
                    _ = beat.tick() => {}
                    // Bytes that arrived before a reset can still be read.
                    _ = stream.ready(Interest::ERROR) => break,
                }
            }
        }
    }
    Ok(sent)
}

/// The results of the hostile connections of one kind.
#[derive(Debug, Default)]
struct Ends {
    count: u64,
    longest: Duration,
    most_sent: usize,
}

async fn attackers(address: SocketAddr, sort: &Sort, extent: &Extent) -> Ends {
    let began = Instant::now();
    let until = began + extent.time;
    // A slow read lasts as long as the deadline of an answer. A pipeline lasts until it fills the buffers of both
    // kernels.
    let bound = extent.deadline * 12 + Duration::from_secs(120);
    let one = async || {
        let mut ends = Ends::default();
        while Instant::now() < until {
            let begun = Instant::now();
            let attacked = timeout(bound, attack(address, sort, extent.pause)).await;
            let attacked = attacked.unwrap_or_else(|_| panic!("{}: no end after {bound:?}", sort.name));
            ends.count += 1;
            ends.longest = ends.longest.max(begun.elapsed());
            ends.most_sent = ends.most_sent.max(attacked.unwrap_or(0));
        }
        ends
    };
    let all = futures_util::future::join_all((0..extent.at_once).map(|_| one())).await;
    all.into_iter().fold(Ends::default(), |sum, ends| Ends {
        count: sum.count + ends.count,
        longest: sum.longest.max(ends.longest),
        most_sent: sum.most_sent.max(ends.most_sent),
    })
}

/// An ordinary client with a new connection for each request. It reads, and if `buys` is set it creates checkouts.
async fn ordinary(address: SocketAddr, time: Duration, buys: bool) -> Vec<Duration> {
    let until = Instant::now() + time;
    let body = basket(&[("small", 1)]).to_string();
    let body = format!("{body}{}", " ".repeat(4_000 - body.len()));
    let mut waits = Vec::new();
    while Instant::now() < until || waits.len() < 10 {
        let create = post(CHECKOUTS, &format!("content-length: {}\r\n", body.len())) + &body;
        let both = [(GET, 200), (create.as_str(), 201)];
        for (request, status) in both.into_iter().take(if buys { 2 } else { 1 }) {
            let began = Instant::now();
            let mut raw = Raw::connect(address).await;
            raw.send(request.as_bytes()).await;
            assert_eq!(raw.receive().await.status, status, "{request}");
            waits.push(began.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    waits
}

/// Runs on a separate thread, so that the measurement excludes the load of the test.
fn on_thread<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work())
    })
}

/// Starts a shop whose access lines are dropped, because an attack causes millions of them.
async fn serve_without_access_log(place: &Place, settings: &[(&str, &str)]) -> Server {
    let script = r#"mkfifo "$0"; grep --line-buffered -v '"msg":"request"' <"$0" & exec "$@" >"$0""#;
    let pipe = place.directory().join("log").display().to_string();
    let server = Server::launch_under(&["/bin/sh", "-c", script, &pipe], place, settings);
    until("the shop is ready", async || (server.get("/readyz").await.status == 200).then_some(())).await;
    server
}

/// Starts a shop with a large checkout. Returns the path of the checkout.
async fn with_a_large_document(place: &Place, settings: &[(&str, &str)]) -> (Server, String) {
    let directory = place.directory().join("goods");
    std::fs::create_dir_all(&directory).expect("a directory");
    let (mut products, mut inventory) =
        ("id,title,price,image_url\nsmall,Small,100,\n".to_owned(), "product_id,quantity\nsmall,1000000\n".to_owned());
    let (title, image) = ("\u{1f96a}".repeat(300), format!("https://shop.example/{}", "x".repeat(2_000)));
    for number in 0..100 {
        products.push_str(&format!("large{number},{title},100,{image}\n"));
        inventory.push_str(&format!("large{number},1000000\n"));
    }
    std::fs::write(directory.join("products.csv"), products).expect("written");
    std::fs::write(directory.join("inventory.csv"), inventory).expect("written");
    let finished = tuckshop_at(place, &["import", &directory.display().to_string()], &[]);
    assert_eq!(finished.code, 0, "{}\n{}", finished.out, finished.err);
    let server = serve_without_access_log(place, settings).await;
    let lines: Vec<Value> =
        (0..100).map(|number| json!({"item": {"id": format!("large{number}")}, "quantity": 1})).collect();
    let made = server.post(CHECKOUTS, &json!({"line_items": lines})).await.expect(201);
    assert!(made.bytes.len() > 300_000, "{} bytes", made.bytes.len());
    let path = format!("{CHECKOUTS}/{}", made.json["id"].as_str().expect("an id"));
    (server, path)
}

async fn cut_count(server: &Server, reason: &str) -> u64 {
    let status = server.get("/statusz").without("ucp-agent").await;
    status.json["connections"]["cut"][reason].as_u64().unwrap_or_else(|| panic!("{}", status.text()))
}

/// Raises the limit of this process, which opens both the hostile and the ordinary connections.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("raised");
    let needed = u64::try_from(attack_size().at_once).expect("a number") + 200;
    assert!(limit.maximum.is_none_or(|most| most >= needed), "{needed} open files are needed, {limit:?}");
}

/// The resident memory (`VmRSS`).
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no VmRSS in {status}"))
}

async fn hostile_connections_are_closed_and_others_are_served(place: Place) {
    raise_open_files();
    let extent = Arc::new(attack_size());
    let millis = extent.deadline.as_millis().to_string();
    let mut settings = Vec::new();
    if extent.deadline < Duration::from_secs(5) {
        for name in ["HEADER_TIMEOUT_MS", "BODY_TIMEOUT_MS", "WRITE_TIMEOUT_MS", "KEEP_ALIVE_MS"] {
            settings.push((format!("TUCKSHOP_HTTP_{name}"), millis.as_str()));
        }
    }
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let (server, large) = with_a_large_document(&place, &settings).await;
    let address = server.address();
    // The baseline is a shop that has served requests, with the caches of its database connections.
    let reads = (0..16).map(|_| async { server.get(&large).await.expect(200).bytes.len() });
    futures_util::future::join_all(reads).await;
    futures_util::future::join_all((0..8).map(|_| ordinary(address, Duration::from_millis(500), true))).await;
    let (start, mut faults) = (resident_kib(&server), Vec::new());
    for sort in sorts(&large) {
        let before = if let Some(reason) = sort.reason { cut_count(&server, reason).await } else { 0 };
        let (time, buys) = (extent.time, !sort.is_costly());
        let served = on_thread(async move || ordinary(address, time, buys).await);
        let (hostile, attack) = (Arc::new(sort), Arc::clone(&extent));
        let sort = Arc::clone(&hostile);
        let attacked = on_thread(async move || attackers(address, &hostile, &attack).await);
        let attacked = tokio::task::spawn_blocking(move || (attacked.join(), served.join()));
        let (ends, waits) = attacked.await.expect("joined");
        let (ends, mut waits) = (ends.expect("ends"), waits.expect("served"));
        waits.sort_unstable();
        let slow = waits[waits.len() * 99 / 100];
        let most = server.peak_memory_kib();
        println!(
            "{}: {} ended within {:?}, sent at most {}; of {} ordinary requests 99 % within {slow:?}; {} MiB, at most {} MiB",
            sort.name,
            ends.count,
            ends.longest,
            ends.most_sent,
            waits.len(),
            resident_kib(&server) / MIB,
            most / MIB
        );
        // All kinds run before the test fails, so that a run shows every number.
        let mut check = |holds: bool, what: String| {
            if !holds {
                faults.push(format!("{}: {what}", sort.name))
            }
        };
        check(ends.most_sent < MAX_SENT, format!("{} bytes were sent", ends.most_sent));
        check(slow < extent.latency || sort.is_costly(), format!("99 % of ordinary requests within {slow:?}"));
        check(most < MAX_MEMORY_KIB, format!("{most} KiB of memory"));
        let Some(reason) = sort.reason else { continue };
        until(sort.name, async || (cut_count(&server, reason).await > before).then_some(())).await;
        let logged = |line: &Value| line["msg"] == "connections cut" && line["reason"] == reason;
        until(sort.name, async || server.log().iter().any(logged).then_some(())).await;
    }
    let last = async || {
        let status = server.get("/statusz").without("ucp-agent").header("connection", "close").await;
        (status.json["connections"]["open"] == 1 && status.json["connections"]["held_bytes"] == 0).then_some(())
    };
    until("no hostile connection is left", last).await;
    until("the memory is released", async || (resident_kib(&server) < start + MAX_GROWTH_KIB).then_some(())).await;
    println!("{} MiB at the start, {} MiB at the end", start / MIB, resident_kib(&server) / MIB);
    assert_eq!(faults, Vec::<String>::new());
}

crate::on_sqlite!(hostile_connections_are_closed_and_others_are_served);
