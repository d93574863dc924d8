//! What a disk holds after a power cut, told from the record of the preload library.
//!
//! A file has the bytes of its last sync; writes since then may have reached the disk or not, each 512-byte sector for itself. A
//! directory has the entries of its last sync, and of the changes since then those up to some point. A sync that failed makes
//! nothing durable, and takes the file's unwritten pages for clean: only what is written again has another chance, as Linux does it.

use super::record::Entry;
use rand::{Rng, rngs::StdRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// What the disk is believed to honour; the negative controls take something away.
#[derive(Debug, Clone, Copy)]
pub struct Honours {
    pub file_syncs: bool,
    pub dir_syncs: bool,
}

impl Honours {
    pub const ALL: Self = Self {
        file_syncs: true,
        dir_syncs: true,
    };
}

/// A change of a file.
#[derive(Debug, Clone)]
enum Edit {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, mut sector_survives: impl FnMut() -> bool) {
        match self {
            Self::Resize(len) => bytes.resize(*len, 0),
            Self::Write(offset, data) => {
                let mut at = 0;
                while at < data.len() {
                    let next = (SECTOR - (offset + at) % SECTOR + at).min(data.len());
                    if sector_survives() {
                        if bytes.len() < offset + next {
                            bytes.resize(offset + next, 0);
                        }
                        bytes[offset + at..offset + next].copy_from_slice(&data[at..next]);
                    }
                    at = next;
                }
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct File {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Not synced yet.
    pending: Vec<Edit>,
    /// Met by a sync that failed, and taken for clean since: each within one page.
    forgotten: Vec<(usize, Vec<u8>)>,
}

impl File {
    fn edit(&mut self, edit: Edit) {
        edit.apply(&mut self.cached, || true);
        self.pending.push(edit);
    }

    /// Every page that was changed is written whole.
    fn sync(&mut self) {
        for edit in std::mem::take(&mut self.pending) {
            match edit {
                Edit::Resize(len) => self.durable.resize(len, 0),
                Edit::Write(offset, data) => {
                    let from = offset / PAGE * PAGE;
                    let to = (offset + data.len())
                        .next_multiple_of(PAGE)
                        .min(self.cached.len());
                    if self.durable.len() < to {
                        self.durable.resize(to, 0);
                    }
                    if from < to {
                        self.durable[from..to].copy_from_slice(&self.cached[from..to]);
                    }
                    self.forgotten.retain(|(at, _)| !(from..to).contains(at));
                }
            }
        }
        self.durable.resize(self.cached.len(), 0);
    }

    /// A sync failed: the pages count as clean, whether they reached the disk or not.
    fn forget(&mut self) {
        for edit in std::mem::take(&mut self.pending) {
            match edit {
                // A file's length is metadata, which the file system looks after.
                Edit::Resize(len) => self.durable.resize(len, 0),
                Edit::Write(offset, data) => {
                    let mut at = 0;
                    while at < data.len() {
                        let next = (PAGE - (offset + at) % PAGE + at).min(data.len());
                        self.forgotten.push((offset + at, data[at..next].to_vec()));
                        at = next;
                    }
                }
            }
        }
    }

    fn after_cut(&self, weather: &mut Weather<'_>) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let forgotten = self
            .forgotten
            .iter()
            .map(|(offset, data)| Edit::Write(*offset, data.clone()));
        for edit in forgotten.chain(self.pending.iter().cloned()) {
            let fate = weather.write();
            if !matches!((&edit, &fate), (Edit::Resize(_), Fate::Lost)) {
                edit.apply(&mut bytes, || weather.sector(&fate));
            }
        }
        bytes
    }
}

type Names = BTreeMap<String, usize>;

/// A change of a directory, atomic.
#[derive(Debug, Clone)]
enum Move {
    Add(String, usize),
    Remove(String),
    Rename(String, String),
}

impl Move {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Add(name, node) => drop(names.insert(name.clone(), *node)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Dir {
    cached: Names,
    durable: Names,
    pending: Vec<Move>,
}

#[derive(Debug, Clone)]
enum Node {
    File(File),
    Dir(Dir),
}

/// What became of the writes that were under way.
enum Fate {
    Whole,
    Lost,
    Torn(u32),
}

/// How a power cut treats what was not synced: all kinds, from "all of it arrived" to "none did".
struct Weather<'r> {
    random: &'r mut StdRng,
    /// In 16ths.
    whole: u32,
    lost: u32,
    entries: u32,
}

impl<'r> Weather<'r> {
    fn new(random: &'r mut StdRng) -> Self {
        let (whole, lost) = match random.random_range(0..5) {
            0 => (16, 0),
            1 => (0, 16),
            2 => (0, 0),
            _ => {
                let whole = random.random_range(0..=16);
                (whole, random.random_range(0..=16 - whole))
            }
        };
        let entries = random.random_range(0..3);
        Self {
            random,
            whole,
            lost,
            entries,
        }
    }

    fn write(&mut self) -> Fate {
        let draw = self.random.random_range(0..16);
        if draw < self.whole {
            Fate::Whole
        } else if draw < self.whole + self.lost {
            Fate::Lost
        } else {
            Fate::Torn(self.random.random_range(1..16))
        }
    }

    fn sector(&mut self, fate: &Fate) -> bool {
        match fate {
            Fate::Whole => true,
            Fate::Lost => false,
            Fate::Torn(survive) => self.random.random_range(0..16) < *survive,
        }
    }

    /// How many of a directory's changes arrived.
    fn entries(&mut self, all: usize) -> usize {
        match self.entries {
            0 => 0,
            1 => all,
            _ => self.random.random_range(0..=all),
        }
    }
}

/// A disk below one directory, which itself is durable.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    by_inode: BTreeMap<u64, usize>,
    honours: Honours,
}

impl Disk {
    /// An empty one; paths in the record begin with `root`.
    pub fn new(root: &Path, honours: Honours) -> Self {
        Self {
            root: root.to_owned(),
            nodes: vec![Node::Dir(Dir::default())],
            by_inode: BTreeMap::new(),
            honours,
        }
    }

    /// What lies below `root` now, all of it durable.
    pub fn load(root: &Path, honours: Honours) -> Self {
        let mut disk = Self::new(root, honours);
        disk.load_below(root);
        for node in &mut disk.nodes {
            match node {
                Node::File(file) => {
                    file.pending.clear();
                    file.durable.clone_from(&file.cached);
                }
                Node::Dir(dir) => {
                    dir.pending.clear();
                    dir.durable.clone_from(&dir.cached);
                }
            }
        }
        disk
    }

    fn load_below(&mut self, dir: &Path) {
        use std::os::unix::fs::MetadataExt;
        for entry in std::fs::read_dir(dir).expect("lists") {
            let path = entry.expect("reads").path();
            let meta = path.symlink_metadata().expect("is there");
            let inode = meta.ino();
            if meta.is_dir() {
                self.apply(&Entry::MakeDir {
                    path: path.clone(),
                    inode,
                });
                self.load_below(&path);
            } else {
                let data = std::fs::read(&path).expect("reads");
                self.apply(&Entry::Create { path, inode });
                self.apply(&Entry::Write {
                    inode,
                    offset: 0,
                    data,
                });
            }
        }
    }

    /// The directory that holds a path, and the path's name in it.
    fn place(&mut self, path: &Path) -> (&mut Dir, String) {
        let mut below: Vec<String> = path
            .strip_prefix(&self.root)
            .expect("paths lie below the root")
            .iter()
            .map(|name| name.to_str().expect("text").to_owned())
            .collect();
        let name = below.pop().expect("is not the root");
        let mut at = 0;
        for name in below {
            let Node::Dir(dir) = &self.nodes[at] else {
                panic!("{} is no directory", path.display())
            };
            at = dir.cached[&name];
        }
        let Node::Dir(dir) = &mut self.nodes[at] else {
            panic!("{} lies in no directory", path.display())
        };
        (dir, name)
    }

    fn change_dir(&mut self, path: &Path, change: impl FnOnce(String) -> Move) {
        let (dir, name) = self.place(path);
        let change = change(name);
        change.apply(&mut dir.cached);
        dir.pending.push(change);
    }

    fn file(&mut self, inode: u64) -> &mut File {
        let node = self.by_inode[&inode];
        match &mut self.nodes[node] {
            Node::File(file) => file,
            Node::Dir(_) => panic!("inode {inode} is a directory"),
        }
    }

    fn add(&mut self, path: &Path, inode: u64, node: Node) {
        let id = self.nodes.len();
        self.nodes.push(node);
        self.by_inode.insert(inode, id);
        self.change_dir(path, |name| Move::Add(name, id));
    }

    /// Goes on by one entry.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Create { path, inode } => self.add(path, *inode, Node::File(File::default())),
            Entry::MakeDir { path, inode } => self.add(path, *inode, Node::Dir(Dir::default())),
            Entry::Write {
                inode,
                offset,
                data,
            } => {
                let edit = Edit::Write(*offset as usize, data.clone());
                self.file(*inode).edit(edit);
            }
            Entry::Resize { inode, len } => self.file(*inode).edit(Edit::Resize(*len as usize)),
            Entry::Sync { inode } if self.honours.file_syncs => self.file(*inode).sync(),
            Entry::SyncFailed { inode } => {
                if let Some(Node::File(file)) =
                    self.by_inode.get(inode).map(|id| &mut self.nodes[*id])
                {
                    file.forget();
                }
            }
            Entry::SyncDir { path } if self.honours.dir_syncs => {
                let (dir, _) = self.place(&path.join("x"));
                dir.durable.clone_from(&dir.cached);
                dir.pending.clear();
            }
            Entry::Rename { from, to } => {
                assert_eq!(
                    from.parent(),
                    to.parent(),
                    "renames between directories are not covered"
                );
                let to = to
                    .file_name()
                    .and_then(|name| name.to_str())
                    .expect("text")
                    .to_owned();
                self.change_dir(from, |from| Move::Rename(from, to));
            }
            Entry::Unlink { path } | Entry::RemoveDir { path } => {
                self.change_dir(path, Move::Remove);
            }
            Entry::Sync { .. } | Entry::SyncDir { .. } | Entry::Said(_) | Entry::Begin => {}
        }
    }

    /// What programs see while the power is on: every file with its bytes, every directory with `None`.
    pub fn seen(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut out = BTreeMap::new();
        self.tell(0, Path::new(""), &mut out, &mut |node| match node {
            Node::File(file) => (None, Some(file.cached.clone())),
            Node::Dir(dir) => (Some(dir.cached.clone()), None),
        });
        out
    }

    /// What is there after a power cut now.
    pub fn cut(&self, random: &mut StdRng) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut weather = Weather::new(random);
        let mut out = BTreeMap::new();
        self.tell(0, Path::new(""), &mut out, &mut |node| match node {
            Node::File(file) => (None, Some(file.after_cut(&mut weather))),
            Node::Dir(dir) => {
                let mut names = dir.durable.clone();
                for change in &dir.pending[..weather.entries(dir.pending.len())] {
                    change.apply(&mut names);
                }
                (Some(names), None)
            }
        });
        out
    }

    fn tell(
        &self,
        node: usize,
        path: &Path,
        out: &mut BTreeMap<PathBuf, Option<Vec<u8>>>,
        view: &mut impl FnMut(&Node) -> (Option<Names>, Option<Vec<u8>>),
    ) {
        let (names, bytes) = view(&self.nodes[node]);
        if node != 0 {
            out.insert(path.to_owned(), bytes);
        }
        for (name, node) in names.into_iter().flatten() {
            self.tell(node, &path.join(name), out, view);
        }
    }
}

/// Makes a directory hold this and nothing else.
pub fn write(image: &BTreeMap<PathBuf, Option<Vec<u8>>>, root: &Path) {
    std::fs::remove_dir_all(root).ok();
    std::fs::create_dir_all(root).expect("makes the directory");
    for (path, bytes) in image {
        let path = root.join(path);
        match bytes {
            None => std::fs::create_dir(path).expect("makes a directory"),
            Some(bytes) => std::fs::write(path, bytes).expect("writes"),
        }
    }
}

/// What a directory holds, in the same form.
pub fn read(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    Disk::load(root, Honours::ALL).seen()
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
