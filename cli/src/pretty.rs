//! Canonical JSON laid out for people, with every digit as it was.

use portolan::Data;

/// The document over lines, two spaces a level.
pub fn pretty(data: &Data) -> String {
    let mut text = String::new();
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = data.as_str().chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            text.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' => {
                text.push(c);
                // Nothing within: nothing to lay out.
                match chars.next_if(|&next| next == '}' || next == ']') {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ => {
                text.push(c);
                in_string = c == '"';
            }
        }
    }
    text
}

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_laid_out() {
        let cases = [
            ("1", "1"),
            ("{}", "{}"),
            (r#"[]"#, "[]"),
            (r#"{"a":1.50,"b":[1,{}]}"#, "{\n  \"a\": 1.50,\n  \"b\": [\n    1,\n    {}\n  ]\n}"),
            (r#""{[,:\"\\""#, r#""{[,:\"\\""#),
            (r#"["\\",":"]"#, "[\n  \"\\\\\",\n  \":\"\n]"),
        ];
        for (text, expected) in cases {
            let data = Data::parse(text).expect("it is JSON");
            let laid_out = pretty(&data);
            assert_eq!(laid_out, expected, "{text}");
            assert_eq!(Data::parse(&laid_out), Ok(data), "{text}");
        }
    }
}
