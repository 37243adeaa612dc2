//! TLS between workloads: who is let in and who is not. Real handshakes, over memory.

#[path = "support/party.rs"]
mod party;

use std::{sync::Arc, time::Duration};

use party::{Clock, DAY, HOUR, Party, authority, handshake, id, policy, serial, svid, t0};
use weft_identity::{
    Authority, Csr, RevocationList, SigningRequest, Svid, TrustBundle, TrustDomains, TrustPolicy,
    client_config, server_config,
};

const CART: &str = "spiffe://mesh.a/ns/shop/sa/cart";
const STOCK: &str = "spiffe://mesh.a/ns/shop/sa/stock";

fn pair(now: Duration) -> (Authority, Party, Party) {
    let authority = authority("mesh.a");
    let policy = policy(&[("mesh.a", &authority)], &[], now);
    let client = Party::new(svid(&authority, CART), policy.clone());
    let server = Party::new(svid(&authority, STOCK), policy);
    (authority, client, server)
}

#[test]
fn each_side_learns_who_the_other_is() {
    let (_, client, server) = pair(HOUR);
    let (seen_by_client, seen_by_server) = handshake(&client, &server, &[STOCK]).expect("let in");
    assert_eq!(seen_by_client, id(STOCK));
    assert_eq!(seen_by_server, id(CART));
}

#[test]
fn speaks_tls_13_with_a_hybrid_exchange_and_http_2_and_nothing_is_resumed() {
    let (_, client, server) = pair(HOUR);
    let facts = party::connection(&client, &server, &[STOCK]).expect("let in");
    assert_eq!(facts.version, Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(facts.group, Some(rustls::NamedGroup::X25519MLKEM768));
    assert_eq!(facts.alpn.as_deref(), Some(&b"h2"[..]));
    let config = client_config(&client.svid, &client.policy, [id(STOCK)].into()).expect("config");
    let server = server_config(&server.svid, &server.policy).expect("config");
    for _ in 0..2 {
        let kind = party::connect_with(&config, &server).expect("let in").kind;
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn a_server_of_another_identity_is_refused_by_the_client() {
    let (_, client, server) = pair(HOUR);
    let error = handshake(&client, &server, &[CART]).expect_err("not expected");
    assert!(error.contains("none of the identities expected"), "{error}");
    handshake(&client, &server, &[CART, STOCK]).expect("one of two");
    handshake(&client, &server, &[]).expect_err("nobody is expected");
}

#[test]
fn a_certificate_that_ended_is_refused_on_either_side() {
    let (authority, client, server) = pair(HOUR);
    let late = policy(&[("mesh.a", &authority)], &[], DAY + Duration::from_secs(1));
    let error = handshake(
        &client,
        &Party {
            policy: late.clone(),
            ..server
        },
        &[STOCK],
    )
    .expect_err("the client's has ended");
    assert!(error.contains("xpired"), "{error}");
    let (_, client, server) = {
        let policy = policy(&[("mesh.a", &authority)], &[], HOUR);
        let server = Party::new(svid(&authority, STOCK), policy);
        (
            (),
            Party {
                policy: late,
                ..client
            },
            server,
        )
    };
    let error = handshake(&client, &server, &[STOCK]).expect_err("the server's has ended");
    assert!(error.contains("xpired"), "{error}");
}

#[test]
fn a_clock_that_is_ten_minutes_behind_or_ahead_is_forgiven_and_a_quarter_of_an_hour_is_not() {
    let (authority, client, _) = pair(HOUR);
    let behind = |seconds: u64| Clock(t0() - Duration::from_secs(seconds));
    let at = |clock: Clock| {
        let mut policy = policy(&[("mesh.a", &authority)], &[], HOUR);
        policy.clock = Arc::new(clock);
        policy
    };
    let server = |clock| Party {
        policy: at(clock),
        svid: svid(&authority, STOCK),
    };
    handshake(&client, &server(behind(600)), &[STOCK]).expect("a server that is behind");
    let late = server(behind(600));
    handshake(&late, &server(Clock(t0())), &[STOCK]).expect("a client that is behind");
    let error = handshake(&client, &server(behind(900)), &[STOCK]).expect_err("too far behind");
    assert!(error.contains("NotValidYet"), "{error}");
    // Ten minutes ahead matters only near the end of a certificate.
    handshake(
        &client,
        &server(Clock(t0() + Duration::from_secs(600))),
        &[STOCK],
    )
    .expect("ahead");
}

#[test]
fn another_trust_domain_is_refused_and_an_alias_let_in() {
    let (ours, theirs) = (authority("mesh.a"), authority("mesh.b"));
    let stranger = "spiffe://mesh.b/ns/shop/sa/cart";
    let both = [("mesh.a", &ours), ("mesh.b", &theirs)];
    let server = |aliases: &[&str]| Party::new(svid(&ours, STOCK), policy(&both, aliases, HOUR));
    let client = Party::new(svid(&theirs, stranger), policy(&both, &[], HOUR));
    let error = handshake(&client, &server(&[]), &[STOCK]).expect_err("a stranger");
    assert!(error.contains("trust domain"), "{error}");
    handshake(&client, &server(&["mesh.b"]), &[STOCK]).expect("an alias");
}

#[test]
fn an_authority_vouches_for_its_own_trust_domain_only() {
    let (ours, theirs) = (authority("mesh.a"), authority("mesh.b"));
    let both = policy(&[("mesh.a", &ours), ("mesh.b", &theirs)], &["mesh.b"], HOUR);
    let server = Party::new(svid(&ours, STOCK), both.clone());
    let forged = Party::new(svid(&theirs, CART), both);
    let error = handshake(&forged, &server, &[STOCK]).expect_err("signed by another's authority");
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[test]
fn an_unknown_authority_is_refused() {
    let (_, client, _) = pair(HOUR);
    let (_, _, server) = pair(HOUR);
    handshake(&client, &server, &[STOCK]).expect_err("two meshes of one name");
}

#[test]
fn during_a_change_of_root_certificates_of_both_are_believed() {
    let (old, new) = (authority("mesh.a"), authority("mesh.a"));
    let overlap = policy(&[("mesh.a", &old), ("mesh.a", &new)], &[], HOUR);
    assert_eq!(overlap.bundle.roots("mesh.a").len(), 2);
    for (client, server) in [(&old, &new), (&new, &old), (&new, &new)] {
        let client = Party::new(svid(client, CART), overlap.clone());
        let server = Party::new(svid(server, STOCK), overlap.clone());
        handshake(&client, &server, &[STOCK]).expect("overlap");
    }
    let after = policy(&[("mesh.a", &new)], &[], HOUR);
    let client = Party::new(svid(&old, CART), after.clone());
    let server = Party::new(svid(&new, STOCK), after);
    handshake(&client, &server, &[STOCK]).expect_err("the old root is gone");
}

#[test]
fn what_was_taken_back_is_refused_even_when_the_list_is_stale() {
    let (authority, client, mut server) = pair(HOUR * 5);
    let serial = weft_identity::CertificateFacts::read(&client.svid.chain()[0])
        .expect("facts")
        .serial;
    let list = authority
        .revocation_list(&[(serial, t0())], 1, t0(), t0() + HOUR)
        .expect("list");
    server.policy.revoked = [RevocationList::read(&list).expect("list")].into();
    let error = handshake(&client, &server, &[STOCK]).expect_err("revoked");
    assert!(error.contains("Revoked"), "{error}");
    assert!(server.policy.is_revoked(client.svid.chain()));
    assert!(!server.policy.is_revoked(server.svid.chain()));
    // The first of two lists does not hide the second.
    let empty = authority.revocation_list(&[], 2, t0(), t0() + HOUR);
    let empty = RevocationList::read(&empty.expect("list")).expect("list");
    server.policy.revoked = [empty, server.policy.revoked[0].clone()].into();
    let error = handshake(&client, &server, &[STOCK]).expect_err("revoked by the second list");
    assert!(error.contains("Revoked"), "{error}");
    assert!(server.policy.is_revoked(client.svid.chain()));
    let other = Party::new(svid(&authority, CART), client.policy);
    handshake(&other, &server, &[STOCK]).expect("another certificate of the same workload");
}

#[test]
fn a_list_of_the_old_root_does_not_disturb_certificates_of_the_new() {
    let (old, new) = (authority("mesh.a"), authority("mesh.a"));
    let mut overlap = policy(&[("mesh.a", &old), ("mesh.a", &new)], &[], HOUR);
    let list = old.revocation_list(&[], 1, t0(), t0() + DAY).expect("list");
    overlap.revoked = [RevocationList::read(&list).expect("list")].into();
    let client = Party::new(svid(&new, CART), overlap.clone());
    let server = Party::new(svid(&old, STOCK), overlap);
    handshake(&client, &server, &[STOCK]).expect("not spoken of");
}

#[test]
fn certificates_with_two_ids_or_none_or_without_purpose_are_refused() {
    for (names, purposes, wanted) in [
        (
            vec![CART, "spiffe://mesh.a/ns/shop/sa/admin"],
            true,
            "2 URIs",
        ),
        (vec![], true, "no URI"),
        (
            vec!["spiffe://mesh.a/shop/cart"],
            true,
            "no service account",
        ),
        (vec!["https://mesh.a/"], true, "no service account"),
        (vec![CART], false, "not for clients"),
    ] {
        let forge = party::Forge::new("mesh.a");
        let forged = forge.leaf(&names, purposes);
        let mut bundle = TrustBundle::new();
        bundle.add("mesh.a", forge.root()).expect("root");
        let domains = TrustDomains::new("mesh.a", []).expect("domains");
        let policy = TrustPolicy::new(bundle.into(), domains.into(), Arc::new(Clock(t0() + HOUR)));
        let server = party::forged_svid(&forge, STOCK);
        let config = server_config(&server, &policy).expect("config");
        let client = party::bare_client(forged, policy);
        let error = party::connect_with(&client, &config).expect_err(wanted);
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (_, client, server) = pair(HOUR);
    let config = server_config(&server.svid, &server.policy).expect("config");
    let error = party::connect_with(&party::anonymous(&client.policy), &config)
        .expect_err("no certificate");
    assert!(error.contains("NoCertificatesPresented"), "{error}");
}

#[test]
fn a_key_of_another_certificate_makes_no_svid() {
    let authority = authority("mesh.a");
    let csr = Csr::generate(&id(CART)).expect("csr");
    let request = SigningRequest::from_der(csr.der()).expect("request");
    let chain = authority
        .sign(&request, &id(CART), DAY, t0(), serial())
        .expect("chain");
    let other = Csr::generate(&id(CART)).expect("csr").into_key();
    Svid::new(chain.clone(), other).expect_err("not its key");
    let svid = Svid::new(chain, csr.into_key()).expect("its key");
    assert!(!format!("{svid:?}").contains("key"), "{svid:?}");
}
