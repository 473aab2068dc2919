//! The part of the Postgres protocol (version 3, without TLS) that is needed to recognise a commit.

/// The most bytes that are kept of a transaction: enough to find a key or an id in.
const REMEMBERED: usize = 256 * 1024;

/// Splits the bytes of one direction of a connection into Postgres messages. Keeps the bytes of an incomplete message.
#[derive(Default)]
pub(crate) struct Messages(Vec<u8>);

impl Messages {
    /// Whether the server is ready for the next query, after these bytes.
    pub(crate) fn end_with(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        while let Some(message) = self.next() {
            if message[0] == b'Z' {
                return true;
            }
        }
        false
    }

    /// The next complete message: a byte of type, and the length of the rest, which includes the length.
    fn next(&mut self) -> Option<Vec<u8>> {
        // The first messages of a client have no type. Each begins with a zero, the first byte of its length.
        let typed = usize::from(*self.0.first()? != 0);
        let length = self.0.get(typed..typed + 4)?.try_into().ok().map(u32::from_be_bytes)?;
        let length = typed + (length as usize).max(4);
        (self.0.len() >= length).then(|| self.0.drain(..length).collect())
    }
}

/// Reads what a client sends.
#[derive(Default)]
pub(crate) struct Requests {
    messages: Messages,
    /// What was sent since `BEGIN`; none outside of a transaction that may write.
    transaction: Option<Vec<u8>>,
}

impl Requests {
    /// The commits in the next bytes of a client, each as everything that its transaction sent before.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.messages.0.extend_from_slice(bytes);
        let mut commits = Vec::new();
        while let Some(message) = self.messages.next() {
            // A simple query ends with a zero.
            match message.strip_prefix(b"Q").and_then(|rest| rest[4..].strip_suffix(b"\0")) {
                Some(query) if query.starts_with(b"BEGIN") => {
                    let may_write = !query.windows(9).any(|window| window == b"READ ONLY");
                    self.transaction = may_write.then(Vec::new);
                }
                Some(b"COMMIT") => commits.extend(self.transaction.take()),
                Some(b"ROLLBACK") => self.transaction = None,
                _ => {
                    if let Some(sent) = &mut self.transaction {
                        let room = REMEMBERED.saturating_sub(sent.len());
                        sent.extend(message.into_iter().take(room));
                    }
                }
            }
        }
        commits
    }
}

/// Whether a transaction that sent this contains `text`.
pub(crate) fn names(sent: &[u8], text: &str) -> bool {
    text.is_empty() || sent.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
