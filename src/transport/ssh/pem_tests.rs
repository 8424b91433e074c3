//! The texts here were made by `ssh-keygen` and `openssl` of one throw-away key, under the passphrase `sesame`.

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PublicKey};

use super::*;

/// Whose the encrypted texts are.
const PUBLIC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBCDqRrAu7vFrePqYfLNrPTgpMSA9sJ1c//JPddMUP7XwJucCrib6YhqJ9M0X9bcoFXmJZKczWQSUg5FJ8SCt+5U=";

const AES_128: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,0EA6145FB76219AA5EBA00DDC1FF8EC8

1wa6kVLI/vfvMPRBWVjykzONaeQRAidAh+e7zXs37pd/HZ43g9vc0kHB6V5fmRhB
ClbWxelQBktHAxP6W+PxUGk3s/pKcnrtTmNV1XjTS7+P1avrr5RgU8oMSkGGmXFN
o5KPJ5vekvCGxWmwvI+4pG9xq7HpVgdO98xZ6mZcHXA=
-----END EC PRIVATE KEY-----
";

const AES_192: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-192-CBC,D785305958A3B4AE3CCB94CA0F020F9E

8L8MXktKeP3yif4JM4jyhoC1cd1g+MauQTIQk4vMMp/tRycCJiFsLMTt/NLyEY9k
9r63PNZvBIkB1BA4kLiYU5x6z2ABMCH1cF00hhMZmwogC7Z15aujMZ1NR/djTaBW
83sOD6t/JVbdCPGc7MwoItBWjlnu2mLm7lHO2A2SxTU=
-----END EC PRIVATE KEY-----
";

const AES_256: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,E09570C357D1ABC531D0ACF746B471D2

6eZM3ulKosV83S26HE+Kbk4MEto2JrOgfzxtBqehnkCZ45RKZzeDLohQ8oD8PcNI
imMIyKZ7X/L5UwNln+p82hDjEsJPxQpBPV4arcuIE8j/B0HDKNriMTn7C7QgHBqT
6oI2LRiGZrwYBvDoofi2/mc6vk9LNmnpA0LNPvPMiyw=
-----END EC PRIVATE KEY-----
";

const TRIPLE_DES: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: DES-EDE3-CBC,6334B73FBC7A3310

JgI48W64SDMBlMUoZ8lWXfplV8pGK4aMstKkwd26eTeMhxO9veTwSupyd8uWA8Sf
24ZWXH1/OuQ528DMBy9SrnBb+Om/MRfgtzZewbpFE86Oe0UYWmOvuHJSaEGMWmkT
gp89l7S0jrlGsAmfnfmKMOiKkpATp+1l06KlmGjyPAY=
-----END EC PRIVATE KEY-----
";

const PKCS8_SHA1: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHeMEkGCSqGSIb3DQEFDTA8MBsGCSqGSIb3DQEFDDAOBAgHaTgqzqEgwQICCAAw
HQYJYIZIAWUDBAEqBBBAa31TRmVeKAWT3MwI1/PpBIGQfPQiM4B3iLYxtmkH+c6I
8CdN3WQs/xMFBRhBZCCMrnSDBHtInW4GiISgy1vJAbUytXF4Hw6Bn1/iwshAWx+t
CFZx5VgPFGLpaRbN8JGqX8wg6yHwTQrryVlqxHT2xkOMonTchSdWEyYjN7qiFuj6
2EyyYmAHiZm9BPsRS/0MTK0iEpXLQ+6L77baQUuZIGXl
-----END ENCRYPTED PRIVATE KEY-----
";

const PKCS8_SCRYPT: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAjUMU1IkslbPwICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBAc3UZJWyLs4Myk+Mid1UvGBIGQQX8+z3kHDd3v
rWLxrlwfs50PAEUojJA0K6biCDLGb+iAC51A3M4jeIxBZ8NLdOSkJ+FaB10raRRF
bQVlmiX85vt9GB7i2dfUS0WBbh+XJ13gGjMDTO7MEZLxGfg1xzPr745KBq5tRXzA
c++w50neGyVUrTAe1dPQ0lli54V87uFsaOUo2L6+M2GwqXMTmddI
-----END ENCRYPTED PRIVATE KEY-----
";

const SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIPF7KrCP0+zwmdIf34EepmY2aT/UOJb31KQE7Uw1ImKWoAoGCCqGSM49
AwEHoUQDQgAEIOpGsC7u8Wt4+ph8s2s9OCkxID2wnVz/8k910xQ/tfAm5wKuJvpi
Gon0zRf1tygVeYlkpzNZBJSDkUnxIK37lQ==
-----END EC PRIVATE KEY-----
";

fn fresh() -> (PrivateKey, String) {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let text = key.to_openssh(LineEnding::LF).unwrap().to_string();
    (key, text)
}

fn parses_to(text: &str, key: &PrivateKey) -> bool {
    parse(text, None).is_ok_and(|read| read.public_key().key_data() == key.public_key().key_data())
}

/// What forms, chats, spreadsheets and Windows do to a text of several lines.
fn mangled(text: &str) -> Vec<String> {
    vec![
        text.to_owned(),
        text.replace('\n', "\r\n"),
        text.replace('\n', "\r"),
        text.replace('\n', "\\n"),
        text.replace('\n', "\\r\\n"),
        text.replace('\n', " "),
        text.replace('\n', ""),
        text.replace('\n', "\n\n"),
        text.replace('\n', "\t "),
        text.trim().to_owned(),
        format!("\u{feff}{text}"),
        format!("my key:\n{text}\nof 2019"),
        text.lines().map(|line| format!("    {line}  \n")).collect(),
    ]
}

#[test]
fn a_key_that_was_mangled_on_its_way_is_read() {
    let (key, text) = fresh();
    for text in mangled(&text) {
        assert!(parses_to(&text, &key), "{}", text.escape_debug());
    }
}

#[test]
fn every_encryption_opens_with_its_passphrase_also_when_its_headers_ran_into_one_line() {
    let public = PublicKey::from_openssh(PUBLIC).unwrap();
    for text in [AES_128, AES_192, AES_256, TRIPLE_DES, PKCS8_SHA1, PKCS8_SCRYPT] {
        for text in mangled(text) {
            let key = parse(&text, Some(&"sesame".into())).unwrap_or_else(|why| panic!("{why}: {}", text.escape_debug()));
            assert_eq!(key.public_key().key_data(), public.key_data());
        }
    }
    assert!(parse(SEC1, None).is_ok_and(|key| key.public_key().key_data() == public.key_data()));
}

#[test]
fn a_wrong_passphrase_is_told_from_a_missing_one_and_from_a_damaged_text() {
    let (key, _) = fresh();
    let openssh = key.encrypt(&mut russh::keys::key::safe_rng(), "sesame").unwrap();
    let openssh = openssh.to_openssh(LineEnding::LF).unwrap().to_string();
    for text in [AES_128, AES_256, TRIPLE_DES, PKCS8_SHA1, PKCS8_SCRYPT, openssh.as_str()] {
        assert_eq!(parse(text, None).unwrap_err(), NO_PASSPHRASE);
        assert_eq!(parse(text, Some(&"barley".into())).unwrap_err(), WRONG_PASSPHRASE, "{text}");
        let cut = text.replacen("\nM", "\n!", 1).replacen("b3B", "!!!", 1).replace(",", ",!");
        assert_eq!(parse(&cut, Some(&"sesame".into())).unwrap_err(), DAMAGED, "{cut}");
    }
}

#[test]
fn a_passphrase_that_is_not_needed_does_no_harm() {
    let (key, openssh) = fresh();
    let mut pkcs8 = Vec::new();
    russh::keys::encode_pkcs8_pem(&key, &mut pkcs8).unwrap();
    for text in [openssh, String::from_utf8(pkcs8).unwrap(), SEC1.to_owned()] {
        assert!(parse(&text, Some(&"unneeded".into())).is_ok());
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    let public = format!("{PUBLIC} me@here");
    for (text, why) in [
        ("hunter2", "it is not a private key in OpenSSH or PEM form"),
        (public.as_str(), "it is not a private key in OpenSSH or PEM form"),
        ("", "it is not a private key in OpenSSH or PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "it is not a private key in OpenSSH or PEM form"),
        ("-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----", UNSUPPORTED),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", DAMAGED),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n", DAMAGED),
    ] {
        assert_eq!(parse(text, None).unwrap_err(), why, "{text}");
    }
    let odd = AES_128.replace("AES-128-CBC", "RC2-40-CBC");
    assert!(parse(&odd, Some(&"sesame".into())).is_err_and(|why| why.contains("ssh-keygen -p")));
}
