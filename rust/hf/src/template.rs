//! Chat templates as `transformers` renders them, within a budget.
use crate::budget::{run_bounded, Budget, Overrun};
use crate::ffi::{Failure, Outcome};
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value};
use regex::Regex;
use serde::Serialize;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

const FUEL_STEPS: u64 = 5_000_000;
const MEMORY_BYTES: isize = 256 << 20;
const TIME: Duration = Duration::from_secs(20);

pub fn check(source: &str) -> Outcome<String> {
    let source = without_generation_tags(source);
    bounded(move || {
        environment().template_from_str(&source).map_err(describe)?;
        Ok(String::new())
    })
}

pub fn render(source: &str, context: &str) -> Outcome<String> {
    let source = without_generation_tags(source);
    let context: serde_json::Value = serde_json::from_str(context).map_err(Failure::bad)?;
    bounded(move || {
        let environment = environment();
        let template = environment.template_from_str(&source).map_err(describe)?;
        template.render(context).map_err(describe)
    })
}

fn bounded(work: impl FnOnce() -> Result<String, String> + Send + 'static) -> Outcome<String> {
    match run_bounded(Budget { memory_bytes: MEMORY_BYTES, time: TIME }, work) {
        Ok(result) => result.map_err(Failure::BadInput),
        Err(Overrun::Memory) => {
            Err(Failure::BadInput(format!("template needs more than {} MiB", MEMORY_BYTES >> 20)))
        }
        Err(Overrun::Time) => {
            Err(Failure::BadInput(format!("template runs longer than {} s", TIME.as_secs())))
        }
        Err(Overrun::Panic(reason)) => Err(Failure::Panic(reason)),
        Err(Overrun::NoThread) => Err(Failure::bad("cannot start a thread for the template")),
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(FUEL_STEPS));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |reason: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, reason))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", tojson);
    environment
}

fn describe(error: Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{line}{error}").replace('\n', " ")
}

// `{% generation %}` marks assistant text for training masks; it does not change the text.
fn without_generation_tags(source: &str) -> String {
    let tag = |name: &str| Regex::new(&format!(r"\{{%([-+]?)\s*{name}\s*([-+]?)%\}}"));
    let (Ok(open), Ok(close)) = (tag("generation"), tag("endgeneration")) else {
        return source.to_string();
    };
    let opened = open.replace_all(source, "{%$1 if true $2%}");
    close.replace_all(&opened, "{%$1 endif $2%}").into_owned()
}

fn strftime_now(format: String) -> Result<String, Error> {
    let mut text = String::new();
    write!(text, "{}", chrono::Local::now().format(&format))
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "strftime_now: bad format"))?;
    Ok(text)
}

// Python's json.dumps(ensure_ascii=False): ", " and ": ", unlike both serde_json and minijinja.
fn tojson(value: Value, arguments: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let bad = |e: serde_json::Error| Error::new(ErrorKind::BadSerialization, e.to_string());
    let json = serde_json::to_value(&value).map_err(bad)?;
    let mut bytes = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(64));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        }
        None => json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Python)),
    };
    written.map_err(bad)?;
    Ok(Value::from_safe_string(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Python;

impl serde_json::ser::Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
