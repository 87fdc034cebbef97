//! How large the tests are whose figures grow with patience.

/// The usual size, which is for every day, or the full one if `TEST_SIZE` is `full`.
///
/// # Panics
/// If `TEST_SIZE` is something else.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "it chooses a test's run, not the program's configuration")]
pub fn sized(usual: usize, full: usize) -> usize {
    match std::env::var("TEST_SIZE").as_deref() {
        Ok("full") => full,
        Ok(other) => panic!("TEST_SIZE is `full` or nothing, not {other}"),
        Err(_) => usual,
    }
}
