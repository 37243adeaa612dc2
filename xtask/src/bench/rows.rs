//! Rows of a benchmark, as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One measured thing.
pub(crate) struct Row {
    name: String,
    /// What `weft` and `baseline` count, and what `ratio` divides.
    unit: String,
    weft: f64,
    baseline: Option<f64>,
    ratio: Option<f64>,
    spread: f64,
}

/// Which direction is good.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Better {
    /// Rates: ratio is weft by baseline.
    Higher,
    /// Times and costs: ratio is baseline by weft.
    Lower,
}

/// What both sides gave in each round.
#[derive(Default)]
pub(crate) struct Rounds {
    weft: Vec<f64>,
    baseline: Vec<f64>,
}

impl Rounds {
    /// Adds a round.
    pub(crate) fn push(&mut self, weft: f64, baseline: f64) {
        self.weft.push(weft);
        self.baseline.push(baseline);
    }

    /// All rounds as one: clock ticks are long and slices short, and only the mean of all tells.
    pub(crate) fn means(&self) -> Self {
        let mean = |values: &[f64]| vec![values.iter().sum::<f64>() / values.len().max(1) as f64];
        Self {
            weft: mean(&self.weft),
            baseline: mean(&self.baseline),
        }
    }

    /// Sums the rounds up. `what` says what is counted, `sides` what the ratio divides.
    pub(crate) fn row(self, name: &str, what: &str, better: Better, baseline: &str) -> Row {
        let ratios: Vec<f64> = self
            .weft
            .iter()
            .zip(&self.baseline)
            .map(|(weft, baseline)| match better {
                Better::Higher => weft / baseline,
                Better::Lower => baseline / weft,
            })
            .collect();
        let side = match name.split('-').next() {
            Some("nft") => "nftables",
            Some("control") => "direct",
            _ => "weft",
        };
        let division = match better {
            Better::Higher => format!("{side}/{baseline}"),
            Better::Lower => format!("{baseline}/{side}"),
        };
        Row {
            name: name.to_owned(),
            unit: format!("{what}; ratio {division}, 1 is no cost, higher is better"),
            weft: median(&self.weft),
            baseline: Some(median(&self.baseline)),
            ratio: Some(median(&ratios)),
            spread: spread(&ratios),
        }
    }
}

impl Row {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A row without a baseline: the same thing without Weft does not exist.
    pub(crate) fn alone(name: &str, unit: &str, values: &[f64]) -> Self {
        Self {
            name: name.to_owned(),
            unit: format!("{unit}; no baseline"),
            weft: median(values),
            baseline: None,
            ratio: None,
            spread: spread(values),
        }
    }
}

/// The rows for people.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = format!(
        "{:<24} {:>12} {:>12} {:>7} {:>7}  unit\n",
        "name", "weft", "baseline", "ratio", "spread"
    );
    for row in rows {
        let number = |value: Option<f64>, digits| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let unit = row.unit.split(';').next().unwrap_or_default();
        writeln!(
            table,
            "{:<24} {:>12} {:>12} {:>7} {:>7.3}  {unit}",
            row.name,
            number(Some(row.weft), 2),
            number(row.baseline, 2),
            number(row.ratio, 3),
            row.spread,
        )
        .expect("writing to a String cannot fail");
    }
    table.push_str("ratio: 1 is no cost, higher is better. Rows nft-* show nftables as weft.");
    table
}

/// The rows for programs.
pub(crate) fn json(bench: &str, rows: &[Row]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "unit": row.unit,
                "weft": row.weft,
                "baseline": row.baseline,
                "ratio": row.ratio,
                "spread": row.spread,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "bench": bench, "rows": rows }))
}

/// The value below which the share `at` (0 to 1) of the values lies; 0 of none.
pub(crate) fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = at * last as f64;
    let (low, high) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    low + (high - low) * place.fract()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Distance of the quartiles as a share of the median.
fn spread(values: &[f64]) -> f64 {
    let median = median(values);
    if median == 0.0 {
        return 0.0;
    }
    (quantile(values, 0.75) - quantile(values, 0.25)) / median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_and_not_of_the_sides() {
        let mut rounds = Rounds::default();
        // A machine that becomes twice as fast half-way; the mesh always costs a tenth.
        rounds.push(90.0, 100.0);
        rounds.push(180.0, 200.0);
        rounds.push(181.0, 200.0);
        let row = rounds.row(
            "connect-10",
            "connections per second",
            Better::Higher,
            "direct",
        );
        assert_eq!(row.ratio, Some(0.9));
        assert!(row.spread < 0.01, "{}", row.spread);
        assert!(row.unit.contains("ratio weft/direct"), "{}", row.unit);
    }

    #[test]
    fn a_time_that_doubles_halves_the_ratio() {
        let mut rounds = Rounds::default();
        rounds.push(20.0, 10.0);
        let row = rounds.row("established-rr-p50", "us", Better::Lower, "direct");
        assert_eq!(row.ratio, Some(0.5));
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
        assert_eq!(quantile(&[1.0], 0.99), 1.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
