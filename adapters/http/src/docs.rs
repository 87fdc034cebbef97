//! The bundled API explorer may run its own scripts, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// The policy under which a self-contained page works. Its inline scripts are allowed by their hashes, so that nothing
/// that gets into the page later can run.
pub(crate) fn content_security_policy(page: &str) -> String {
    let hashes: Vec<_> = inline_scripts(page)
        .map(|script| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, script.as_bytes()))))
        .collect();
    // The explorer sets styles from its script; a style can do little with nowhere to send anything.
    format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hashes.join(" ")
    )
}

/// What stands between `<script …>` and `</script>`.
fn inline_scripts(html: &str) -> impl Iterator<Item = &str> {
    let mut rest = html;
    std::iter::from_fn(move || {
        let tag = &rest[rest.find("<script")?..];
        let content = &tag[tag.find('>')? + 1..];
        let end = content.find("</script>")?;
        rest = &content[end..];
        Some(&content[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_inline_script_is_allowed_by_its_hash() {
        let html = "<style>a</style><script charset=\"x\">alert(1)</script><p><script></script>";
        assert_eq!(inline_scripts(html).collect::<Vec<_>>(), ["alert(1)", ""]);
        // From `printf 'alert(1)' | openssl dgst -sha256 -binary | base64`.
        let policy = content_security_policy(html);
        assert!(policy.contains("'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"), "{policy}");
        assert!(policy.contains("'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"), "{policy}");
    }
}
