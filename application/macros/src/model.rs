//! What `#[service]` found in an `impl` block, checked.

use quote::format_ident;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Result, Type};

use crate::args::{CachedArgs, ComputeArgs, ServiceArgs};
use crate::key::Key;
use crate::signature::{Parameter, Signature, borrowed, breaks, is_condition, is_outer};

/// A service with at least one marked method.
pub(crate) struct Service {
    pub(crate) ty: Type,
    /// The block without its marked methods.
    pub(crate) block: ItemImpl,
    pub(crate) methods: Vec<Method>,
}

/// A block that is no service: all mistakes at once, and the block as it would be without its markers.
pub(crate) struct Refused {
    pub(crate) errors: Error,
    pub(crate) block: Box<ItemImpl>,
}

/// A marked method.
pub(crate) struct Method {
    pub(crate) signature: Signature,
    /// The method as it was written, under a name that nobody calls.
    pub(crate) body: ImplItemFn,
    pub(crate) task: Option<Task>,
    pub(crate) value: Option<Value>,
}

/// What runs in a worker.
pub(crate) struct Task {
    pub(crate) name: LitStr,
    pub(crate) args: ComputeArgs,
    /// The field that its calls go through.
    pub(crate) field: Ident,
    /// Whether the method takes the context of its job, as its last parameter.
    pub(crate) takes_context: bool,
}

/// What is remembered.
pub(crate) struct Value {
    /// What metrics call it.
    pub(crate) name: String,
    pub(crate) args: CachedArgs,
    pub(crate) key: Key,
    /// The field that remembers it.
    pub(crate) field: Ident,
}

impl Service {
    pub(crate) fn read(args: &ServiceArgs, mut block: ItemImpl) -> std::result::Result<Self, Refused> {
        let mut mistakes = Mistakes::default();
        mistakes.note(check_block(&block));
        let (mut methods, mut others) = (Vec::new(), Vec::new());
        for mut item in std::mem::take(&mut block.items) {
            match Markers::take(&mut item) {
                Ok(None) => others.push(item),
                Ok(Some((method, markers))) => {
                    others.push(ImplItem::Fn(method.clone()));
                    match Method::read(method, &markers, args) {
                        Ok(method) => methods.push((others.len() - 1, method)),
                        Err(error) => mistakes.note(Err(error)),
                    }
                }
                Err(error) => {
                    mistakes.note(Err(error));
                    others.push(item);
                }
            }
        }
        if methods.is_empty() && mistakes.0.is_none() {
            let message =
                "mark at least one method with `#[compute]` or `#[cached]`, or this has nothing to do";
            mistakes.note(Err(Error::new(block.self_ty.span(), message)));
        }
        mistakes.note(check_names(&methods));
        block.items = others;
        if let Some(errors) = mistakes.0 {
            return Err(Refused { errors, block: Box::new(block) });
        }
        for (place, _) in methods.iter().rev() {
            block.items.remove(*place);
        }
        let methods = methods.into_iter().map(|(_, method)| method).collect();
        let ty = (*block.self_ty).clone();
        Ok(Self { ty, block, methods })
    }
}

impl Method {
    fn read(method: ImplItemFn, markers: &Markers, service: &ServiceArgs) -> Result<Self> {
        let marker = if markers.compute.is_some() { "compute" } else { "cached" };
        let mut signature = Signature::read(&method, marker)?;
        let default_name = format!("{}.{}", service.name.value(), signature.name);
        let task = match &markers.compute {
            Some(attribute) => Some(Task::read(attribute, &mut signature, &default_name, service)?),
            None => None,
        };
        let value = match &markers.cached {
            Some(attribute) => Some(Value::read(attribute, &signature, default_name, service)?),
            None => None,
        };
        let mut body = method;
        body.attrs.retain(|attribute| is_condition(attribute) || !is_outer(attribute));
        body.sig.ident = format_ident!("__run_{}", signature.name);
        body.vis = syn::Visibility::Inherited;
        Ok(Self { signature, body, task, value })
    }
}

impl Task {
    fn read(
        attribute: &Attribute,
        signature: &mut Signature,
        default_name: &str,
        service: &ServiceArgs,
    ) -> Result<Self> {
        let args = ComputeArgs::read(attribute)?;
        let takes_context = signature.parameters.last().is_some_and(|last| is_context(&last.ty));
        if takes_context {
            signature.parameters.pop();
        }
        let mut inputs = signature.parameters.iter();
        if let Some(input) = inputs.next() {
            check_input(input)?;
        }
        if let Some(second) = inputs.next() {
            let rule =
                "takes one input, and after it a `TaskContext` if it wants one; put the others into a struct";
            return Err(breaks(&second.name, "compute", rule));
        }
        let name = match &args.name {
            Some(name) => name.clone(),
            None => LitStr::new(&default_name.replace("r#", ""), signature.name.span()),
        };
        let field = field(service.compute.as_ref(), "compute", attribute);
        Ok(Self { name, args, field, takes_context })
    }
}

fn check_input(input: &Parameter) -> Result<()> {
    if is_context(&input.ty) {
        return Err(breaks(&input.ty, "compute", "takes its `TaskContext` last"));
    }
    match borrowed(&input.ty) {
        Some(reference) => {
            Err(breaks(&reference, "compute", "owns its input, which travels to another process"))
        }
        None => Ok(()),
    }
}

impl Value {
    fn read(
        attribute: &Attribute,
        signature: &Signature,
        name: String,
        service: &ServiceArgs,
    ) -> Result<Self> {
        let args = CachedArgs::read(attribute)?;
        let parameters: Vec<Ident> = signature.parameters.iter().map(|it| it.name.clone()).collect();
        let key = Key::read(&args.key, args.version, &parameters)?;
        let field = field(service.cache.as_ref(), "cache", attribute);
        Ok(Self { name, args, key, field })
    }
}

/// The field of that role. If there is none of the usual name, the marker is where that shows.
fn field(given: Option<&Ident>, usual: &str, marker: &Attribute) -> Ident {
    given.cloned().unwrap_or_else(|| Ident::new(usual, marker.path().span()))
}

/// The markers of one method.
struct Markers {
    compute: Option<Attribute>,
    cached: Option<Attribute>,
}

impl Markers {
    /// Takes the markers off a method; `None` if it has none.
    fn take(item: &mut ImplItem) -> Result<Option<(ImplItemFn, Self)>> {
        let ImplItem::Fn(method) = item else {
            let attributes: &mut Vec<Attribute> = match item {
                ImplItem::Const(item) => &mut item.attrs,
                ImplItem::Type(item) => &mut item.attrs,
                ImplItem::Macro(item) => &mut item.attrs,
                _ => return Ok(None),
            };
            let Some(place) = attributes.iter().position(|it| is_marker(it).is_some()) else {
                return Ok(None);
            };
            return Err(Error::new_spanned(attributes.remove(place), "only a method can be marked"));
        };
        let (marks, attrs): (Vec<_>, Vec<_>) =
            std::mem::take(&mut method.attrs).into_iter().partition(|it| is_marker(it).is_some());
        method.attrs = attrs;
        let mut markers = Self { compute: None, cached: None };
        for mark in marks {
            let place =
                if is_marker(&mark) == Some("compute") { &mut markers.compute } else { &mut markers.cached };
            if place.is_some() {
                return Err(Error::new_spanned(mark, "this marker is there twice"));
            }
            *place = Some(mark);
        }
        let marked = markers.compute.is_some() || markers.cached.is_some();
        Ok(marked.then(|| (method.clone(), markers)))
    }
}

/// By its last segment, so that a full path works, too.
fn is_marker(attribute: &Attribute) -> Option<&'static str> {
    let last = &attribute.path().segments.last()?.ident;
    ["compute", "cached"].into_iter().find(|marker| last == marker)
}

fn is_context(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "TaskContext"))
}

fn check_block(block: &ItemImpl) -> Result<()> {
    if let Some((_, path, _)) = &block.trait_ {
        return Err(Error::new_spanned(
            path,
            "`#[service]` belongs on an `impl` block of the service itself, not of a trait",
        ));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &block.generics,
            "a service has no generics: a worker finds it by its one type",
        ));
    }
    Ok(())
}

fn check_names(methods: &[(usize, Method)]) -> Result<()> {
    let mut names = Vec::new();
    for task in methods.iter().filter_map(|(_, method)| method.task.as_ref()) {
        let name = task.name.value();
        if names.contains(&name) {
            return Err(Error::new(task.name.span(), format!("two tasks are called `{name}`")));
        }
        names.push(name);
    }
    Ok(())
}

#[derive(Default)]
struct Mistakes(Option<Error>);

impl Mistakes {
    fn note(&mut self, result: Result<()>) {
        match (&mut self.0, result) {
            (Some(all), Err(error)) => all.combine(error),
            (none, Err(error)) => *none = Some(error),
            (_, Ok(())) => {}
        }
    }
}
