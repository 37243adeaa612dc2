//! The certificate authority of a cluster: on the first node, asked by the second.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::AUTHORITY;
use crate::{Rig, weft};

/// Port of the authority on the first node.
const PORT: u16 = 15012;

/// Made by `weft ca init`.
#[derive(Debug)]
pub(super) struct Authority {
    directory: PathBuf,
    tokens: PathBuf,
    token: PathBuf,
    address: String,
}

impl Authority {
    pub(super) fn make(rig: &Rig) -> Result<Self> {
        let directory = rig.directory().join("authority");
        let shown = directory.to_string_lossy();
        weft::offline(&["ca", "init", "--dir", &shown])?;
        let (tokens, token) = (
            rig.directory().join("ca-tokens"),
            rig.directory().join("ca-token"),
        );
        fs::write(&tokens, "token-of-n2 *node\n").context("write the tokens")?;
        fs::write(&token, "token-of-n2").context("write the token")?;
        Ok(Self {
            directory,
            tokens,
            token,
            address: format!("{AUTHORITY}:{PORT}"),
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Arguments of `weft run` on a node.
    pub(super) fn arguments(&self, node: usize) -> Vec<String> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let arguments = match node {
            0 => [
                ("--ca", shown(&self.directory)),
                ("--ca-listen", self.address.clone()),
                ("--ca-token", shown(&self.tokens)),
            ],
            _ => [
                ("--ca-address", format!("https://{}", self.address)),
                ("--ca-root", shown(&self.directory.join("root-cert.pem"))),
                ("--ca-token-file", shown(&self.token)),
            ],
        };
        arguments
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }
}
