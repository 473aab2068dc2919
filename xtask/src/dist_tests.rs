//! Tests of `dist.rs`.

use super::*;

fn place(path: &str, name: &'static str) -> Place {
    Place { path: path.to_owned(), name }
}

#[test]
fn compilers_get_every_directory_and_keep_the_flags_of_the_user() {
    let places = [place("/users/ann", "/home"), place("/users/ann/.cargo", "/cargo")];
    let shown = |rust: Option<&str>, c: Option<&str>| {
        let mut build = Command::new("cargo");
        add_flags(&mut build, &places, rust.map(str::to_owned), c.map(str::to_owned));
        format!("{build:?}").replace('"', "")
    };
    let rust = ["--remap-path-prefix=/users/ann=/home", "--remap-path-prefix=/users/ann/.cargo=/cargo"];
    let c = "-ffile-prefix-map=/users/ann=/home -ffile-prefix-map=/users/ann/.cargo=/cargo";
    let configuration = format!("build.rustflags=['{}', '{}']", rust[0], rust[1]);
    assert_eq!(shown(None, None), format!("CFLAGS={c} cargo --config {configuration}"));
    let all = format!("CFLAGS=-O3 {c} RUSTFLAGS=-C x {} cargo", rust.join(" "));
    assert_eq!(shown(Some("-C x"), Some("-O3")), all);
}

#[test]
fn binary_with_a_directory_of_the_builder_is_refused() {
    let (ann, etc) = (place("/users/ann", "/home"), place("/etc", "/tuckshop"));
    for (text, place, expected) in [
        ("\0panicked at \0/users/ann/.cargo/x.rs\0/users/annabel/y.rs", &ann, Some("/users/ann/.cargo/x.rs")),
        ("\0/cargo/registry/src/x.rs\0/users/annabel/y.rs", &ann, None),
        // The directory and its replacement have the same name.
        ("/tuckshop/api/src/main.rs", &place("/tuckshop", "/tuckshop"), None),
        // A directory at the top level, whose path is also the middle of other paths.
        ("/cargo/etc/index-1/mod.rs", &etc, None),
        ("api/etc/main.rs", &etc, None),
        ("/cargo/x/etc/", &etc, None),
        ("api/etc/main.rs/etc/passwd", &etc, Some("/etc/passwd")),
    ] {
        assert_eq!(first_naming(text.as_bytes(), place).as_deref(), expected, "{text}");
    }
}
