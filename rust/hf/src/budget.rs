//! Runs untrusted work on a thread of its own with a limit on memory and time.
//!
//! Rust aborts the process when an allocation fails, and an allocator must not unwind. So the
//! allocator of a thread that is over its budget tells the waiting caller and never returns: the
//! thread sleeps for the rest of the process, and with it at most its budget of memory.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{sync_channel, RecvTimeoutError, SyncSender};
use std::sync::Arc;
use std::time::Duration;

const STACK_BYTES: usize = 16 << 20;

pub struct Budget {
    pub memory_bytes: isize,
    pub time: Duration,
}

pub enum Overrun {
    Memory,
    Time,
    Panic(String),
    NoThread,
}

enum Signal<T> {
    Done(Result<T, String>),
    OutOfMemory,
}

thread_local! {
    static LEFT: Cell<isize> = const { Cell::new(isize::MAX) };
    static ON_EXHAUSTED: Cell<Option<*const dyn Fn()>> = const { Cell::new(None) };
}

pub struct BudgetedAllocator;

fn charge(bytes: usize) {
    let left = LEFT.try_with(|left| {
        let rest = left.get().saturating_sub_unsigned(bytes);
        if left.get() != isize::MAX {
            left.set(rest);
        }
        rest
    });
    if matches!(left, Ok(rest) if rest < 0) {
        stop_here();
    }
}

fn refund(bytes: usize) {
    let _ = LEFT.try_with(|left| {
        if left.get() != isize::MAX {
            left.set(left.get().saturating_add_unsigned(bytes).min(isize::MAX - 1));
        }
    });
}

fn stop_here() {
    // Without a budget the action is absent and the system allocator decides.
    let Ok(Some(action)) = ON_EXHAUSTED.try_with(|action| action.take()) else {
        return;
    };
    LEFT.with(|left| left.set(isize::MAX)); // the action itself may allocate
    unsafe { (*action)() };
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

unsafe impl GlobalAlloc for BudgetedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        System.alloc(layout)
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        System.alloc_zeroed(layout)
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        refund(layout.size());
        System.dealloc(pointer, layout)
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        charge(size);
        refund(layout.size());
        System.realloc(pointer, layout, size)
    }
}

/// The result of `work`, or why it had to be given up.
pub fn run_bounded<T: Send + 'static>(
    budget: Budget,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Overrun> {
    let (sender, receiver) = sync_channel(2);
    let sender = Arc::new(sender);
    let spawned = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || work_within(budget.memory_bytes, sender, work));
    if spawned.is_err() {
        return Err(Overrun::NoThread);
    }
    match receiver.recv_timeout(budget.time) {
        Ok(Signal::Done(result)) => result.map_err(Overrun::Panic),
        Ok(Signal::OutOfMemory) => Err(Overrun::Memory),
        Err(RecvTimeoutError::Timeout) => Err(Overrun::Time),
        Err(RecvTimeoutError::Disconnected) => Err(Overrun::Panic("worker vanished".into())),
    }
}

fn work_within<T: Send>(
    memory_bytes: isize,
    sender: Arc<SyncSender<Signal<T>>>,
    work: impl FnOnce() -> T,
) {
    let complain = {
        let sender = sender.clone();
        move || drop(sender.try_send(Signal::OutOfMemory))
    };
    let action: &dyn Fn() = &complain;
    // The pointer outlives its use: it is cleared below, before `complain` goes out of scope.
    let action: *const (dyn Fn() + 'static) = unsafe { std::mem::transmute(action) };
    ON_EXHAUSTED.with(|slot| slot.set(Some(action)));
    LEFT.with(|left| left.set(memory_bytes));
    let result = catch_unwind(AssertUnwindSafe(work)).map_err(crate::ffi::panic_text);
    LEFT.with(|left| left.set(isize::MAX));
    ON_EXHAUSTED.with(|slot| slot.set(None));
    let _ = sender.try_send(Signal::Done(result));
}
