/* Hugging Face `tokenizers`, chat templates (`minijinja`) and hub (`hf-hub`) as C functions.
 *
 * Every function that returns `int` returns a rebound_hf_status. No function unwinds, aborts or
 * prints: a panic inside becomes REBOUND_HF_PANIC with its text. `bytes` is the result when the
 * status is REBOUND_HF_OK and the reason otherwise; it is to be freed in both cases. Out
 * parameters are written only together with a status. A tokenizer may be used from many threads. */
#ifndef REBOUND_HF_H
#define REBOUND_HF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  REBOUND_HF_OK = 0,
  REBOUND_HF_BAD_INPUT = 1, /* file, template or text that cannot be used */
  REBOUND_HF_PANIC = 2,     /* the same, found out by a panic */
  REBOUND_HF_NOT_FOUND = 3  /* no such id or token; not an error */
} rebound_hf_status;

/* Borrowed UTF-8; need not end in NUL. */
typedef struct {
  const char* data;
  size_t size;
} rebound_hf_text;

typedef struct {
  const uint32_t* data;
  size_t size;
} rebound_hf_id_span;

/* Owned by the library: free with rebound_hf_bytes_free / rebound_hf_ids_free. */
typedef struct {
  char* data;
  size_t size;
} rebound_hf_bytes;

typedef struct {
  uint32_t* data;
  size_t size;
} rebound_hf_ids;

void rebound_hf_bytes_free(rebound_hf_bytes bytes);
void rebound_hf_ids_free(rebound_hf_ids ids);

typedef struct rebound_hf_tokenizer rebound_hf_tokenizer;

/* `json`: the text of a tokenizer.json. Its truncation and padding are switched off. */
int rebound_hf_tokenizer_new(rebound_hf_text json,
                             rebound_hf_tokenizer** tokenizer,
                             rebound_hf_bytes* bytes);
void rebound_hf_tokenizer_free(rebound_hf_tokenizer* tokenizer);

enum {
  REBOUND_HF_ADD_SPECIAL = 1,  /* what the post-processor adds, for example BOS */
  REBOUND_HF_PARSE_SPECIAL = 2 /* without it, text never becomes a control token */
};
int rebound_hf_encode(const rebound_hf_tokenizer* tokenizer,
                      rebound_hf_text text,
                      unsigned flags,
                      rebound_hf_ids* ids,
                      rebound_hf_bytes* bytes);
int rebound_hf_decode(const rebound_hf_tokenizer* tokenizer,
                      rebound_hf_id_span ids,
                      int skip_special,
                      rebound_hf_bytes* bytes);

/* The vocabulary entry as stored ("\xc4\xa0the" for " the" in byte-level vocabularies). */
int rebound_hf_id_to_token(const rebound_hf_tokenizer* tokenizer,
                           uint32_t id,
                           rebound_hf_bytes* bytes);
int rebound_hf_token_to_id(const rebound_hf_tokenizer* tokenizer,
                           rebound_hf_text token,
                           uint32_t* id,
                           rebound_hf_bytes* bytes);
/* Added tokens that are special or look like <|...|>. */
int rebound_hf_control_ids(const rebound_hf_tokenizer* tokenizer,
                           rebound_hf_ids* ids,
                           rebound_hf_bytes* bytes);
/* 1: the control token takes white space before it, 2: after it, 3: both. */
unsigned rebound_hf_control_strips(const rebound_hf_tokenizer* tokenizer, uint32_t id);
uint64_t rebound_hf_vocabulary_size(const rebound_hf_tokenizer* tokenizer);

/* Renders a chat template as `transformers` does (trim_blocks, lstrip_blocks, Python's string
 * methods, raise_exception, strftime_now, tojson). `context`: a JSON object of variables. Steps,
 * memory and time are bounded. */
int rebound_hf_template_check(rebound_hf_text source, rebound_hf_bytes* bytes);
int rebound_hf_template_render(rebound_hf_text source,
                               rebound_hf_text context,
                               rebound_hf_bytes* bytes);

/* The Hugging Face hub. No file name is ever made of what a server says: the caller names them.
 * Passing troubles (a lost connection, HTTP 429 and 5xx) are tried again, five times without a new
 * byte. A hub may not be used from two threads at a time. */
typedef struct rebound_hub rebound_hub;

typedef struct {
  rebound_hf_text endpoint;     /* "https://huggingface.co", no slash at the end */
  rebound_hf_text token;        /* empty: none; sent to the endpoint's own host only */
  rebound_hf_text certificates; /* PEM file of roots; empty: Mozilla's */
  uint32_t timeout_seconds;     /* without an answer, or without a byte of it */
} rebound_hub_settings;

int rebound_hub_new(const rebound_hub_settings* settings,
                    rebound_hub** hub,
                    rebound_hf_bytes* bytes);
void rebound_hub_free(rebound_hub* hub);

/* The hub's own JSON: "sha" (the commit) and "siblings", each with "rfilename", "size", "blobId" and,
 * for large files, "lfs": {"sha256", "size"}. At most 16 MiB. */
int rebound_hub_list(const rebound_hub* hub,
                     rebound_hf_text repo,
                     rebound_hf_text revision,
                     rebound_hf_bytes* bytes);

typedef struct {
  rebound_hf_text repo;   /* "ORG/NAME" */
  rebound_hf_text commit; /* what the server says must be the same */
  rebound_hf_text path;   /* inside the repository */
} rebound_hub_file;

/* {"etag", "size"} from the headers; null where the server does not say. */
int rebound_hub_describe(const rebound_hub* hub, rebound_hub_file file, rebound_hf_bytes* bytes);

typedef struct {
  rebound_hub_file file;
  rebound_hf_text etag;   /* what the server says must be the same, where it is a hash */
  uint64_t size;          /* bytes; never more are written */
  rebound_hf_text target; /* local file; what is there counts as the beginning */
  void (*on_progress)(void* context, uint64_t bytes_there);
  void* context;
} rebound_hub_transfer;

/* Completes `target` to `size` bytes. Its hash is for the caller to check. */
int rebound_hub_fetch(const rebound_hub* hub,
                      const rebound_hub_transfer* transfer,
                      rebound_hf_bytes* bytes);

#ifdef __cplusplus
}
#endif
#endif
