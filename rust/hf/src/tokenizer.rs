//! A tokenizer and its plain twin, in whose vocabulary control tokens cannot be reached from text.
use crate::ffi::{Failure, Outcome};
use serde_json::Value;
use std::collections::HashSet;
use std::str::FromStr;
use std::sync::OnceLock;
use tokenizers::{AddedToken, Tokenizer};

pub struct Pair {
    full: Tokenizer,
    json: Box<str>,
    control: Vec<(u32, AddedToken)>, // by id
    plain: OnceLock<Result<Tokenizer, String>>,
}

impl Pair {
    pub fn new(json: &str) -> Outcome<Self> {
        let full = build(json).map_err(Failure::BadInput)?;
        let mut control: Vec<(u32, AddedToken)> = full
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| is_control(token))
            .collect();
        control.sort_by_key(|(id, _)| *id);
        Ok(Pair { full, json: json.into(), control, plain: OnceLock::new() })
    }

    pub fn encode(&self, text: &str, add_special: bool, parse_special: bool) -> Outcome<Vec<u32>> {
        if parse_special {
            return encode_with(&self.full, text, add_special);
        }
        let plain = self.plain.get_or_init(|| self.build_plain());
        let plain = plain.as_ref().map_err(Failure::bad)?;
        let ids = encode_with(plain, text, false)?;
        if ids.iter().any(|id| self.is_reachable_control(*id)) {
            return Err(Failure::bad("got a control token from plain text, expected none"));
        }
        if add_special {
            return encode_with(plain, text, true);
        }
        Ok(ids)
    }

    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Outcome<String> {
        self.full.decode(ids, skip_special).map_err(Failure::bad)
    }

    pub fn token(&self, id: u32) -> Outcome<String> {
        self.full.id_to_token(id).ok_or(Failure::NotFound)
    }

    pub fn id(&self, token: &str) -> Outcome<u32> {
        self.full.token_to_id(token).ok_or(Failure::NotFound)
    }

    pub fn control_ids(&self) -> Vec<u32> {
        self.control.iter().map(|(id, _)| *id).collect()
    }

    /// Whether a control token takes the white space before and after it.
    pub fn strips(&self, id: u32) -> (bool, bool) {
        match self.control.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => (self.control[at].1.lstrip, self.control[at].1.rstrip),
            Err(_) => (false, false),
        }
    }

    pub fn vocabulary_size(&self) -> u64 {
        self.full.get_vocab_size(true) as u64
    }

    // Text may well hold characters that the vocabulary lacks.
    fn is_reachable_control(&self, id: u32) -> bool {
        self.control.binary_search_by_key(&id, |(id, _)| *id).is_ok() && Some(id) != self.unknown()
    }

    fn unknown(&self) -> Option<u32> {
        use tokenizers::models::ModelWrapper as Model;
        match self.full.get_model() {
            Model::BPE(model) => self.full.token_to_id(model.unk_token.as_ref()?),
            Model::WordPiece(model) => self.full.token_to_id(&model.unk_token),
            Model::WordLevel(model) => self.full.token_to_id(&model.unk_token),
            Model::Unigram(_) => self.unigram_unknown(),
        }
    }

    fn unigram_unknown(&self) -> Option<u32> {
        let id = serde_json::to_value(self.full.get_model()).ok()?.get("unk_id")?.as_u64()?;
        u32::try_from(id).ok()
    }

    fn build_plain(&self) -> Result<Tokenizer, String> {
        let mut json: Value = serde_json::from_str(&self.json).map_err(|e| e.to_string())?;
        let unknown = self.unknown();
        let hidden: HashSet<&str> = self
            .control
            .iter()
            .filter(|(id, _)| Some(*id) != unknown)
            .map(|(_, token)| token.content.as_str())
            .collect();
        if let Some(Value::Array(tokens)) = json.get_mut("added_tokens") {
            let text = |token: &Value| token.get("content").and_then(Value::as_str).map(String::from);
            let control: HashSet<&str> = self.control.iter().map(|(_, t)| t.content.as_str()).collect();
            tokens.retain(|token| text(token).is_some_and(|text| !control.contains(text.as_str())));
        }
        if let Some(model) = json.get_mut("model") {
            hide_in_model(model, &hidden);
        }
        build(&json.to_string())
    }
}

fn build(json: &str) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_str(json).map_err(|e| e.to_string())?;
    tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fn encode_with(tokenizer: &Tokenizer, text: &str, add_special: bool) -> Outcome<Vec<u32>> {
    let encoding = tokenizer.encode_fast(text, add_special).map_err(Failure::bad)?;
    Ok(encoding.get_ids().to_vec())
}

// Some families add their turn markers as tokens that are not "special" (<｜User｜>).
fn is_control(token: &AddedToken) -> bool {
    let text = token.content.as_str();
    let is_marker = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    token.special || is_marker("<|", "|>") || is_marker("<｜", "｜>")
}

// A private-use name that no pre-tokenizer output equals; ids stay where they are.
fn hidden_name(text: &str) -> String {
    format!("\u{10FFFD}{text}\u{10FFFD}")
}

fn hide_in_model(model: &mut Value, hidden: &HashSet<&str>) {
    match model.get_mut("vocab") {
        Some(Value::Object(vocab)) => {
            let renamed = std::mem::take(vocab).into_iter().map(|(token, id)| {
                let is_hidden = hidden.contains(token.as_str());
                (if is_hidden { hidden_name(&token) } else { token }, id)
            });
            *vocab = renamed.collect();
        }
        Some(Value::Array(pieces)) => pieces.iter_mut().for_each(|piece| {
            if let Some(Value::String(token)) = piece.get_mut(0) {
                if hidden.contains(token.as_str()) {
                    *token = hidden_name(token);
                }
            }
        }),
        _ => {}
    }
    if let Some(Value::Array(merges)) = model.get_mut("merges") {
        merges.retain(|merge| merge_parts(merge).is_some_and(|(left, right)| {
            let whole = format!("{left}{right}");
            ![left, right, whole.as_str()].iter().any(|token| hidden.contains(token))
        }));
    }
}

fn merge_parts(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(line) => line.split_once(' '),
        Value::Array(parts) => Some((parts.first()?.as_str()?, parts.get(1)?.as_str()?)),
        _ => None,
    }
}
