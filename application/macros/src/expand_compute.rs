//! From the model to code: the block, its tasks, and the callers' ends of them.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Type};

use crate::args::{Backoff, ComputeArgs};
use crate::expand_cached::{through_cache, time};
use crate::model::{Method, Service, Task};

/// The whole block, and the list of its tasks.
pub(crate) fn service(service: &Service) -> TokenStream {
    let Service { ty, block, methods, .. } = service;
    let mut block = block.clone();
    for method in methods {
        let items = self::method(method);
        block.items.push(syn::ImplItem::Verbatim(items));
    }
    let tasks = methods.iter().filter(|method| method.task.is_some()).map(|method| {
        let (name, conditions) = (constant(&method.signature.name), &method.signature.conditions);
        quote!(#(#conditions)* <#ty>::#name)
    });
    let tasks: Vec<_> = tasks.collect();
    let list = (!tasks.is_empty()).then(|| {
        quote! {
            impl ::portwright_application::compute::ComputeService for #ty {
                const TASKS: &'static [::portwright_application::compute::Task<Self>] = &[#(#tasks),*];
            }
        }
    });
    quote!(#block #list)
}

/// Everything that becomes of one marked method.
fn method(method: &Method) -> TokenStream {
    let Method { signature, body, task, value } = method;
    let (name, outer, visibility) = (&signature.name, &signature.outer, &signature.visibility);
    let (names, types) = parameters(method);
    let returns = &signature.returns;
    let here = if task.is_some() {
        let job = job_name(name);
        let (value, error) = (&signature.value, &signature.error);
        let answer = quote_spanned! {value.span()=>
            ::portwright_application::compute::expand::answer::<#value, #error>
        };
        quote!(#answer(self.#job(#(#names),*)))
    } else {
        let run = &body.sig.ident;
        quote!(self.#run(#(#names),*))
    };
    let (work, forget) = match value {
        Some(value) => through_cache(method, value, &here),
        None => (quote!(#here.await), TokenStream::new()),
    };
    let task = task.as_ref().map(|task| task_items(method, task));
    quote! {
        #(#outer)*
        #visibility async fn #name(&self, #(#names: #types),*) -> #returns {
            #work
        }
        #forget
        #task
        #[allow(
            clippy::unused_async,
            clippy::unused_self,
            clippy::needless_pass_by_value,
            reason = "its signature is the one that its author had to write"
        )]
        #body
    }
}

/// The builder of calls, the reader of arguments, and the constant of a task.
fn task_items(method: &Method, task: &Task) -> TokenStream {
    let signature = &method.signature;
    let (name, visibility, conditions) = (&signature.name, &signature.visibility, &signature.conditions);
    let (value, error) = (&signature.value, &signature.error);
    let (names, types) = parameters(method);
    let input: Type = types.first().map_or_else(|| syn::parse_quote!(()), |ty| (*ty).clone());
    let given = names.first().map_or_else(|| quote!(()), ToTokens::to_token_stream);
    let (job, read, constant) = (job_name(name), format_ident!("__read_{name}"), constant(name));
    let field = &task.field;
    let compute = quote_spanned!(field.span()=> &self.#field);
    let call = quote! {
        ::portwright_application::compute::expand::call::<#input, #value, #error>(
            #compute,
            &Self::#constant.spec,
            &#given,
        )
    };
    let summary =
        format!("The call that [`{name}`](Self::{name}) makes, not made yet: await it, or enqueue it.");
    let (reading, spec, run) = (versions(task, &input), spec(method, task, &input), run(method, task, &read));
    quote! {
        #(#conditions)*
        #[doc = #summary]
        #visibility fn #job(&self, #(#names: #types),*) -> ::portwright_application::compute::Call<'_, #value, #error> {
            #call
        }

        #(#conditions)*
        fn #read(
            args: &::portwright_application::compute::envelope::Args,
        ) -> ::core::result::Result<#input, ::portwright_application::compute::envelope::PayloadInvalid> {
            #reading
        }

        #(#conditions)*
        #[doc(hidden)]
        const #constant: ::portwright_application::compute::Task<Self> = ::portwright_application::compute::Task {
            spec: #spec,
            check: |args| Self::#read(args).map(::core::mem::drop),
            run: #run,
        };
    }
}

/// Reads each version as what it was, and brings it to the current one.
fn versions(task: &Task, input: &Type) -> TokenStream {
    let current = task.args.version();
    let upgrade = |version: u32| {
        task.args.upgrades.iter().find(|(from, _)| from.number == version).map(|(_, function)| function)
    };
    let arms = (1..current).filter(|version| upgrade(*version).is_some()).map(|version| {
        let steps = (version..current).filter_map(upgrade);
        let value = steps.fold(TokenStream::new(), |value, step| {
            let read = quote_spanned!(step.span()=> ::portwright_application::compute::expand::read(args)?);
            let value = if value.is_empty() { read } else { value };
            quote_spanned!(step.span()=> #step(#value))
        });
        quote!(#version => ::core::result::Result::Ok(#value))
    });
    let read = quote_spanned! {input.span()=>
        ::portwright_application::compute::expand::read::<#input>(args)
    };
    quote! {
        match args.version() {
            #current => #read,
            #(#arms,)*
            _ => ::core::result::Result::Err(args.refused()),
        }
    }
}

fn run(method: &Method, task: &Task, read: &Ident) -> TokenStream {
    let (value, error) = (&method.signature.value, &method.signature.error);
    let run = &method.body.sig.ident;
    let has_input = !method.signature.parameters.is_empty();
    let input = has_input.then(|| quote!(input,));
    let context = task.takes_context.then(|| quote!(context));
    let [input_name, context_name] = [(has_input, "input"), (task.takes_context, "context")]
        .map(|(used, name)| if used { format_ident!("{name}") } else { format_ident!("_{name}") });
    quote_spanned! {value.span()=>
        |service, args, #context_name| {
            ::portwright_application::compute::expand::run::<#value, #error>(async move {
                let #input_name = Self::#read(&args)?;
                ::core::result::Result::Ok(service.#run(#input #context).await)
            })
        }
    }
}

fn spec(method: &Method, task: &Task, input: &Type) -> TokenStream {
    let Task { name, args, takes_context, .. } = task;
    let ComputeArgs { queue, priority, attempts, backoff, timeout, retired, .. } = args;
    let version = args.version();
    let retired = retired.iter().map(|retired| retired.number);
    let queue = queue.as_ref().map_or_else(|| "default".to_owned(), syn::LitStr::value);
    let priority = priority.unwrap_or(5);
    let attempts = option(attempts.map(|attempts| quote!(#attempts)));
    let timeout = option(timeout.map(time));
    let backoff = option(backoff.as_ref().map(|backoff| match backoff {
        Backoff::Fixed(wait) => {
            let wait = time(*wait);
            quote!(::portwright_application::compute::task::Backoff::Fixed(#wait))
        }
        Backoff::Exponential { base, cap } => {
            let (base, cap) = (time(*base), time(*cap));
            quote!(::portwright_application::compute::task::Backoff::Exponential { base: #base, cap: #cap })
        }
    }));
    let [input, output, error] = [input, &method.signature.value, &method.signature.error].map(written);
    quote! {
        ::portwright_application::compute::TaskSpec {
            name: #name,
            version: #version,
            retired: &[#(#retired),*],
            queue: #queue,
            priority: #priority,
            attempts: #attempts,
            backoff: #backoff,
            timeout: #timeout,
            takes_context: #takes_context,
            input: #input,
            output: #output,
            error: #error,
        }
    }
}

fn option(value: Option<TokenStream>) -> TokenStream {
    value.map_or_else(
        || quote!(::core::option::Option::None),
        |value| quote!(::core::option::Option::Some(#value)),
    )
}

/// A type as people write it: without the spaces that tokens have between them.
fn written(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    let text = [(" :: ", "::"), (" < ", "<"), (" <", "<"), ("< ", "<"), (" >", ">"), (" ,", ",")]
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to));
    text.replace("& ", "&")
}

pub(crate) fn parameters(method: &Method) -> (Vec<&Ident>, Vec<&Type>) {
    method.signature.parameters.iter().map(|parameter| (&parameter.name, &parameter.ty)).unzip()
}

fn job_name(name: &Ident) -> Ident {
    format_ident!("{}_job", name)
}

fn constant(name: &Ident) -> Ident {
    format_ident!("__TASK_{}", name.to_string().trim_start_matches("r#").to_uppercase(), span = name.span())
}
