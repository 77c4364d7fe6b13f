//! Tasks that wake each other through the channels of `futures-channel`.

use super::countdown::Countdown;
use crate::shim::Shim;
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt as _;
use std::sync::Arc;

/// `pairs` pairs of tasks exchange one message each way over one-shot channels.
pub(super) async fn ping_pong<R: Shim>(pairs: usize) {
    let countdown = Countdown::new(pairs);
    for _ in 0..pairs {
        let countdown = Arc::clone(&countdown);
        R::detach(R::spawn(async move {
            let (ping, pinged) = oneshot::channel();
            let (pong, ponged) = oneshot::channel();
            R::detach(R::spawn(async move {
                pinged.await.expect("the other task sends before it ends");
                pong.send(()).expect("the other task waits for it");
            }));
            ping.send(()).expect("the other task waits for it");
            ponged.await.expect("the other task sends before it ends");
            countdown.done();
        }));
    }
    countdown.wait().await;
}

/// One pair of tasks sends a message to and fro, `messages` in all.
pub(super) async fn bounce<R: Shim>(messages: usize) {
    let countdown = Countdown::new(2);
    let (to_second, at_second) = mpsc::unbounded();
    let (to_first, at_first) = mpsc::unbounded();
    to_first.unbounded_send(()).expect("its receiver is alive");
    for (mut receiver, sender) in [(at_first, to_second), (at_second, to_first)] {
        let countdown = Arc::clone(&countdown);
        R::detach(R::spawn(async move {
            for _ in 0..messages / 2 {
                receiver.next().await.expect("the other task has not ended");
                // The last message finds the other task gone.
                let _ = sender.unbounded_send(());
            }
            countdown.done();
        }));
    }
    countdown.wait().await;
}
