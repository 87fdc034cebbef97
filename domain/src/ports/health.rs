//! Health: what each part of the outside world says of itself.

use async_trait::async_trait;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthStatus {
    /// It works.
    Pass,
    /// It serves, but not as it should.
    Warn,
    /// It does not serve.
    Fail,
}

impl HealthStatus {
    /// The name in `application/health+json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// How well it is.
    pub status: HealthStatus,
    /// What an operator should know: names and values without secrets.
    pub details: Vec<(&'static str, String)>,
}

impl Health {
    /// All is well.
    #[must_use]
    pub const fn pass() -> Self {
        Self { status: HealthStatus::Pass, details: Vec::new() }
    }

    /// It does not serve, for this reason.
    #[must_use]
    pub fn fail(reason: impl Into<String>) -> Self {
        Self { status: HealthStatus::Fail, details: vec![("error", reason.into())] }
    }

    /// The same with one more detail.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }
}

/// Asks one part of the outside world how it is.
#[async_trait]
pub trait HealthProbe: Send + Sync + 'static {
    /// The component, such as `database`: lower case, stable.
    fn name(&self) -> &'static str;

    /// Asks. Does not fail: not to get an answer is [`HealthStatus::Fail`]. Whoever calls it sets the deadline.
    async fn check(&self) -> Health;
}
