//! Archives that are well-formed, hostile, and arbitrary.

use std::io::Write as _;

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};

use super::*;
use proptest::prelude::*;

/// A raw tar entry whose header says whatever the attack needs.
struct Raw<'a> {
    name: &'a [u8],
    kind: u8,
    link: &'a str,
    data: &'a [u8],
}

fn file<'a>(name: &'a str, data: &'a [u8]) -> Raw<'a> {
    Raw {
        name: name.as_bytes(),
        kind: b'0',
        link: "",
        data,
    }
}

fn tar_bytes(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..entry.name.len()].copy_from_slice(entry.name);
        header.set_entry_type(tar::EntryType::new(entry.kind));
        header.set_size(entry.data.len() as u64);
        header.set_mode(0o644);
        header.as_old_mut().linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(entry.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn read_entries(entries: &[Raw<'_>]) -> Result<Files, ArchiveError> {
    read_from(
        "release.tgz",
        gzip(&tar_bytes(entries)).as_slice(),
        &Limits::default(),
    )
}

fn refusal(entries: &[Raw<'_>]) -> String {
    read_entries(entries).unwrap_err().to_string()
}

#[test]
fn reads_files_and_skips_directories_and_git_headers() {
    let files = read_entries(&[
        Raw {
            name: b"pax_global_header",
            kind: b'g',
            link: "",
            data: b"16 comment=abcd\n",
        },
        Raw {
            name: b"cni/",
            kind: b'5',
            link: "",
            data: b"",
        },
        file("./cni/Chart.yaml", b"name: cni"),
        file("cni/templates/a.yaml", b""),
    ])
    .unwrap();
    let names: Vec<_> = files.keys().map(|p| p.display().to_string()).collect();
    assert_eq!(names, ["cni/Chart.yaml", "cni/templates/a.yaml"]);
    assert_eq!(files[Path::new("cni/Chart.yaml")], b"name: cni");
}

#[test]
fn refuses_names_that_leave_the_folder() {
    for (name, expected) in [
        (
            "/etc/passwd",
            "archive release.tgz, entry \"/etc/passwd\": has an absolute path, expected a path inside the archive's folder",
        ),
        (
            "a/../../b",
            "archive release.tgz, entry \"a/../../b\": leaves the archive's folder with `..`, expected a path inside it",
        ),
        (
            "..",
            "archive release.tgz, entry \"..\": leaves the archive's folder with `..`, expected a path inside it",
        ),
        (
            "a\\..\\b",
            "archive release.tgz, entry \"a\\\\..\\\\b\": has no usable name, expected UTF-8 without backslash or control characters",
        ),
    ] {
        assert_eq!(refusal(&[file(name, b"x")]), expected);
    }
    let not_utf8 = Raw {
        name: b"a/\xff",
        kind: b'0',
        link: "",
        data: b"",
    };
    assert!(refusal(&[not_utf8]).contains("no usable name"));
}

#[test]
fn refuses_everything_that_is_not_a_file_or_directory() {
    for (kind, word) in [
        (b'1', "hard link"),
        (b'2', "symbolic link"),
        (b'3', "device node"),
        (b'4', "device node"),
        (b'6', "named pipe"),
        (b'V', "tar entry of type 0x56"),
    ] {
        let entry = Raw {
            name: b"chart/x",
            kind,
            link: "../../etc/passwd",
            data: b"",
        };
        let message = refusal(&[entry]);
        assert!(
            message.starts_with(&format!(
                "archive release.tgz, entry \"chart/x\": is a {word},"
            )),
            "{message}"
        );
    }
}

#[test]
fn refuses_the_same_file_twice() {
    let message = refusal(&[file("a", b"1"), file("./a", b"2")]);
    assert!(
        message.ends_with("appears twice, expected every file once"),
        "{message}"
    );
}

#[test]
fn limits_entries_file_size_and_total() {
    let limits = Limits {
        entries: 2,
        file_bytes: 10,
        total_bytes: 4096,
        ratio: 200,
    };
    let read = |entries: &[Raw<'_>]| {
        read_from("r.tgz", gzip(&tar_bytes(entries)).as_slice(), &limits)
            .unwrap_err()
            .to_string()
    };
    let many = [file("a", b""), file("b", b""), file("c", b"")];
    assert!(read(&many).contains("entry \"c\": exceeds the limit of 2 entries"));
    assert!(read(&[file("a", &[0; 11])]).contains("limit of 10 bytes in one file"));
    let roomy = Limits {
        file_bytes: 1 << 20,
        ..limits
    };
    let big = gzip(&tar_bytes(&[file("a", &[7; 5000])]));
    let message = read_from("r.tgz", big.as_slice(), &roomy)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("limit of 4096 unpacked bytes"),
        "{message}"
    );
}

#[test]
fn refuses_a_bomb_by_its_ratio() {
    let zeros = vec![0; 16 * 1024 * 1024];
    let message = refusal(&[file("zeros", &zeros)]);
    assert!(
        message.contains("limit of 200 unpacked bytes per packed byte"),
        "{message}"
    );
}

#[test]
fn refuses_truncated_and_foreign_data() {
    let whole = gzip(&tar_bytes(&[file("a", b"some content")]));
    for cut in [0, 5, whole.len() / 2, whole.len() - 1] {
        let result = read_from("cut.tgz", &whole[..cut], &Limits::default());
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("damaged or cut off"),
            "cut at {cut}"
        );
    }
    let inner = tar_bytes(&[file("a", &[1; 2000])]);
    let result = read_from(
        "cut.tgz",
        gzip(&inner[..1500]).as_slice(),
        &Limits::default(),
    );
    assert!(
        result
            .unwrap_err()
            .to_string()
            .contains("damaged or cut off")
    );
    let result = read_from(
        "plain.tgz",
        b"not an archive".as_slice(),
        &Limits::default(),
    );
    assert!(
        result
            .unwrap_err()
            .to_string()
            .starts_with("archive plain.tgz: is damaged")
    );
}

#[test]
fn an_absent_file_is_named() {
    let error = read(Path::new("no/such.tgz")).unwrap_err().to_string();
    assert!(
        error.starts_with("archive no/such.tgz: cannot be read"),
        "{error}"
    );
}

#[test]
fn packs_a_folder_the_same_way_every_time() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("cni/templates")).unwrap();
    std::fs::write(dir.path().join("cni/templates/b.yaml"), "b").unwrap();
    std::fs::write(dir.path().join("cni/Chart.yaml"), "name: cni").unwrap();
    let first = pack(dir.path()).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400);
    let touched = std::fs::File::open(dir.path().join("cni/Chart.yaml")).unwrap();
    touched.set_modified(later).unwrap();
    assert_eq!(first, pack(dir.path()).unwrap());

    let mut tar = tar::Archive::new(MultiGzDecoder::new(first.as_slice()));
    let entries: Vec<_> = tar
        .entries()
        .unwrap()
        .map(|e| {
            let e = e.unwrap();
            let header = e.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (0, 0));
            (
                e.path().unwrap().display().to_string(),
                header.mode().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("cni".to_owned(), 0o755),
            ("cni/Chart.yaml".to_owned(), 0o644),
            ("cni/templates".to_owned(), 0o755),
            ("cni/templates/b.yaml".to_owned(), 0o644),
        ]
    );
}

#[test]
fn packing_refuses_links() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("values.yaml")).unwrap();
    let error = pack(dir.path()).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "entry \"values.yaml\": is a symbolic link, expected a regular file or a directory"
        ),
        "{error}"
    );
}

prop_compose! {
    fn some_path()(parts in prop::collection::vec("[a-zA-Z0-9_.-]{1,40}", 1..6)) -> PathBuf {
        // Prefixed, so that no part is `.` or `..` and no file is another file's folder.
        let last = parts.len() - 1;
        parts.iter().enumerate().map(|(i, p)| format!("{}{p}", if i == last { 'f' } else { 'd' })).collect()
    }
}

proptest! {
    #[test]
    fn what_was_packed_is_read_back(
        files in prop::collection::btree_map(some_path(), prop::collection::vec(any::<u8>(), 0..2000), 0..20)
    ) {
        let packed = pack_files("p", &files).unwrap();
        prop_assert_eq!(&packed, &pack_files("p", &files).unwrap());
        let read = read_from("p", packed.as_slice(), &Limits::default()).unwrap();
        prop_assert_eq!(read, files);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000), wrap: bool) {
        let bytes = if wrap { gzip(&bytes) } else { bytes };
        let _ = read_from("x", bytes.as_slice(), &Limits::default());
    }

    #[test]
    fn a_damaged_archive_is_refused_or_has_safe_paths(
        at in 0usize..4096, bit in 0u8..8
    ) {
        let mut tar = tar_bytes(&[file("chart/Chart.yaml", b"name: x"), file("chart/values.yaml", b"a: 1")]);
        let at = at % tar.len();
        tar[at] ^= 1 << bit;
        if let Ok(files) = read_from("x", gzip(&tar).as_slice(), &Limits::default()) {
            for path in files.keys() {
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }

    #[test]
    fn any_name_is_inside_or_refused(name in "[ -~]{1,90}") {
        match read_entries(&[file(&name, b"x")]) {
            Ok(files) => for path in files.keys() {
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            },
            Err(error) => prop_assert_eq!(error.entry.is_some(), true),
        }
    }
}
