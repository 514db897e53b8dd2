//! `tokenizers` and `minijinja` behind the C header `rebound_hf.h`, which is the manual.
mod budget;
mod ffi;
mod template;
mod tokenizer;

#[global_allocator]
static ALLOCATOR: budget::BudgetedAllocator = budget::BudgetedAllocator;
