#![doc = include_str!("../README.md")]

mod args;
mod expand_cached;
mod expand_compute;
mod key;
mod model;
mod signature;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::quote;
use syn::{Error, Item, parse_macro_input};

/// Reads the markers in an `impl` block; see the crate's documentation.
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let as_written = proc_macro2::TokenStream::from(item.clone());
    let Item::Impl(block) = parse_macro_input!(item as Item) else {
        return refused("`#[service]` belongs on an `impl` block", &as_written);
    };
    let arguments = parse_macro_input!(arguments as args::ServiceArgs);
    match model::Service::read(&arguments, block) {
        Ok(service) => expand_compute::service(&service).into(),
        // The block stays, so that nothing else seems to be missing.
        Err(model::Refused { errors, block }) => {
            let errors = errors.into_compile_error();
            quote!(#errors #block).into()
        }
    }
}

/// Runs a method in a worker; see the crate's documentation.
#[proc_macro_attribute]
pub fn compute(_: TokenStream, item: TokenStream) -> TokenStream {
    refused(
        "`#[compute]` is read by `#[service]`: mark the `impl` block of this method with it",
        &item.into(),
    )
}

/// Remembers what a method returns; see the crate's documentation.
#[proc_macro_attribute]
pub fn cached(_: TokenStream, item: TokenStream) -> TokenStream {
    refused("`#[cached]` is read by `#[service]`: mark the `impl` block of this method with it", &item.into())
}

fn refused(why: &str, item: &proc_macro2::TokenStream) -> TokenStream {
    let error = Error::new(Span::call_site(), why).into_compile_error();
    quote!(#error #item).into()
}
