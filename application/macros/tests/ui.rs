//! Every misuse of a marker is an error where the mistake is, and every use compiles.
//!
//! After a change that is meant: `TRYBUILD=overwrite cargo test -p portwright-macros`, and read what it wrote.

#[test]
fn misuse_is_refused_where_it_is() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
