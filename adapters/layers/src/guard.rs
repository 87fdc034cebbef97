//! [`Guard`]: the four layers before a port, in their order. This is the one place that knows it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use portwright_domain::PortError;
use portwright_domain::ports::Observer;

use crate::breaker::{Breaker, is_failure};
use crate::deadline::in_time;
use crate::observe::observed;
use crate::timeout::within;

/// What stands before a port. Clones share the breaker.
#[derive(Clone)]
pub(crate) struct Guard {
    breaker: Arc<Breaker>,
    observer: Arc<dyn Observer>,
    deadline: Duration,
}

impl Guard {
    pub(crate) fn new(breaker: Arc<Breaker>, observer: Arc<dyn Observer>, deadline: Duration) -> Self {
        Self { breaker, observer, deadline }
    }

    /// The same with another deadline.
    pub(crate) fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// A call. `operation` is `port.method`, as in the errors of the port.
    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        self.waiting(operation, Duration::ZERO, call).await
    }

    /// A call that is asked to wait for so long: it may, and is not slow for it.
    pub(crate) async fn waiting<T>(
        &self,
        operation: &'static str,
        wait: Duration,
        call: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let bounded = within(wait.saturating_add(self.deadline), operation, call);
        self.admitted(operation, wait, |error| Some(is_failure(error)), bounded).await
    }

    /// A call that bounds itself, with what its errors say of the port.
    pub(crate) async fn admitted<T>(
        &self,
        operation: &'static str,
        wait: Duration,
        judge: impl Fn(&PortError) -> Option<bool>,
        call: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let counted = async { self.breaker.admit(operation, wait)?.counted(judge, call).await };
        observed(&*self.observer, operation, in_time(operation, counted)).await
    }

    /// A question within something that a call has opened: bounded and counted, and never refused.
    pub(crate) async fn within<T>(
        &self,
        operation: &'static str,
        question: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let bounded = within(self.deadline, operation, question);
        let counted = async { self.breaker.within().counted(|error| Some(is_failure(error)), bounded).await };
        observed(&*self.observer, operation, in_time(operation, counted)).await
    }
}
