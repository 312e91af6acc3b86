//! Waiting without Ruby's lock. The one place here that is unsafe: Ruby has this as a C function
//! only.

#![expect(unsafe_code, reason = "rb_thread_call_without_gvl takes C functions and a pointer")]

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    thread::Result,
};

struct Data<F, T> {
    f: Option<F>,
    out: Option<Result<T>>,
}

/// Runs `f` without the GVL; it must not touch Ruby. A panic is its result.
pub(crate) fn without_gvl<T, F: FnOnce() -> T>(f: F) -> Result<T> {
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
    // SAFETY: `run` is for this type, and is called before this returns. Without a function that
    // unblocks, Ruby waits for it, which callers keep short.
    unsafe {
        rb_sys::rb_thread_call_without_gvl(
            Some(run::<F, T>),
            (&raw mut data).cast(),
            None,
            ptr::null_mut(),
        );
    }
    data.out.unwrap_or_else(|| Err(Box::new("Ruby did not call")))
}
