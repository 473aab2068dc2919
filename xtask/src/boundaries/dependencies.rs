//! The permitted dependencies of each crate, direct and transitive, with the reasons. Tests may depend on anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};

use super::Violation;

struct Rule {
    name: &'static str,
    reason: &'static str,
    applies_to: fn(package: &str) -> bool,
    allows: Allows,
}

enum Allows {
    /// A `?` at the end: only as an optional dependency.
    Only(&'static [&'static str]),
    /// A `*` at the end stands for anything.
    AllBut(&'static [&'static str]),
}

const RULES: &[Rule] = &[
    Rule {
        name: "pure domain",
        reason: "the domain decides; it does no input or output and starts no runtime",
        applies_to: |package| package == "domain",
        allows: Allows::Only(&[
            "celes",
            "email_address",
            "idna",
            "iso_currency",
            "serde",
            "slog",
            "strum",
            "thiserror",
            "time",
            "tokio-util",
            "tokio?",
            "uuid",
            "validator",
        ]),
    },
    Rule {
        name: "persistence only persists",
        reason: "storage does not know its callers, and uses no network but the connection to the database",
        applies_to: |package| package == "persistence",
        allows: Allows::AllBut(&["api", "actix*", "reqwest"]),
    },
    Rule {
        name: "integrations only integrate",
        reason: "outbound calls do not know their callers, and use no storage",
        applies_to: |package| package == "integrations",
        allows: Allows::AllBut(&["api", "actix*", "diesel*", "r2d2"]),
    },
    Rule {
        name: "one composition root",
        reason: "only the api combines adapters; adapters do not know each other",
        applies_to: |package| package != "api",
        allows: Allows::AllBut(&["persistence", "integrations"]),
    },
    Rule {
        name: "tools of the tests",
        reason: "the gateway simulator and the fault kit are for tests; the shop never links them",
        applies_to: |_| true,
        allows: Allows::AllBut(&["paysim", "faultkit"]),
    },
];

/// Forbidden among the transitive dependencies of the domain too.
const NOT_IN_DOMAIN: &[&str] = &["actix*", "diesel*", "r2d2", "reqwest", "hyper"];

/// Applies every rule about dependencies to the workspace that `metadata` describes. The manifests are below `root`.
pub fn check(root: &Path, metadata: &Metadata) -> Result<BTreeSet<Violation>> {
    let mut violations = BTreeSet::new();
    for package in metadata.workspace_packages() {
        for rule in RULES.iter().filter(|rule| (rule.applies_to)(&package.name)) {
            for dependency in forbidden(rule, package) {
                violations.insert(violation(root, package, dependency, dependency, rule)?);
            }
        }
    }
    let domain = metadata.workspace_packages().into_iter().find(|package| package.name == "domain");
    let domain = domain.context("the workspace has no crate `domain`")?;
    for (first, far) in forbidden_transitively(metadata, domain)? {
        violations.insert(violation(root, domain, &first, &format!("{first} -> {far}"), &RULES[0])?);
    }
    Ok(violations)
}

fn forbidden<'a>(rule: &Rule, package: &'a Package) -> impl Iterator<Item = &'a str> {
    let shipped = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    let forbidden = shipped.filter(|dependency| match rule.allows {
        Allows::Only(names) => !names.iter().any(|name| match name.strip_suffix('?') {
            Some(name) => dependency.name == name && dependency.optional,
            None => dependency.name == *name,
        }),
        Allows::AllBut(names) => names.iter().any(|name| is_one_of(&dependency.name, name)),
    });
    forbidden.map(|dependency| dependency.name.as_str())
}

fn is_one_of(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

/// Pairs of a direct dependency and a forbidden crate that it depends on, directly or transitively.
fn forbidden_transitively(metadata: &Metadata, domain: &Package) -> Result<BTreeSet<(String, String)>> {
    let resolved = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let nodes: BTreeMap<&PackageId, _> = resolved.nodes.iter().map(|node| (&node.id, node)).collect();
    let shipped = |id: &PackageId| -> Vec<&PackageId> {
        let dependencies = nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default().iter();
        let normal = dependencies.filter(|to| to.dep_kinds.iter().any(|how| how.kind == DependencyKind::Normal));
        normal.map(|dependency| &dependency.pkg).collect()
    };
    let mut pairs = BTreeSet::new();
    for first in shipped(&domain.id) {
        let mut reached = BTreeSet::from([first]);
        let mut ahead = shipped(first);
        while let Some(id) = ahead.pop() {
            if reached.insert(id) {
                ahead.extend(shipped(id));
                if NOT_IN_DOMAIN.iter().any(|pattern| is_one_of(&metadata[id].name, pattern)) {
                    pairs.insert((metadata[first].name.to_string(), metadata[id].name.to_string()));
                }
            }
        }
    }
    Ok(pairs)
}

fn violation(root: &Path, package: &Package, dependency: &str, found: &str, rule: &Rule) -> Result<Violation> {
    let manifest = package.manifest_path.as_std_path();
    let text = std::fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    Ok(Violation {
        file: manifest.strip_prefix(root.canonicalize()?).unwrap_or(manifest).display().to_string(),
        line: line_of(dependency, &text),
        rule: rule.name,
        found: found.to_owned(),
        reason: rule.reason,
    })
}

/// The line of a manifest that begins with this dependency; 1 if none does.
pub(super) fn line_of(dependency: &str, manifest: &str) -> usize {
    let names = |line: &str| line.split(['.', ' ', '=']).next() == Some(dependency);
    manifest.lines().position(names).map_or(1, |index| index + 1)
}
