//! `cargo xtask bench compile`: the policy side alone, in memory. The measuring is a test of
//! `weft-decision` that also holds the limits; its rows are read from what it prints.

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::rows::Row;

/// Rows `compile-*` and `decide-*`.
pub(super) fn measure(sh: &Shell, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Row>> {
    let test = cmd!(
        sh,
        "cargo test --release -p weft-decision --test scale -- --ignored --nocapture"
    );
    let output = test
        .ignore_status()
        .output()
        .context("run the measuring test")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<Row> = text
        .lines()
        .filter_map(row)
        .filter(|row| wanted(row.name()))
        .collect();
    ensure!(
        output.status.success(),
        "a limit is not held, or the test does not build:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(rows)
}

fn row(line: &str) -> Option<Row> {
    let mut fields = line.strip_prefix("row\t")?.split('\t');
    let (name, unit, values) = (fields.next()?, fields.next()?, fields.next()?);
    let values: Option<Vec<f64>> = values.split(',').map(|value| value.parse().ok()).collect();
    Some(Row::alone(name, unit, &values?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_other_lines_are_not() {
        let read = row("row\tdecide-route\tmicroseconds\t0.2,0.3");
        assert_eq!(
            read.map(|row| row.name().to_owned()).as_deref(),
            Some("decide-route")
        );
        assert!(row("running 1 test").is_none());
        assert!(row("row\tx\ty\tnot a number").is_none());
    }
}
