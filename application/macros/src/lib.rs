//! `#[service]`, `#[compute]` and `#[cached]`.

use proc_macro::TokenStream;

/// Marks an `impl` block.
#[proc_macro_attribute]
pub fn service(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    item
}
