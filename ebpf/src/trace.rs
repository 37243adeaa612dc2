//! Log lines from inside the programs, in the object built with feature `trace` only: aya-log's
//! ring is a legacy map, which libbpf and bpftool refuse.

/// Logs at info level when the object was built for it; otherwise compiles to nothing.
#[cfg(feature = "trace")]
macro_rules! trace {
    ($ctx:expr, $($argument:tt)*) => {
        aya_log_ebpf::info!($ctx, $($argument)*)
    };
}

/// Logs at info level when the object was built for it; otherwise compiles to nothing.
#[cfg(not(feature = "trace"))]
macro_rules! trace {
    ($ctx:expr, $format:literal $(, $argument:expr)* $(,)?) => {{
        let _ = &$ctx;
        $(let _ = &$argument;)*
    }};
}

pub(crate) use trace;
