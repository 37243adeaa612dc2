use std::{fs, path::PathBuf, time::Duration};

use clap::Parser as _;
use weft_identity::{Csr, SigningRequest, SpiffeId};

use super::*;
use crate::{
    args::{Cli, Command, ca::CaCommand},
    run::ca::scratch::Scratch as Town,
};

const DAY: Duration = Duration::from_secs(86_400);

impl Town {
    /// The file of a certificate signed here, and its serial number.
    fn leaf(&self, name: &str) -> (PathBuf, String) {
        let id = SpiffeId::new("mesh.a", "shop", name).expect("id");
        let csr = Csr::generate(&id).expect("csr");
        let request = SigningRequest::from_der(csr.der()).expect("request");
        let serial = store::serial().expect("serial");
        let now = SystemTime::now();
        let chain = self.authority.sign(&request, &id, DAY, now, serial);
        let file = self.dir.join(format!("{name}.pem"));
        fs::write(&file, pem::write_certificates(&chain.expect("signed"))).expect("file");
        (file, serial.to_string())
    }

    fn revoke(&self, line: &[&str]) -> Result<Report> {
        let dir = self.dir.to_str().expect("a path");
        let line = [&["weft", "ca", "revoke", "--dir", dir], line].concat();
        let Command::Ca(args) = Cli::try_parse_from(line)?.command else {
            panic!("another command");
        };
        let CaCommand::Revoke(args) = args.command else {
            panic!("another command");
        };
        revoke(&args, SystemTime::now())
    }

    /// Why it is refused.
    fn refusal(&self, line: &[&str]) -> String {
        let refused = self.revoke(line).err().expect("refused");
        format!("{refused:#}")
    }

    fn file(&self) -> PathBuf {
        self.dir.join(own_list::FILE)
    }
}

fn serials(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.serial.as_str()).collect()
}

#[test]
fn certificates_are_added_to_what_is_listed_and_listed_once() {
    let town = Town::new("add");
    let (file, serial) = town.leaf("cart");
    let file = file.to_str().expect("a path");
    let first = town.revoke(&["--certificate", file, "--reason", "keyCompromise"]);
    let first = first.expect("signed");
    assert_eq!(serials(&first.revoked), [&*serial]);
    assert_eq!(
        (first.list.number.as_deref(), first.list.is_own),
        (Some("1"), true)
    );

    let more = town.revoke(&[
        "--serial", "00:0a:1B", "--serial", "0A1B", "--serial", &serial,
    ]);
    let more = more.expect("signed");
    assert_eq!(serials(&more.revoked), ["0a1b"]);
    assert_eq!(serials(&more.listed_before), [&*serial]);
    assert_eq!(more.listed_before[0].reason, "keyCompromise");
    let text = more.text(SystemTime::now());
    assert!(
        text.contains("revoked  serial 0a1b  unspecified\n"),
        "{text}"
    );
    let already = format!("already  serial {serial}  keyCompromise  revoked ");
    assert!(text.contains(&already), "{text}");
    assert!(
        text.contains("list   number 2  2 revoked  next due in 30d00h\n")
            || text.contains("next due in 29d23h\n"),
        "{text}"
    );

    // Nothing new: the file stays as it is, unless it is to be renewed.
    let before = fs::read(town.file()).expect("a list");
    let same = town.revoke(&["--serial", "a1b"]).expect("listed");
    assert_eq!(same.list.number.as_deref(), Some("2"));
    assert_eq!(fs::read(town.file()).expect("a list"), before);
    let renewed = town.revoke(&["--renew", "--ttl", "2d"]).expect("signed");
    assert_eq!(renewed.list.number.as_deref(), Some("3"));
    assert_eq!(serials(&renewed.list.revoked).len(), 2);
    let span = renewed.list.next_update - renewed.list.this_update;
    assert_eq!(
        span,
        2 * 86_400 + weft_identity::schedule::BACKDATE.as_secs()
    );
    let shown = listed(&town.dir, &town.authority).expect("a list");
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0]
            .line(SystemTime::now() + 3 * DAY)
            .contains("next was due 1d00h ago")
    );
}

#[test]
fn lists_of_others_in_the_file_stay() {
    let (town, other) = (Town::new("mine"), Town::new("theirs"));
    other.revoke(&["--serial", "77"]).expect("signed");
    fs::copy(other.file(), town.file()).expect("copied");
    town.revoke(&["--serial", "78"]).expect("signed");
    town.revoke(&["--serial", "79"]).expect("signed");
    let lists = listed(&town.dir, &town.authority).expect("lists");
    let shown: Vec<_> = lists
        .iter()
        .map(|it| (it.is_own, serials(&it.revoked)))
        .collect();
    assert_eq!(shown, [(false, vec!["77"]), (true, vec!["78", "79"])]);
    assert!(
        lists[0]
            .line(SystemTime::now())
            .contains("not of this authority but O=mesh.a")
    );
}

#[test]
fn what_cannot_be_meant_is_refused_in_words() {
    let (town, other) = (Town::new("refuse"), Town::new("refuse-other"));
    let (stranger, serial) = other.leaf("cart");
    let stranger = stranger.to_str().expect("a path");
    let refused = town.refusal(&["--certificate", stranger]);
    assert!(
        refused.contains(&serial) && refused.contains("is not signed by the authority in"),
        "{refused}"
    );
    let own = town.dir.join("ca-cert.pem");
    let refused = town.refusal(&["--certificate", own.to_str().expect("a path")]);
    assert!(refused.contains("cannot take back"), "{refused}");
    let own = CertificateFacts::read(town.authority.certificate()).expect("facts");
    let refused = town.refusal(&["--serial", &hexadecimal(&own.serial)]);
    assert!(refused.contains("root itself"), "{refused}");
    let key = town.dir.join("ca-key.pem");
    let refused = town.refusal(&["--certificate", key.to_str().expect("a path")]);
    assert!(
        refused.contains("ca-key.pem is refused: the PEM text has no certificate"),
        "{refused}"
    );
    for (line, wanted) in [
        (&["--serial", "12x"][..], "hexadecimal digits only"),
        (&["--serial", "0"], "not zero"),
        (
            &["--serial", "1", "--reason", "removeFromCRL"],
            "keyCompromise, cACompromise",
        ),
        (&["--reason", "superseded"], "required"),
        (
            &["--certificate", "/nowhere/at/all.pem"],
            "cannot read /nowhere/at/all.pem",
        ),
    ] {
        let refused = town.refusal(line);
        assert!(refused.contains(wanted), "{refused}");
    }
    assert!(!town.file().exists());
    fs::write(town.file(), "no list").expect("file");
    let refused = town.refusal(&["--serial", "1"]);
    assert!(refused.contains("no revocation list in"), "{refused}");
    assert_eq!(fs::read(town.file()).expect("file"), b"no list");
    fs::remove_file(town.dir.join("ca-key.pem")).expect("removed");
    let refused = town.refusal(&["--serial", "1"]);
    assert!(refused.contains("ca-key.pem; `weft ca init"), "{refused}");
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let town = Town::new("race");
    std::thread::scope(|threads| {
        for serial in 0x10..0x20 {
            let town = &town;
            threads.spawn(move || {
                town.revoke(&["--serial", &format!("{serial:x}")])
                    .expect("signed")
            });
        }
    });
    let lists = listed(&town.dir, &town.authority).expect("lists");
    assert_eq!(lists[0].revoked.len(), 16);
    assert_eq!(lists[0].number.as_deref(), Some("16"));
}
