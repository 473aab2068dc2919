//! Tests of `stream.rs`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Connects to a relay that sends each text of `responses` as the response to one command, and then begins TLS. Returns
/// whether the connection accepts the first bytes of TLS.
async fn begins_tls_after(responses: &[&str]) -> io::Result<()> {
    let (shop, mut relay) = tokio::io::duplex(1024);
    let mut connection = Bounded::new(shop, "127.0.0.1:25".parse().expect("an address"));
    for (number, response) in responses.iter().enumerate() {
        if number > 0 {
            connection.write_all(b"COMMAND\r\n").await?;
        }
        // Each byte arrives alone, so the result cannot depend on how the bytes are grouped.
        for byte in response.bytes() {
            relay.write_all(&[byte]).await?;
            connection.read_exact(&mut [0]).await?;
        }
    }
    connection.write_all(&[TLS_HANDSHAKE, 3, 1]).await?;
    // The bytes of TLS are no responses.
    relay.write_all(b"\x16\n\n\x16\n").await?;
    connection.read_exact(&mut [0; 5]).await?;
    connection.write_all(&[TLS_HANDSHAKE, 3, 3]).await
}

#[tokio::test]
async fn tls_begins_only_if_each_command_has_had_one_response() {
    const GO: &str = "220 go\r\n";
    let cases: [(&[&str], bool); 9] = [
        (&[], true),
        (&[GO], true),
        (&[GO, "250-relay\r\n250-SIZE 1 000\r\n250 STARTTLS\r\n", GO], true),
        (&[GO, "250\r\n", "220-ready\r\n220-to\r\n220 go\r\n"], true),
        (&[GO, "250 relay\r\n", "220 go\r\n250 relay\r\n250 ok\r\n"], false),
        (&[GO, "250 relay\r\n", "220-ready\r\n220 go\r\n2"], false),
        (&[GO, "250 relay\r\n", "220\r\n\r\n"], false),
        // The responses to later commands are ahead of these commands.
        (&[GO, "250 STARTTLS\r\n220 go\r\n250 relay\r\n", ""], false),
        (&["220 relay\r\n250 STARTTLS\r\n220 go\r\n250 relay\r\n", "", ""], false),
    ];
    for (responses, expected) in cases {
        let outcome = begins_tls_after(responses).await;
        assert_eq!(outcome.is_ok(), expected, "{responses:?}");
        let error = outcome.err().and_then(io::Error::into_inner);
        assert!(error.is_none_or(|error| error.is::<DataBeforeTls>()), "{responses:?}");
    }
}
