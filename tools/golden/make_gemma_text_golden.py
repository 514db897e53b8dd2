#!/usr/bin/env python3
"""Writes tests/text/golden/gemma3.json: what SentencePiece gives for awkward texts with Gemma 3's vocabulary.

    python tools/golden/make_gemma_text_golden.py models/gemma-3-270m-q4_k_m.gguf

Needs: sentencepiece, protobuf, gguf, jinja2. A SentencePiece model (BPE, byte fallback, no dummy prefix,
spaces kept) is built from the pieces, scores and types in the GGUF file, and SentencePiece itself encodes.
Control tokens in a text are cut out first, longest first, for `ids`; `plain_ids` has none of that.
  strings   [{text, ids, plain_ids, decoded}] (without BOS)
  chats     [{messages, add_generation_prompt, rendered, ids}]
"""
import json
import pathlib
import re
import sys

import jinja2.sandbox
import sentencepiece
from gguf import GGUFReader
from sentencepiece import sentencepiece_model_pb2 as pb

from make_text_golden import CHATS, STRINGS

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "text" / "golden" / "gemma3.json"
TURNS = {"<start_of_turn>", "<end_of_turn>"}
EXTRA = ["<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", "<bos>x<eos>", "<start_of_turn", " " * 5 + "x",
         "x" + " " * 31 + "y", "a\n\n\nb\n\n\n\n\nc", "\t\t\tindented", "<table><tr><td>1</td></tr></table>", "<unused1>",
         "1 22 333 4444 55555", "<0x0A>", "<0xF0><0x9F>"]


def build(path):
    fields = GGUFReader(path).fields
    read = lambda key: fields[f"tokenizer.{key}"].contents()
    pieces = list(zip(read("ggml.tokens"), read("ggml.scores"), read("ggml.token_type")))
    model = pb.ModelProto()
    for text, score, kind in pieces:
        piece = model.pieces.add()
        piece.piece, piece.score = text.replace(" ", "\u2581") if kind == USER_DEFINED else text, score
        piece.type = USER_DEFINED if text in TURNS else kind
    model.trainer_spec.model_type = pb.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = len(pieces)
    model.trainer_spec.unk_id = read("ggml.unknown_token_id")
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    control = {text: i for i, (text, _, kind) in enumerate(pieces) if kind == CONTROL or text in TURNS}
    # For plain text the turns are no tokens either.
    plain = pb.ModelProto()
    plain.CopyFrom(model)
    for text in TURNS:
        plain.pieces[control[text]].type = CONTROL
    processors = [sentencepiece.SentencePieceProcessor(model_proto=m.SerializeToString()) for m in (model, plain)]
    return processors[1], control, read("chat_template") if "tokenizer.chat_template" in fields else None, pieces


def main():
    processor, control, template, pieces = build(sys.argv[1])
    pattern = re.compile("|".join(re.escape(t) for t in sorted(control, key=len, reverse=True)))

    def encode(text):
        ids, at = [], 0
        for found in pattern.finditer(text):
            ids += processor.encode(text[at:found.start()]) + [control[found.group()]]
            at = found.end()
        return ids + processor.encode(text[at:])

    def decode(ids):
        marks, out, run = {i: t for t, i in control.items()}, "", []
        for i in ids + [None]:
            if i is None or i in marks:
                out += processor.decode(run) + (marks[i] if i is not None else "")
                run = []
            else:
                run.append(i)
        return out

    rows = []
    for text in STRINGS + EXTRA:
        if "\u2581" in text:
            continue
        ids = encode(text)
        rows.append({"text": text, "ids": ids, "plain_ids": processor.encode(text), "decoded": decode(ids)})
    chats = []
    if template:
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = lambda message: (_ for _ in ()).throw(ValueError(message))
        for chat in CHATS:
            rendered = environment.from_string(template).render(bos_token="<bos>", eos_token="<eos>", **chat)
            chats.append({**chat, "rendered": rendered, "ids": encode(rendered)})
    dump = lambda rows: "[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]"
    OUT.write_text(f'{{"strings":{dump(rows)},\n"chats":{dump(chats)}}}\n')
    print(f"{len(rows)} strings, {len(chats)} chats, {len(pieces)} pieces")


if __name__ == "__main__":
    main()
