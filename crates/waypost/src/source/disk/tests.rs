//! Writing, undoing and recovering changes of a directory.

use std::fs;
use std::path::Path;

use waypost_config::Kind;
use xxhash_rust::xxh3::xxh3_64;

use super::journal::{JOURNAL, Journal, Remove, Write, recover};
use super::read;
use super::unfinished::prefix;
use super::write::{CommitError, Prepared, Replaced, prepare};
use crate::checksummed;
use crate::source::{PrepareError, Source, Version};
use crate::texts::Texts;

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn texts(directory: &Path, files: &[(&str, &str)]) -> Texts {
    let sources = files.iter().map(|(name, text)| waypost_config::Source {
        name: directory.join(name).display().to_string(),
        text: text.as_bytes().into(),
    });
    Texts {
        sources: sources.collect(),
        kind: Kind::Directory,
        local: None,
    }
}

fn contents(directory: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap_or_default())
        })
        .collect();
    files.sort();
    files
}

const OLD: &[(&str, &str)] = &[("a.yaml", "1"), ("b.yaml", "1"), ("c.yaml", "1")];
const NEW: &[(&str, &str)] = &[("a.yaml", "2"), ("b.yaml", "1"), ("d.yaml", "2")];

fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let files = files.iter();
    files
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

fn prepared(directory: &Path) -> Prepared {
    let on_disk = read::read(directory).unwrap();
    prepare(directory, &texts(directory, NEW), &on_disk, |_, _| true).unwrap()
}

#[test]
fn commit_replaces_all_files_and_can_be_undone() {
    let directory = directory(OLD);
    let committed = prepared(directory.path()).commit().unwrap();
    let mut with_journal = contents(directory.path());
    with_journal.retain(|(name, _)| name != JOURNAL);
    assert_eq!(with_journal, pairs(NEW));
    committed.undo().unwrap();
    assert_eq!(contents(directory.path()), pairs(OLD));
    prepared(directory.path()).commit().unwrap().finish();
    assert_eq!(contents(directory.path()), pairs(NEW));
}

#[test]
fn start_completes_a_change_interrupted_at_any_step() {
    for step in 0..=3 {
        let directory = directory(OLD);
        let path = directory.path();
        let mut prepared = prepared(path);
        // The steps before the kill: the journal, then one file after the other.
        let journal = journal();
        checksummed::write(&path.join(JOURNAL), &serde_json::to_vec(&journal).unwrap()).unwrap();
        for Replaced { file, target, .. } in prepared.replaced.drain(..).take(step.min(2)) {
            file.persist(target).unwrap();
        }
        if step == 3 {
            fs::remove_file(path.join("c.yaml")).unwrap();
        }
        fs::write(path.join(format!("{}x", prefix(path))), "half").unwrap();
        assert_eq!(
            recover(path, false).messages,
            Vec::<String>::new(),
            "somebody else's"
        );
        assert!(recover(path, true).messages[0].contains("complete now"));
        assert_eq!(contents(path), pairs(NEW), "step {step}");
        assert_eq!(recover(path, true).messages, Vec::<String>::new());
    }
}

/// The journal of the change from `OLD` to `NEW`.
fn journal() -> Journal {
    let write = |name: &str, old: Option<&str>| Write {
        name: name.to_owned(),
        text: "2".to_owned(),
        old: old.map(|old| xxh3_64(old.as_bytes())),
    };
    Journal {
        write: vec![write("a.yaml", Some("1")), write("d.yaml", None)],
        remove: vec![Remove {
            name: "c.yaml".to_owned(),
            old: xxh3_64(b"1"),
        }],
    }
}

#[test]
fn edit_after_an_interruption_is_kept_beside() {
    let directory = directory(OLD);
    let path = directory.path();
    checksummed::write(&path.join(JOURNAL), &serde_json::to_vec(&journal()).unwrap()).unwrap();
    fs::write(path.join("a.yaml"), "by hand").unwrap();
    fs::write(path.join("c.yaml"), "by hand").unwrap();
    assert_eq!(recover(path, true).messages.len(), 3);
    for name in ["a.yaml.unapplied", "c.yaml.unapplied"] {
        assert_eq!(fs::read_to_string(path.join(name)).unwrap(), "by hand");
    }
}

#[test]
fn edit_between_prepare_and_commit_is_kept() {
    for name in ["a.yaml", "c.yaml", "d.yaml"] {
        let directory = directory(OLD);
        let path = directory.path();
        let prepared = prepared(path);
        fs::write(path.join(name), "by hand").unwrap();
        assert!(matches!(prepared.commit(), Err(CommitError::Edited(_))), "{name}");
        let mut expected = OLD.to_vec();
        expected.retain(|(other, _)| *other != name);
        expected.push((name, "by hand"));
        expected.sort_unstable();
        assert_eq!(contents(path), pairs(&expected), "{name}");
    }
}

#[test]
fn links_stay_links() {
    let directory = directory(OLD);
    let path = directory.path();
    fs::create_dir(path.join("real")).unwrap();
    fs::rename(path.join("a.yaml"), path.join("real/team-a")).unwrap();
    std::os::unix::fs::symlink("real/team-a", path.join("a.yaml")).unwrap();
    checksummed::write(&path.join(JOURNAL), &serde_json::to_vec(&journal()).unwrap()).unwrap();
    recover(path, true);
    assert_eq!(fs::read_to_string(path.join("real/team-a")).unwrap(), "2");
    let prepared = prepare(
        path,
        &texts(path, &[("a.yaml", "3")]),
        &read::read(path).unwrap(),
        |_, _| true,
    );
    let prepared = prepared.unwrap();
    assert_eq!(prepared.replaced[0].name, "a.yaml");
    prepared.commit().unwrap().finish();
    assert!(fs::symlink_metadata(path.join("a.yaml")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(path.join("real/team-a")).unwrap(), "3");
}

#[test]
fn failed_commit_restores_all_files() {
    let directory = directory(OLD);
    let prepared = prepared(directory.path());
    // The file to be removed is a directory by now.
    fs::remove_file(directory.path().join("c.yaml")).unwrap();
    fs::create_dir(directory.path().join("c.yaml")).unwrap();
    assert!(prepared.commit().is_err());
    fs::remove_dir(directory.path().join("c.yaml")).unwrap();
    assert_eq!(contents(directory.path()), pairs(&OLD[..2]));
}

#[test]
fn text_that_was_never_active_is_kept_under_a_free_name() {
    let directory = directory(&[("a.yaml", "broken")]);
    let path = directory.path();
    for expected in ["a.yaml.unapplied", "a.yaml.unapplied-2"] {
        fs::write(path.join("a.yaml"), "broken").unwrap();
        let on_disk = read::read(path).unwrap();
        let new = texts(path, &[("a.yaml", "good")]);
        let committed = prepare(path, &new, &on_disk, |_, _| false)
            .unwrap()
            .commit()
            .unwrap();
        assert_eq!(committed.kept, [path.join(expected)]);
        committed.finish();
        assert_eq!(fs::read_to_string(path.join(expected)).unwrap(), "broken");
    }
}

#[test]
fn materials_are_read_beside_the_config() {
    let directory = directory(&[("waypost.yaml", "x"), ("a.crt", "beside")]);
    let path = directory.path();
    for source in [Source::at(path), Source::at(&path.join("waypost.yaml"))] {
        assert_eq!(source.material_directory(), path);
        assert_eq!(source.read_material("a.crt").1.unwrap(), b"beside");
        assert!(source.read_material("b.crt").1.is_err());
    }
    fs::write(path.join("large"), vec![0; (4 << 20) + 1]).unwrap();
    fs::create_dir(path.join("directory")).unwrap();
    let source = Source::at(path);
    let error = |name: &str| source.read_material(name).1.unwrap_err().to_string();
    assert_eq!(error("large"), "it is larger than 4 MiB");
    assert_eq!(error("directory"), "it is not a file");
    assert_eq!(
        Source::at(Path::new("waypost.yaml")).material_directory(),
        Path::new("")
    );
}

#[test]
fn prepare_refuses_another_version_and_another_owner() {
    let directory = directory(OLD);
    let path = directory.path();
    let mut source = Source::at(path);
    let (on_disk, version) = source.read().unwrap();
    let new = texts(path, NEW);
    let other = Version::of(&new);
    assert!(matches!(
        source.prepare(&new, &other, |_, _| true),
        Err(PrepareError::Edited)
    ));
    assert!(source.prepare(&new, &version, |_, _| true).is_ok());
    let mut second = Source::at(path);
    assert!(matches!(
        second.prepare(&new, &version, |_, _| true),
        Err(PrepareError::NotOwned)
    ));
    source.release();
    let prepared = second.prepare(&new, &version, |_, _| true).ok().unwrap();
    prepared.commit().ok().unwrap().finish();
    let (now, changed) = source.read().unwrap();
    assert_eq!(now.sources.len(), on_disk.sources.len());
    assert!(changed.is_of(&now) && changed != version);
}

#[test]
fn place_in_etcd_is_no_place_on_disk() {
    let error = read::read(Path::new("etcd://127.0.0.1:2379/waypost/prod")).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.starts_with("`etcd://127.0.0.1:2379/waypost/prod` is no file or directory")
            && error.contains("waypost export"),
        "{error}"
    );
    let error = format!("{:#}", read::read(Path::new("absent")).unwrap_err());
    assert!(error.starts_with("cannot read `absent`: No such file"), "{error}");
}
