//! As much of the Postgres protocol (version 3, without TLS) as it takes to see a commit go by.

/// The most that is kept of a transaction: enough to find a key or an id in.
const REMEMBERED: usize = 256 * 1024;

/// What a client sends, message by message.
#[derive(Default)]
pub(crate) struct Questions {
    unread: Vec<u8>,
    /// The first message has no type.
    started: bool,
    /// What was sent since `BEGIN`; nothing outside of a transaction that may write.
    transaction: Option<Vec<u8>>,
}

/// A commit that a client asks for, with all that its transaction sent before.
pub(crate) struct Asked(Vec<u8>);

impl Asked {
    pub(crate) fn names(&self, text: &str) -> bool {
        text.is_empty() || self.0.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Questions {
    /// The commits that are asked for in what a client sends next.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Asked> {
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
                asked.extend(self.transaction.take().map(Asked));
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
        // A request for encryption comes before the start, and is denied.
        const ENCRYPTION: [i32; 2] = [80_877_103, 80_877_104];
        if !self.started {
            let code = message.get(4..8).and_then(|code| code.try_into().ok()).map(i32::from_be_bytes);
            self.started = !code.is_some_and(|code| ENCRYPTION.contains(&code));
        }
        Some(message)
    }
}

/// What a server answers to a commit.
#[derive(Default)]
pub(crate) struct Answer {
    unread: Vec<u8>,
}

impl Answer {
    /// Whether it is ready for the next query, after all that it has said.
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

/// The length of the first message, if all of it is there: `typed` bytes, then its length without those.
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

    fn start() -> Vec<u8> {
        let [_, encryption @ ..] = &message(b'-', &80_877_103_i32.to_be_bytes())[..] else { unreachable!() };
        let [_, start @ ..] = &message(b'-', &[0, 3, 0, 0, b'u', 0])[..] else { unreachable!() };
        [encryption, start].concat()
    }

    #[test]
    fn a_commit_is_seen_however_it_is_cut_into_pieces() {
        let said = [start(), query("BEGIN"), message(b'B', b"key-1"), query("COMMIT")].concat();
        for piece in [1, 2, 5, 7, said.len()] {
            let mut questions = Questions::default();
            let asked: Vec<Asked> = said.chunks(piece).flat_map(|piece| questions.read(piece)).collect();
            assert_eq!(asked.len(), 1, "in pieces of {piece}");
            assert!(asked[0].names("key-1") && asked[0].names("") && !asked[0].names("key-2"));
        }
    }

    #[test]
    fn what_only_reads_or_is_rolled_back_or_only_talks_of_it_is_no_commit() {
        for said in [
            vec![query("BEGIN READ ONLY"), query("COMMIT")],
            vec![query("BEGIN"), query("ROLLBACK"), query("COMMIT")],
            vec![query("BEGIN"), message(b'B', b"COMMIT"), query("SELECT 'COMMIT'")],
        ] {
            let mut questions = Questions::default();
            assert!(questions.read(&[start(), said.concat()].concat()).is_empty());
        }
    }

    #[test]
    fn an_answer_is_complete_when_the_server_is_ready() {
        let said = [message(b'C', b"COMMIT\0"), message(b'Z', b"I")].concat();
        let mut answer = Answer::default();
        let (last, before) = said.split_last().expect("not empty");
        assert!(!answer.is_complete_with(before));
        assert!(answer.is_complete_with(&[*last]));
    }
}
