//! A folder with some of everything, and a server for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use windlass_tests::Server;

use super::{start, temporary};

/// A folder that is served; it is removed in the end.
pub(super) struct Site {
    root: PathBuf,
}

impl Site {
    fn new() -> Site {
        /// Tells the sites of one process apart; it publishes nothing.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let root = temporary(&NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        let site = Site { root };
        for folder in ["with index", "folder/sub"] {
            fs::create_dir_all(site.root.join(folder)).expect("a temporary folder");
        }
        for name in ["small.txt", "large.bin", "empty", "a b%&é.txt"] {
            site.renew(name);
        }
        for (name, content) in
            [("with index/index.html", "<p>index"), (".hidden", "secret"), ("folder/.hidden", "")]
        {
            fs::write(site.root.join(name), content).expect("a temporary folder");
        }
        site
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What is in a file.
    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        match name {
            // No two chunks of it are alike, and its length is a multiple of nothing.
            "large.bin" => (0..777_777_u32).flat_map(|number| number.to_le_bytes()).collect(),
            "empty" => Vec::new(),
            _ => b"hello, file\n".to_vec(),
        }
    }

    /// Writes a file as it was in the beginning.
    pub(super) fn renew(&self, name: &str) {
        fs::write(self.root.join(name), self.content(name)).expect("a temporary folder");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Runs a test against a server in each mode, with more flags.
pub(super) fn with_site(flags: &[&str], test: impl Fn(&Site, &mut Server)) {
    for mode in ["single-threaded", "work-stealing"] {
        eprintln!("mode: {mode}");
        let site = Site::new();
        let mut server = start(site.root(), mode, flags);
        test(&site, &mut server);
    }
}
