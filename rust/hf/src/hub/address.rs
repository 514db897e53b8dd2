//! URLs: whose they are, where a redirect leads, and how a file's name is written in one.
use super::answer::{plain, Attempt, Trouble};

// "https://host:port" of a URL; the token goes there and nowhere else.
pub fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |end| &url[..host + end])
}

pub fn redirected(url: &str, location: &str) -> Attempt<String> {
    let target = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}{location}", origin(url))
    } else if location.contains("://") {
        location.to_string()
    } else {
        return Err(Trouble::Final(format!("got a redirect to \"{}\", expected a URL", plain(&location))));
    };
    let is_kept = target.starts_with("https://") || (target.starts_with("http://") && url.starts_with("http://"));
    if !is_kept {
        let place = plain(&origin(&target));
        return Err(Trouble::Final(format!("got a redirect from {} to {place}, expected https", origin(url))));
    }
    Ok(target)
}

// Everything but unreserved characters and the slashes between names, as %XX.
pub fn escaped(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
