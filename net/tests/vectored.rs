//! More buffers than one system call takes.

mod support;

use net::{UnixStream, pipe};
use std::io::{IoSlice, IoSliceMut};
use support::run;

/// What Linux takes at once; `UIO_MAXIOV` in `include/uapi/linux/uio.h`.
const MOST: usize = 1024;

#[test]
fn more_buffers_than_one_call_takes_are_transferred_in_part() {
    run(async {
        let bytes: Vec<u8> = (0..3 * MOST).map(|at| (at % 251) as u8).collect();
        let bufs: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        let mut read = vec![0; 3 * MOST];

        let (mut writer, mut reader) = UnixStream::pair().expect("a pair of sockets");
        assert_eq!(writer.write_vectored(&bufs).await.expect("it is connected"), MOST);
        assert_eq!(writer.try_write_vectored(&bufs[MOST..]).expect("there is room"), MOST);
        let mut places: Vec<_> = read.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(reader.read_vectored(&mut places).await.expect("it is connected"), MOST);
        assert_eq!(reader.try_read_vectored(&mut places[MOST..]).expect("there is more"), MOST);
        assert_eq!(read[..2 * MOST], bytes[..2 * MOST]);

        let (mut writer, mut reader) = pipe::pipe().expect("there are files");
        assert_eq!(writer.write_vectored(&bufs).await.expect("it is read"), MOST);
        let mut places: Vec<_> = read.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(reader.read_vectored(&mut places).await.expect("it is there"), MOST);
        assert_eq!(read[..MOST], bytes[..MOST]);
    });
}
