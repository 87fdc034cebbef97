//! What stands in the parentheses of `#[service]`, `#[compute]` and `#[cached]`.

use std::time::Duration;

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprCall, ExprPath, Ident, Lit, LitInt, LitStr, Meta, Result, Token};

/// Of `#[service(name = "reports", compute = engine, cache = values)]`.
pub(crate) struct ServiceArgs {
    pub(crate) name: LitStr,
    pub(crate) compute: Option<Ident>,
    pub(crate) cache: Option<Ident>,
}

impl Parse for ServiceArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut name, mut compute, mut cache) = (None, None, None);
        let whole = input.span();
        let parser = syn::meta::parser(|option| match key(&option).as_str() {
            "name" => once(&option, &mut name, task_name(&option)),
            "compute" => once(&option, &mut compute, option.value()?.parse()),
            "cache" => once(&option, &mut cache, option.value()?.parse()),
            _ => unknown(&option, "name, compute, cache"),
        });
        syn::parse::Parser::parse2(parser, input.parse()?)?;
        let missing = || Error::new(whole, "give the service a name: `#[service(name = \"reports\")]`");
        Ok(Self { name: name.ok_or_else(missing)?, compute, cache })
    }
}

/// Of `#[compute(version = 2, queue = "cpu", …)]`.
#[derive(Default)]
pub(crate) struct ComputeArgs {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<u32>,
    pub(crate) queue: Option<LitStr>,
    pub(crate) priority: Option<u8>,
    pub(crate) attempts: Option<u32>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) timeout: Option<Duration>,
    /// From which version, by which function to the next.
    pub(crate) upgrades: Vec<(Version, ExprPath)>,
    pub(crate) retired: Vec<Version>,
}

/// A version that was written in the attribute.
#[derive(Clone, Copy)]
pub(crate) struct Version {
    pub(crate) number: u32,
    span: Span,
}

impl Parse for Version {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let literal: LitInt = input.parse()?;
        Ok(Self { number: literal.base10_parse()?, span: literal.span() })
    }
}

pub(crate) enum Backoff {
    Fixed(Duration),
    Exponential { base: Duration, cap: Duration },
}

const COMPUTE_OPTIONS: &str = "name, version, queue, priority, attempts, backoff, timeout, upgrade, retired";

impl ComputeArgs {
    pub(crate) fn read(attribute: &Attribute) -> Result<Self> {
        let mut args = Self::default();
        nested(attribute, |option| match key(&option).as_str() {
            "name" => once(&option, &mut args.name, task_name(&option)),
            "version" => once(&option, &mut args.version, number(&option, 1, u32::MAX)),
            "queue" => once(&option, &mut args.queue, task_name(&option)),
            "priority" => once(&option, &mut args.priority, number(&option, 0, 15).map(small)),
            "attempts" => once(&option, &mut args.attempts, number(&option, 1, 1_000)),
            "backoff" => once(&option, &mut args.backoff, backoff(&option)),
            "timeout" => once(&option, &mut args.timeout, duration(&option)),
            "upgrade" => option.parse_nested_list(|list| {
                let version = list.parse()?;
                list.parse::<Token![=]>()?;
                args.upgrades.push((version, list.parse()?));
                Ok(())
            }),
            "retired" => option.parse_nested_list(|list| {
                args.retired.push(list.parse()?);
                Ok(())
            }),
            _ => unknown(&option, COMPUTE_OPTIONS),
        })?;
        args.check_versions(attribute)?;
        Ok(args)
    }

    pub(crate) fn version(&self) -> u32 {
        self.version.unwrap_or(1)
    }

    /// Every version below the current one is upgraded to the next, or retired together with all before it.
    fn check_versions(&self, attribute: &Attribute) -> Result<()> {
        let current = self.version();
        let refused = |version: &Version, message: String| Err(Error::new(version.span, message));
        let mut known = Vec::new();
        for version in self.upgrades.iter().map(|(version, _)| version).chain(&self.retired) {
            if version.number == 0 || version.number >= current {
                return refused(version, format!("not a version before {current}, the current one"));
            }
            if known.contains(&version.number) {
                return refused(version, format!("version {} is dealt with twice", version.number));
            }
            known.push(version.number);
        }
        if let Some(lost) = (1..current).find(|version| !known.contains(version)) {
            let message = format!(
                "jobs of version {lost} may still wait: give `upgrade({lost} = path::to::function)`, or \
                 `retired({lost})` if they may end as dead"
            );
            return Err(Error::new_spanned(attribute, message));
        }
        let newest_retired = self.retired.iter().map(|retired| retired.number).max().unwrap_or(0);
        match self.upgrades.iter().find(|(from, _)| from.number < newest_retired) {
            Some((from, _)) => {
                refused(from, format!("version {newest_retired} is retired, so this leads nowhere"))
            }
            None => Ok(()),
        }
    }
}

/// Of `#[cached(key = "reports:summary:{month}", ttl = "1h")]`.
pub(crate) struct CachedArgs {
    pub(crate) key: LitStr,
    pub(crate) ttl: Duration,
    pub(crate) version: u32,
}

impl CachedArgs {
    pub(crate) fn read(attribute: &Attribute) -> Result<Self> {
        let (mut name, mut ttl, mut version) = (None, None, None);
        nested(attribute, |option| match key(&option).as_str() {
            "key" => once(&option, &mut name, option.value()?.parse()),
            "ttl" => once(&option, &mut ttl, duration(&option)),
            "version" => once(&option, &mut version, number(&option, 1, u32::MAX)),
            _ => unknown(&option, "key, ttl, version"),
        })?;
        let missing = |what| Error::new_spanned(attribute, format!("`#[cached]` needs {what}"));
        Ok(Self {
            key: name.ok_or_else(|| missing("a key, such as `key = \"reports:summary:{month}\"`"))?,
            ttl: ttl.ok_or_else(|| missing("a time to live, such as `ttl = \"1h\"`"))?,
            version: version.unwrap_or(1),
        })
    }
}

/// Each option of an attribute that may have none.
fn nested(attribute: &Attribute, logic: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    match &attribute.meta {
        Meta::Path(_) => Ok(()),
        Meta::List(_) | Meta::NameValue(_) => attribute.parse_nested_meta(logic),
    }
}

trait NestedList {
    fn parse_nested_list(&self, each: impl FnMut(ParseStream<'_>) -> Result<()>) -> Result<()>;
}

impl NestedList for ParseNestedMeta<'_> {
    /// What stands in parentheses, between commas.
    fn parse_nested_list(&self, mut each: impl FnMut(ParseStream<'_>) -> Result<()>) -> Result<()> {
        let list;
        syn::parenthesized!(list in self.input);
        while !list.is_empty() {
            each(&list)?;
            if !list.is_empty() {
                list.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }
}

fn key(option: &ParseNestedMeta<'_>) -> String {
    option.path.get_ident().map(Ident::to_string).unwrap_or_default()
}

fn unknown<T>(option: &ParseNestedMeta<'_>, known: &str) -> Result<T> {
    Err(option.error(format!("no such option; there are {known}")))
}

fn once<T>(option: &ParseNestedMeta<'_>, place: &mut Option<T>, value: Result<T>) -> Result<()> {
    match place.replace(value?) {
        Some(_) => Err(option.error("given twice")),
        None => Ok(()),
    }
}

fn number(option: &ParseNestedMeta<'_>, least: u32, most: u32) -> Result<u32> {
    let literal: LitInt = option.value()?.parse()?;
    let number = literal.base10_parse::<u32>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Error::new(literal.span(), format!("not a whole number from {least} to {most}")))
}

/// For a number that has been found to be from 0 to 15.
fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// The same rule as `portwright_domain::job::TaskName`.
fn task_name(option: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let literal: LitStr = option.value()?.parse()?;
    let text = literal.value();
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    if text.is_empty() || text.len() > 100 || !text.bytes().all(plain) {
        return Err(Error::new(literal.span(), "not a name: 1 to 100 of a-z, 0-9, '.', '_' and '-'"));
    }
    Ok(literal)
}

fn duration(option: &ParseNestedMeta<'_>) -> Result<Duration> {
    span_of_time(&option.value()?.parse()?)
}

fn span_of_time(literal: &LitStr) -> Result<Duration> {
    let text = literal.value();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let time = millis.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    match time {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(Error::new(
            literal.span(),
            "not a span of time such as \"500ms\", \"30s\", \"2m\", \"1h\" or \"7d\"",
        )),
    }
}

fn backoff(option: &ParseNestedMeta<'_>) -> Result<Backoff> {
    let value: Expr = option.value()?.parse()?;
    let usage = "not a backoff: `fixed(\"5s\")`, or `exponential(\"1s\", \"1m\")` with its cap";
    let refused = || Error::new(value.span(), usage);
    let Expr::Call(ExprCall { func, args, .. }) = &value else {
        return Err(refused());
    };
    let Expr::Path(kind) = &**func else {
        return Err(refused());
    };
    let mut times = Vec::new();
    for arg in args {
        match arg {
            Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => times.push(span_of_time(text)?),
            _ => return Err(refused()),
        }
    }
    match *times {
        [wait] if kind.path.is_ident("fixed") => Ok(Backoff::Fixed(wait)),
        [base, cap] if kind.path.is_ident("exponential") && base <= cap => {
            Ok(Backoff::Exponential { base, cap })
        }
        _ => Err(refused()),
    }
}
