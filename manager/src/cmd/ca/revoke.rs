//! `weft ca revoke`, and what `weft ca show` tells of lists.

use std::{collections::BTreeSet, path::Path, process::ExitCode, time::SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use weft_identity::{Authority, CertificateFacts, RevocationList, Revoked, pem};

use super::{hexadecimal, output, unix};
use crate::{
    args::{
        Output,
        ca::{RevokeArgs, SerialNumber},
    },
    run::ca::{
        own_list::{self, OwnList},
        revocations, store,
    },
};

/// Adds to the list.
pub(super) fn run(args: &RevokeArgs, output: Output, now: SystemTime) -> Result<ExitCode> {
    let report = revoke(args, now)?;
    output::print(output, &report, |report| report.text(now))
}

/// What was done, for programs.
#[derive(Serialize)]
struct Report {
    file: String,
    /// Taken back now.
    revoked: Vec<Entry>,
    /// Taken back before.
    listed_before: Vec<Entry>,
    list: List,
}

/// A certificate in a list, for programs.
#[derive(Serialize)]
struct Entry {
    serial: String,
    since: u64,
    reason: &'static str,
}

/// A list, for programs.
#[derive(Serialize)]
pub(super) struct List {
    issuer: String,
    /// Whether the authority has signed it.
    is_own: bool,
    /// In decimal digits: it may be longer than programs can count.
    number: Option<String>,
    this_update: u64,
    next_update: u64,
    revoked: Vec<Entry>,
}

impl Report {
    fn text(&self, now: SystemTime) -> String {
        let mut text = String::new();
        for entry in &self.revoked {
            text += &format!("revoked  serial {}  {}\n", entry.serial, entry.reason);
        }
        for entry in &self.listed_before {
            let ago = unix(now).saturating_sub(entry.since);
            text += &format!(
                "already  serial {}  {}  revoked {} ago\n",
                entry.serial,
                entry.reason,
                output::span(ago as f64)
            );
        }
        text + &self.list.line(now)
    }
}

impl List {
    fn of(list: &RevocationList, authority: &Authority) -> Self {
        Self {
            issuer: list.issuer().to_owned(),
            is_own: authority.has_signed_list(list),
            number: list.number().map(ToOwned::to_owned),
            this_update: unix(list.this_update()),
            next_update: unix(list.next_update()),
            revoked: list.revoked().iter().map(entry).collect(),
        }
    }

    /// For people.
    pub(super) fn line(&self, now: SystemTime) -> String {
        let number = self.number.as_deref().unwrap_or("none");
        let now = unix(now);
        let next = match self.next_update.checked_sub(now) {
            Some(left) => format!("next due in {}", output::span(left as f64)),
            None => {
                let late = output::span((now - self.next_update) as f64);
                format!("next was due {late} ago")
            }
        };
        let whose = if self.is_own {
            String::new()
        } else {
            format!("  not of this authority but {}", self.issuer)
        };
        let revoked = self.revoked.len();
        format!("list   number {number}  {revoked} revoked  {next}{whose}\n")
    }
}

fn entry(revoked: &Revoked) -> Entry {
    Entry {
        serial: hexadecimal(&revoked.serial),
        since: unix(revoked.since),
        reason: revoked.reason.name(),
    }
}

/// The lists beside an authority's files.
pub(super) fn listed(dir: &Path, authority: &Authority) -> Result<Vec<List>> {
    let lists = revocations::read(&dir.join(own_list::FILE), true)?;
    Ok(lists.iter().map(|it| List::of(it, authority)).collect())
}

fn revoke(args: &RevokeArgs, now: SystemTime) -> Result<Report> {
    let authority = store::load(&args.dir, now)?;
    let given = args.serials.iter().map(|SerialNumber(it)| Ok(it.clone()));
    let shown = args.certificates.iter();
    let shown = shown.map(|file| serial_of(file, &authority, &args.dir));
    let serials = given.chain(shown).collect::<Result<BTreeSet<_>>>()?;
    let own = CertificateFacts::read(authority.certificate())?;
    ensure!(
        !own.is_self_issued || !serials.contains(significant(&own.serial)),
        "{} is the serial number of the root itself; a root is taken back by taking it out of \
         root-cert.pem",
        hexadecimal(&own.serial)
    );
    let file = args.dir.join(own_list::FILE).display().to_string();
    let list = OwnList::open(&args.dir, &authority)?;
    let before: Vec<Revoked> = list
        .own()
        .iter()
        .flat_map(RevocationList::revoked)
        .collect();
    let (mut known, mut more) = (Vec::new(), Vec::new());
    for serial in serials {
        match before.iter().find(|entry| entry.serial == serial) {
            Some(entry) => known.push(entry.clone()),
            None => more.push(Revoked::new(serial, now, args.reason)),
        }
    }
    let list = match list.own() {
        [one] if more.is_empty() && !args.renew => one.clone(),
        _ => list
            .replace(&authority, &more, now, args.ttl)
            .with_context(|| format!("{file} stays as it is"))?,
    };
    Ok(Report {
        file,
        revoked: more.iter().map(entry).collect(),
        listed_before: known.iter().map(entry).collect(),
        list: List::of(&list, &authority),
    })
}

/// The serial number of the first certificate in a file.
fn serial_of(file: &Path, authority: &Authority, dir: &Path) -> Result<Vec<u8>> {
    let shown = file.display();
    let text = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    let certificates = pem::certificates(&text).with_context(|| format!("{shown} is refused"))?;
    let certificate = certificates.first().context("an empty text")?;
    let facts = CertificateFacts::read(certificate)
        .with_context(|| format!("no certificate in {shown}"))?;
    ensure!(
        certificate != authority.certificate(),
        "{shown} is the certificate of the authority in {} itself, which it cannot take back",
        dir.display()
    );
    ensure!(
        authority.has_signed(certificate),
        "{shown}: the certificate with serial number {} is not signed by the authority in {}; it says \
         that its issuer is {}",
        hexadecimal(&facts.serial),
        dir.display(),
        if facts.issuer.is_empty() {
            "nobody"
        } else {
            &facts.issuer
        },
    );
    Ok(significant(&facts.serial).to_vec())
}

/// A serial number without leading zeros.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|&&byte| byte == 0).count();
    &serial[zeros..]
}

#[cfg(test)]
mod tests;
