//! What is in memory is read on the worker.

use std::io::SeekFrom;

use runtime::fs::File;
use windlass_tests::{both_modes, say, watch};

use super::{Dir, pattern};

#[test]
fn what_is_in_the_page_cache_is_read_without_a_thread() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        let bytes = pattern(1_000_000);
        std::fs::write(&path, &bytes).expect("a new file");
        let std = std::fs::File::open(&path).expect("it is ours");
        if !can_read_without_waiting(&std) {
            say("skipped: the file system of the temporary directory does not know RWF_NOWAIT");
            return;
        }
        runtime.block_on(async {
            let mut file = File::from_std(std);
            let mut buf = vec![0; 64 * 1024];
            let mut all = Vec::new();
            loop {
                let read = file.read(&mut buf).await.expect("it is ours");
                if read == 0 {
                    break;
                }
                all.extend_from_slice(&buf[..read]);
            }
            assert!(all == bytes);
            for at in [0, 999_999, 1_000_000, 1 << 40, 500_000] {
                let start = bytes.len().min(at as usize);
                let mut buf = [0; 4096];
                let read = file.read_at(&mut buf, at).await.expect("it is ours");
                assert_eq!(buf[..read], bytes[start..bytes.len().min(start + 4096)]);
            }
            assert_eq!(file.seek(SeekFrom::Start(10)).await.expect("a file"), 10);
        });
        assert_eq!(runtime.metrics().blocking_threads, 0);
    });
}

fn can_read_without_waiting(file: &std::fs::File) -> bool {
    let mut buf = [0];
    let mut bufs = [std::io::IoSliceMut::new(&mut buf)];
    rustix::io::preadv2(file, &mut bufs, 0, rustix::io::ReadWriteFlags::NOWAIT).is_ok()
}
