//! The part of the Postgres protocol (version 3, without TLS) that is needed to recognise a commit.

/// The most bytes that are kept of a transaction: enough to find a key or an id in.
const REMEMBERED: usize = 256 * 1024;

/// Reads what a client sends, message by message.
#[derive(Default)]
pub(crate) struct Questions {
    unread: Vec<u8>,
    /// The first message has no type.
    started: bool,
    /// What was sent since `BEGIN`; none outside of a transaction that may write.
    transaction: Option<Vec<u8>>,
}

/// Whether a transaction that sent this contains `text`.
pub(crate) fn names(sent: &[u8], text: &str) -> bool {
    text.is_empty() || sent.windows(text.len()).any(|window| window == text.as_bytes())
}

impl Questions {
    /// The commits in the next bytes of a client, each as everything that its transaction sent before.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.unread.extend_from_slice(bytes);
        let mut asked = Vec::new();
        while let Some(message) = self.next() {
            let Some(query) = message.strip_prefix(b"Q").map(|rest| &rest[4..]) else {
                self.remember(&message);
                continue;
            };
            let query = query.strip_suffix(b"\0").unwrap_or(query);
            if query.starts_with(b"BEGIN") {
                let may_write = !query.windows(9).any(|window| window == b"READ ONLY");
                self.transaction = may_write.then(Vec::new);
            } else if query == b"COMMIT" {
                asked.extend(self.transaction.take());
            } else if query == b"ROLLBACK" {
                self.transaction = None;
            } else {
                self.remember(&message);
            }
        }
        asked
    }

    fn remember(&mut self, message: &[u8]) {
        if let Some(sent) = &mut self.transaction {
            let room = REMEMBERED.saturating_sub(sent.len());
            sent.extend_from_slice(&message[..message.len().min(room)]);
        }
    }

    /// The next whole message.
    fn next(&mut self) -> Option<Vec<u8>> {
        let typed = usize::from(self.started);
        let length = whole(&self.unread, typed)?;
        let message: Vec<u8> = self.unread.drain(..length).collect();
        // The client may ask for encryption before it starts. The server denies it.
        const ENCRYPTION: [i32; 2] = [80_877_103, 80_877_104];
        if !self.started {
            let code = message.get(4..8).and_then(|code| code.try_into().ok()).map(i32::from_be_bytes);
            self.started = !code.is_some_and(|code| ENCRYPTION.contains(&code));
        }
        Some(message)
    }
}

/// The answer of a server to a commit.
#[derive(Default)]
pub(crate) struct Answer {
    unread: Vec<u8>,
}

impl Answer {
    /// Whether the server is ready for the next query, after these bytes.
    pub(crate) fn is_complete_with(&mut self, bytes: &[u8]) -> bool {
        self.unread.extend_from_slice(bytes);
        while let Some(length) = whole(&self.unread, 1) {
            if self.unread[0] == b'Z' {
                return true;
            }
            self.unread.drain(..length);
        }
        false
    }
}

/// The length of the first message, if it is complete: `typed` bytes of type, then the length of the rest.
fn whole(bytes: &[u8], typed: usize) -> Option<usize> {
    let length = bytes.get(typed..typed + 4)?.try_into().ok().map(u32::from_be_bytes)?;
    let length = typed + (length as usize).max(4);
    (bytes.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    fn query(sql: &str) -> Vec<u8> {
        message(b'Q', format!("{sql}\0").as_bytes())
    }

    /// A request for encryption, and the start, which have no type.
    fn start() -> Vec<u8> {
        let messages: [&[u8]; 2] = [&80_877_103_i32.to_be_bytes(), &[0, 3, 0, 0, b'u', 0]];
        messages.iter().flat_map(|body| message(b'-', body).split_off(1)).collect()
    }

    #[test]
    fn commit_in_pieces_of_any_size_is_recognised() {
        let sent = [start(), query("BEGIN"), message(b'B', b"key-1"), query("COMMIT")].concat();
        for piece in [1, 2, 5, 7, sent.len()] {
            let mut questions = Questions::default();
            let asked: Vec<Vec<u8>> = sent.chunks(piece).flat_map(|piece| questions.read(piece)).collect();
            assert_eq!(asked.len(), 1, "in pieces of {piece}");
            assert!(names(&asked[0], "key-1") && names(&asked[0], "") && !names(&asked[0], "key-2"));
        }
    }

    #[test]
    fn transaction_that_only_reads_or_is_rolled_back_has_no_commit() {
        for sent in [
            vec![query("BEGIN READ ONLY"), query("COMMIT")],
            vec![query("BEGIN"), query("ROLLBACK"), query("COMMIT")],
            vec![query("BEGIN"), message(b'B', b"COMMIT"), query("SELECT 'COMMIT'")],
        ] {
            assert!(Questions::default().read(&[start(), sent.concat()].concat()).is_empty());
        }
    }

    #[test]
    fn answer_is_complete_when_the_server_is_ready() {
        let sent = [message(b'C', b"COMMIT\0"), message(b'Z', b"I")].concat();
        let mut answer = Answer::default();
        let (last, before) = sent.split_last().expect("not empty");
        assert!(!answer.is_complete_with(before));
        assert!(answer.is_complete_with(&[*last]));
    }
}
