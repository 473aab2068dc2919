//! Which dependencies each crate may have, with the reasons. For the domain, indirect dependencies are checked too.
//! Tests may depend on anything.

use std::collections::BTreeSet;

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata, Package};

use super::violation::Violation;
use crate::process;

struct Rule {
    name: &'static str,
    reason: &'static str,
    applies_to: fn(package: &str) -> bool,
    forbids: fn(dependency: &str) -> bool,
}

/// The direct dependencies that the domain may have.
const DOMAIN: &[&str] = &[
    "celes",
    "derive_more",
    "email_address",
    "idna",
    "iso_currency",
    "serde",
    "slog",
    "strum",
    "thiserror",
    "time",
    "tokio-util",
    "uuid",
];

const RULES: &[Rule] = &[
    Rule {
        name: "pure domain",
        reason: "the domain decides; it does no input or output and starts no runtime",
        applies_to: |package| package == "domain",
        forbids: |to| !DOMAIN.contains(&to),
    },
    Rule {
        name: "persistence only persists",
        reason: "storage does not know its callers, and uses no network but the connection to the database",
        applies_to: |package| package == "persistence",
        forbids: |to| is_any_of(to, &["api", "actix*", "reqwest"]),
    },
    Rule {
        name: "integrations only integrate",
        reason: "outbound calls do not know their callers, and use no storage",
        applies_to: |package| package == "integrations",
        forbids: |to| is_any_of(to, &["api", "actix*", "diesel*", "r2d2"]),
    },
    Rule {
        name: "one composition root",
        reason: "only the api combines adapters; adapters do not know each other",
        applies_to: |package| package != "api",
        forbids: |to| is_any_of(to, &["persistence", "integrations"]),
    },
    Rule {
        name: "tools of the tests",
        reason: "the gateway simulator and the fault kit are for tests; the shop never links them",
        applies_to: |_| true,
        forbids: |to| is_any_of(to, &["paysim", "faultkit"]),
    },
];

/// Whether the name matches one of the patterns. A `*` at the end of a pattern matches any text.
fn is_any_of(name: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| pattern.strip_suffix('*').map_or(name == *pattern, |start| name.starts_with(start)))
}

/// Applies every rule about dependencies to the workspace that `metadata` describes.
pub fn check(metadata: &Metadata) -> Result<BTreeSet<Violation>> {
    let mut violations = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path)?;
        let path = package.manifest_path.strip_prefix(&metadata.workspace_root)?;
        let mut found = broken(&package.name, &direct(package));
        if package.name == "domain" {
            found.extend(far_from_domain(&linked("domain")?));
        }
        for (rule, name, reason) in found {
            let (file, line) = (path.to_string(), line_of(&name, &manifest));
            violations.insert(Violation { file, line, rule, found: name, reason });
        }
    }
    Ok(violations)
}

/// A broken rule, the dependency that breaks it, and the reason of the rule.
type Broken = (&'static str, String, &'static str);

/// The rules that the dependencies of a package break.
pub fn broken(package: &str, dependencies: &[&str]) -> Vec<Broken> {
    let rules = RULES.iter().filter(|rule| (rule.applies_to)(package));
    let broken = |rule: &'static Rule| {
        let forbidden = dependencies.iter().filter(|to| (rule.forbids)(to));
        forbidden.map(|to| (rule.name, (*to).to_owned(), rule.reason))
    };
    rules.flat_map(broken).collect()
}

/// Returns the packages in `linked` that the domain must not contain, not even indirectly.
pub fn far_from_domain(linked: &BTreeSet<String>) -> Vec<Broken> {
    let reason =
        "the domain does no input or output, not even indirectly; `cargo tree -p domain -i CRATE` shows the path";
    let forbidden = linked.iter().filter(|name| is_any_of(name, &["actix*", "diesel*", "r2d2", "reqwest", "hyper"]));
    forbidden.map(|name| ("pure domain", name.clone(), reason)).collect()
}

/// The dependencies in the manifest of a package, without those of its tests.
pub fn direct(package: &Package) -> Vec<&str> {
    let shipped = package.dependencies.iter().filter(|to| to.kind != DependencyKind::Development);
    shipped.map(|to| to.name.as_str()).collect()
}

/// Returns every package that a binary contains if it uses this package with all its features.
pub fn linked(package: &str) -> Result<BTreeSet<String>> {
    let tree = ["tree", "--package", package, "--all-features", "--edges", "normal", "--prefix", "none"];
    let tree = process::output(&mut process::cargo(&tree))?;
    Ok(tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// The number of the line of a manifest that begins with this dependency, or 1 if there is no such line.
pub fn line_of(dependency: &str, manifest: &str) -> usize {
    let names = |line: &str| line.split(['.', ' ', '=']).next() == Some(dependency);
    manifest.lines().position(names).map_or(1, |index| index + 1)
}
