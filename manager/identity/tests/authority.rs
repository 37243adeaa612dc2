//! What the authority signs, and what it refuses.

#[path = "support/openssl.rs"]
mod openssl;
#[path = "support/party.rs"]
mod party;

use std::{fs, time::Duration};

use openssl::{openssl, run, write};
use party::{DAY, HOUR, authority, id, serial, t0};
use proptest::prelude::*;
use weft_identity::{
    Authority, AuthorityError, CertificateFacts, Csr, CsrError, PluginFiles, RevocationList,
    SigningRequest, peer_id, pem, schedule::BACKDATE,
};

const CART: &str = "spiffe://mesh.a/ns/shop/sa/cart";
const ADMIN: &str = "spiffe://mesh.a/ns/kube-system/sa/admin";

fn request(name: &str) -> SigningRequest {
    SigningRequest::from_der(Csr::generate(&id(name)).expect("csr").der()).expect("request")
}

#[test]
fn signs_who_was_authenticated_whatever_the_request_asks() {
    let chain = authority("mesh.a")
        .sign(&request(ADMIN), &id(CART), HOUR, t0(), serial())
        .expect("signed");
    let facts = CertificateFacts::read(&chain[0]).expect("facts");
    assert_eq!(peer_id(&chain).expect("id"), id(CART));
    assert_eq!(facts.uris, [CART]);
    assert_eq!(facts.subject, "");
    assert!(facts.for_clients && facts.for_servers && !facts.is_authority);
    assert_eq!(
        (facts.not_before, facts.not_after),
        (t0() - BACKDATE, t0() + HOUR)
    );
    assert_eq!(facts.serial.len(), 16);
}

#[test]
fn no_certificate_outlives_the_authority() {
    let authority = Authority::create("mesh.a", HOUR, t0(), serial()).expect("authority");
    let sign = |now| authority.sign(&request(CART), &id(CART), DAY, now, serial());
    let chain = sign(t0()).expect("signed");
    let facts = CertificateFacts::read(&chain[0]).expect("facts");
    assert_eq!(facts.not_after, t0() + HOUR);
    assert!(matches!(sign(t0() + HOUR), Err(AuthorityError::NotValid)));
    assert!(matches!(sign(t0() - HOUR), Err(AuthorityError::NotValid)));
    let none = authority.sign(&request(CART), &id(CART), Duration::ZERO, t0(), serial());
    assert!(matches!(none, Err(AuthorityError::Lifetime)));
    let forever = authority.sign(&request(CART), &id(CART), Duration::MAX, t0(), serial());
    assert!(matches!(forever, Err(AuthorityError::Time)));
}

#[test]
fn a_request_with_a_broken_signature_is_refused() {
    let mut der = Csr::generate(&id(CART)).expect("csr").der().to_vec();
    let end = der.len() - 1;
    der[end] ^= 1;
    let error = SigningRequest::from_der(&der).expect_err("broken");
    assert!(matches!(error, CsrError::Signature), "{error}");
    der[end] ^= 1;
    der.push(0);
    let error = SigningRequest::from_der(&der).expect_err("longer");
    assert!(matches!(error, CsrError::TrailingBytes), "{error}");
}

#[test]
fn a_request_that_was_changed_anywhere_is_refused_or_is_for_the_same_key() {
    let der = Csr::generate(&id(CART)).expect("csr").der().to_vec();
    let authority = authority("mesh.a");
    let key = |der: &[u8]| {
        let request = SigningRequest::from_der(der)?;
        let chain = authority.sign(&request, &id(CART), HOUR, t0(), serial())?;
        let facts = CertificateFacts::read(&chain[0]).expect("facts");
        Ok::<_, AuthorityError>(facts.public_key)
    };
    let good = key(&der).expect("unchanged");
    // SEQUENCE { information SEQUENCE { .. }, algorithm, signature }: both lengths take two octets
    // or three, and the signature covers the first of the three members.
    let start = header(&der);
    let signed = start..start + header(&der[start..]) + length(&der[start..]);
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            if let Ok(key) = key(&changed) {
                assert_eq!(key, good, "byte {at}, bit {bit}");
                assert!(!signed.contains(&at), "byte {at}, bit {bit} is signed");
            }
        }
    }
}

fn header(der: &[u8]) -> usize {
    2 + if der[1] < 0x80 {
        0
    } else {
        usize::from(der[1] & 0x7f)
    }
}

fn length(der: &[u8]) -> usize {
    if der[1] < 0x80 {
        return usize::from(der[1]);
    }
    let bytes = &der[2..header(der)];
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300) {
        drop(SigningRequest::from_der(&bytes));
        drop(SigningRequest::from_pem(&bytes));
        let good = Csr::generate(&id(CART)).expect("csr").der().to_vec();
        let cut = cut.min(good.len());
        let mut spliced = good[..cut].to_vec();
        spliced.extend_from_slice(&bytes);
        drop(SigningRequest::from_der(&spliced));
        drop(CertificateFacts::read(&spliced.as_slice().into()));
    }
}

#[test]
fn an_authority_is_read_back_from_its_files() {
    let first = authority("mesh.a");
    let again = Authority::load(&first.files(), t0()).expect("files");
    assert_eq!(again.certificate(), first.certificate());
    assert!(again.intermediates().is_empty());
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let (first, second) = (authority("mesh.a").files(), authority("mesh.a").files());
    let load = |files: PluginFiles| {
        Authority::load(&files, t0())
            .expect_err("refused")
            .to_string()
    };
    let key = PluginFiles {
        ca_key: second.ca_key.clone(),
        ..first.clone()
    };
    assert_eq!(load(key), "ca-key.pem is not the key of ca-cert.pem");
    let root = PluginFiles {
        root_cert: second.root_cert,
        ..first.clone()
    };
    assert!(load(root).contains("root-cert.pem"));
    let empty = PluginFiles {
        ca_cert: Vec::new(),
        ..first.clone()
    };
    assert!(load(empty).contains("ca-cert.pem"));
    let broken = PluginFiles {
        ca_key: b"-----BEGIN PRIVATE KEY-----\n".to_vec(),
        ..first
    };
    assert!(load(broken).contains("ca-key.pem"));
}

#[test]
fn openssl_agrees_with_a_chain_of_ours() {
    let Some(dir) = openssl() else { return };
    let authority = authority("mesh.a");
    let chain = authority
        .sign(&request(CART), &id(CART), HOUR, t0(), serial())
        .expect("signed");
    write(&dir, "root.pem", &authority.files().root_cert);
    write(&dir, "leaf.pem", pem::write_certificates(&chain).as_bytes());
    let at = t0()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .expect("time")
        .as_secs();
    for purpose in ["sslclient", "sslserver"] {
        let line = format!(
            "verify -x509_strict -attime {at} -purpose {purpose} -CAfile root.pem leaf.pem"
        );
        assert_eq!(run(&dir, &line), "leaf.pem: OK\n", "{purpose}");
    }
    let text = run(&dir, "x509 -in leaf.pem -noout -text");
    for wanted in [
        "X509v3 Subject Alternative Name: critical",
        "URI:spiffe://mesh.a/ns/shop/sa/cart",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Key Usage: critical",
        "CA:FALSE",
        "Subject: \n",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    let facts = CertificateFacts::read(&chain[0]).expect("facts");
    let list = authority
        .revocation_list(&[(facts.serial, t0())], 1, t0(), t0() + DAY)
        .expect("list");
    write(
        &dir,
        "list.pem",
        pem::write_revocation_list(&list).as_bytes(),
    );
    let line =
        format!("verify -attime {at} -crl_check -CRLfile list.pem -CAfile root.pem leaf.pem");
    assert!(run(&dir, &line).contains("revoked"));
}

#[test]
fn requests_and_intermediate_authorities_of_openssl_are_taken() {
    let Some(dir) = openssl() else { return };
    write(
        &dir,
        "ca.ext",
        b"basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\n",
    );
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root-cert.pem -days 30 -subj /O=Istio/CN=Root",
        "ecparam -name prime256v1 -genkey -noout -out ca-key.pem",
        "req -new -key ca-key.pem -out ca.csr -subj /O=Istio/CN=Intermediate/L=cluster-1",
        "x509 -req -in ca.csr -CA root-cert.pem -CAkey root.key -CAcreateserial -out ca-cert.pem -days 10 -extfile ca.ext",
        "req -new -newkey rsa:2048 -nodes -keyout leaf.key -out rsa.csr -subj /CN=me -addext basicConstraints=CA:true",
        "req -new -newkey ed25519 -nodes -keyout ed.key -out ed.csr -subj /CN=me",
        "req -new -newkey rsa:1024 -nodes -keyout weak.key -out weak.csr -subj /CN=me",
    ] {
        run(&dir, line);
    }
    let now = std::time::SystemTime::now();
    let read = |name: &str| fs::read(dir.join(name)).expect(name);
    let files = PluginFiles {
        ca_cert: read("ca-cert.pem"),
        ca_key: read("ca-key.pem"),
        root_cert: read("root-cert.pem"),
        cert_chain: [read("ca-cert.pem"), read("root-cert.pem")].concat(),
    };
    let authority = Authority::load(&files, now).expect("openssl's files");
    assert_eq!(authority.intermediates().len(), 1);
    for name in ["rsa.csr", "ed.csr"] {
        let request = SigningRequest::from_pem(&read(name)).expect(name);
        let chain = authority
            .sign(&request, &id(CART), HOUR, now, serial())
            .expect(name);
        write(
            &dir,
            "leaf.pem",
            pem::write_certificates(&chain[..1]).as_bytes(),
        );
        write(
            &dir,
            "between.pem",
            pem::write_certificates(&chain[1..]).as_bytes(),
        );
        let line = "verify -CAfile root-cert.pem -untrusted between.pem leaf.pem";
        assert_eq!(run(&dir, line), "leaf.pem: OK\n", "{name}");
        assert!(!run(&dir, "x509 -in leaf.pem -noout -text").contains("CA:TRUE"));
        // Dated back to before the intermediate authority began, and taken back all the same.
        let facts = CertificateFacts::read(&chain[0]).expect("facts");
        assert!(facts.not_before < CertificateFacts::read(&chain[1]).expect("facts").not_before);
        let mut policy = party::policy(&[("mesh.a", &authority)], &[], HOUR);
        assert!(!policy.is_revoked(&chain));
        let list = authority.revocation_list(&[(facts.serial, now)], 1, now, now + HOUR);
        policy.revoked = [RevocationList::read(&list.expect("list")).expect("list")].into();
        assert!(policy.is_revoked(&chain), "{name}");
    }
    SigningRequest::from_pem(&read("weak.csr")).expect_err("1024 bits are too few");
}
