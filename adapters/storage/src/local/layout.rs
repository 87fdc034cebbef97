//! Where the file of a key is: `avatars/7/64.webp` is `avatars+/7+/64.webp`.
//!
//! A folder bears a mark that no key contains, so that `a` and `a/b` can both exist, as keys do not nest.

/// What the name of a folder ends with.
const FOLDER: char = '+';

/// The folders of a key, from the outermost on, and the name of its file.
pub(crate) fn place(key: &str) -> (Vec<String>, &str) {
    let (folders, file) = key.rsplit_once('/').map_or((None, key), |(folders, file)| (Some(folders), file));
    (folders.map(self::folders).unwrap_or_default(), file)
}

/// The folders of a prefix that consists of whole segments, from the outermost on.
pub(crate) fn folders(segments: &str) -> Vec<String> {
    segments.split('/').map(folder).collect()
}

/// The folder of a segment.
pub(crate) fn folder(segment: &str) -> String {
    format!("{segment}{FOLDER}")
}

/// The segment that a folder stands for; `None` if this is no folder.
pub(crate) fn segment(name: &str) -> Option<&str> {
    name.strip_suffix(FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_key_is_never_the_folder_of_another() {
        assert_eq!(place("a"), (vec![], "a"));
        assert_eq!(place("a/b"), (vec!["a+".to_owned()], "b"));
        assert_eq!(place("a/b/c.txt"), (vec!["a+".to_owned(), "b+".to_owned()], "c.txt"));
        assert_eq!((segment("a+"), segment("a")), (Some("a"), None));
    }
}
