//! The `Waker` of a task: a thin pointer and one vtable.

use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::current;
use super::header::{Header, TaskRef};
use super::state::Wake;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that lives as long as a poll and borrows the reference of the `Runnable` being polled.
///
/// # Safety
/// `header` points to a task that outlives the returned value.
pub(super) unsafe fn borrowed(header: NonNull<Header>) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(header.as_ptr().cast_const().cast(), &VTABLE);
    // SAFETY: the vtable's functions keep the contract of `RawWaker` for a pointer to a live task,
    // and `ManuallyDrop` keeps the reference, which is not ours, from being given back.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// The task of a waker that was made here, with the waker's reference. Any other is given back.
pub(super) fn into_task(waker: Waker) -> Result<NonNull<Header>, Waker> {
    if !ptr::eq(waker.vtable(), &VTABLE) {
        return Err(waker);
    }
    let waker = ManuallyDrop::new(waker);
    // SAFETY: it has our vtable, so it was made here.
    Ok(unsafe { header_of(waker.data()) })
}

/// Whether `waker` was made here, for this task. The task need not be alive.
pub(super) fn is_of_task(waker: &Waker, task: NonNull<Header>) -> bool {
    ptr::eq(waker.vtable(), &VTABLE) && ptr::eq(waker.data(), task.as_ptr().cast())
}

/// # Safety
/// `data` is the data pointer of a waker made here.
unsafe fn header_of(data: *const ()) -> NonNull<Header> {
    // SAFETY: such a pointer was made from a `NonNull<Header>`.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the vtable's functions are called with our own data pointer.
    let header = unsafe { header_of(data) };
    // SAFETY: the waker being cloned keeps the task alive.
    unsafe { header.as_ref() }.state.add_ref();
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the vtable's functions are called with our own data pointer.
    let header = unsafe { header_of(data) };
    // SAFETY: the waker being consumed keeps the task alive up to here.
    let task = unsafe { header.as_ref() };
    match task.state.wake_by_value() {
        Wake::Done => {}
        Wake::Submit => {
            // SAFETY: the waker's reference has become the `Runnable`'s.
            unsafe { (task.facts.vtable.schedule)(header) }
        }
        Wake::Free => {
            // SAFETY: the waker's reference was the last one.
            unsafe { (task.facts.vtable.free)(header) }
        }
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the vtable's functions are called with our own data pointer.
    let header = unsafe { header_of(data) };
    if current::is_woken_by_itself(header) {
        return;
    }
    // SAFETY: the waker keeps the task alive.
    let task = unsafe { header.as_ref() };
    if task.state.wake_by_ref() == Wake::Submit {
        // SAFETY: the transition counted a reference for the `Runnable`.
        unsafe { (task.facts.vtable.schedule)(header) }
    }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the vtable's functions are called with our own data pointer.
    let header = unsafe { header_of(data) };
    // SAFETY: the waker's reference is counted, and it is given up here.
    drop(unsafe { TaskRef::from_raw(header) });
}
