//! Where code or a process runs: a namespace, and a cgroup if its sockets belong to the mesh.

use std::{ffi::OsStr, io, process::Command, sync::Arc, thread::JoinHandle};

use anyhow::{Context, Result};

use crate::{Cgroup, Namespace};

/// A network namespace, and inside or outside of the mesh's cgroup.
#[derive(Clone, Debug)]
pub struct Place {
    namespace: Arc<Namespace>,
    cgroup: Option<Arc<Cgroup>>,
}

impl Place {
    /// In the namespace, in the process's own cgroup: sockets are not in the mesh.
    pub fn outside(namespace: &Arc<Namespace>) -> Self {
        Self {
            namespace: Arc::clone(namespace),
            cgroup: None,
        }
    }

    /// In the namespace and the cgroup.
    pub fn inside(namespace: &Arc<Namespace>, cgroup: &Arc<Cgroup>) -> Self {
        Self {
            namespace: Arc::clone(namespace),
            cgroup: Some(Arc::clone(cgroup)),
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Runs `f` on a thread there and waits. Moving a thread between cgroups takes up to
    /// milliseconds, so loops belong inside `f`. Panics of `f` go on in the caller.
    ///
    /// # Panics
    /// When namespace or cgroup cannot be entered: the rig is broken.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.move_here().expect("enter a place of the rig");
                f()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a thread there.
    ///
    /// # Panics
    /// In that thread, when namespace or cgroup cannot be entered.
    pub fn spawn<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let place = self.clone();
        std::thread::spawn(move || {
            place.move_here().expect("enter a place of the rig");
            f()
        })
    }

    /// A command that will run there. Its process id is the program's own, so it can be killed.
    ///
    /// `nsenter` and not `ip netns exec`: the latter makes a mount namespace, in which bpffs and
    /// cgroups are not what they were.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace.path().display()));
        command.arg("--");
        if let Some(cgroup) = &self.cgroup {
            command.args(["sh", "-c", r#"echo $$ > "$0" && exec "$@""#]);
            command.arg(cgroup.path().join("cgroup.procs"));
        }
        command.arg(program);
        command
    }

    /// Runs a program there to its end and returns what it wrote to standard output.
    ///
    /// # Errors
    /// With its standard error, when it cannot be started or fails.
    pub fn output(&self, program: &str, args: &[&str]) -> Result<String> {
        let output = self
            .command(program)
            .args(args)
            .output()
            .with_context(|| format!("run {program}"))?;
        anyhow::ensure!(
            output.status.success(),
            "{program} {}: {}: {}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a person types to run something there by hand.
    pub fn shell_line(&self, command: &str) -> String {
        let namespace = self.namespace.nsenter();
        match &self.cgroup {
            None => format!("{namespace} {command}"),
            Some(cgroup) => format!(
                "sh -c 'echo $$ > {}/cgroup.procs && exec {namespace} {command}'",
                cgroup.path().display()
            ),
        }
    }

    fn move_here(&self) -> Result<()> {
        // Cgroup first: a namespace entered is no hindrance, but errors are easier to read so.
        if let Some(cgroup) = &self.cgroup {
            cgroup.move_here()?;
        }
        self.namespace.move_here()
    }
}

/// Whether an error is the kernel's "connection refused".
pub fn refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}
