//! Hashes, certificates and random values, computed by gtmpl-ng's function library.

use gtmpl_ng::Value as Foreign;
use gtmpl_ng::helm_functions::{certs, crypto, misc, string};

use super::encoding::base64;
use super::{Function, Value, count_arg, drawn, int_arg, map_arg, pure, text_arg};
use crate::stack::chart::template::format;

pub(super) static FUNCTIONS: &[Function] = &[
    pure("sha1sum", 1, 1, |a| hash(crypto::sha1sum, a)),
    pure("sha256sum", 1, 1, |a| hash(crypto::sha256sum, a)),
    pure("sha512sum", 1, 1, |a| hash(crypto::sha512sum, a)),
    pure("adler32sum", 1, 1, |a| {
        Ok(Value::text(adler32(text_arg(a, 0)?.as_bytes()).to_string()))
    }),
    drawn("htpasswd", 2, 2, |a| {
        call(
            crypto::htpasswd,
            &[text_arg(a, 0)?.into(), text_arg(a, 1)?.into()],
        )
    }),
    drawn("genCA", 2, 2, |a| {
        call(
            certs::gen_ca,
            &[text_arg(a, 0)?.into(), int_arg(a, 1)?.into()],
        )
    }),
    drawn("genSelfSignedCert", 4, 4, |a| {
        call(
            certs::gen_self_signed_cert,
            &[
                text_arg(a, 0)?.into(),
                names(&a[1])?,
                names(&a[2])?,
                int_arg(a, 3)?.into(),
            ],
        )
    }),
    drawn("genSignedCert", 5, 5, |a| {
        call(
            certs::gen_signed_cert,
            &[
                text_arg(a, 0)?.into(),
                names(&a[1])?,
                names(&a[2])?,
                int_arg(a, 3)?.into(),
                authority(&a[4])?,
            ],
        )
    }),
    pure("buildCustomCert", 2, 2, build_custom_cert),
    drawn("randAlpha", 1, 1, |a| random(string::rand_alpha, a)),
    drawn("randNumeric", 1, 1, |a| random(string::rand_numeric, a)),
    drawn("randAlphaNum", 1, 1, |a| random(string::rand_alpha_num, a)),
    drawn("randAscii", 1, 1, |a| random(string::rand_ascii, a)),
    drawn("randBytes", 1, 1, |a| {
        let bytes: Vec<u8> = (0..count_arg(a, 0)?).map(|_| random_u64() as u8).collect();
        Ok(Value::text(base64(&bytes)))
    }),
    drawn("shuffle", 1, 1, |a| {
        let mut chars: Vec<char> = text_arg(a, 0)?.chars().collect();
        for i in (1..chars.len()).rev() {
            let other = random_u64() % (i as u64 + 1);
            chars.swap(i, usize::try_from(other).unwrap_or(0));
        }
        Ok(Value::text(chars.into_iter().collect::<String>()))
    }),
    drawn("uuidv4", 0, 0, |_| call(misc::uuidv4, &[])),
];

/// A random number, from the random part of a UUID.
pub(super) fn random_u64() -> u64 {
    let uuid = misc::uuidv4(&[]).map(|v| v.to_string()).unwrap_or_default();
    // The version and variant bits stand in the middle: both ends are random.
    let digits: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    let ends = format!(
        "{}{}",
        digits.get(..8).unwrap_or("0"),
        digits.get(24..).unwrap_or("0")
    );
    u64::from_str_radix(&ends, 16).unwrap_or(0)
}

fn call(function: gtmpl_ng::Func, args: &[Foreign]) -> Result<Value, String> {
    function(args).map(from_foreign).map_err(|e| e.to_string())
}

fn from_foreign(value: Foreign) -> Value {
    match value {
        Foreign::Map(map) | Foreign::Object(map) => {
            Value::map(map.into_iter().map(|(k, v)| (k, from_foreign(v))))
        }
        other => Value::text(other.to_string()),
    }
}

fn hash(function: gtmpl_ng::Func, args: &[Value]) -> Result<Value, String> {
    call(function, &[text_arg(args, 0)?.into()])
}

fn random(function: gtmpl_ng::Func, args: &[Value]) -> Result<Value, String> {
    call(function, &[(count_arg(args, 0)? as u64).into()])
}

/// Alternative names of a certificate.
fn names(value: &Value) -> Result<Foreign, String> {
    let texts = super::lists::strings(value)?;
    Ok(Foreign::Array(
        texts.into_iter().map(Foreign::from).collect(),
    ))
}

fn authority(value: &Value) -> Result<Foreign, String> {
    let args = std::slice::from_ref(value);
    let map =
        map_arg(args, 0).map_err(|_| "expected a certificate authority as genCA returns it")?;
    let field = |name: &str| -> Result<(String, Foreign), String> {
        let text = map
            .get(name)
            .ok_or_else(|| format!("certificate authority without {name}"))?;
        Ok((name.to_owned(), Foreign::from(format::text(&text)?)))
    };
    Ok(Foreign::Map(
        [field("Cert")?, field("Key")?].into_iter().collect(),
    ))
}

/// A certificate and key given in base64.
fn build_custom_cert(args: &[Value]) -> Result<Value, String> {
    let pem = |i: usize, name: &str| -> Result<Value, String> {
        let text = super::encoding::from_base64(text_arg(args, i)?)
            .ok_or_else(|| format!("unable to decode base64 {name}"))?;
        match text.contains("-----BEGIN ") {
            true => Ok(Value::text(text)),
            false => Err(format!("unable to decode {name}: expected PEM")),
        }
    };
    Ok(Value::map([
        ("Cert", pem(0, "certificate")?),
        ("Key", pem(1, "key")?),
    ]))
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (a + b) % 65521)
    });
    (b << 16) | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
        let sum = hash(crypto::sha256sum, &[Value::text("")])
            .unwrap()
            .to_json()
            .unwrap();
        assert_eq!(
            sum,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn a_certificate_is_signed_by_the_authority_it_is_given() {
        let find = |name: &str, args: &[Value]| {
            let function = FUNCTIONS.iter().find(|f| f.name == name).unwrap();
            let super::super::Run::Drawn(run) = function.run else {
                panic!("{name} is drawn")
            };
            run(args).unwrap()
        };
        let ca = find("genCA", &[Value::text("ca"), Value::Int(10)]);
        let names = Value::texts(["svc.local"]);
        let cert = find(
            "genSignedCert",
            &[Value::text("cn"), Value::Nil, names, Value::Int(5), ca],
        );
        let json = cert.to_json().unwrap();
        assert!(
            json["Cert"]
                .as_str()
                .unwrap()
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
        assert!(json["Key"].as_str().unwrap().contains("PRIVATE KEY-----"));
    }
}
