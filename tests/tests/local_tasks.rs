//! Local tasks never leave the thread that spawned them: there they are polled, and there dropped.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::mpsc::{self, Sender};
use std::task::Poll;
use std::thread::{self, ThreadId};

use runtime::task::yield_now;
use runtime::{AbortHandle, JoinHandle, spawn_local};
use windlass_tests::{both_modes, single_threaded, watch, work_stealing};

/// What happened to a task, and on which thread.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Polled(ThreadId),
    Dropped(ThreadId),
}

/// Tells of its drop. `!Send`, as what local tasks hold.
struct Witness(Sender<Event>, Rc<()>);

impl Witness {
    fn new(events: &Sender<Event>) -> Witness {
        Witness(events.clone(), Rc::new(()))
    }

    fn polled(&self) {
        let _held = Rc::strong_count(&self.1);
        self.0.send(Event::Polled(thread::current().id())).expect("the test listens");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.send(Event::Dropped(thread::current().id())).expect("the test listens");
    }
}

#[test]
fn of_block_on_stay_on_its_thread() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (events, happened) = mpsc::channel();
        runtime.block_on(async {
            let witness = Witness::new(&events);
            let task = spawn_local(async move {
                for _ in 0..100 {
                    witness.polled();
                    yield_now().await;
                }
                Rc::new(7)
            });
            assert_eq!(*task.await.expect("no panic"), 7);
        });
        drop(events);
        let here = thread::current().id();
        let happened: Vec<_> = happened.iter().collect();
        assert_eq!(happened.len(), 101);
        assert!(happened[..100].iter().all(|event| *event == Event::Polled(here)));
        assert_eq!(happened[100], Event::Dropped(here));
    });
}

#[test]
fn of_a_worker_stay_on_its_thread_while_others_steal() {
    let _watchdog = watch();
    let runtime = work_stealing(2);
    let spawners: Vec<_> = (0..50)
        .map(|_| {
            runtime.spawn(async {
                let (events, happened) = mpsc::channel();
                let task = {
                    let witness = Witness::new(&events);
                    spawn_local(async move {
                        for _ in 0..50 {
                            witness.polled();
                            yield_now().await;
                        }
                    })
                };
                drop(events);
                let here = thread::current().id();
                // The spawner itself may move meanwhile.
                task.await.expect("no panic");
                let is_here = |event| event == Event::Polled(here) || event == Event::Dropped(here);
                (happened.iter().count(), happened.iter().all(is_here))
            })
        })
        .collect();
    for spawner in spawners {
        assert_eq!(runtime.block_on(spawner).expect("no panic"), (51, true));
    }
}

#[test]
fn woken_from_other_threads_run_on_their_own() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (events, happened) = mpsc::channel();
        let (send, receive) = async_channel::bounded(1);
        let sender = thread::spawn(move || {
            for number in 0..1000 {
                send.send_blocking(number).expect("the task listens");
            }
        });
        let sum = runtime.block_on(async {
            let witness = Witness::new(&events);
            let task = spawn_local(async move {
                let mut sum = 0;
                while let Ok(number) = receive.recv().await {
                    witness.polled();
                    sum += number;
                }
                sum
            });
            task.await.expect("no panic")
        });
        assert_eq!(sum, 499_500);
        sender.join().expect("no panic");
        drop(events);
        let here = thread::current().id();
        for event in happened {
            assert!(event == Event::Polled(here) || event == Event::Dropped(here), "{event:?}");
        }
    });
}

#[test]
fn aborted_from_another_thread_are_dropped_on_their_own() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (events, happened) = mpsc::channel();
        let (handles, aborted) = mpsc::channel::<AbortHandle>();
        let aborter = thread::spawn(move || aborted.iter().for_each(|task| task.abort()));
        runtime.block_on(async {
            for has_started in [false, true] {
                let witness = Witness::new(&events);
                let task = spawn_local(async move {
                    let _witness = witness;
                    pending::<()>().await
                });
                if has_started {
                    yield_now().await;
                }
                handles.send(task.abort_handle()).expect("the thread listens");
                let error = task.await.expect_err("it was aborted");
                assert!(error.is_cancelled() && !error.is_shutdown());
            }
        });
        drop((events, handles));
        aborter.join().expect("no panic");
        let here = thread::current().id();
        assert_eq!(happened.iter().collect::<Vec<_>>(), [Event::Dropped(here); 2]);
    });
}

#[test]
fn are_dropped_on_their_thread_when_block_on_returns() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (events, happened) = mpsc::channel();
        let (waker, wakers) = mpsc::channel();
        let tasks = runtime.block_on(async {
            let waiting = Witness::new(&events);
            let waiting = spawn_local(poll_fn(move |cx| -> Poll<()> {
                let _waiting = &waiting;
                waker.send(cx.waker().clone()).expect("the test listens");
                Poll::Pending
            }));
            yield_now().await;
            let unpolled = Witness::new(&events);
            let unpolled = spawn_local(async move {
                let _unpolled = unpolled;
                pending::<()>().await
            });
            [waiting, unpolled]
        });
        let here = thread::current().id();
        let happened: Vec<_> = happened.try_iter().collect();
        assert_eq!(happened, [Event::Dropped(here); 2]);
        // The handles and the wakers are harmless.
        wakers
            .try_iter()
            .for_each(|waker| thread::spawn(|| waker.wake()).join().expect("no panic"));
        for task in tasks {
            task.abort();
            let error = runtime.block_on(task).expect_err("it was dropped");
            assert!(error.is_cancelled() && !error.is_shutdown(), "{error}");
            assert!(error.to_string().ends_with("no thread is left that could run it"), "{error}");
        }
    });
}

#[test]
fn spawned_in_the_drop_of_another_are_dropped_too() {
    struct SpawnOnDrop(Rc<RefCell<Vec<JoinHandle<()>>>>);
    impl Drop for SpawnOnDrop {
        fn drop(&mut self) {
            let spawned = self.0.clone();
            let task = spawn_local(async move {
                let _spawned = spawned;
                panic!("too late to run");
            });
            self.0.borrow_mut().push(task);
        }
    }
    let _watchdog = watch();
    both_modes(|runtime| {
        let spawned = Rc::new(RefCell::new(Vec::new()));
        runtime.block_on(async {
            for _ in 0..3 {
                let guard = SpawnOnDrop(spawned.clone());
                spawn_local(async move {
                    let _guard = guard;
                    pending::<()>().await
                });
            }
            yield_now().await;
        });
        assert_eq!(Rc::strong_count(&spawned), 1);
        let spawned = spawned.take();
        assert_eq!(spawned.len(), 3);
        for task in spawned {
            assert!(runtime.block_on(task).expect_err("it was dropped").is_cancelled());
        }
    });
}

#[test]
fn may_spawn_each_other_and_share_what_is_not_send() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let sum = Rc::new(Cell::new(0));
        runtime.block_on(async {
            let outer = sum.clone();
            let task = spawn_local(async move {
                let tasks: Vec<_> = (1..=10)
                    .map(|number| {
                        let sum = outer.clone();
                        spawn_local(async move {
                            yield_now().await;
                            sum.set(sum.get() + number);
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.expect("no panic");
                }
            });
            task.await.expect("no panic");
        });
        assert_eq!(sum.get(), 55);
    });
}

#[test]
fn take_turns_with_tasks_that_may_move() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            // Neither kind ever waits for anything but its turn.
            let busy = runtime::spawn(async {
                loop {
                    yield_now().await;
                }
            });
            let local = spawn_local(async {
                loop {
                    yield_now().await;
                }
            });
            let (one, other) = (
                runtime::spawn(async {
                    for _ in 0..100 {
                        yield_now().await;
                    }
                }),
                spawn_local(async {
                    for _ in 0..100 {
                        yield_now().await;
                    }
                }),
            );
            one.await.expect("no panic");
            other.await.expect("no panic");
            busy.abort();
            local.abort();
        });
    });
}

#[test]
fn may_keep_another_runtime_entered_to_the_end() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let other = single_threaded();
        let handle = other.handle().clone();
        let output = runtime.block_on(async {
            drop(spawn_local(async move {
                let _entered = handle.enter();
                pending::<()>().await;
            }));
            yield_now().await;
            7
        });
        assert_eq!(output, 7);
        runtime.block_on(runtime.spawn(async {})).expect("its worker is still there");
    });
}
