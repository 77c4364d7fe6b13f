//! Methods and trait implementations that several sockets have in common.
//!
//! Inherent methods cannot be inherited, and users look for them on the type, with their docs. So
//! what is the same for several types is written once, as a macro that expands to the methods, and
//! not once for each type. The work itself is in generic functions: a method here only forwards to
//! the [`Registered`](crate::Registered) that the type's private `io()` returns.
//!
//! | macro | for |
//! | --- | --- |
//! | `socket_methods` | what is a socket: addresses, readiness in both directions, conversions |
//! | `stream_methods` | connections: shutdown, peeking, halves |
//! | `read_methods`, `write_methods` | whatever is a stream of bytes in that direction |
//! | `listener_methods` | what accepts connections |
//! | `datagram_methods` | what sends and receives whole datagrams |
//! | `byte_reader`, `byte_writer`, `file_traits` | the traits that go with these |

mod byte;
mod datagram;
mod listener;
mod socket;

pub(crate) use byte::{byte_reader, byte_writer, read_methods, write_methods};
pub(crate) use datagram::{datagram_methods, sent};
pub(crate) use listener::listener_methods;
pub(crate) use socket::{
    file_traits, readable_methods, socket_methods, stream_methods, writable_methods,
};
