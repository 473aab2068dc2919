//! Which code is forbidden, where, and why. To permit an exception, add it here with a reason. A comment in the code
//! has no effect.

use crate::code;
use crate::sources::Source;

pub struct Rule {
    pub name: &'static str,
    pub reason: &'static str,
    /// The directories and files to which the rule applies. The path of a directory ends in `/`.
    within: &'static [&'static str],
    /// The directories and files to which the rule does not apply, each with the reason.
    except: &'static [(&'static str, &'static str)],
    /// Whether the rule applies to tests too.
    tests_too: bool,
    forbids: Forbids,
}

enum Forbids {
    /// Sequences of tokens. White space between tokens is ignored.
    Code(&'static [&'static str]),
    /// Words that an identifier must not contain, in upper or lower case.
    Words(&'static [&'static str]),
}

use Forbids::{Code, Words};

/// The most lines that a file may have.
pub const MOST_LINES: usize = 400;

const SHOP: &[&str] = &["domain/src/", "persistence/src/", "integrations/src/", "api/src/"];
const SOURCES: &[&str] = &[
    "domain/src/",
    "persistence/src/",
    "integrations/src/",
    "api/src/",
    "testing/faultkit/src/",
    "testing/paysim/src/",
    "xtask/src/",
];
const EVERYWHERE: &[&str] = &["domain/", "persistence/", "integrations/", "api/", "testing/", "xtask/"];

pub const RULES: &[Rule] = &[
    Rule {
        name: "composition",
        reason: "adapters are named in one place, so all other code can be read without them",
        within: &["api/src/"],
        except: &[
            ("api/src/app/mod.rs", "the composition root"),
            ("api/src/app/gateway.rs", "the payment gateway of the composition root"),
            ("api/src/app/settings.rs", "the settings of the adapters, in the types of the adapters"),
            ("api/src/app/tools.rs", "the commands of an operator, which are composed beside the server"),
        ],
        tests_too: true,
        forbids: Code(&[
            "persistence::",
            "use persistence;",
            "use persistence as",
            "integrations::",
            "use integrations;",
            "use integrations as",
        ]),
    },
    Rule {
        name: "tests beside",
        reason: "the tests of FILE.rs are in FILE_tests.rs beside it, and those of a mod.rs in tests.rs: move them there",
        within: SOURCES,
        except: &[],
        tests_too: true,
        forbids: Code(&["mod tests {"]),
    },
    Rule {
        name: "plain words",
        reason: "identifiers of the domain are terms of commerce, not of the technology around it",
        within: &["domain/src/"],
        except: &[],
        tests_too: false,
        forbids: Words(&["ucp", "http", "sql", "json"]),
    },
    Rule {
        name: "choke point",
        reason: "connections, transactions and blocking threads are bounded, timed and logged by Database::run",
        within: SHOP,
        except: &[("persistence/src/database/", "Database::run, with the one spawn_blocking of the process")],
        tests_too: false,
        forbids: Code(&["establish(", ".transaction(", "begin_transaction", "Pool::", "spawn_blocking"]),
    },
    Rule {
        name: "owned tasks",
        reason: "shutdown does not wait for a task or thread without an owner: use Commands::run or the Supervisor",
        within: SHOP,
        except: &[
            ("api/src/runtime/commands.rs", "owns the commands of callers"),
            ("api/src/runtime/supervisor.rs", "owns the periodic tasks"),
            (
                "api/src/runtime/shutdown.rs",
                "owns the thread of the start, and the responses to connections that arrive during shutdown",
            ),
            ("api/src/log.rs", "flushes the last lines on a thread, with a deadline"),
        ],
        tests_too: false,
        forbids: Code(&["spawn", "spawn_on", "spawn_local", "thread::Builder"]),
    },
    Rule {
        name: "environment",
        reason: "the environment is read once, by the configuration",
        within: SHOP,
        except: &[
            ("api/src/config/", "the configuration"),
            ("api/src/main.rs", "reads the environment once and passes it to the configuration"),
        ],
        tests_too: false,
        forbids: Code(&["env::var", "env::vars", "env::args", "env::var_os", "env::vars_os", "env::args_os", "envy::"]),
    },
    Rule {
        name: "wall clock",
        reason: "business time comes from the Clock, so a test can set it",
        within: SHOP,
        except: &[
            ("api/src/clock.rs", "the Clock of production"),
            ("api/src/log.rs", "the timestamp of a log line is not business time"),
        ],
        tests_too: false,
        forbids: Code(&["SystemTime::now", "OffsetDateTime::now_utc", "Utc::now"]),
    },
    Rule {
        name: "monotonic clock",
        reason: "the context measures deadlines and durations",
        within: SHOP,
        except: &[("domain/src/context.rs", "the context")],
        tests_too: false,
        forbids: Code(&["Instant::now"]),
    },
    Rule {
        name: "one claim",
        reason: "the key, the fingerprint and the caller of a keyed write are read in one place: use KeyedWrite",
        within: &["api/src/"],
        except: &[("api/src/http/write.rs", "creates the claim of every keyed write")],
        tests_too: false,
        forbids: Code(&["KeyClaim {", "Write {"]),
    },
    Rule {
        name: "unfinished",
        reason: "unfinished code is not merged, and a test always runs",
        within: EVERYWHERE,
        except: &[],
        tests_too: true,
        forbids: Code(&["todo!", "unimplemented!", "#[ignore"]),
    },
];

impl Rule {
    pub fn applies_to(&self, path: &str) -> bool {
        let covers = |place: &str| path == place || place.ends_with('/') && path.starts_with(place);
        self.within.iter().any(|place| covers(place)) && !self.except.iter().any(|(place, _)| covers(place))
    }

    /// Returns each piece of forbidden code in a file, with its line.
    pub fn search(&self, source: &Source) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        if !self.tests_too && code::is_test_file(&source.path) {
            return found;
        }
        let (patterns, words) = match self.forbids {
            Code(texts) => (texts.iter().map(|text| (*text, code::pattern(text))).collect(), &[][..]),
            Words(words) => (Vec::new(), words),
        };
        for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| self.tests_too || !token.is_test) {
            let broken = patterns.iter().filter(|(_, pattern)| code::begin_with(&source.tokens[at..], pattern));
            found.extend(broken.map(|(text, _)| (token.line, (*text).to_owned())));
            if token.is_word && words.iter().any(|word| token.text.to_lowercase().contains(word)) {
                found.push((token.line, token.text.clone()));
            }
        }
        found
    }
}
