//! The two forms in which metrics are written: the classic text format of Prometheus (0.0.4) and OpenMetrics (1.0). They
//! differ in the heads of families, in exemplars, and in the last line.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::answers::Exemplar;
use super::histogram::Counts;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// A count and a sum; quantiles cannot be added up and are left out.
    Summary,
    /// A number of which nobody says more.
    Unknown,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Unknown => "untyped",
        }
    }
}

/// Names and values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Metrics as text, family by family.
#[derive(Debug)]
pub(super) struct Text {
    out: String,
    open: bool,
    /// The family that is written.
    family: &'static str,
}

impl Text {
    /// In OpenMetrics where `open`, else in the classic format.
    pub(super) fn new(open: bool) -> Self {
        Self { out: String::with_capacity(16 << 10), open, family: "" }
    }

    /// Begins a family.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) {
        self.family = name;
        let (name, kind) = match (kind, name.strip_suffix("_total")) {
            // OpenMetrics calls a counter by its name without the ending that it must have
            (Kind::Counter, Some(name)) if self.open => (name, kind.name()),
            (Kind::Counter, None) | (Kind::Unknown, _) if self.open => (name, "unknown"),
            _ => (name, kind.name()),
        };
        _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let units = ["seconds", "bytes"];
        let unit =
            units.iter().find(|unit| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_')));
        if let Some(unit) = unit.filter(|_| self.open) {
            _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    /// A whole number.
    pub(super) fn count(&mut self, labels: Labels<'_>, value: u64) {
        self.sample("", labels, &[], |out| _ = write!(out, "{value}"));
        self.out.push('\n');
    }

    /// Any number.
    pub(super) fn number(&mut self, labels: Labels<'_>, value: f64) {
        self.sample("", labels, &[], |out| _ = write!(out, "{value}"));
        self.out.push('\n');
    }

    /// How often something was done, and how long it took in all.
    pub(super) fn summary(&mut self, labels: Labels<'_>, count: u64, time: Duration) {
        self.sum_and_count(labels, count, time.as_secs_f64());
    }

    /// A histogram of which `unit` make one of the unit that is told; with exemplars for its bounds, if there are.
    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        counts: &Counts,
        unit: f64,
        exemplars: &[Option<Exemplar>],
    ) {
        let bounds =
            counts.up_to.iter().map(|(bound, count)| (format!("{:?}", *bound as f64 / unit), *count));
        let all = bounds.chain([("+Inf".to_owned(), counts.count)]);
        for (i, (bound, count)) in all.enumerate() {
            self.sample("_bucket", labels, &[("le", &bound)], |out| _ = write!(out, "{count}"));
            if let Some(exemplar) = exemplars.get(i).and_then(Option::as_ref).filter(|_| self.open) {
                self.exemplar(exemplar);
            }
            self.out.push('\n');
        }
        self.sum_and_count(labels, counts.count, counts.sum as f64 / unit);
    }

    fn sum_and_count(&mut self, labels: Labels<'_>, count: u64, sum: f64) {
        self.sample("_sum", labels, &[], |out| _ = writeln!(out, "{sum}"));
        self.sample("_count", labels, &[], |out| _ = writeln!(out, "{count}"));
    }

    fn sample(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        more: Labels<'_>,
        value: impl FnOnce(&mut String),
    ) {
        self.out.push_str(self.family);
        self.out.push_str(suffix);
        let mut before = '{';
        for (name, text) in labels.iter().chain(more) {
            self.out.push(before);
            self.label(name, text);
            before = ',';
        }
        self.out.push_str(if before == ',' { "} " } else { " " });
        value(&mut self.out);
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        self.out.push_str(" # {");
        self.label(super::REQUEST_ID, &exemplar.request_id);
        let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        _ = write!(self.out, "}} {} {:.3}", exemplar.took.as_secs_f64(), at.as_secs_f64());
    }

    fn label(&mut self, name: &str, text: &str) {
        _ = write!(self.out, "{name}=\"");
        for character in text.chars() {
            match character {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }

    /// All of it.
    pub(super) fn finish(mut self) -> String {
        if self.open {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(open: bool) -> String {
        let mut text = Text::new(open);
        text.family(Kind::Counter, "a_total", "All a.");
        text.count(&[("model", "a\"\\\n")], 3);
        text.family(Kind::Counter, "b_count", "Not as it should be called.");
        text.count(&[], 1);
        text.family(Kind::Unknown, "d_total", "No counter.");
        text.number(&[], -0.5);
        text.family(Kind::Histogram, "c_seconds", "Times.");
        let exemplar =
            Exemplar { request_id: "42".to_owned(), took: Duration::from_millis(2), at: UNIX_EPOCH };
        let counts = Counts { up_to: vec![(1_000_000_000, 1)], count: 3, sum: 2_500_000_000 };
        text.histogram(&[("code", "200")], &counts, 1e9, &[Some(exemplar), None]);
        text.finish()
    }

    #[test]
    fn each_format_has_its_own_heads_exemplars_and_end() {
        let classic = "# HELP a_total All a.\n# TYPE a_total counter\na_total{model=\"a\\\"\\\\\\n\"} 3\n\
                       # HELP b_count Not as it should be called.\n# TYPE b_count counter\nb_count 1\n\
                       # HELP d_total No counter.\n# TYPE d_total untyped\nd_total -0.5\n\
                       # HELP c_seconds Times.\n# TYPE c_seconds histogram\n\
                       c_seconds_bucket{code=\"200\",le=\"1.0\"} 1\nc_seconds_bucket{code=\"200\",le=\"+Inf\"} 3\n\
                       c_seconds_sum{code=\"200\"} 2.5\nc_seconds_count{code=\"200\"} 3\n";
        assert_eq!(written(false), classic);
        let open = classic
            .replace("HELP a_total", "HELP a")
            .replace("TYPE a_total", "TYPE a")
            .replace("b_count counter", "b_count unknown")
            .replace("untyped", "unknown")
            .replace("seconds histogram\n", "seconds histogram\n# UNIT c_seconds seconds\n")
            .replace("\"1.0\"} 1\n", "\"1.0\"} 1 # {request_id=\"42\"} 0.002 0.000\n");
        assert_eq!(written(true), format!("{open}# EOF\n"));
    }
}
