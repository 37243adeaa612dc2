//! Base64 as Kubernetes and Istio write bytes (RFC 4648, 4), with or without padding.

/// The bytes, unless the text is not base64. Line ends are passed over.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut digits = text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r'));
    for byte in digits.by_ref().take_while(|byte| *byte != b'=') {
        held = held << 6 | u32::from(value(byte)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    let is_padding = digits.all(|byte| byte == b'=');
    // Six bits alone, or bits after the last byte, are no whole text.
    (is_padding && bits < 6 && held == 0).then_some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_and_what_is_not_is_refused() {
        let text =
            |base64| decode(base64).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        for (base64, expected) in [
            ("", ""),
            ("aGk=", "hi"),
            ("aGk", "hi"),
            ("aGVs\nbG8=", "hello"),
        ] {
            assert_eq!(text(base64).as_deref(), Some(expected), "{base64}");
        }
        for bad in ["a", "a-b=", "aGk=x", "====A", "aGl="] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }
}
