//! A browser gets a page and what belongs to it from the example `http_files`: an image, a stylesheet,
//! a script, and a range that the script asks for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_tests::{Server, example, find_tool, watch};

/// The script writes into the page what came of each part; the browser prints the page in the end.
const PAGE: &str = r#"<!DOCTYPE html>
<meta charset="utf-8">
<title>page</title>
<link rel="stylesheet" href="style.css">
<body>
<p id="range">none</p>
<p id="style">none</p>
<p id="image">none</p>
<p id="past">none</p>
<img id="picture" src="picture.svg">
<script src="a%20script.js"></script>
"#;

const STYLE: &str = "#style { color: rgb(1, 2, 3); }\n";

/// As no browser would show one by default.
const PICTURE: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="37" height="19"></svg>"#;

const SCRIPT: &str = r#"
const write = (name, text) => { document.getElementById(name).textContent = text; };
// Past the browser's cache, which answers in its own words for what it knows to be beyond the end.
const ask = (range) => fetch("numbers.bin", { headers: { Range: range }, cache: "no-store" });

// The end of the page waits for this.
addEventListener("load", () => {
  write("style", getComputedStyle(document.getElementById("style")).color);
  const picture = document.getElementById("picture");
  write("image", picture.naturalWidth + "x" + picture.naturalHeight);
});
(async () => {
  try {
    const answer = await ask("bytes=200000-200003");
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const said = answer.status + " " + answer.headers.get("Content-Range");
    write("range", said + ", " + bytes.length + ": " + bytes.slice(0, 8).join(","));
    const past = await ask("bytes=400000-");
    write("past", past.status + " " + past.headers.get("Content-Range"));
  } catch (error) {
    write("range", "failed: " + error);
  }
})();
"#;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("windlass-browser-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the name is new");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The page as it is in the end.
fn browse(chromium: &Path, url: &str, profile: &Path) -> String {
    // It ends the browser's helpers too, should one of them hang.
    let output = Command::new("timeout")
        .args(["--kill-after=1", "80"])
        .arg(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--no-proxy-server"])
        // As long as this much of its own time passes while nothing is under way.
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .output()
        .expect("chromium can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("a page is text")
}

#[test]
fn a_browser_shows_a_page_with_all_that_belongs_to_it() {
    let _watchdog = watch();
    let Some(chromium) = find_tool("chromium") else { return };
    for mode in ["single-threaded", "work-stealing"] {
        let site = Folder::new(&format!("{mode}-site"));
        let numbers: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for (name, content) in [
            ("index.html", PAGE.as_bytes()),
            ("style.css", STYLE.as_bytes()),
            ("picture.svg", PICTURE.as_bytes()),
            ("a script.js", SCRIPT.as_bytes()),
            ("numbers.bin", &numbers),
        ] {
            fs::write(site.0.join(name), content).expect("a new file");
        }
        let mut command = example("http_files");
        command.args(["--addr", "127.0.0.1:0", "--scheduler", mode, "--root"]).arg(&site.0);
        let server = Server::start(command);
        let profile = Folder::new(&format!("{mode}-profile"));
        let page = browse(&chromium, &format!("http://{}/", server.addr()), &profile.0);
        for line in [
            // 200000 / 4 = 50000 = 0xc350
            r#"<p id="range">206 bytes 200000-200003/400000, 4: 80,195,0,0</p>"#,
            r#"<p id="past">416 bytes */400000</p>"#,
            r#"<p id="style">rgb(1, 2, 3)</p>"#,
            r#"<p id="image">37x19</p>"#,
        ] {
            assert!(page.contains(line), "{mode}: no {line} in\n{page}");
        }
        // Pressed while the browser's connections may still be open in it.
        let (status, _) = server.interrupt();
        assert!(status.success(), "{mode}: {status}");
    }
}
