//! The part of the Postgres protocol (version 3, without TLS) that is needed to recognise a commit.

/// The most bytes of one transaction that are kept. They are enough to find a key or an id in them.
const REMEMBERED: usize = 256 * 1024;

/// Splits the bytes of one direction of a connection into Postgres messages. Keeps the bytes of an incomplete message.
#[derive(Default)]
pub(crate) struct Messages(Vec<u8>);

impl Messages {
    /// Adds bytes from the server. Returns whether a message in these bytes says that the server is ready for the next
    /// query.
    pub(crate) fn end_with(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        while let Some(message) = self.next() {
            if message[0] == b'Z' {
                return true;
            }
        }
        false
    }

    /// Removes and returns the next message, or returns `None` if it is not complete. A message has a byte for its
    /// type, four bytes for its length, and a body. The length counts the four bytes and the body.
    fn next(&mut self) -> Option<Vec<u8>> {
        // The first messages of a client have no byte for the type. They begin with the length, whose first byte is
        // zero.
        let typed = usize::from(*self.0.first()? != 0);
        let length = self.0.get(typed..typed + 4)?.try_into().ok().map(u32::from_be_bytes)?;
        let length = typed + (length as usize).max(4);
        (self.0.len() >= length).then(|| self.0.drain(..length).collect())
    }
}

/// Finds the commits in the bytes that a client sends.
#[derive(Default)]
pub(crate) struct Requests {
    messages: Messages,
    /// The bytes that were sent since `BEGIN`. `None` outside of a transaction that may write.
    transaction: Option<Vec<u8>>,
}

impl Requests {
    /// Reads the next bytes of a client. Returns one entry for each `COMMIT` in these bytes: what the transaction sent
    /// before the `COMMIT`, up to [`REMEMBERED`] bytes.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.messages.0.extend_from_slice(bytes);
        let mut commits = Vec::new();
        while let Some(message) = self.messages.next() {
            // The text of a simple query ends with a zero byte.
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

/// Whether `sent`, the bytes of one transaction, contains `text`.
pub(crate) fn names(sent: &[u8], text: &str) -> bool {
    text.is_empty() || sent.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
