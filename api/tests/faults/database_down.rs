//! A database that is unreachable when the shop starts.

use faultkit::Port;

use crate::kit::command::tuckshop;

#[test]
fn unreachable_database_at_start_is_reported_in_one_line_without_password() {
    let port = Port::keep();
    let url = format!("postgres://shop:an-open-secret@{}/shop", port.address());
    for mode in ["development", "production"] {
        let finished = tuckshop(
            &["serve"],
            &[
                ("TUCKSHOP_DATABASE_URL", &url),
                ("TUCKSHOP_HTTP_ADDRESS", "127.0.0.1:0"),
                ("TUCKSHOP_HTTP_PUBLIC_URL", "https://shop.example"),
                ("TUCKSHOP_MODE", mode),
                ("TUCKSHOP_HTTP_TRUST_UCP_AGENT", "true"),
                ("TUCKSHOP_SHOP_TERMS_URL", "https://shop.example/terms"),
                ("TUCKSHOP_SHOP_PRIVACY_URL", "https://shop.example/privacy"),
            ],
        );
        assert_eq!(finished.code, 1, "{}\n{}", finished.out, finished.err);
        let lines: Vec<&str> = finished.err.lines().filter(|line| line.contains("cannot reach the database")).collect();
        assert_eq!(lines.len(), 1, "{}", finished.err);
        assert!(lines[0].starts_with("tuckshop: ") && lines[0].contains("refused"), "{}", lines[0]);
        for output in [&finished.out, &finished.err] {
            assert!(!output.contains("an-open-secret"), "{output}");
        }
    }
}
