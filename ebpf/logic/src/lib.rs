//! Decisions that kernel and user space take alike.
