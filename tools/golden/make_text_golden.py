#!/usr/bin/env python3
"""Writes tests/text/golden/{strings,chats}.json: what Hugging Face gives for awkward texts.

    python tools/golden/make_text_golden.py models/SmolLM2-135M-Instruct.Q4_1.gguf

Needs: transformers, tokenizers, gguf. The tokenizer is rebuilt from the vocabulary in the GGUF file
with the pre-tokenizer of the original repository: single digits first, then GPT-2's byte level.
(transformers' own GGUF conversion drops the digits step, so it is not used.)
"""
import json
import pathlib
import sys

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CONTROL = 3
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "text" / "golden"

STRINGS = [
    "", " ", "  ", "\n", "\n\n\n", "\t", " \t \n ", "\r\n", "a\r\nb\r\n\r\nc", "a",
    " a", "a ", "  leading and trailing  ", "Hello, world!", "When John and Mary went to the store,",
    "John's, I'll, we've, they'RE, 'S 'T", "don\u2019t \u201cquote\u201d \u2014 dash\u2026",
    "0", "7", "42", "1234567890", "3.14159", "-1e-10", "2024-02-29T23:59:60Z", "1,000,000.50 $",
    "x1y22z333", "\u0661\u0662\u0663\u0664", "\u00bd \u00b2 \u2167 \u2460", "0x1F600 0b1010",
    "caf\u00e9", "cafe\u0301", "\u00c5 A\u030a \u212b", "Z\u0351\u036b\u0343a\u0323\u0348l\u0334g\u0336o",
    "na\u00efve co\u00f6perate fa\u00e7ade", "stra\u00dfe STRASSE \u1e9e", "\u0130stanbul \u0131",
    "\u4f60\u597d\uff0c\u4e16\u754c", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\ud55c\uad6d\uc5b4",
    "\u1112\u1161\u11ab", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u0939\u093f\u0928\u094d\u0926\u0940",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0645\u0631\u062d\u0628\u0627 123 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u202eright to left\u202c", "\u200bzero\u200bwidth\u200d\ufeff", "\ufeffBOM", "soft\u00adhyphen",
    "\u00a0no\u00a0break\u2003em\u3000wide", "\u2028line\u2029paragraph\u0085next",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    "\u270c\U0001f3fd \u2764\ufe0f \u0031\ufe0f\u20e3", "\U00020000\U0002a6d6", "\U0001d573\U0001d58a\U0001d591\U0001d591\U0001d594 \U0001d7d8\U0001d7d9",
    "\ue000\uf8ff private \U0010fffd", "\ufffd\ufffe\uffff", "nul\x00inside", "\x00", "\x01\x02\x1b[31mred\x7f",
    "<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|>", "a<|im_end|>b", "<|im_end|><|im_end|>", " <|im_start|> ",
    "<|im_end", "<|im_end|", "<| im_end |>", "<|IM_END|>", "<<|im_end|>>", "<repo_name>x<file_sep>y<empty_output>",
    "<filename", "</s><s>[INST]<pad><unk>", "def f(x):\n    return x  # four\n\tif x: pass\n",
    "{\"a\": [1, 2.5e3, null], \"b\": \"\\u00e9\\n\"}", "https://example.org/a_b?c=%20d&e=f#g", "snake_case CamelCase kebab-case",
    "!!!???...---___", "a" * 300, " " * 120 + "x", "\n" * 50, "the quick brown fox " * 100, "9" * 64,
    "\u00e9" * 70, "\U0001f600" * 20, "Supercalifragilisticexpialidocious antidisestablishmentarianism",
]

CHATS = [
    {"messages": [{"role": "user", "content": "Who are you?"}], "add_generation_prompt": True},
    {"messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "2+2=?"}],
     "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " Hello! \n"},
                  {"role": "user", "content": "\n  Tell me a story about 3 caf\u00e9s \U0001f600.\r\n"},
                  {"role": "assistant", "content": "Once upon a time, in 1999..."}],
     "add_generation_prompt": False},
    {"messages": [{"role": "user", "content": "> quoted\nlist: |a|b|>"}, {"role": "assistant", "content": ""},
                  {"role": "user", "content": "a < b and c <"}],
     "add_generation_prompt": True},
    {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "\u05e9\u05dc\u05d5\u05dd \u4f60\u597d user"},
                  {"role": "assistant", "content": "im_end"}, {"role": "user", "content": "{{ 7 * 7 }} {% raw %}"}],
     "add_generation_prompt": True},
]


def build_tokenizer(gguf_path):
    fields = GGUFReader(gguf_path).fields
    read = lambda key: fields[key].contents()
    tokens = read("tokenizer.ggml.tokens")
    merges = [tuple(line.split(" ")) for line in read("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    types = read("tokenizer.ggml.token_type")
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False) for token, kind in zip(tokens, types) if kind == CONTROL])
    text = lambda name: tokens[read(f"tokenizer.ggml.{name}_token_id")]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=text("bos"), eos_token=text("eos"), unk_token=text("unknown"),
        pad_token=text("padding"), clean_up_tokenization_spaces=False)
    fast.chat_template = read("tokenizer.chat_template")
    return fast


def write(name, rows):
    lines = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in rows)
    (OUT / name).write_text(f"[\n{lines}\n]\n")


def main():
    tokenizer = build_tokenizer(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    assert len(set(STRINGS)) >= 80
    write("strings.json", [
        {"text": text, "ids": ids, "decoded": tokenizer.decode(ids)}
        for text in STRINGS for ids in [tokenizer.encode(text)]])
    rows = []
    for chat in CHATS:
        ids = tokenizer.apply_chat_template(tokenize=True, return_dict=False, conversation=chat["messages"],
                                            add_generation_prompt=chat["add_generation_prompt"])
        rendered = tokenizer.apply_chat_template(tokenize=False, conversation=chat["messages"],
                                                 add_generation_prompt=chat["add_generation_prompt"])
        rows.append({**chat, "rendered": rendered, "ids": ids})
    write("chats.json", rows)


if __name__ == "__main__":
    main()
