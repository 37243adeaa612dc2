use std::time::SystemTime;

use weft_identity::Authority;

use super::*;
use crate::run::ca::{own_list::FILE, store};

#[test]
fn files_are_read_again_and_a_broken_one_leaves_what_was_in_force() {
    let dir = std::env::temp_dir().join(format!("weft-crl-{}", std::process::id()));
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).expect("folder");
    let now = SystemTime::now();
    let day = Duration::from_secs(86_400);
    let serial = store::serial().expect("serial");
    let authority = Authority::create("mesh.a", day, now, serial).expect("authority");
    let list = authority.revocation_list(&[], 1, now, now + day);
    let text = pem::write_revocation_list(&list.expect("list"));
    let replace = |text: &str| {
        fs::write(dir.join("draft"), text).expect("file");
        fs::rename(dir.join("draft"), dir.join(FILE)).expect("file");
    };

    let mut revocations = Revocations::open(&[], Some(&dir)).expect("nothing yet");
    let lists = revocations.subscribe();
    assert_eq!(lists.borrow().len(), 0);
    replace(&(text.clone() + &text));
    revocations.look();
    assert_eq!(lists.borrow().len(), 2);
    replace("no list");
    revocations.look();
    assert_eq!(lists.borrow().len(), 2);
    let Err(error) = Revocations::open(&[dir.join(FILE)], None) else {
        panic!("a broken file is taken");
    };
    assert!(format!("{error:#}").contains(FILE), "{error:#}");
    fs::remove_file(dir.join(FILE)).expect("file");
    revocations.look();
    assert_eq!(lists.borrow().len(), 0);
    assert!(Revocations::open(&[dir.join(FILE)], None).is_err());
    fs::remove_dir_all(&dir).expect("removed");
}
