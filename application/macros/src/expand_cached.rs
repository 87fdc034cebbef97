//! From the model to code: methods whose answers are remembered.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::expand_compute::parameters;
use crate::model::{Method, Value};

/// The body of a method whose answer is `here` when it is not remembered, and the method that forgets it.
pub(crate) fn through_cache(
    method: &Method,
    value: &Value,
    here: &TokenStream,
) -> (TokenStream, TokenStream) {
    let (signature, field) = (&method.signature, &value.field);
    let (name, returned) = (&signature.name, &signature.value);
    let (format, parts, called) = (&value.key.format, &value.key.parts, &value.name);
    let ttl = time(value.args.ttl);
    let key = quote_spanned! {value.args.key.span()=>
        ::std::format!(#format, #(::portwright_application::compute::expand::escaped(&#parts)),*)
    };
    let cache = quote_spanned!(field.span()=> &self.#field);
    let asserted = quote_spanned! {returned.span()=>
        ::portwright_application::compute::expand::portable::<#returned>();
    };
    let body = quote! {
        #asserted
        let key = #key;
        ::portwright_application::compute::expand::read_through(#cache, #called, &key, #ttl, #here).await
    };

    let (visibility, conditions) = (&signature.visibility, &signature.conditions);
    let (names, types) = parameters(method);
    let forget = format_ident!("invalidate_{}", name);
    let summary = format!(
        "Forgets what [`{name}`](Self::{name}) remembers for these parameters. If the cache cannot be told, the value \
         may be found until its time is over."
    );
    let forget = quote! {
        #(#conditions)*
        #[doc = #summary]
        #visibility async fn #forget(
            &self,
            #(#names: #types),*
        ) -> ::core::result::Result<(), ::portwright_application::compute::expand::PortError> {
            let key = #key;
            ::portwright_application::compute::expand::forget(#cache, &key).await
        }
    };
    (body, forget)
}

pub(crate) fn time(time: Duration) -> TokenStream {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#millis))
}
