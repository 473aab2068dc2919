//! Tests of the OpenAPI document.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

/// Returns the operations of the storefront that are either served or described, but not both.
fn differences(document: &Value) -> Vec<String> {
    let mut routes = Routes::default();
    super::routes(&mut routes);
    let served = routes.all().filter(|(_, path)| path.starts_with("/store/") && *path != DOCUMENT);
    let served: BTreeSet<String> = served.map(|(method, path)| format!("{method} {path}")).collect();
    let paths = document["paths"].as_object().expect("paths").iter();
    let described: BTreeSet<String> = paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    served.symmetric_difference(&described).cloned().collect()
}

#[test]
fn document_has_every_route_of_the_storefront() {
    let mut document = serde_json::to_value(openapi()).expect("a document");
    let remedy = "add the handler to `#[openapi(paths(...))]` in the file of its module";
    assert_eq!(differences(&document), Vec::<String>::new(), "{remedy}");
    document["paths"]["/store/v1/reviews/{id}"].as_object_mut().expect("methods").remove("put");
    assert_eq!(differences(&document), ["PUT /store/v1/reviews/{id}"]);
}

#[test]
fn every_response_in_the_document_has_a_description() {
    let document = serde_json::to_value(openapi()).expect("a document");
    let operations = document["paths"].as_object().expect("paths").values().flat_map(|path| path.as_object());
    for operation in operations.flat_map(|methods| methods.values()) {
        for response in operation["responses"].as_object().expect("responses").values() {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{operation}");
        }
    }
}

#[test]
fn committed_document_is_current() {
    let committed = include_str!("../../../docs/openapi/store-v1.json");
    let current = openapi().to_pretty_json().expect("a document");
    assert_eq!(committed.trim(), current, "run `cargo xtask docs`");
}
