//! `weft ca`: an authority in files.

mod revoke;

use std::{process::ExitCode, time::SystemTime};

use anyhow::{Context as _, Result};
use serde::Serialize;
use weft_identity::{Authority, CertificateDer, CertificateFacts, SigningRequest, SpiffeId, pem};

use super::output;
use crate::{
    args::{
        Output, OutputFormat,
        ca::{CaArgs, CaCommand},
    },
    run::ca::store,
};

/// Makes, uses or shows an authority.
pub(crate) fn run(args: &CaArgs) -> Result<ExitCode> {
    let now = SystemTime::now();
    match &args.command {
        CaCommand::Init {
            dir,
            trust_domain,
            ttl,
        } => {
            SpiffeId::new(trust_domain, "default", "default")
                .context("--trust-domain is no trust domain")?;
            let authority = Authority::create(trust_domain, *ttl, now, store::serial()?)?;
            store::create(dir, &authority)?;
            show(&authority, args.output, now)
        }
        CaCommand::Sign { dir, csr, id, ttl } => {
            let id: SpiffeId = id.parse().context("--id is no identity")?;
            let text =
                std::fs::read(csr).with_context(|| format!("cannot read {}", csr.display()))?;
            let request = SigningRequest::from_pem(&text)
                .with_context(|| format!("{} is refused", csr.display()))?;
            let authority = store::load(dir, now)?;
            let chain = authority.sign(&request, &id, *ttl, now, store::serial()?)?;
            match args.output.output {
                OutputFormat::Table => output::write(&pem::write_certificates(&chain))?,
                OutputFormat::Json => output::write(&signed(&chain)?)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        CaCommand::Revoke(given) => revoke::run(given, args.output, now),
        CaCommand::Show { dir } => {
            let authority = store::load(dir, now)?;
            let lists = revoke::listed(dir, &authority)?;
            show_with(&authority, lists, args.output, now)
        }
    }
}

/// A certificate, for programs.
#[derive(Serialize)]
struct Certificate {
    subject: String,
    issuer: String,
    serial: String,
    not_before: u64,
    not_after: u64,
    expires_in_seconds: u64,
}

/// An authority, for programs.
#[derive(Serialize)]
struct Report {
    certificate: Certificate,
    intermediates: Vec<Certificate>,
    roots: Vec<Certificate>,
    revocation_lists: Vec<revoke::List>,
}

/// A chain just signed, for programs.
#[derive(Serialize)]
struct Signed {
    id: String,
    not_after: u64,
    chain: Vec<String>,
}

fn show(authority: &Authority, output: Output, now: SystemTime) -> Result<ExitCode> {
    show_with(authority, Vec::new(), output, now)
}

fn show_with(
    authority: &Authority,
    revocation_lists: Vec<revoke::List>,
    output: Output,
    now: SystemTime,
) -> Result<ExitCode> {
    let all = |certificates: &[CertificateDer<'static>]| {
        certificates
            .iter()
            .map(|it| certificate(it, now))
            .collect::<Result<Vec<_>>>()
    };
    let report = Report {
        certificate: certificate(authority.certificate(), now)?,
        intermediates: all(authority.intermediates())?,
        roots: all(authority.roots())?,
        revocation_lists,
    };
    output::print(output, &report, |report| {
        let mut text = line("signs", &report.certificate);
        for root in &report.roots {
            text += &line("root", root);
        }
        for list in &report.revocation_lists {
            text += &list.line(now);
        }
        text
    })
}

fn line(role: &str, certificate: &Certificate) -> String {
    format!(
        "{role:<6} {}  serial {}  ends in {}\n",
        certificate.subject,
        certificate.serial,
        output::span(certificate.expires_in_seconds as f64)
    )
}

fn certificate(der: &CertificateDer<'_>, now: SystemTime) -> Result<Certificate> {
    let facts = CertificateFacts::read(der)?;
    let left = facts.not_after.duration_since(now).unwrap_or_default();
    Ok(Certificate {
        serial: hexadecimal(&facts.serial),
        not_before: unix(facts.not_before),
        not_after: unix(facts.not_after),
        expires_in_seconds: left.as_secs(),
        subject: facts.subject,
        issuer: facts.issuer,
    })
}

fn signed(chain: &[CertificateDer<'static>]) -> Result<String> {
    let facts = CertificateFacts::read(chain.first().context("an empty chain")?)?;
    let report = Signed {
        id: facts.id()?.to_string(),
        not_after: unix(facts.not_after),
        chain: chain
            .iter()
            .map(|it| pem::write_certificates([it]))
            .collect(),
    };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
