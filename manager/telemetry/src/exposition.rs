//! The two text formats that scrapers ask for.

/// A text format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Prometheus text 0.0.4
    /// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
    Prometheus,
    /// OpenMetrics 1.0
    /// (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    OpenMetrics,
}

impl Format {
    /// The format for an `Accept` header: OpenMetrics when it is acceptable and not less wanted
    /// than plain text, else Prometheus text, which everything reads.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let (mut open, mut plain) = (0.0, 0.0);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            match media.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => open = quality.max(open),
                "text/plain" => plain = quality.max(plain),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// From OpenMetrics to Prometheus text. The formats differ in what they call a counter's family
/// (with `_total` in the older one), in `# UNIT`, and in `# EOF`.
pub(crate) fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap_or((help, ""));
            let kind = lines.peek().and_then(|next| next.strip_prefix("# TYPE "));
            let counter = kind.is_some_and(|kind| kind.strip_prefix(name) == Some(" counter"));
            push(
                &mut text,
                &["# HELP ", name, if counter { "_total " } else { " " }, help],
            );
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            match kind.strip_suffix(" counter") {
                Some(name) => push(&mut text, &["# TYPE ", name, "_total counter"]),
                None => push(&mut text, &[line]),
            }
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            push(&mut text, &[line]);
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_and_curl_get_what_they_ask_for() {
        // What Prometheus 2.x and 3.x send.
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::negotiate(Some(prometheus)), Format::OpenMetrics);
        let plain_first = "text/plain;q=0.6,application/openmetrics-text;q=0.5";
        assert_eq!(Format::negotiate(Some(plain_first)), Format::Prometheus);
        assert_eq!(Format::negotiate(Some("*/*")), Format::Prometheus);
        assert_eq!(Format::negotiate(None), Format::Prometheus);
        let refused = "application/openmetrics-text;q=0";
        assert_eq!(Format::negotiate(Some(refused)), Format::Prometheus);
        assert_eq!(
            Format::negotiate(Some("application/openmetrics-text;q=x")),
            Format::Prometheus
        );
    }

    #[test]
    fn counters_are_named_with_total_in_the_older_format() {
        let open = "# HELP a_b Things.\n# TYPE a_b counter\na_b_total{x=\"# EOF\"} 1\n\
            # HELP c Now.\n# TYPE c gauge\nc 2\n# EOF\n";
        let text = "# HELP a_b_total Things.\n# TYPE a_b_total counter\na_b_total{x=\"# EOF\"} 1\n\
            # HELP c Now.\n# TYPE c gauge\nc 2\n";
        assert_eq!(to_prometheus(open), text);
    }
}
