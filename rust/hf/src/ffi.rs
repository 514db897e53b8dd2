//! Views in, owned buffers out, and no unwinding across the boundary.
use crate::{template, tokenizer};
use std::any::Any;
use std::os::raw::{c_char, c_int, c_uint};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

pub enum Failure {
    BadInput(String),
    Panic(String),
    NotFound,
}

impl Failure {
    pub fn bad(reason: impl ToString) -> Self {
        Failure::BadInput(reason.to_string())
    }
}

pub type Outcome<T> = Result<T, Failure>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    data: *const c_char,
    size: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IdSpan {
    data: *const u32,
    size: usize,
}

#[repr(C)]
pub struct Bytes {
    data: *mut u8,
    size: usize,
}

#[repr(C)]
pub struct Ids {
    data: *mut u32,
    size: usize,
}

unsafe fn slice<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if data.is_null() || size == 0 {
        return &[];
    }
    std::slice::from_raw_parts(data, size)
}

pub unsafe fn utf8<'a>(text: Text) -> Outcome<&'a str> {
    std::str::from_utf8(slice(text.data.cast::<u8>(), text.size)).map_err(|e| {
        let at = e.valid_up_to();
        Failure::BadInput(format!("got bytes that are not UTF-8 at offset {at}, expected UTF-8"))
    })
}

fn leak<T>(items: Vec<T>) -> (*mut T, usize) {
    let items = items.into_boxed_slice();
    let size = items.len();
    (Box::into_raw(items).cast::<T>(), size)
}

unsafe fn put_bytes(target: *mut Bytes, text: String) {
    let (data, size) = leak(text.into_bytes());
    *target = Bytes { data, size };
}

unsafe fn put_ids(target: *mut Ids, ids: Vec<u32>) {
    let (data, size) = leak(ids);
    *target = Ids { data, size };
}

pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".into())
}

fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

/// Runs `body`; its text, or the reason why there is none, goes to `bytes`.
pub unsafe fn guarded(bytes: *mut Bytes, body: impl FnOnce() -> Outcome<String>) -> c_int {
    silence_panics();
    let result = catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|payload| Err(Failure::Panic(panic_text(payload))));
    let (status, text) = match result {
        Ok(text) => (0, text),
        Err(Failure::BadInput(reason)) => (1, reason),
        Err(Failure::Panic(reason)) => (2, reason),
        Err(Failure::NotFound) => (3, String::new()),
    };
    put_bytes(bytes, text);
    status
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_bytes_free(bytes: Bytes) {
    if !bytes.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(bytes.data, bytes.size)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_ids_free(ids: Ids) {
    if !ids.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(ids.data, ids.size)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_tokenizer_new(
    json: Text,
    tokenizer: *mut *mut tokenizer::Pair,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || {
        *tokenizer = Box::into_raw(Box::new(tokenizer::Pair::new(utf8(json)?)?));
        Ok(String::new())
    })
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_tokenizer_free(tokenizer: *mut tokenizer::Pair) {
    if !tokenizer.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(tokenizer))));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_encode(
    tokenizer: *const tokenizer::Pair,
    text: Text,
    flags: c_uint,
    ids: *mut Ids,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || {
        let (add_special, parse_special) = (flags & 1 != 0, flags & 2 != 0);
        put_ids(ids, (*tokenizer).encode(utf8(text)?, add_special, parse_special)?);
        Ok(String::new())
    })
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_decode(
    tokenizer: *const tokenizer::Pair,
    ids: IdSpan,
    skip_special: c_int,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || (*tokenizer).decode(slice(ids.data, ids.size), skip_special != 0))
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_id_to_token(
    tokenizer: *const tokenizer::Pair,
    id: u32,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || (*tokenizer).token(id))
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_token_to_id(
    tokenizer: *const tokenizer::Pair,
    token: Text,
    id: *mut u32,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || {
        *id = (*tokenizer).id(utf8(token)?)?;
        Ok(String::new())
    })
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_control_ids(
    tokenizer: *const tokenizer::Pair,
    ids: *mut Ids,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || {
        put_ids(ids, (*tokenizer).control_ids());
        Ok(String::new())
    })
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_control_strips(tokenizer: *const tokenizer::Pair, id: u32) -> c_uint {
    let (left, right) =
        catch_unwind(AssertUnwindSafe(|| (*tokenizer).strips(id))).unwrap_or((false, false));
    c_uint::from(left) | c_uint::from(right) << 1
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_vocabulary_size(tokenizer: *const tokenizer::Pair) -> u64 {
    catch_unwind(AssertUnwindSafe(|| (*tokenizer).vocabulary_size())).unwrap_or(0)
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_template_check(source: Text, bytes: *mut Bytes) -> c_int {
    guarded(bytes, || template::check(utf8(source)?))
}

#[no_mangle]
pub unsafe extern "C" fn rebound_hf_template_render(
    source: Text,
    context: Text,
    bytes: *mut Bytes,
) -> c_int {
    guarded(bytes, || template::render(utf8(source)?, utf8(context)?))
}
