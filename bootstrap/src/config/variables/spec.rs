//! What an entry of the table says.

use std::fmt;

use crate::config::AppEnv;

/// What is said about a variable, whatever its type.
#[derive(Debug)]
pub struct Spec {
    /// The name that wins.
    pub name: &'static str,
    /// Other names that are understood, and lose against the first wherever it is set.
    pub aliases: &'static [&'static str],
    /// What a value must be.
    pub expects: &'static str,
    /// What holds where nothing is set.
    pub default: DefaultValue,
    /// Whether its value is never shown. A secret may also be given as `<name>_FILE`, the path of a file that has it.
    pub secret: bool,
    /// What it is for.
    pub about: &'static str,
}

impl Spec {
    /// The name and its aliases, the strongest first.
    pub(in crate::config) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// What holds where nothing is set.
#[derive(Debug, Clone, Copy)]
pub enum DefaultValue {
    /// This value.
    Is(&'static str),
    /// One of these values, as `APP_ENV` says.
    ByEnv {
        /// In development and test.
        relaxed: &'static str,
        /// In production.
        production: &'static str,
    },
    /// One of these values: automated tests have their own.
    ByTest {
        /// In tests.
        test: &'static str,
        /// Everywhere else.
        otherwise: &'static str,
    },
    /// No value, which means this.
    Unset(&'static str),
}

impl DefaultValue {
    /// The value in this kind of place.
    #[must_use]
    pub const fn text(self, app_env: AppEnv) -> Option<&'static str> {
        match (self, app_env) {
            (Self::Is(text), _)
            | (Self::ByEnv { relaxed: text, .. }, AppEnv::Development | AppEnv::Test)
            | (Self::ByEnv { production: text, .. }, AppEnv::Production)
            | (Self::ByTest { test: text, .. }, AppEnv::Test)
            | (Self::ByTest { otherwise: text, .. }, AppEnv::Development | AppEnv::Production) => Some(text),
            (Self::Unset(_), _) => None,
        }
    }
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(text) => f.write_str(text),
            Self::ByEnv { relaxed, production } => write!(f, "{relaxed}, in production {production}"),
            Self::ByTest { test, otherwise } => write!(f, "{otherwise}, in test {test}"),
            Self::Unset(meaning) => write!(f, "not set: {meaning}"),
        }
    }
}

/// A variable, and how its text becomes a value. The error says why it does not, and does not repeat the text.
#[derive(Debug)]
pub(in crate::config) struct Variable<T> {
    pub(in crate::config) spec: Spec,
    pub(in crate::config) parse: fn(&str) -> Result<T, String>,
}

impl<T> Variable<T> {
    pub(super) const fn new(
        name: &'static str,
        expects: &'static str,
        parse: fn(&str) -> Result<T, String>,
        default: DefaultValue,
        about: &'static str,
    ) -> Self {
        Self { spec: Spec { name, aliases: &[], expects, default, secret: false, about }, parse }
    }

    pub(super) const fn or_named(mut self, aliases: &'static [&'static str]) -> Self {
        self.spec.aliases = aliases;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.spec.secret = true;
        self
    }
}
