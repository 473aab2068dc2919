//! Defines sections of the configuration. Each setting is defined once, with its name, type, default, bounds and help.

/// A section of the configuration: a flat struct whose fields are settings. [`section!`] implements it.
pub trait Section {
    /// The prefix of the section's variables. The variable of a setting is this prefix, followed by the name of its
    /// field in capitals.
    const PREFIX: &'static str;
    const TITLE: &'static str;
    /// The settings, in the order of the fields.
    const SETTINGS: &'static [Setting];
}

/// A setting as the documentation shows it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name of the field.
    pub name: &'static str,
    /// The documentation comment of the field.
    pub help: &'static str,
}

impl Setting {
    pub const fn of(name: &'static str, help: &'static str) -> Self {
        Self { name, help: help.trim_ascii_start() }
    }
}

/// Defines a section: the struct, its defaults, and its settings with their help.
///
/// ```
/// api::section! {
///     pub struct LogConfig("TUCKSHOP_LOG_", "Logs") {
///         /// What the setting does, for `docs/CONFIGURATION.md` and for the message of a value that is refused.
///         #[validate(range(min = 1, max = 9))]
///         depth: u32 = 3,
///     }
/// }
/// ```
///
/// A setting without a documentation comment does not compile:
///
/// ```compile_fail
/// api::section! {
///     pub struct LogConfig("TUCKSHOP_LOG_", "Logs") {
///         #[validate(range(min = 1, max = 9))]
///         depth: u32 = 3,
///     }
/// }
/// ```
#[macro_export]
macro_rules! section {
    (pub struct $section:ident($prefix:literal, $title:literal) {
        $(
            $(#[doc = $help:literal])+
            $(#[serde($($serde:tt)*)])?
            $(#[validate($($validate:tt)*)])?
            $name:ident: $type:ty = $default:expr,
        )*
    }) => {
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize, validator::Validate)]
        #[serde(default, deny_unknown_fields)]
        pub struct $section {
            $(
                $(#[doc = $help])+
                $(#[serde($($serde)*)])?
                $(#[validate($($validate)*)])?
                pub $name: $type,
            )*
        }

        impl $crate::config::Section for $section {
            const PREFIX: &'static str = $prefix;
            const TITLE: &'static str = $title;
            const SETTINGS: &'static [$crate::config::Setting] =
                &[$($crate::config::Setting::of(stringify!($name), concat!($($help),+))),*];
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($name: $default),* }
            }
        }
    };
}
pub(super) use section;
