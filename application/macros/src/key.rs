//! The key of a cached method: text with parameters in braces.

use proc_macro2::Span;
use syn::{Error, Expr, Ident, LitStr, Member, Result};

/// A key that has been taken apart.
pub(crate) struct Key {
    /// As `format!` takes it, with the version of the shape at its end.
    pub(crate) format: String,
    /// What goes into its places, in order.
    pub(crate) parts: Vec<Expr>,
}

impl Key {
    /// Every parameter must be in the key: two calls that differ in one that is not would share an answer.
    pub(crate) fn read(literal: &LitStr, version: u32, parameters: &[Ident]) -> Result<Self> {
        let refused = |message: String| Error::new(literal.span(), message);
        let text = literal.value();
        let (mut format, mut parts, mut used) = (String::new(), Vec::new(), Vec::new());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((path, behind)) = after.split_once('}') else {
                return Err(refused("a `{` without its `}`".to_owned()));
            };
            format.push_str(before);
            format.push_str("{}");
            let (parameter, part) = part(path, literal.span())
                .ok_or_else(|| refused(format!("`{{{path}}}` is neither a parameter nor a field of one")))?;
            if !parameters.contains(&parameter) {
                return Err(refused(format!("`{parameter}` is no parameter of this method")));
            }
            used.push(parameter);
            parts.push(part);
            rest = behind;
        }
        format.push_str(rest);
        if format.is_empty() || !format.bytes().all(|c| c.is_ascii_graphic()) || rest.contains('}') {
            return Err(refused("a key is visible ASCII, with parameters in braces".to_owned()));
        }
        if let Some(forgotten) = parameters.iter().find(|parameter| !used.contains(parameter)) {
            let message = format!(
                "`{forgotten}` is not in the key, so calls that differ in it would share an answer; add \
                 `{{{forgotten}}}`"
            );
            return Err(refused(message));
        }
        Ok(Self { format: format!("{format}@{version}"), parts })
    }
}

/// `month` or `input.month.0`, as an expression, and its parameter.
fn part(path: &str, span: Span) -> Option<(Ident, Expr)> {
    let mut names = path.split('.');
    let mut parameter: Ident = syn::parse_str(names.next()?).ok()?;
    parameter.set_span(span);
    let fields: Option<Vec<Member>> = names.map(|name| syn::parse_str(name).ok()).collect();
    let fields = fields?;
    let part = syn::parse_quote_spanned!(span=> #parameter #(.#fields)*);
    Some((parameter, part))
}
