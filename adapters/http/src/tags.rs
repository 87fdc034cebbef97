//! The groups of operations in the document.

use poem_openapi::Tags;

#[derive(Tags)]
pub(crate) enum Tag {
    /// Register, sign in, stay signed in, sign out.
    Auth,
    /// The accounts.
    Users,
    /// Work that takes its time.
    Jobs,
    /// Tasks to call.
    Compute,
    /// Health, keys, and what an error means.
    Operations,
}
