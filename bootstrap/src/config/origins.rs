//! [`Origins`]: where the values of a configuration came from, for whoever has to say later which of them is wrong.

use std::sync::Arc;

use super::reader::Setting;
use super::sources::Origin;
use crate::failure::Problem;

/// Every variable as it was read, redacted.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[Setting]>);

impl Origins {
    pub(super) fn of(settings: &[Setting]) -> Self {
        Self(settings.into())
    }

    /// Whether somebody gave the variable of this name a value.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.find(name).and_then(|it| it.value.as_ref()).is_some_and(|it| it.origin != Origin::Default)
    }

    /// The problem, saying of each of these variables which value it has and from where.
    #[must_use]
    pub fn name(&self, problem: Problem, variables: &[&str]) -> Problem {
        let values = variables.iter().filter_map(|name| self.find(name)?.value.as_ref());
        values.fold(problem, |problem, given| problem.from(given.to_string()))
    }

    fn find(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.spec.name == name)
    }
}
