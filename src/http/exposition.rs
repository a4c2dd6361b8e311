//! The two text formats of `/metrics`, and which of them a client asks for. OpenMetrics is what Prometheus prefers;
//! the older text format is for every other client, such as `curl` and `promtool`.

use std::collections::HashSet;
use std::fmt::Write;

use hyper::HeaderMap;
use hyper::header::ACCEPT;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Exposition {
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Exposition {
    /// Returns the format that a request asks for. OpenMetrics only if it is named.
    pub(in crate::http) fn of(headers: &HeaderMap) -> Exposition {
        let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let (mut open, mut text) = (0.0, 0.0);
        for range in lines.flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or("").to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f64>().ok()).unwrap_or(1.0);
            match kind.as_str() {
                "application/openmetrics-text" => open = quality.max(open),
                "text/plain" | "text/*" => text = quality.max(text),
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Exposition::OpenMetrics } else { Exposition::Text }
    }

    pub(in crate::http) fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts OpenMetrics to this format. The older format names a counter with its `_total` also where it is
    /// described, and has neither units nor an end.
    pub(in crate::http) fn convert(self, metrics: String) -> String {
        if self == Exposition::OpenMetrics {
            return metrics;
        }
        let described =
            |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
        let counters: HashSet<String> = metrics.lines().filter_map(described).collect();
        let mut text = String::with_capacity(metrics.len());
        for line in metrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let _ = match words[..] {
                ["#", word @ ("HELP" | "TYPE"), name, rest] if counters.contains(name) => {
                    writeln!(text, "# {word} {name}_total {rest}")
                }
                _ => writeln!(text, "{line}"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_client_gets_the_format_that_it_names() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let rows = [
            (None, Exposition::Text),
            (Some("*/*"), Exposition::Text),
            (Some("text/plain"), Exposition::Text),
            (Some(prometheus), Exposition::OpenMetrics),
            (Some("application/openmetrics-text"), Exposition::OpenMetrics),
            (Some("application/openmetrics-text;q=0"), Exposition::Text),
            (Some("application/openmetrics-text;q=0.3,text/plain;q=0.9"), Exposition::Text),
            (Some("text/html, */*;q=0.8"), Exposition::Text),
        ];
        for (accept, want) in rows {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
            assert_eq!(Exposition::of(&headers), want, "{accept:?}");
        }
    }

    #[test]
    fn counters_are_described_by_their_whole_name() {
        let open = "# HELP a Things.\n# TYPE a counter\na_total 1\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        let text =
            "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n# HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(Exposition::Text.convert(open.to_owned()), text);
        assert_eq!(Exposition::OpenMetrics.convert(open.to_owned()), open);
    }
}
