//! Prometheus text (exposition format 0.0.4), read into a map.

use std::collections::BTreeMap;

/// Samples by series, as `name{label="value",...}` with labels in ascending order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metrics {
    series: BTreeMap<Series, f64>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads a scrape. Lines that are no samples are passed over.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self {
            series: lines.filter_map(sample).collect(),
        }
    }

    /// Sum of all samples of that name whose labels include all of `labels`; none when there are
    /// no such samples.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self
            .series
            .iter()
            .filter(|(series, _)| series.name == name && series.has(labels))
            .map(|(_, value)| *value)
            .peekable();
        found.peek()?;
        Some(found.sum())
    }

    /// The values that a label takes in samples of that name.
    pub fn label_values(&self, name: &str, label: &str) -> Vec<&str> {
        let mut values: Vec<&str> = self
            .series
            .keys()
            .filter(|series| series.name == name)
            .filter_map(|series| series.labels.get(label))
            .map(String::as_str)
            .collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// Names of all series, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.series.keys().map(|s| s.name.as_str()).collect();
        names.dedup();
        names
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

impl Series {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(name, value)| self.labels.get(*name).is_some_and(|own| own == value))
    }
}

fn sample(line: &str) -> Option<(Series, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.trim_start_matches(',').trim().to_owned(), value);
            rest = after.trim_start_matches([',', ' ']);
        }
        rest = &rest[1..];
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let name = name.to_owned();
    Some((Series { name, labels }, value))
}

/// A label value up to its closing quote, unescaped, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "# HELP x Y\n# TYPE x counter\nx_total{a=\"1\",b=\"q\\\"}, \"} 3\n\
                          x_total{b=\"2\",a=\"1\"} 4 1700000000\nup 1\nbroken{a=\n# EOF\n";

    #[test]
    fn samples_are_summed_over_the_labels_that_are_not_named() {
        let metrics = Metrics::parse(SCRAPE);
        assert_eq!(metrics.len(), 3);
        assert_eq!(metrics.sum("x_total", &[("a", "1")]), Some(7.0));
        assert_eq!(metrics.sum("x_total", &[("b", "q\"}, ")]), Some(3.0));
        assert_eq!(metrics.sum("x_total", &[("b", "3")]), None);
        assert_eq!(metrics.sum("up", &[]), Some(1.0));
    }
}
