//! Tests of `postgres.rs`.

use super::*;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind], &length[..], body].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// The first two messages of a client: the request for encryption and the startup message. They have no byte for the
/// type.
fn start() -> Vec<u8> {
    let messages: [&[u8]; 2] = [&80_877_103_i32.to_be_bytes(), &[0, 3, 0, 0, b'u', 0]];
    messages.iter().flat_map(|body| message(b'-', body).split_off(1)).collect()
}

#[test]
fn commit_in_pieces_of_any_size_is_recognised() {
    let sent = [start(), query("BEGIN"), message(b'B', b"key-1"), query("COMMIT")].concat();
    for piece in [1, 2, 5, 7, sent.len()] {
        let mut requests = Requests::default();
        let commits: Vec<Vec<u8>> = sent.chunks(piece).flat_map(|piece| requests.read(piece)).collect();
        assert_eq!(commits.len(), 1, "in pieces of {piece}");
        assert!(names(&commits[0], "key-1") && names(&commits[0], "") && !names(&commits[0], "key-2"));
    }
}

#[test]
fn transaction_that_only_reads_or_is_rolled_back_has_no_commit() {
    for sent in [
        vec![query("BEGIN READ ONLY"), query("COMMIT")],
        vec![query("BEGIN"), query("ROLLBACK"), query("COMMIT")],
        vec![query("BEGIN"), message(b'B', b"COMMIT"), query("SELECT 'COMMIT'")],
    ] {
        assert!(Requests::default().read(&[start(), sent.concat()].concat()).is_empty());
    }
}

#[test]
fn answer_is_complete_when_the_server_is_ready() {
    let sent = [message(b'C', b"COMMIT\0"), message(b'Z', b"I")].concat();
    let mut answer = Messages::default();
    let (last, before) = sent.split_last().expect("not empty");
    assert!(!answer.end_with(before));
    assert!(answer.end_with(&[*last]));
}
