use weft_identity::{RevocationReason, Revoked};
use weft_model::Severity;

use super::*;
use crate::run::ca::{
    own_list::{FILE, OwnList},
    scratch::Scratch as Town,
    store::{self, Office},
};

const DAY: Duration = Duration::from_secs(86_400);

impl Town {
    fn list(&self, life: Duration) -> String {
        let now = SystemTime::now();
        let list = self.authority.revoke(&[], &[], now, now + life);
        pem::write_revocation_list(&list.expect("list"))
    }

    fn write(&self, text: &str) {
        store::replace(&self.dir, FILE, 0o644, text.as_bytes()).expect("file");
    }

    fn known(&self) -> Vec<CertificateDer<'static>> {
        vec![self.authority.certificate().clone()]
    }
}

/// As a list that somebody else has signed in the authority's name.
fn forged(list: &str) -> String {
    let lists = pem::revocation_lists(list.as_bytes()).expect("a list");
    let mut der = lists[0].to_vec();
    *der.last_mut().expect("bytes") ^= 1;
    pem::write_revocation_list(&der.into())
}

#[test]
fn files_are_read_again_and_a_broken_one_leaves_what_was_in_force() {
    let town = Town::new("again");
    let path = town.dir.join(FILE);
    let mut revocations = Revocations::open(&[], Some(&town.dir)).expect("nothing yet");
    let (lists, problems) = (revocations.subscribe(), revocations.problems());
    let mut look = || {
        let changed = revocations.look();
        revocations.judge(town.known(), changed, SystemTime::now());
    };
    assert_eq!(lists.borrow().len(), 0);
    let text = town.list(DAY);
    town.write(&(text.clone() + &town.list(2 * DAY) + &text));
    look();
    assert_eq!((lists.borrow().len(), problems.borrow().len()), (2, 0));
    town.write("no list");
    look();
    assert_eq!(lists.borrow().len(), 2);
    let told = problems.borrow()[0].to_string();
    assert!(
        told.starts_with("error: /") && told.contains(FILE),
        "{told}"
    );
    assert!(
        told.ends_with("what it said before stays in force"),
        "{told}"
    );
    let Err(error) = Revocations::open(std::slice::from_ref(&path), None) else {
        panic!("a broken file is taken");
    };
    assert!(format!("{error:#}").contains(FILE), "{error:#}");
    fs::remove_file(&path).expect("file");
    look();
    assert_eq!((lists.borrow().len(), problems.borrow().len()), (0, 0));
    assert!(Revocations::open(&[path], None).is_err());
}

#[test]
fn a_list_that_its_authority_has_not_signed_is_named_and_not_passed_on() {
    let (town, other) = (Town::new("forged"), Town::new("unknown"));
    town.write(&(forged(&town.list(DAY)) + &town.list(DAY) + &other.list(DAY)));
    let mut revocations = Revocations::open(&[], Some(&town.dir)).expect("lists");
    let (mut sound, mut problems) = (revocations.sound(), revocations.problems());
    // Before an authority is known nobody can tell.
    revocations.judge(Vec::new(), false, SystemTime::now());
    assert_eq!((sound.borrow().len(), problems.borrow().len()), (3, 0));

    revocations.judge(town.known(), false, SystemTime::now());
    assert_eq!(revocations.subscribe().borrow().len(), 3);
    assert_eq!(sound.borrow_and_update().len(), 2);
    let told: Vec<_> = problems.borrow_and_update().to_vec();
    let severities: Vec<_> = told.iter().map(|it| it.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Info]);
    let subject = weft_identity::CertificateFacts::read(town.authority.certificate());
    let subject = subject.expect("facts").subject;
    let text = told[0].to_string();
    let (file, rest) = text.split_once(".pem:0: ").expect("the file");
    assert_eq!(
        format!("{file}.pem"),
        format!("warning: {}", town.dir.join(FILE).display())
    );
    let wanted = format!("revocation list of {subject}: the list is not signed by the authority");
    assert!(rest.starts_with(&wanted), "{rest}");

    // Told once, and once more when its authority is known.
    revocations.judge(town.known(), false, SystemTime::now());
    assert!(!sound.has_changed().expect("open") && !problems.has_changed().expect("open"));
    let both = [town.known(), other.known()].concat();
    revocations.judge(both, false, SystemTime::now());
    assert_eq!((sound.borrow().len(), problems.borrow().len()), (2, 1));
}

#[test]
fn a_list_whose_successor_is_due_stays_and_is_named() {
    let town = Town::new("stale");
    town.write(&town.list(DAY));
    let mut revocations = Revocations::open(&[], Some(&town.dir)).expect("a list");
    let problems = revocations.problems();
    revocations.judge(town.known(), false, SystemTime::now());
    assert!(problems.borrow().is_empty());
    revocations.judge(town.known(), false, SystemTime::now() + DAY);
    let told = problems.borrow()[0].to_string();
    assert!(told.contains("its successor was due at 20"), "{told}");
    assert_eq!(problems.borrow()[0].severity, Severity::Warning);
    assert_eq!(revocations.sound().borrow().len(), 1);
}

#[test]
fn the_list_of_the_authority_here_is_renewed_at_half_of_its_life() {
    let (town, other) = (Town::new("renew"), Town::new("renew-other"));
    let now = SystemTime::now();
    let entry = Revoked::new([7], now, RevocationReason::Superseded);
    let list = OwnList::open(&town.dir, &town.authority).expect("none");
    list.replace(&town.authority, &[entry], now, 2 * DAY)
        .expect("signed");
    let own = fs::read_to_string(town.dir.join(FILE)).expect("file");
    town.write(&(own + &other.list(DAY)));
    let office = Office::open(&town.dir, now).expect("authority");
    let mut revocations = Revocations::open(&[], Some(&town.dir)).expect("lists");
    revocations.renew(Renewal::new(town.dir.clone(), Arc::new(office)));
    let numbers = |revocations: &mut Revocations, at| {
        revocations.look_after(at);
        revocations.look();
        let lists = Arc::clone(&revocations.subscribe().borrow());
        let numbers = lists.iter().map(|list| {
            let left = list.next_update().duration_since(now).expect("later");
            (list.number().map(str::to_owned), left.as_secs() / 3600)
        });
        numbers.collect::<Vec<_>>()
    };
    let number = |text: &str| Some(text.to_owned());
    let hour = DAY / 24;
    // Another authority's list is due first, which is not for this one to renew.
    let before = numbers(&mut revocations, now + 20 * hour);
    assert_eq!(before, [(number("1"), 47), (number("1"), 23)]);
    let after = numbers(&mut revocations, now + 24 * hour + hour / 60);
    assert_eq!(after, [(number("1"), 23), (number("2"), 72)]);
    let lists = revocations.subscribe();
    assert_eq!(lists.borrow()[1].revoked()[0].serial, [7]);
    let again = numbers(&mut revocations, now + 25 * hour);
    assert_eq!(again, after);

    // What cannot be renewed is told.
    fs::create_dir(town.dir.join(format!("{FILE}.new"))).expect("in the way");
    revocations.look_after(now + 60 * hour);
    revocations.judge(town.known(), false, now + 60 * hour);
    let told = revocations.problems().borrow()[0].to_string();
    assert!(
        told.contains("the list cannot be renewed: cannot write"),
        "{told}"
    );
    fs::remove_dir(town.dir.join(format!("{FILE}.new"))).expect("gone");
    revocations.look_after(now + 61 * hour);
    revocations.look();
    revocations.judge(town.known(), false, now + 61 * hour);
    let told = revocations.problems().borrow().to_vec();
    assert!(
        told.iter().all(|it| it.severity == Severity::Info),
        "{told:?}"
    );
    assert_eq!(lists.borrow()[1].number(), Some("3"));
}

#[test]
fn a_writer_is_not_disturbed_by_a_renewal() {
    let town = Town::new("writer");
    town.write(&town.list(DAY));
    let now = SystemTime::now();
    let office = Office::open(&town.dir, now).expect("authority");
    let mut renewal = Renewal::new(town.dir.clone(), Arc::new(office));
    let lists = read(&town.dir.join(FILE), false).expect("a list");
    let writer = OwnList::open(&town.dir, &town.authority).expect("a list");
    renewal.look(&lists, now + DAY);
    assert_eq!(read(&town.dir.join(FILE), false).expect("a list"), lists);
    assert_eq!(renewal.failure(), None);
    drop(writer);
}
