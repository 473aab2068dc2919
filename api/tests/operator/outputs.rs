//! Output that cannot be written: a closed pipe and a full device.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::kit::client::Client;
use crate::kit::process::{TUCKSHOP, listening_address};
use crate::kit::{PATIENCE, Place, until};

/// A process that is killed and reaped when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(place: &Place, settings: &[(&str, &str)], out: Stdio, err: Stdio) -> Running {
    let mut command = Command::new(TUCKSHOP);
    command.arg("serve").env_clear().envs(place.settings()).envs(settings.iter().copied());
    Running(command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("the program starts"))
}

/// A pipe without a reader.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn full_device() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("a device").into()
}

async fn wait_until_ready(running: &mut Running, place: &Place) -> Client {
    // The address cannot be read from the log, which is lost.
    let address = until("the shop listens", async || listening_address(running.0.id())).await;
    let client = Client::new(address, place.record().clone());
    until("the shop is ready", || async {
        let answer = client.get("/readyz").try_send().await.ok();
        answer.filter(|answer| answer.status == 200)
    })
    .await;
    assert!(running.0.try_wait().expect("our own child").is_none());
    client
}

fn assert_graceful_stop(mut running: Running) {
    kill_process(Pid::from_child(&running.0), Signal::TERM).expect("signalled");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = running.0.try_wait().expect("our own child") {
            break status;
        }
        assert!(began.elapsed() < PATIENCE, "the process does not end");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(0), "{status}");
}

async fn unwritable_log_is_counted_and_the_shop_goes_on(place: Place) {
    for output in [closed_pipe as fn() -> Stdio, full_device] {
        let mut running = serve(&place, &[], output(), Stdio::piped());
        let client = wait_until_ready(&mut running, &place).await;
        let lost = || async {
            let status = client.get("/statusz").await.body(200);
            status["log_lines_lost"].as_u64().expect("a count")
        };
        // The count grows with every lost line.
        let before = lost().await;
        until("more lines are lost", || async { (lost().await > before + 3).then_some(()) }).await;
        let err = running.0.stderr.take().expect("piped");
        assert_graceful_stop(running);
        let stderr: Vec<String> = BufReader::new(err).lines().map_while(Result::ok).collect();
        assert!(!stderr.iter().any(|line| line.contains("panicked")), "{stderr:?}");
    }
}

async fn unwritable_banner_or_terminal_log_does_not_end_the_shop(place: Place) {
    let cases = [
        (closed_pipe(), Stdio::piped()),
        (full_device(), Stdio::piped()),
        (closed_pipe(), closed_pipe()),
        (full_device(), full_device()),
    ];
    for (out, err) in cases {
        let mut running = serve(&place, &[("TUCKSHOP_LOG_FORMAT", "terminal")], out, err);
        let client = wait_until_ready(&mut running, &place).await;
        let _: Value = client.get("/livez").await.body(200);
        let err = running.0.stderr.take();
        assert_graceful_stop(running);
        let stderr: Vec<String> =
            err.into_iter().flat_map(|err| BufReader::new(err).lines().map_while(Result::ok)).collect();
        assert!(!stderr.iter().any(|line| line.contains("panicked")), "{stderr:?}");
    }
}

/// The command does its work although its output is lost, and the exit code reports the loss.
async fn command_with_lost_output_does_its_work_and_exits_with_3(place: Place) {
    let rows = tempfile::tempdir().expect("a directory");
    std::fs::write(
        rows.path().join("products.csv"),
        "id,title,price,image_url,requires_shipping\napple,Apple,50,,false\n",
    )
    .expect("a file");
    std::fs::write(rows.path().join("inventory.csv"), "product_id,quantity\napple,3\n").expect("a file");
    let rows = rows.path().to_str().expect("text");
    for arguments in [
        &["migrate"][..],
        &["import", rows],
        &["config"],
        &["config", "--markdown"],
        &["--help"],
        &["--version"],
        &["platforms", "list"],
        &["deliveries", "list"],
        &["keys", "rotate"],
        &["keys", "list"],
    ] {
        for output in [closed_pipe as fn() -> Stdio, full_device] {
            let mut command = Command::new(TUCKSHOP);
            command.args(arguments).env_clear().envs(place.settings()).stdin(Stdio::null()).stdout(output());
            let ended = command.stderr(Stdio::piped()).output().expect("the command runs");
            let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(3), "{arguments:?}: {stderr}");
            assert!(stderr.contains("the output could not be written"), "{arguments:?}: {stderr}");
        }
        // A lost error message changes nothing either.
        let mut command = Command::new(TUCKSHOP);
        command
            .args(arguments)
            .env_clear()
            .envs(place.settings())
            .stdin(Stdio::null())
            .stdout(full_device())
            .stderr(full_device());
        assert_eq!(command.status().expect("the command runs").code(), Some(3), "{arguments:?}");
    }
    assert_eq!((place.count("product"), place.count("signing_key") >= 3), (1, true));
    let mut command = Command::new(TUCKSHOP);
    command.args(["import", "/nowhere"]).env_clear().envs(place.settings()).stdout(full_device()).stderr(full_device());
    assert_eq!(command.status().expect("the command runs").code(), Some(1));
}

crate::on_sqlite!(
    command_with_lost_output_does_its_work_and_exits_with_3,
    unwritable_log_is_counted_and_the_shop_goes_on,
    unwritable_banner_or_terminal_log_does_not_end_the_shop,
);
