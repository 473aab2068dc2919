//! Finds where a request ends in the bytes of a connection (RFC 9112, sections 3 and 6).
//!
//! The guard passes one request at a time to the parser of actix-http, so it must know where each request ends. Bytes
//! reach the parser unchanged, except the last byte of a request that is refused. If the guard and the parser could
//! disagree about the length of a request, the guard is stricter: this request is the last one of its connection, and
//! no more of its body is passed on.

use std::mem::MaybeUninit;

/// The most header fields of a request. actix-http has the same limit.
const MAX_HEADERS: usize = 96;

/// The result of reading a head.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// The head is not complete yet.
    Partial,
    /// The head is complete and has `length` bytes.
    Whole { length: usize, body: Body, expects_continue: bool },
    /// The head has more headers than the limit.
    TooLarge,
    /// The parser refuses the head.
    Malformed,
}

/// Reads a head from the first bytes of a request. The result does not depend on the pieces in which the bytes arrived.
pub fn head(bytes: &[u8]) -> Head {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Partial) => Head::Partial,
        Ok(httparse::Status::Complete(length)) => {
            let is_11 = request.version == Some(1);
            let body = match request.method {
                // CONNECT requests a tunnel, which has no known end.
                Some("CONNECT") => Body::Doubtful,
                _ => body(request.headers, is_11),
            };
            let expects_continue = is_11 && expects_continue(request.headers);
            Head::Whole { length, body, expects_continue }
        }
        Err(httparse::Error::TooManyHeaders) => Head::TooLarge,
        Err(_) => Head::Malformed,
    }
}

fn body(headers: &[httparse::Header<'_>], is_11: bool) -> Body {
    let (mut length, mut chunked) = (None, false);
    for header in headers {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            let Some(parsed) = decimal(value).filter(|_| length.is_none()) else { return Body::Doubtful };
            length = Some(parsed);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !is_11 || !value.eq_ignore_ascii_case(b"chunked") {
                return Body::Doubtful;
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("upgrade") && contains(value, b"websocket") {
            // After this header, actix-http reads everything that follows as the body.
            return Body::Doubtful;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Body::Doubtful,
        (None, true) => Body::Chunked(Chunk::SizeFirst),
        (None | Some(0), false) => Body::Whole,
        (Some(length), false) => Body::Length(length),
    }
}

fn expects_continue(headers: &[httparse::Header<'_>]) -> bool {
    headers.iter().any(|header| header.name.eq_ignore_ascii_case("expect") && contains(header.value, b"100-continue"))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn contains(value: &[u8], word: &[u8]) -> bool {
    value.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// The part of a request's body that has not arrived yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: the request is complete.
    Whole,
    /// This many bytes.
    Length(u64),
    /// Chunks, up to the last one and its trailers.
    Chunked(Chunk),
    /// Unknown: the rest of the connection is not read as HTTP.
    Doubtful,
}

/// The position in the chunked coding. The states accept the same bytes as the parser of actix-http, except in
/// trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    SizeFirst,
    Size(u64),
    SizeBlank(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    LineFirst,
    Line(Trailer),
    LineLf(Trailer),
    EndLf,
}

/// What a trailer line is, by its bytes so far (RFC 9112, sections 5 and 7.1.2). [`Body::pass`] makes sure that a line
/// that is not a field is refused at its end, because the parser of actix-http would accept the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    Name,
    Value,
    NoField,
}

impl Trailer {
    fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Name, b':') => Self::Value,
            (Self::Name, _) if is_token(byte) => Self::Name,
            (Self::Value, b'\t' | 0x20..=0x7e | 0x80..) => Self::Value,
            _ => Self::NoField,
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl Body {
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }

    /// Returns how many of these bytes belong to the request. Replaces an invalid byte by NUL, because the parser of
    /// actix-http refuses NUL but may accept the invalid byte.
    pub fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let taken = self.take(bytes);
        if let (Self::Doubtful, Some(last)) = (*self, bytes[..taken].last_mut()) {
            *last = 0;
        }
        taken
    }

    /// Returns how many of these bytes belong to the request. If a byte is invalid, it is the last one that belongs to
    /// the request.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            at += match self {
                Self::Whole | Self::Doubtful => return at,
                Self::Length(left) => {
                    let taken = bytes_to_take(*left, bytes.len() - at);
                    *self = if taken as u64 == *left { Self::Whole } else { Self::Length(*left - taken as u64) };
                    taken
                }
                Self::Chunked(Chunk::Data(left)) => {
                    let taken = bytes_to_take(*left, bytes.len() - at);
                    let next = if taken as u64 == *left { Chunk::DataCr } else { Chunk::Data(*left - taken as u64) };
                    *self = Self::Chunked(next);
                    taken
                }
                Self::Chunked(chunk) => {
                    *self = chunk.step(bytes[at]);
                    1
                }
            };
        }
        at
    }
}

fn bytes_to_take(left: u64, here: usize) -> usize {
    usize::try_from(left).map_or(here, |left| left.min(here))
}

impl Chunk {
    fn step(self, byte: u8) -> Body {
        let next = match (self, byte) {
            (Self::SizeFirst, _) => hex(byte).map(Self::Size),
            (Self::Size(size) | Self::SizeBlank(size), b'\t' | b' ') => Some(Self::SizeBlank(size)),
            (Self::Size(size) | Self::SizeBlank(size), b';') => Some(Self::Extension(size)),
            (Self::Size(size) | Self::SizeBlank(size) | Self::Extension(size), b'\r') => Some(Self::SizeLf(size)),
            (Self::Size(size), _) => hex(byte).and_then(|digit| Some(Self::Size(size.checked_mul(16)? + digit))),
            (Self::Extension(size), b'\t' | 0x20..=0x7e | 0x80..) => Some(Self::Extension(size)),
            (Self::SizeLf(0), b'\n') => Some(Self::LineFirst),
            (Self::SizeLf(size), b'\n') => Some(Self::Data(size)),
            (Self::DataCr, b'\r') => Some(Self::DataLf),
            (Self::DataLf, b'\n') => Some(Self::SizeFirst),
            // An empty line ends the trailers.
            (Self::LineFirst, b'\r') => Some(Self::EndLf),
            (Self::LineFirst, b':') => Some(Self::Line(Trailer::NoField)),
            (Self::LineFirst, _) => Some(Self::Line(Trailer::Name.step(byte))),
            (Self::Line(trailer), b'\r') => Some(Self::LineLf(trailer)),
            (Self::Line(trailer), _) => Some(Self::Line(trailer.step(byte))),
            (Self::LineLf(Trailer::Value), b'\n') => Some(Self::LineFirst),
            (Self::EndLf, b'\n') => return Body::Whole,
            _ => None,
        };
        next.map_or(Body::Doubtful, Body::Chunked)
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
