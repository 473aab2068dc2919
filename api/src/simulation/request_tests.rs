//! Tests of `request.rs`.

#[test]
fn no_text_is_read_without_a_limit() {
    let declared = include_str!("request.rs").split("const MAX_ENTRIES").next().unwrap_or_default();
    let lines: Vec<&str> = declared.lines().map(str::trim).collect();
    let texts = lines.windows(2).filter(|pair| pair[1].ends_with("String,") || pair[1].ends_with("String>,"));
    let unbounded = texts.filter(|pair| !pair[0].contains("length(max"));
    assert_eq!(unbounded.map(|pair| pair[1]).collect::<Vec<_>>(), Vec::<&str>::new());
}
