//! Printing answers.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use crate::args::{Output, OutputFormat};

/// Prints `report` as JSON, or what `table` makes of it.
pub(crate) fn print<T: Serialize>(
    output: Output,
    report: &T,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<ExitCode> {
    let text = match output.output {
        OutputFormat::Json => serde_json::to_string_pretty(report)? + "\n",
        OutputFormat::Table => table(report),
    };
    write(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output. Whoever closes the pipe has seen enough.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Seconds as `3.2s`, `4m05s`, `2h03m`, `5d02h`.
pub(crate) fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{:.1}s", seconds.max(0.0)),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A latency in seconds as `87us`, `4.2ms`, `1.30s`.
pub(crate) fn latency(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0}us", s * 1e6),
        s if s < 0.1 => format!("{:.1}ms", s * 1e3),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s => format!("{s:.2}s"),
    }
}

/// Bytes as `17B`, `4.2K`, `310M`.
pub(crate) fn bytes(count: f64) -> String {
    let mut scaled = count;
    for unit in ["B", "K", "M", "G", "T"] {
        if scaled < 1000.0 {
            return match unit {
                "B" => format!("{scaled:.0}B"),
                unit if scaled < 10.0 => format!("{scaled:.1}{unit}"),
                unit => format!("{scaled:.0}{unit}"),
            };
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.0}P")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_short() {
        assert_eq!(
            [span(3.21), span(245.0), span(7385.0)],
            ["3.2s", "4m05s", "2h03m"]
        );
        assert_eq!(span(440_000.0), "5d02h");
        assert_eq!(
            [latency(87e-6), latency(0.0042), latency(0.31)],
            ["87us", "4.2ms", "310ms"]
        );
        assert_eq!(latency(1.3), "1.30s");
        assert_eq!(
            [bytes(17.0), bytes(4300.0), bytes(3.1e8)],
            ["17B", "4.2K", "296M"]
        );
        assert_eq!(bytes(999.7 * 1024.0), "1000K");
    }
}
