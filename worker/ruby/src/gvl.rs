//! Waiting without Ruby's lock. The one place here that is unsafe: Ruby has this as a C function
//! only.

#![expect(unsafe_code, reason = "rb_thread_call_without_gvl takes C functions and a pointer")]

use magnus::{Error, Ruby};
use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, thread,
};

struct Data<F, T> {
    f: Option<F>,
    out: Option<thread::Result<T>>,
}

/// Runs `f` without the GVL; it must not touch Ruby. A panic is its result.
///
/// # Errors
/// The thread was told to end or to raise something before `f` has run. What comes while it runs
/// is left to Ruby's next look: to leave from within would be to jump over what is to be dropped.
pub(crate) fn without_gvl<T, F: FnOnce() -> T>(
    ruby: &Ruby,
    f: F,
) -> Result<thread::Result<T>, Error> {
    unsafe extern "C" fn run<F: FnOnce() -> T, T>(data: *mut c_void) -> *mut c_void {
        // SAFETY: the pointer is to `data` below, which outlives the call and which nobody else
        // has.
        let data = unsafe { &mut *data.cast::<Data<F, T>>() };
        if let Some(f) = data.f.take() {
            data.out = Some(catch_unwind(AssertUnwindSafe(f)));
        }
        ptr::null_mut()
    }
    let mut data = Data { f: Some(f), out: None };
    loop {
        // SAFETY: `run` is for this type, and is not called after this has returned. Without a
        // function that unblocks, Ruby waits for it, which callers keep short. The variant with a 2
        // looks for interrupts before the call only, where it then returns, and never jumps.
        unsafe {
            rb_sys::rb_thread_call_without_gvl2(
                Some(run::<F, T>),
                (&raw mut data).cast(),
                None,
                ptr::null_mut(),
            );
        }
        if let Some(out) = data.out.take() {
            return Ok(out);
        }
        ruby.thread_check_ints()?;
    }
}
