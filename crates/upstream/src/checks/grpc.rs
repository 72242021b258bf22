//! The health check of gRPC: `grpc.health.v1.Health/Check`, whose messages have one field each.

use waypost_wire::grpc::GrpcCode;

/// The path of the call.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";
/// Bytes of a response's body that are looked at.
pub(super) const RESPONSE_BYTES_MAX: usize = 64;

/// Bytes of a message's header: a flag for compression, and the length.
const HEADER_BYTES: usize = 5;
/// The key of field 1 of the request, `service`: a string.
const SERVICE: u8 = 0x0a;
/// The key of field 1 of the response, `status`: an enumeration.
const STATUS: u8 = 0x08;

/// The body of the request about `service`; about the server as a whole if it is empty.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(SERVICE);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut body = vec![0];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&message);
    body
}

/// Judges a response: its HTTP status, the `grpc-status` in its head, its body and its trailers.
///
/// # Errors
/// The endpoint does not say that it serves; with the reason.
pub(super) fn judge(http: u16, code: Option<GrpcCode>, body: &[u8], trailers: &[u8]) -> Result<(), String> {
    if http != 200 {
        return Err(format!("status {http}"));
    }
    if let Some(code) = code
        .or_else(|| in_lines(trailers))
        .filter(|code| *code != GrpcCode::OK)
    {
        return Err(format!("gRPC status {}", code.number()));
    }
    match status(body) {
        Some(1) => Ok(()),
        Some(0) => Err("UNKNOWN".to_owned()),
        Some(2) => Err("NOT_SERVING".to_owned()),
        Some(3) => Err("SERVICE_UNKNOWN".to_owned()),
        Some(other) => Err(format!("health status {other}")),
        None => Err("the response is malformed or incomplete".to_owned()),
    }
}

/// The `grpc-status` among lines of trailers.
fn in_lines(lines: &[u8]) -> Option<GrpcCode> {
    let mut lines = lines.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        let is_status = name.eq_ignore_ascii_case(b"grpc-status");
        is_status.then(|| GrpcCode::parse(value[1..].trim_ascii()))
    })
}

/// The `status` in the message of a body; 0, which need not be written, if there is none.
fn status(body: &[u8]) -> Option<u64> {
    let (header, rest) = body.split_at_checked(HEADER_BYTES)?;
    if header[0] != 0 {
        return None;
    }
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    let mut message = rest.get(..usize::try_from(length).ok()?)?;
    let mut status = 0;
    while let Some((key, rest)) = message.split_first() {
        message = rest;
        match key & 0x07 {
            0 => {
                let value = varint(&mut message)?;
                if *key == STATUS {
                    status = value;
                }
            }
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            // The message has no fields of other types.
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_names_its_service() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = request(&"s".repeat(200));
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
    }

    fn check(http: u16, code: Option<u8>, body: &[u8], trailers: &str, expected: Result<(), &str>) {
        let code = code.and_then(GrpcCode::new);
        let found = judge(http, code, body, trailers.as_bytes());
        assert_eq!(found, expected.map_err(str::to_owned), "{body:?} {trailers:?}");
    }

    #[test]
    fn only_serving_passes() {
        let ok = "grpc-status: 0\r\n\r\n";
        check(200, None, &[0, 0, 0, 0, 2, 8, 1], ok, Ok(()));
        check(200, None, &[0, 0, 0, 0, 2, 8, 1], "", Ok(()));
        check(200, None, &[0, 0, 0, 0, 2, 8, 2], ok, Err("NOT_SERVING"));
        check(200, None, &[0, 0, 0, 0, 2, 8, 3], ok, Err("SERVICE_UNKNOWN"));
        check(200, None, &[0, 0, 0, 0, 0], ok, Err("UNKNOWN"));
        check(200, None, &[0, 0, 0, 0, 2, 8, 9], ok, Err("health status 9"));
        check(200, None, &[0, 0, 0, 0, 6, 0x12, 2, 1, 1, 8, 1], ok, Ok(()));
        check(200, Some(12), &[], "", Err("gRPC status 12"));
        check(
            200,
            None,
            &[],
            "Grpc-Status:5\r\nx: y\r\n\r\n",
            Err("gRPC status 5"),
        );
        check(503, None, &[], "", Err("status 503"));
    }

    #[test]
    fn malformed_messages_do_not_pass() {
        for body in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 3, 8, 1],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 8, 0x80],
            &[0, 0, 0, 0, 2, 0x0d, 1],
            &[0, 0xff, 0xff, 0xff, 0xff, 8, 1],
            &[0, 0, 0, 0, 3, 0x12, 0x7f, 1],
        ] {
            check(
                200,
                None,
                body,
                "",
                Err("the response is malformed or incomplete"),
            );
        }
    }
}
