//! `tokenizers`, `minijinja` and `hf-hub` behind the C header `rebound_hf.h`, which is the manual.
mod budget;
mod ffi;
mod hub_ffi;
mod template;
mod tokenizer;

#[cfg(feature = "hub")]
mod hub;
#[cfg(not(feature = "hub"))]
#[path = "no_hub.rs"]
mod hub;

#[global_allocator]
static ALLOCATOR: budget::BudgetedAllocator = budget::BudgetedAllocator;
