//! The parts of a marked method that its expansion needs, and what a method must be like to be marked.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ImplItemFn, Pat, PatIdent, PathArguments, Receiver,
    Result, ReturnType, Type, TypeImplTrait, TypeReference, Visibility,
};

/// A method as its author wrote it, taken apart.
pub(crate) struct Signature {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) parameters: Vec<Parameter>,
    /// What it returns, as a whole.
    pub(crate) returns: Type,
    pub(crate) value: Type,
    pub(crate) error: Type,
    /// For what is called: documentation, conditions, and what callers are warned of.
    pub(crate) outer: Vec<Attribute>,
    /// Conditions alone, for what is written beside it.
    pub(crate) conditions: Vec<Attribute>,
}

pub(crate) struct Parameter {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
}

impl Signature {
    /// Checks everything that both markers ask for.
    pub(crate) fn read(method: &ImplItemFn, marker: &str) -> Result<Self> {
        let signature = &method.sig;
        let refused = |at: &dyn ToTokens, rule| Err(breaks(at, marker, rule));
        if signature.asyncness.is_none() {
            return refused(&signature.fn_token, "is `async`: its answer may be a while away");
        }
        if let Some(unsafety) = &signature.unsafety {
            return refused(unsafety, "is not `unsafe`");
        }
        if let Some(abi) = &signature.abi {
            return refused(abi, "has no foreign ABI");
        }
        if !signature.generics.params.is_empty() {
            return refused(&signature.generics, "has no generics: its types are written down");
        }
        if let Some(clause) = &signature.generics.where_clause {
            return refused(clause, "has no `where` clause");
        }
        let mut inputs = signature.inputs.iter();
        match inputs.next() {
            Some(FnArg::Receiver(this)) if is_plain(this) => {}
            Some(other) => return refused(other, "takes `&self` first"),
            None => return refused(&signature.ident, "takes `&self` first"),
        }
        let parameters = inputs.map(|input| parameter(input, marker)).collect::<Result<Vec<_>>>()?;
        let (returns, value, error) = returned(&signature.output, marker, &signature.ident)?;
        let those = |is: fn(&Attribute) -> bool| method.attrs.iter().filter(|it| is(it)).cloned().collect();
        Ok(Self {
            name: signature.ident.clone(),
            visibility: method.vis.clone(),
            parameters,
            returns,
            value,
            error,
            outer: those(is_outer),
            conditions: those(is_condition),
        })
    }
}

/// Whether an attribute is for what is called. The others go with the body.
pub(crate) fn is_outer(attribute: &Attribute) -> bool {
    ["doc", "cfg", "must_use", "deprecated"].iter().any(|name| attribute.path().is_ident(name))
}

pub(crate) fn is_condition(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
}

fn parameter(input: &FnArg, marker: &str) -> Result<Parameter> {
    let refused = |at: &dyn ToTokens, rule| Err(breaks(at, marker, rule));
    let FnArg::Typed(input) = input else {
        return refused(input, "takes `&self` first");
    };
    let Pat::Ident(PatIdent { by_ref: None, subpat: None, ident, .. }) = &*input.pat else {
        return refused(&input.pat, "gives its parameters plain names; take them apart in the body");
    };
    let mut search = Search::default();
    search.visit_type(&input.ty);
    if let Some(opaque) = search.opaque {
        return refused(&opaque, "writes its types down, so there is no `impl Trait`");
    }
    Ok(Parameter { name: ident.clone(), ty: (*input.ty).clone() })
}

/// Whether it is `&self`.
fn is_plain(this: &Receiver) -> bool {
    let borrowed = matches!(&this.reference, Some((_, None)));
    borrowed && this.mutability.is_none() && this.colon_token.is_none()
}

/// The error of a method that is not like those with this marker.
pub(crate) fn breaks(at: &dyn ToTokens, marker: &str, rule: &str) -> Error {
    Error::new_spanned(at.to_token_stream(), format!("a method with `#[{marker}]` {rule}"))
}

/// The whole type, the value and the error of `Result<T, E>`.
fn returned(output: &ReturnType, marker: &str, name: &Ident) -> Result<(Type, Type, Type)> {
    let rule = format!("a method with `#[{marker}]` returns `Result<T, E>`, with both types written down");
    let ReturnType::Type(_, whole) = output else {
        return Err(Error::new(name.span(), rule));
    };
    let refused = || Error::new(whole.span(), rule.clone());
    let Type::Path(path) = &**whole else {
        return Err(refused());
    };
    let last = path.path.segments.last().filter(|last| last.ident == "Result").ok_or_else(refused)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Err(refused());
    };
    let types: Vec<&Type> = arguments
        .args
        .iter()
        .filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
        .collect();
    match types[..] {
        [value, error] => Ok(((**whole).clone(), value.clone(), error.clone())),
        _ => Err(refused()),
    }
}

/// The first reference within a type, which cannot travel to another process.
pub(crate) fn borrowed(ty: &Type) -> Option<TypeReference> {
    let mut search = Search::default();
    search.visit_type(ty);
    search.borrowed
}

#[derive(Default)]
struct Search {
    opaque: Option<TypeImplTrait>,
    borrowed: Option<TypeReference>,
}

impl<'ast> Visit<'ast> for Search {
    fn visit_type_impl_trait(&mut self, opaque: &'ast TypeImplTrait) {
        self.opaque.get_or_insert_with(|| opaque.clone());
    }

    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        self.borrowed.get_or_insert_with(|| reference.clone());
        syn::visit::visit_type_reference(self, reference);
    }
}
