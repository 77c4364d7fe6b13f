//! Streams of bytes in which a lost, doubled or moved byte is seen, and random numbers.

/// The byte at a place of a stream.
fn byte(stream: u64, at: usize) -> u8 {
    // The upper bits of a product depend on all bits of its factors, so bytes a buffer apart, or at
    // the same place of two streams, have nothing in common.
    let place = at as u64 ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93);
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// A piece of a stream.
pub(crate) fn bytes(stream: u64, from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| byte(stream, at)).collect()
}

/// Asserts that what was received is what stands at that place of the stream.
#[track_caller]
pub(crate) fn assert_bytes(stream: u64, from: usize, received: &[u8]) {
    let wrong = received.iter().zip(from..).find(|&(&got, at)| got != byte(stream, at));
    if let Some((got, at)) = wrong {
        panic!("stream {stream:#x}: byte {at} is {got:#x} instead of {:#x}", byte(stream, at));
    }
}

/// Numbers that look random, from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // The generator stays at zero for ever, and starts slowly from small numbers.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One that shares nothing with this one's later numbers.
    pub(crate) fn split(&mut self) -> Random {
        Random::new(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from `from` to one less than `to`.
    pub(crate) fn between(&mut self, from: usize, to: usize) -> usize {
        from + (self.next() >> 16) as usize % (to - from)
    }
}
