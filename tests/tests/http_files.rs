//! The example `http_files` gives clients the files of its folder and nothing else, in both modes.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use windlass_tests::{Server, find_tool, watch};

#[path = "http_files/answer.rs"]
mod answer;
#[path = "http_files/rude.rs"]
mod rude;
#[path = "http_files/site.rs"]
mod site;

use answer::{Answer, ask, ask_with};
use site::with_site;

#[test]
fn curl_gets_each_file_as_it_is() {
    let _watchdog = watch();
    let Some(curl) = find_tool("curl") else { return };
    with_site(&[], |site, server| {
        for name in ["small.txt", "large.bin", "empty", "a b%&é.txt"] {
            let mut command = Command::new(&curl);
            // All on one connection, and of each name also a part, by a `Range` header of curl's.
            let url = format!(
                "http://{}/{}",
                server.addr(),
                name.replace('%', "%25").replace(' ', "%20")
            );
            command.args(["--silent", "--show-error", "--fail", &url]);
            let output = command.output().expect("curl can be started");
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout == site.content(name), "{name} is not what was served");
        }
        let url = format!("http://{}/large.bin", server.addr());
        let resumed = Command::new(&curl)
            .args(["--silent", "--fail", "--continue-at", "1000000", &url, &url])
            .output()
            .expect("curl can be started");
        assert!(resumed.stdout.starts_with(&site.content("large.bin")[1_000_000..]));
        // The second of the two came over the same connection.
        let reuse = Command::new(&curl)
            .args(["--silent", "--output", "/dev/null", "--output", "/dev/null"])
            .args(["--write-out", "%{num_connects} ", &url, &url])
            .output()
            .expect("curl can be started");
        assert_eq!(String::from_utf8_lossy(&reuse.stdout), "1 0 ");
    });
}

#[test]
fn a_head_has_the_headers_of_a_get_and_no_body() {
    let _watchdog = watch();
    with_site(&[], |_, server| {
        let get = ask(server, "GET /small.txt HTTP/1.1");
        let head = ask(server, "HEAD /small.txt HTTP/1.1");
        assert_eq!((get.status, &*get.body), (200, &b"hello, file\n"[..]));
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
            assert!(get.header(name).is_some(), "{name} is missing");
            assert_eq!(get.header(name), head.header(name), "{name}");
        }
        assert_eq!(get.header("content-type"), Some("text/plain; charset=utf-8"));
    });
}

#[test]
fn a_range_gives_those_bytes_or_says_that_there_are_none() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let whole = site.content("large.bin");
        let length = whole.len();
        for (range, first, end) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=70000-199999".to_owned(), 70_000, 200_000),
            (format!("bytes={}-", length - 1), length - 1, length),
            ("bytes=-70000".to_owned(), length - 70_000, length),
        ] {
            let answer =
                ask_with(server, "GET /large.bin HTTP/1.1", &format!("Range: {range}\r\n"));
            assert_eq!(answer.status, 206, "{range}");
            let expected = format!("bytes {first}-{}/{length}", end - 1);
            assert_eq!(answer.header("content-range"), Some(&*expected));
            assert!(answer.body == whole[first..end], "{range}");
        }
        let past = format!("Range: bytes={length}-\r\n");
        let answer = ask_with(server, "GET /large.bin HTTP/1.1", &past);
        assert_eq!(answer.status, 416);
        assert_eq!(answer.header("content-range"), Some(&*format!("bytes */{length}")));
        for ignored in ["bytes=1-2,5-6", "bytes=9-8", "lines=1-2"] {
            let answer =
                ask_with(server, "GET /small.txt HTTP/1.1", &format!("Range: {ignored}\r\n"));
            assert_eq!((answer.status, answer.body.len()), (200, 12), "{ignored}");
        }
    });
}

#[test]
fn what_the_client_has_already_is_not_sent_again() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let get = |headers: &str| ask_with(server, "GET /small.txt HTTP/1.1", headers);
        let first = get("");
        let etag = first.header("etag").expect("it has one").to_owned();
        let date = first.header("last-modified").expect("it has one").to_owned();
        for condition in [
            format!("If-None-Match: {etag}\r\n"),
            format!("If-None-Match: \"other\", W/{etag}\r\n"),
            "If-None-Match: *\r\n".to_owned(),
            format!("If-Modified-Since: {date}\r\n"),
        ] {
            let answer = get(&condition);
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{condition}");
            assert_eq!(answer.header("etag"), Some(&*etag));
        }
        for condition in [
            "If-None-Match: \"other\"\r\n".to_owned(),
            // The tag counts, not the date.
            format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {date}\r\n"),
            "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(),
            "If-Modified-Since: yesterday\r\n".to_owned(),
        ] {
            assert_eq!(get(&condition).status, 200, "{condition}");
        }
        assert_eq!(get(&format!("Range: bytes=0-1\r\nIf-Range: {etag}\r\n")).status, 206);
        assert_eq!(get(&format!("Range: bytes=0-1\r\nIf-Range: {date}\r\n")).status, 206);
        assert_eq!(get("Range: bytes=0-1\r\nIf-Range: \"other\"\r\n").status, 200);

        // The same length and another time: another version.
        let file = File::options().write(true).open(site.root().join("small.txt"));
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.expect("it is ours").set_modified(time).expect("it is ours");
        let changed = get(&format!("If-None-Match: {etag}\r\n"));
        assert_eq!(changed.status, 200);
        assert_eq!(changed.header("last-modified"), Some("Sun, 09 Sep 2001 01:46:40 GMT"));
        site.renew("small.txt");
    });
}

/// HTTP has no way to write such a time.
#[test]
fn a_file_from_before_1970_is_served_without_its_time() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let file = File::options().write(true).open(site.root().join("small.txt"));
        let time = UNIX_EPOCH - Duration::from_secs(1_000_000);
        file.expect("it is ours").set_modified(time).expect("it is ours");
        let answer = ask(server, "GET /small.txt HTTP/1.1");
        assert_eq!((answer.status, answer.header("last-modified")), (200, None));
        site.renew("small.txt");
    });
}

#[test]
fn a_folder_is_its_index_page_or_a_list_that_runs_no_scripts() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let moved = ask(server, "GET /with%20index?x HTTP/1.1");
        assert_eq!((moved.status, moved.header("location")), (301, Some("/with%20index/")));
        // With two slashes a browser would go to another host.
        let moved = ask(server, "GET //with%20index HTTP/1.1");
        assert_eq!(moved.header("location"), Some("/with%20index/"));
        let index = ask(server, "GET /with%20index/ HTTP/1.1");
        assert_eq!((index.status, &*index.body), (200, &b"<p>index"[..]));
        assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));

        fs::write(site.root().join("folder/<script>'&\"\n"), "").expect("a temporary folder");
        let list = ask(server, "GET /folder/ HTTP/1.1").text();
        assert!(list.contains("&lt;script&gt;&#39;&amp;&quot;"), "{list}");
        assert!(list.contains("href=\"./%3Cscript%3E%27%26%22%0A\""), "{list}");
        assert!(!list.contains("<script"), "{list}");
        assert!(list.contains("href=\"./sub/\"") && !list.contains("hidden"), "{list}");
        assert_eq!(ask(server, "GET /folder/%3Cscript%3E%27%26%22%0A HTTP/1.1").status, 200);
        assert_eq!(ask(server, "GET /small.txt/ HTTP/1.1").status, 404);
    });
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let secret = site.root().with_extension("secret");
        fs::write(&secret, "secret").expect("a temporary folder");
        let name = secret.file_name().expect("it has one").to_str().expect("it is text");
        symlink(&secret, site.root().join("absolute")).expect("a temporary folder");
        symlink(format!("../{name}"), site.root().join("relative")).expect("a temporary folder");
        symlink("..", site.root().join("up")).expect("a temporary folder");
        symlink("small.txt", site.root().join("within")).expect("a temporary folder");
        for path in [
            format!("/../{name}"),
            format!("/folder/../../{name}"),
            format!("/%2e%2e/{name}"),
            format!("/%2E./{name}"),
            format!("/folder/..%2f..%2f{name}"),
            format!("/..\\{name}"),
            format!("//../{name}"),
            format!("/up/{name}"),
            format!("http://x/../{name}"),
            "/absolute".to_owned(),
            "/relative".to_owned(),
            "/up/".to_owned(),
            "/.hidden".to_owned(),
            "/%2ehidden".to_owned(),
            "/small.txt%00.html".to_owned(),
        ] {
            let answer = ask(server, &format!("GET {path} HTTP/1.1"));
            assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
            assert!(!answer.text().contains("secret\n") && answer.body != b"secret", "{path}");
        }
        let within = ask(server, "GET /within HTTP/1.1");
        assert_eq!(within.status, if cfg!(target_os = "linux") { 200 } else { 404 });
        for link in ["absolute", "relative", "up", "within"] {
            fs::remove_file(site.root().join(link)).expect("it is ours");
        }
        fs::remove_file(secret).expect("it is ours");
    });
}

#[test]
fn what_cannot_be_served_is_refused_with_a_reason() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let pipe = site.root().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().expect("every Unix has `mkfifo`");
        assert!(made.success());
        let long = format!("GET /{} HTTP/1.1", "x".repeat(300));
        let post = "POST /small.txt HTTP/1.1";
        let cases = [
            ("GET /none HTTP/1.1", "", 404, "no such file"),
            (&*long, "", 404, "no such file"),
            // Opening it would wait for a writer for ever.
            ("GET /pipe HTTP/1.1", "", 403, "no regular file"),
            ("GET /%zz HTTP/1.1", "", 400, "hex digits"),
            ("GET * HTTP/1.1", "", 400, "begins with a slash"),
            ("DELETE /small.txt HTTP/1.1", "", 405, "GET and HEAD"),
            (post, "Content-Length: 0\r\n", 405, "GET and HEAD"),
            (post, "Content-Length: 999999999\r\n", 405, "GET and HEAD"),
            ("GET / HTTP/1.1", "Content-Length: 999999999\r\n", 413, "nobody wants"),
            ("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n", 411, "how long"),
            ("GET / HTTP/1.1", "Expect: miracles\r\n", 417, "100-continue"),
            ("GET / HTTP/2.0", "", 505, "HTTP/1.1"),
            ("GET /", "", 400, "no HTTP request"),
            ("\x16\x03\x01\x02", "", 400, "no HTTP request"),
            ("GET / HTTP/1.1", "Host: another\r\n", 400, "one host"),
        ];
        for (line, headers, status, reason) in cases {
            let answer = ask_with(server, line, headers);
            assert_eq!(answer.status, status, "{line} {headers}");
            let text = answer.text();
            assert!(text.starts_with(&status.to_string()) && text.contains(reason), "{text}");
        }
        let answer = ask(server, "PUT / HTTP/1.1");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        fs::remove_file(pipe).expect("it is ours");
    });
}

/// The superuser may read everything, so this needs somebody else.
#[test]
fn a_file_without_permission_is_403() {
    let _watchdog = watch();
    if rustix::process::geteuid().is_root() {
        return windlass_tests::say("skipped: the superuser may read every file");
    }
    with_site(&[], |site, server| {
        use std::os::unix::fs::PermissionsExt;
        let path = site.root().join("private");
        fs::write(&path, "").expect("a temporary folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("it is ours");
        assert_eq!(ask(server, "GET /private HTTP/1.1").status, 403);
    });
}

#[test]
fn wrong_flags_are_refused_with_a_reason() {
    let _watchdog = watch();
    let run = |arguments: &[&str]| -> (Option<i32>, String) {
        let mut server = windlass_tests::example("http_files");
        let output = server.args(arguments).output().expect("the server can be started");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(&["--root", "/nowhere"]);
    assert_eq!(code, Some(2));
    assert!(text.starts_with("http_files: cannot serve \"/nowhere\": No such file"), "{text}");
    let (code, text) = run(&["--root", "/proc/self/exe"]);
    assert!(code == Some(2) && text.contains("Not a directory"), "{text}");
    let (code, text) = run(&["--addr", "127.0.0.1"]);
    assert!(
        code == Some(2) && text.starts_with("http_files: cannot listen on 127.0.0.1: "),
        "{text}"
    );
    let (code, text) = run(&["--header-timeout", "0"]);
    assert!(code == Some(2) && text.contains("more than 0"), "{text}");
}

#[test]
fn a_stop_lets_the_answers_that_are_under_way_finish() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        use std::io::{Read, Write};
        let idle = server.connect();
        let mut client = server.connect();
        client.write_all(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
        let mut first = [0; 1];
        client.read_exact(&mut first).expect("the answer begins");
        server.press_ctrl_c();
        assert_eq!(Read::read(&mut &idle, &mut first).expect("it is closed"), 0);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("the answer is finished");
        assert!(rest.ends_with(&site.content("large.bin")));
        assert_eq!(server.next_line(), "server stopped");
    });
}

/// The path of `name` in a folder of this test run's own.
fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("http-files-{}-{name}", std::process::id()))
}

fn start(root: &Path, mode: &str, more: &[&str]) -> Server {
    let mut command = windlass_tests::example("http_files");
    command.args(["--addr", "127.0.0.1:0", "--scheduler", mode, "--root"]).arg(root).args(more);
    Server::start(command)
}
