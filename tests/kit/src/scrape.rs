//! [`Scrape`]: what Prometheus would read, as strictly as it reads.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of one scrape. Parsing panics where the text is not in the format of Prometheus (version 0.0.4), or where
/// what it says cannot be: a series that is there twice, a bucket that is emptier than the one before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scrape {
    /// The kind of each metric, by its name.
    pub kinds: BTreeMap<String, String>,
    /// Each sample: its name, its labels, its value.
    pub samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    /// Reads this text.
    ///
    /// # Panics
    /// If Prometheus would refuse it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        assert!(text.is_empty() || text.ends_with('\n'), "the last line does not end");
        let (mut scrape, mut series) = (Self::default(), BTreeSet::new());
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# TYPE ") {
                let (name, kind) = comment.split_once(' ').expect("a name and a kind");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let before = scrape.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} comes twice");
            } else if !line.starts_with("# HELP ") {
                let (name, labels, value) = sample(line);
                let of = |suffix: &str| scrape.kinds.get(name.strip_suffix(suffix)?).map(String::as_str);
                let histogram = ["_bucket", "_sum", "_count"].iter().any(|it| of(it) == Some("histogram"));
                assert!(histogram || scrape.kinds.contains_key(&name), "{line} is of no metric");
                assert!(series.insert((name.clone(), labels.clone())), "{line} comes twice");
                scrape.samples.push((name, labels, value));
            }
        }
        scrape.expect_whole_histograms();
        scrape
    }

    /// The sum of all samples of this name that have these labels, among others; 0 if there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels).fold(0.0, |sum, (_, _, value)| sum + value)
    }

    /// The same sum, of what can only be counted.
    ///
    /// # Panics
    /// If it is no whole number.
    #[must_use]
    pub fn whole(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels);
        sum.to_string().parse().unwrap_or_else(|_| panic!("{name} is {sum}"))
    }

    /// How many series there are of this name that have these labels, among others.
    #[must_use]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        self.of(name, labels).count()
    }

    /// The values that a label has in the samples of this name.
    #[must_use]
    pub fn values_of(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<_> =
            self.of(name, &[]).filter_map(|(_, labels, _)| labels.get(label).cloned()).collect();
        values.sort();
        values.dedup();
        values
    }

    fn of<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a (String, BTreeMap<String, String>, f64)> {
        let has = |all: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| all.get(*name).is_some_and(|it| it == value))
        };
        self.samples.iter().filter(move |(it, all, _)| it == name && has(all))
    }

    fn expect_whole_histograms(&self) {
        let histograms = self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name);
        for name in histograms {
            for (_, labels, count) in self.of(&format!("{name}_count"), &[]) {
                let labels: Vec<_> =
                    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let (buckets, sum) = (format!("{name}_bucket"), format!("{name}_sum"));
                let buckets: Vec<_> = self.of(&buckets, &labels).collect();
                assert!(buckets.is_sorted_by(|(_, _, one), (_, _, next)| one <= next), "{buckets:?}");
                let last = buckets.last().expect("buckets");
                assert_eq!((last.1["le"].as_str(), last.2.to_bits()), ("+Inf", count.to_bits()), "{name}");
                assert_eq!(self.count(&sum, &labels), 1, "{name}");
            }
        }
    }
}

/// A line such as `name{label="value"} 1`.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, labels)) = series.split_once('{') else {
        return (checked(series, line), BTreeMap::new(), value);
    };
    let mut rest = labels.strip_suffix('}').expect("the end of the labels");
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, behind) = rest.split_once("=\"").expect("a label");
        let (text, behind) = quoted(behind);
        assert_eq!(labels.insert(checked(label, line), text), None, "{line}");
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    (checked(name, line), labels, value)
}

fn checked(name: &str, line: &str) -> String {
    let good = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    assert!(good && !name.as_bytes()[0].is_ascii_digit(), "no name: {line}");
    name.to_owned()
}

/// A text up to its closing quote, and what is behind that.
fn quoted(text: &str) -> (String, &str) {
    let mut plain = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (plain, &text[at + 1..]),
            '\\' => plain.push(match letters.next().expect("something escaped").1 {
                'n' => '\n',
                other => other,
            }),
            other => plain.push(other),
        }
    }
    panic!("no closing quote: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# HELP a_total All.\n# TYPE a_total counter\na_total{x=\"1\",y=\"a\\\"b\\\\c\"} 2\na_total{x=\"2\",y=\"\"} 3\n";
        let scrape = Scrape::parse(text);
        assert_eq!(scrape.whole("a_total", &[]), 5);
        assert_eq!(scrape.whole("a_total", &[("y", "a\"b\\c")]), 2);
        assert_eq!(scrape.values_of("a_total", "x"), ["1", "2"]);
    }

    #[test]
    fn what_prometheus_would_refuse_is_refused() {
        let typed = |rest: &str| format!("# TYPE a gauge\n{rest}");
        let histogram =
            "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        for text in
            ["a 1\n".to_owned(), typed("a 1"), typed("a 1\na 2\n"), typed("a x\n"), histogram.to_owned()]
        {
            assert!(std::panic::catch_unwind(|| Scrape::parse(&text)).is_err(), "{text}");
        }
    }
}
