//! Whether a client can take what an operation answers (RFC 9110, section 12.5.1).

use mime::Mime;
use poem::Request;
use poem::http::header;

/// Whether the `Accept` headers allow one of these media types. Where nothing is asked for or nothing is produced,
/// everything is welcome.
pub(super) fn allows<'m>(request: &Request, produced: impl Iterator<Item = &'m Mime>) -> bool {
    let lines = request.headers().get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges = lines.flat_map(|line| line.split(',')).filter_map(|range| range.trim().parse().ok());
    let ranges: Vec<Mime> = ranges.collect();
    let mut produced = produced.peekable();
    ranges.is_empty() || produced.peek().is_none() || produced.any(|media_type| welcome(media_type, &ranges))
}

/// The most specific range that covers a media type decides.
fn welcome(media_type: &Mime, ranges: &[Mime]) -> bool {
    let decisive =
        ranges.iter().filter(|range| covers(range, media_type)).max_by_key(|range| specificity(range));
    decisive.is_some_and(|range| {
        let weight = range.get_param("q").map_or(Ok(1.0), |weight| weight.as_str().parse());
        weight.is_ok_and(|weight: f32| weight > 0.0)
    })
}

fn covers(range: &Mime, media_type: &Mime) -> bool {
    let any = |name: mime::Name<'_>| name == mime::STAR;
    any(range.type_())
        || (range.type_() == media_type.type_()
            && (any(range.subtype()) || range.essence_str() == media_type.essence_str()))
}

fn specificity(range: &Mime) -> u8 {
    u8::from(range.type_() != mime::STAR) + u8::from(range.subtype() != mime::STAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(accept: &str) -> bool {
        allows(&Request::builder().header("accept", accept).finish(), [mime::APPLICATION_JSON].iter())
    }

    #[test]
    fn the_most_specific_range_decides() {
        for accept in [
            "",
            "*/*",
            "application/*",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "text/html, */*;q=0.1",
            "application/*;q=0, application/json",
            "rubbish",
        ] {
            assert!(allowed(accept), "{accept}");
        }
        for accept in ["text/html", "application/xml, text/*", "application/json;q=0, */*", "*/*;q=0.0"] {
            assert!(!allowed(accept), "{accept}");
        }
    }
}
