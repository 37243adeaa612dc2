//! Lists of certificates taken back: what is signed, what is read, and whom they are by.

#[path = "support/openssl.rs"]
mod openssl;
#[path = "support/party.rs"]
mod party;

use std::{fs, path::Path, time::SystemTime};

use openssl::{openssl, run, write};
use party::{DAY, HOUR, authority, svid, t0};
use weft_identity::{
    Authority, AuthorityError, CertificateFacts, CertificateRevocationListDer, ListSignature,
    PluginFiles, RevocationError, RevocationList, RevocationReason, Revoked, parse_serial, pem,
    schedule::BACKDATE,
};

const CART: &str = "spiffe://mesh.a/ns/shop/sa/cart";

fn read(der: &CertificateRevocationListDer<'_>) -> RevocationList {
    RevocationList::read(der).expect("a list")
}

fn revoked(serial: &[u8], since: SystemTime) -> Revoked {
    Revoked::new(serial, since, RevocationReason::Superseded)
}

#[test]
fn each_list_keeps_what_the_one_before_took_back_and_has_the_next_number() {
    let authority = authority("mesh.a");
    let compromised = Revoked {
        reason: RevocationReason::KeyCompromise,
        invalid_since: Some(t0() - DAY),
        ..revoked(&[0, 0x8a, 1], t0())
    };
    let first = authority
        .revoke(&[], std::slice::from_ref(&compromised), t0(), t0() + DAY)
        .expect("signed");
    let first = read(&first);
    assert_eq!(first.number(), Some("1"));
    assert_eq!(
        (first.this_update(), first.next_update()),
        (t0() - BACKDATE, t0() + DAY)
    );
    assert_eq!(
        first.issuer(),
        CertificateFacts::read(authority.certificate())
            .unwrap()
            .subject
    );
    let later = t0() + HOUR;
    // Told again with another reason, it stays as it was told first.
    let more = [revoked(&[0x8a, 1], later), revoked(&[7], later)];
    let second = authority.revoke(std::slice::from_ref(&first), &more, later, later + DAY);
    let second = read(&second.expect("signed"));
    assert_eq!(second.number(), Some("2"));
    assert_eq!(second.revoked(), [revoked(&[7], later), compromised]);
    let third = authority.revoke(&[first, second.clone()], &[], later, later + DAY);
    let third = read(&third.expect("signed"));
    assert_eq!(third.number(), Some("3"));
    assert_eq!(third.revoked(), second.revoked());
    assert_eq!(
        authority
            .revoke(&[], &[], t0(), t0() - DAY)
            .map_err(|it| it.to_string()),
        Err("the revocation list cannot be signed".to_owned())
    );
}

#[test]
fn whose_list_it_is_is_told_by_name_and_signature() {
    let (ours, theirs) = (authority("mesh.a"), authority("mesh.a"));
    let list = |authority: &Authority| {
        read(
            &authority
                .revoke(&[], &[], t0(), t0() + DAY)
                .expect("signed"),
        )
    };
    let (own, other) = (list(&ours), list(&theirs));
    assert!(ours.has_signed_list(&own) && !ours.has_signed_list(&other));
    let roots = [ours.certificate()];
    assert_eq!(other.signature(roots), ListSignature::UnknownIssuer);
    let both = [theirs.certificate(), ours.certificate()];
    assert_eq!(other.signature(both), ListSignature::Valid);
    let mut bytes = own.der().to_vec();
    *bytes.last_mut().expect("bytes") ^= 1;
    let forged = read(&bytes.into());
    assert_eq!(forged.signature(both), ListSignature::Invalid);
    assert!(own != forged && own == read(own.der()));
}

#[test]
fn an_authority_knows_the_certificates_it_has_signed() {
    let (ours, theirs) = (authority("mesh.a"), authority("mesh.a"));
    let leaf = |authority| svid(authority, CART).chain()[0].clone();
    assert!(ours.has_signed(&leaf(&ours)));
    assert!(!ours.has_signed(&leaf(&theirs)));
    assert!(!ours.has_signed(ours.certificate()));
    let mut forged = leaf(&ours).to_vec();
    *forged.last_mut().expect("bytes") ^= 1;
    assert!(!ours.has_signed(&forged.into()));
    assert!(!ours.has_signed(&b"no certificate".to_vec().into()));
}

/// Makes a root with openssl, and reads it as an authority.
fn foreign(dir: &Path, usage: &str) -> Authority {
    let line = "req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca-cert.pem -days 30 \
                -subj /O=Elsewhere/CN=Root -addext keyUsage=";
    run(dir, &format!("{line}{usage}"));
    let file = |name: &str| fs::read(dir.join(name)).expect(name);
    let files = PluginFiles {
        ca_cert: file("ca-cert.pem"),
        ca_key: file("ca-key.pem"),
        root_cert: file("ca-cert.pem"),
        cert_chain: Vec::new(),
    };
    Authority::load(&files, SystemTime::now()).expect("openssl's files")
}

/// Has openssl sign a list that takes back number 0C.
fn list_of_openssl(
    dir: &Path,
    reason: &str,
    extensions: &str,
) -> CertificateRevocationListDer<'static> {
    let index = format!("R\t401231235959Z\t250101000000Z{reason}\t0C\tunknown\t/CN=x\n");
    write(dir, "index", index.as_bytes());
    write(dir, "number", b"41\n");
    let config = format!(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index\ndefault_md = sha256\n\
         default_crl_days = 1\n{extensions}[ext]\nauthorityKeyIdentifier = keyid\n"
    );
    write(dir, "config", config.as_bytes());
    let text = run(
        dir,
        "ca -gencrl -config config -keyfile ca-key.pem -cert ca-cert.pem",
    );
    let mut lists = pem::revocation_lists(text.as_bytes()).expect("a list");
    lists.remove(0)
}

const REASON: &str = ",CACompromise";
const EXTENSIONS: &str = "crlnumber = number\ncrl_extensions = ext\n";

#[test]
fn a_list_of_version_1_is_refused_in_words() {
    let Some(dir) = openssl() else { return };
    foreign(&dir, "keyCertSign,cRLSign");
    for (reason, wanted) in [
        ("", "version 1; version 2 is needed"),
        (REASON, "has no extensions"),
    ] {
        let error = RevocationList::read(&list_of_openssl(&dir, reason, "")).expect_err(wanted);
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let broken = RevocationList::read(&b"no list".to_vec().into()).expect_err("broken");
    assert!(
        matches!(broken, RevocationError::Malformed(_)),
        "{broken:?}"
    );
}

#[test]
fn openssl_reads_what_is_signed_and_its_lists_go_on() {
    let Some(dir) = openssl() else { return };
    let authority = foreign(&dir, "keyCertSign,cRLSign");
    let now = SystemTime::now();
    let before = read(&list_of_openssl(&dir, REASON, EXTENSIONS));
    assert_eq!((before.number(), before.revoked().len()), (Some("65"), 1));
    assert!(authority.has_signed_list(&before));
    let leaf = svid_now(&authority, now);
    let serial = CertificateFacts::read(&leaf).expect("facts").serial;
    let more = [revoked(&serial, now)];
    let list = authority
        .revoke(&[before], &more, now, now + DAY)
        .expect("signed");
    write(
        &dir,
        "list.pem",
        pem::write_revocation_list(&list).as_bytes(),
    );
    write(
        &dir,
        "leaf.pem",
        pem::write_certificates([&leaf]).as_bytes(),
    );
    let text = run(&dir, "crl -in list.pem -noout -text -CAfile ca-cert.pem");
    for wanted in [
        "Version 2 (0x1)",
        "X509v3 CRL Number: \n                66",
        "Serial Number: 0C",
        "CA Compromise",
        "Superseded",
        &*serial
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<String>(),
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    // The issuer of the list is found by the key identifier that openssl made.
    let line = "verify -crl_check -CRLfile list.pem -CAfile ca-cert.pem leaf.pem";
    let verdict = run(&dir, line);
    assert!(verdict.contains("certificate revoked"), "{verdict}");
    let printed = run(&dir, "x509 -in leaf.pem -noout -serial");
    let printed = printed.trim().strip_prefix("serial=").expect("a number");
    assert_eq!(parse_serial(printed), Ok(serial));
}

#[test]
fn an_authority_without_the_key_usage_signs_no_lists() {
    let Some(dir) = openssl() else { return };
    let authority = foreign(&dir, "keyCertSign");
    let refused = authority
        .revoke(&[], &[], t0(), t0() + DAY)
        .expect_err("no cRLSign");
    assert!(matches!(refused, AuthorityError::NoLists), "{refused}");
    // OpenSSL signs it all the same; nobody takes it.
    let list = read(&list_of_openssl(&dir, REASON, EXTENSIONS));
    assert_eq!(
        list.signature([authority.certificate()]),
        ListSignature::NotAllowed
    );
    assert!(!authority.has_signed_list(&list));
}

fn svid_now(authority: &Authority, now: SystemTime) -> weft_identity::CertificateDer<'static> {
    let csr = weft_identity::Csr::generate(&party::id(CART)).expect("csr");
    let request = weft_identity::SigningRequest::from_der(csr.der()).expect("request");
    let chain = authority.sign(&request, &party::id(CART), HOUR, now, party::serial());
    chain.expect("signed").remove(0)
}
