//! Whatever a file looks like, and in whatever parts it arrives, it is read as the `csv` crate reads it.

use async_trait::async_trait;
use futures::FutureExt;
use portwright_domain::PortError;
use proptest::prelude::*;

use super::*;

/// A file in parts of these sizes, over and over.
struct InParts {
    rest: Bytes,
    sizes: Vec<usize>,
    next: usize,
}

#[async_trait]
impl ObjectBody for InParts {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let size = self.sizes[self.next % self.sizes.len()].min(self.rest.len());
        self.next += 1;
        let is_over = self.rest.is_empty();
        Ok((!is_over).then(|| self.rest.split_to(size)))
    }
}

type Read = (u64, Option<Vec<String>>);

fn read(text: &[u8], sizes: &[usize]) -> Result<Vec<Read>, ImportError> {
    let body = InParts { rest: Bytes::copy_from_slice(text), sizes: sizes.to_vec(), next: 0 };
    let all = async {
        let mut records = Records::of(Box::new(body)).await?;
        let mut all = Vec::new();
        while let Some(Record { line, fields }) = records.next().await? {
            all.push((line, fields.map(|fields| fields.iter().map(str::to_owned).collect())));
        }
        Ok(all)
    };
    all.now_or_never().expect("nothing waits")
}

/// What the whole library makes of it, blank lines aside.
fn expected(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let all = reader.records().map(|record| record.expect("text").iter().map(str::to_owned).collect());
    all.filter(|fields: &Vec<String>| fields.len() > 1 || !fields[0].trim_ascii().is_empty()).collect()
}

fn lines(text: &str) -> Vec<u64> {
    read(text.as_bytes(), &[1_000]).expect("it is read").into_iter().map(|(line, _)| line).collect()
}

fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9@.]{0,8}",
        "[ a\",\r\n\t;'äé🦀\u{feff}]{0,6}",
        any::<String>().prop_map(|text| text.replace('\0', "0")),
    ]
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), proptest::collection::vec(1_usize..40, 1..8)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_was_written_is_read_with_the_line_it_begins_on(
        rows in proptest::collection::vec((proptest::collection::vec(cell(), 2..7), 0_usize..3, any::<bool>()), 0..8),
        breaks in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        has_mark in any::<bool>(),
        ends in any::<bool>(),
        sizes in sizes(),
    ) {
        let (mut text, mut wanted) = (String::new(), Vec::new());
        for (cells, blank_lines, quote_all) in rows {
            text.push_str(&breaks.repeat(blank_lines));
            let line = count_lines(&text) + 1;
            let quoted = cells.iter().map(|cell| {
                let plain = !quote_all && !cell.contains(['"', ',', '\r', '\n']);
                if plain { cell.clone() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
            });
            text.push_str(&quoted.collect::<Vec<_>>().join(","));
            text.push_str(breaks);
            wanted.push((line, Some(cells)));
        }
        if !ends && let Some(cut) = text.strip_suffix(breaks) {
            text = cut.to_owned();
        }
        if has_mark || text.starts_with('\u{feff}') {
            text.insert(0, '\u{feff}');
        }
        prop_assert_eq!(read(text.as_bytes(), &sizes), Ok(wanted), "{:?}", text);
    }

    #[test]
    fn any_text_is_read_as_the_library_reads_it_or_has_an_open_quote(
        text in "[ab ,\"\r\n]{0,60}",
        sizes in sizes(),
    ) {
        match read(text.as_bytes(), &sizes) {
            Ok(read) => {
                let fields: Vec<_> = read.into_iter().map(|(_, fields)| fields.expect("short")).collect();
                prop_assert_eq!(fields, expected(&text), "{:?}", text);
            }
            Err(ImportError::OpenQuote { line }) => {
                prop_assert!(line <= count_lines(&text) + 1 && text.contains('"'), "{:?}", text);
            }
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_bytes_are_text_or_not_wherever_they_are_cut(
        bytes in proptest::collection::vec(prop_oneof![Just(b'a'), Just(0xc3), Just(0xa4), Just(0xf0), any::<u8>()], 0..40),
        sizes in sizes(),
    ) {
        let is_text = std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0);
        match read(&bytes, &sizes) {
            Err(ImportError::NotText) => prop_assert!(!is_text),
            Ok(_) => prop_assert!(is_text),
            Err(ImportError::OpenQuote { .. }) => prop_assert!(is_text && bytes.contains(&b'"')),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}

/// The line breaks of a text, of any kind.
fn count_lines(text: &str) -> u64 {
    text.replace("\r\n", "\n").matches(['\n', '\r']).count() as u64
}

#[test]
fn physical_lines_count_also_those_that_are_blank_or_in_quotes() {
    assert_eq!(lines("a,b\nc,d\ne,f"), [1, 2, 3]);
    assert_eq!(lines("a,b\r\n\r\n\r\nc,d\r\n"), [1, 4]);
    assert_eq!(lines("a,b\rc,d\r\re,f"), [1, 2, 4]);
    assert_eq!(lines("\n\na,\"b\n\nc\"\nd,e"), [3, 6]);
    assert_eq!(lines("a,b\n \t \n\"\"\nc,d\n"), [1, 4]);
}

#[test]
fn only_the_first_mark_is_one() {
    for (text, first) in
        [("\u{feff}a,b", "a"), ("\u{feff}\u{feff}a,b", "\u{feff}a"), ("\u{feff}\u{feff},b", "\u{feff}")]
    {
        let wanted = vec![first.to_owned(), "b".to_owned()];
        assert_eq!(read(text.as_bytes(), &[1_000]), Ok(vec![(1, Some(wanted))]), "{text:?}");
    }
}

#[test]
fn a_record_is_as_long_as_the_buffer_and_no_longer() {
    let fields = |text: String| read(text.as_bytes(), &[100]).expect("it is read").remove(0).1;
    let room = "x".repeat(MAX_RECORD - 2);
    assert_eq!(fields(format!("a,{room}\nb,c")), Some(vec!["a".to_owned(), room.clone()]));
    assert_eq!(fields(format!("ab,{room}x\nb,c")), None);
    assert_eq!(fields(",".repeat(MAX_FIELDS - 2)).map(|fields| fields.len()), Some(MAX_FIELDS - 1));
    assert_eq!(fields(",".repeat(MAX_FIELDS)), None);
    let next = read(format!("{}\nb,c", "x,".repeat(100_000)).as_bytes(), &[4_096]).expect("it is read");
    assert_eq!(next[1], (2, Some(vec!["b".to_owned(), "c".to_owned()])));
}
