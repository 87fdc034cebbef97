//! `Link` headers of lists (RFC 8288): where to go on, with all other parameters as they were sent.

use poem::http::Uri;

/// The links of a numbered page.
pub(crate) fn numbered(uri: &Uri, page: u32, total_pages: u64) -> String {
    let page = u64::from(page);
    let last = total_pages.max(1);
    let mut links = vec![link(uri, "page", "1", "first")];
    if page > 1 {
        links.push(link(uri, "page", &(page - 1).min(last).to_string(), "prev"));
    }
    if page < last {
        links.push(link(uri, "page", &(page + 1).to_string(), "next"));
    }
    links.push(link(uri, "page", &last.to_string(), "last"));
    links.join(", ")
}

/// The links of a walk: it knows its start and its next page.
pub(crate) fn walk(uri: &Uri, next: Option<&str>) -> String {
    let mut links = vec![link(uri, "cursor", "", "first")];
    links.extend(next.map(|cursor| link(uri, "cursor", cursor, "next")));
    links.join(", ")
}

fn link(uri: &Uri, name: &str, value: &str, relation: &str) -> String {
    let is_other = |parameter: &&str| !parameter.is_empty() && parameter.split('=').next() != Some(name);
    let mut query: Vec<&str> = uri.query().unwrap_or_default().split('&').filter(is_other).collect();
    let this = format!("{name}={value}");
    query.push(&this);
    format!("<{}?{}>; rel=\"{relation}\"", uri.path(), query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_other_parameters_stay_as_they_were_sent() {
        let uri = Uri::from_static("/users?search=a%26b&page=2&limit=5");
        assert_eq!(
            numbered(&uri, 2, 3),
            "</users?search=a%26b&limit=5&page=1>; rel=\"first\", </users?search=a%26b&limit=5&page=1>; rel=\"prev\", \
             </users?search=a%26b&limit=5&page=3>; rel=\"next\", </users?search=a%26b&limit=5&page=3>; rel=\"last\""
        );
    }

    #[test]
    fn past_the_end_the_way_leads_back() {
        let uri = Uri::from_static("/users?page=9");
        assert_eq!(
            numbered(&uri, 9, 2),
            "</users?page=1>; rel=\"first\", </users?page=2>; rel=\"prev\", </users?page=2>; rel=\"last\""
        );
        assert_eq!(walk(&Uri::from_static("/users?cursor="), None), "</users?cursor=>; rel=\"first\"");
    }
}
