use std::os::unix::fs::symlink;

use super::*;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weft-source-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("written");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn wait_for(source: &mut Source) -> Vec<(String, Option<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let edits = runtime
        .expect("a runtime")
        .block_on(async { tokio::time::timeout(Duration::from_secs(20), source.next()).await });
    let name = |file: &str| file.rsplit('/').next().expect("a name").to_owned();
    let edits = edits.expect("an edit in time").into_iter();
    edits
        .map(|edit| match edit.content {
            Content::Text(text) => (name(&edit.file), Some(text)),
            Content::Gone => (name(&edit.file), None),
            Content::Unreadable(reason) => panic!("{reason}"),
        })
        .collect()
}

#[test]
fn a_file_is_taken_when_it_is_closed_or_moved_in() {
    let directory = Directory::new("taken");
    directory.write("a.yaml", "one");
    directory.write("notes.txt", "no policy");
    let mut source = Source::open(&directory.0).expect("watched");
    assert_eq!(source.all().len(), 1);
    directory.write("a.yaml", "three");
    assert_eq!(
        wait_for(&mut source),
        [("a.yaml".into(), Some("three".into()))]
    );
    directory.write(".b.yaml.tmp", "four");
    fs::rename(directory.0.join(".b.yaml.tmp"), directory.0.join("b.yaml")).expect("moved");
    assert_eq!(
        wait_for(&mut source),
        [("b.yaml".into(), Some("four".into()))]
    );
}

#[test]
fn a_file_that_comes_back_at_once_was_never_gone() {
    let directory = Directory::new("back");
    directory.write("a.yaml", "one");
    let mut source = Source::open(&directory.0).expect("watched");
    source.all();
    fs::rename(directory.0.join("a.yaml"), directory.0.join("a.yaml~")).expect("moved away");
    directory.write("a.yaml", "two!");
    assert_eq!(
        wait_for(&mut source),
        [("a.yaml".into(), Some("two!".into()))]
    );
    fs::remove_file(directory.0.join("a.yaml")).expect("removed");
    assert_eq!(wait_for(&mut source), [("a.yaml".into(), None)]);
}

#[test]
fn a_link_swapped_behind_the_files_is_seen() {
    let directory = Directory::new("link");
    let versions = Directory::new("versions");
    for (version, text) in [("v1", "one"), ("v2", "second")] {
        fs::create_dir_all(versions.0.join(version)).expect("a directory");
        versions.write(&format!("{version}/a.yaml"), text);
    }
    symlink(versions.0.join("v1"), directory.0.join("current")).expect("linked");
    let mut source = Source::open(&directory.0).expect("watched");
    assert_eq!(source.all().len(), 1);
    symlink(versions.0.join("v2"), directory.0.join(".new")).expect("linked");
    fs::rename(directory.0.join(".new"), directory.0.join("current")).expect("swapped");
    assert_eq!(
        wait_for(&mut source),
        [("a.yaml".into(), Some("second".into()))]
    );
}
